/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets that the one who starts us passes in. */
#pragma once

#include "front/varlink.h"

/* Takes all that are passed under the name "varlink", listening or connected, and closes others; without
 * any, listens on the path itself. */
int sockets_listen(VarlinkServer *server, const char *path);
