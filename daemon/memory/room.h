/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memory there is at the moment, of the machine and of each zone, and what of it is promised already.
 * Bytes. */
#pragma once

#include "memory/block.h"
#include "memory/hugepage.h"

/* A zone that has memory, from /proc/zoneinfo. */
typedef struct ZoneRoom {
        int node;
        Zone zone;
        uint64_t free_bytes;
        uint64_t used_bytes;
        uint64_t low_bytes;  /* the watermark where the kernel begins to reclaim */
        uint64_t kept_bytes; /* its high watermark, and what is kept for those who can use no other zone */
        uint64_t file_bytes; /* page cache on the lists of what can be reclaimed */
        uint64_t slab_bytes; /* reclaimable kernel data of the node, in its first zone */
} ZoneRoom;

typedef struct MemoryRoom {
        uint64_t available_bytes; /* MemAvailable */
        uint64_t total_bytes;     /* MemTotal */
        uint64_t free_bytes;      /* MemFree */
        uint64_t swap_free_bytes;
        ZoneRoom *zones;          /* sorted by node and zone; owned */
        size_t n_zones;           /* 0: not known */
        HugePool huge[HUGE_POOLS_MAX];
        size_t n_huge;
        uint64_t promised_bytes;  /* will move into some zone, not yet seen in any */
} MemoryRoom;

/* Of /proc/meminfo and /proc/zoneinfo. Without the latter zones are not known. -EBADMSG: meminfo is not
 * understood. */
int memory_room_read(int root_fd, MemoryRoom *ret);
void memory_room_clear(MemoryRoom *room);
/* So much of a zone is about to be taken away: what is free of it goes, what is used moves. */
void memory_room_promise(MemoryRoom *room, int node, Zone zone, uint64_t bytes);

/* The text of /proc/meminfo, for memory_room_read(), its tests and its fuzz target. -EBADMSG. */
int meminfo_parse(const char *text, MemoryRoom *ret);
