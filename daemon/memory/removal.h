/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a set of blocks takes away from each zone, and what the rest can take of what must move. Pure sums of
 * plain data; bytes. */
#pragma once

#include "memory/room.h"

/* Of one zone. */
typedef struct ZoneLoss {
        uint64_t free_bytes;    /* inside the blocks */
        uint64_t used_bytes;
        uint64_t unknown_bytes; /* of blocks that nobody has looked into */
} ZoneLoss;

typedef struct Removal {
        const MemoryRoom *room; /* borrowed */
        uint64_t remove_bytes;
        uint64_t move_bytes;    /* the known part of what is used inside */
        uint64_t huge_bytes;    /* in huge pages of hugetlb */
        ZoneLoss *zones;        /* in the order of room->zones; owned, NULL: not known */
} Removal;

int removal_new(Removal *ret, const MemoryRoom *room); /* nothing is taken yet; -ENOMEM */
void removal_add(Removal *removal, const Block *block, uint64_t block_size);
void removal_drop(Removal *removal, const Block *block, uint64_t block_size); /* that was added */
void removal_reset(Removal *removal);
void removal_clear(Removal *removal);

/* All that must move: also what blocks that nobody has looked into must hold for their zone's numbers to be
 * true, and what is promised to others. */
uint64_t removal_move_bytes(const Removal *removal);
/* What can come to lie in the zones outside without the kernel going below its watermarks. What goes away is
 * no room, and of page cache only what surely lies outside. UINT64_MAX: zones are not known. */
uint64_t removal_room_bytes(const Removal *removal);
/* The node if all zones are of one, else -1. */
int removal_only_node(const Removal *removal);
/* "900M on node 0, 500M on node 1"; to be freed, NULL: short of memory. */
char *removal_room_text(const Removal *removal);
