/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of /proc/meminfo, for memory_room_read(), its tests and its fuzz target. */
#pragma once

#include "memory/guard.h"

int meminfo_parse(const char *text, MemoryRoom *ret); /* -EBADMSG */
