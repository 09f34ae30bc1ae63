/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of /proc/zoneinfo, for memory_room_read(), its tests and its fuzz target. */
#pragma once

#include "memory/room.h"

#define ZONEINFO_TEXT_MAX (16U * 1024U * 1024U) /* it has some lines for each processor in each zone */
#define ZONEINFO_ZONES_MAX 4096U

/* Zones with memory of their own, sorted by node and zone; to be freed. text ends with NUL and is changed.
 * page_size: bytes. -EBADMSG: not such a text; -ENOMEM. */
int zoneinfo_parse(char *text, uint64_t page_size, ZoneRoom **ret, size_t *ret_n);
