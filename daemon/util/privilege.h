/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drops what the daemon does not need, and checks that it is gone. */
#pragma once

#include <stdbool.h>

/* Keeps CAP_DAC_OVERRIDE if it is there and nothing else, in every set (bounding and ambient too), becomes
 * user if it is not NULL and we are root, sets no_new_privs and dumpable off, then verifies.
 * Errors: -ESRCH no such user, -EPERM it could not be done or did not hold. */
int privilege_drop(const char *user);
