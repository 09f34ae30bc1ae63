/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The code that only starting needs: of the dynamic linker, of the libraries' constructors, of ours. */
#pragma once

/* Takes the pages of code of this process and its libraries out of its address space; what is needed again
 * comes back from the page cache by itself, a minor fault for each sixteen pages. Else nearly all of what
 * starting touched would stay mapped, and counted, as long as the service runs. */
void start_code_release(void);
