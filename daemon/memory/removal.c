/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sums of a removal. The kernel moves a page to its own node first and to any other then, into each
 * zone that may hold movable pages; so all zones count, and the numbers of each node are for people. Whether
 * it is enough, and what is kept in reserve, is for guard.c. */
#include "memory/removal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/saturate.h"
#include "util/text.h"

#define TEXT_NODES_MAX 8U /* named in a sentence */

int removal_new(Removal *ret, const MemoryRoom *room) {
        Removal removal = { .room = room };

        if (room->n_zones > 0) {
                removal.zones = calloc(room->n_zones, sizeof(*removal.zones));
                if (!removal.zones)
                        return -ENOMEM;
        }
        *ret = removal;
        return 0;
}

void removal_reset(Removal *removal) {
        removal->remove_bytes = removal->move_bytes = removal->huge_bytes = 0;
        if (removal->zones)
                memset(removal->zones, 0, removal->room->n_zones * sizeof(*removal->zones));
}

void removal_clear(Removal *removal) {
        free(removal->zones);
        *removal = (Removal) {};
}

static ZoneLoss *find_loss(const Removal *removal, const Block *block) {
        for (size_t i = 0; removal->zones && i < removal->room->n_zones; i++)
                if (removal->room->zones[i].node == block->node &&
                    removal->room->zones[i].zone == block->zone)
                        return &removal->zones[i];
        return NULL;
}

static uint64_t known_use(const Block *block, uint64_t block_size) {
        return block->used_bytes < block_size ? block->used_bytes : block_size;
}

/* Sums wrap in both directions, so that what is dropped again leaves no trace. */
static void count(Removal *removal, const Block *block, uint64_t block_size, uint64_t sign) {
        const bool known = block->used_bytes != BLOCK_USAGE_UNKNOWN;
        const uint64_t used = known ? known_use(block, block_size) : 0;
        ZoneLoss *loss = find_loss(removal, block);

        removal->remove_bytes += sign * block_size;
        removal->move_bytes += sign * used;
        removal->huge_bytes += sign * block->huge_bytes;
        if (!loss)
                return;
        loss->used_bytes += sign * used;
        loss->free_bytes += known ? sign * (block_size - used) : 0;
        loss->unknown_bytes += known ? 0 : sign * block_size;
}

void removal_add(Removal *removal, const Block *block, uint64_t block_size) {
        count(removal, block, block_size, 1);
}

void removal_drop(Removal *removal, const Block *block, uint64_t block_size) {
        count(removal, block, block_size, UINT64_MAX); /* -1 */
}

static uint64_t least(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* In the unknown blocks of a zone that has less free than they are large, the rest is used. */
static uint64_t hidden_use(const ZoneRoom *zone, const ZoneLoss *loss) {
        return minus(loss->unknown_bytes, minus(zone->free_bytes, loss->free_bytes));
}

uint64_t removal_move_bytes(const Removal *removal) {
        uint64_t sum = removal->move_bytes;

        if (!removal->zones)
                return sum;
        for (size_t i = 0; i < removal->room->n_zones; i++)
                sum += hidden_use(&removal->room->zones[i], &removal->zones[i]);
        return sum + removal->room->promised_bytes;
}

/* Of what can be reclaimed the kernel keeps some for itself: half, or what brings it to its low watermark,
 * whichever is less. That is how it counts MemAvailable, too. */
static uint64_t zone_room(const ZoneRoom *zone, const ZoneLoss *loss) {
        uint64_t hidden = hidden_use(zone, loss);
        uint64_t free_bytes = minus(zone->free_bytes, loss->free_bytes + loss->unknown_bytes);
        uint64_t file_bytes = least(zone->file_bytes, minus(zone->used_bytes, loss->used_bytes + hidden));

        return minus(free_bytes, zone->kept_bytes) + file_bytes - least(file_bytes / 2, zone->low_bytes) +
               zone->slab_bytes / 2;
}

uint64_t removal_room_bytes(const Removal *removal) {
        uint64_t sum = 0;

        if (!removal->zones)
                return UINT64_MAX;
        for (size_t i = 0; i < removal->room->n_zones; i++)
                sum += zone_room(&removal->room->zones[i], &removal->zones[i]);
        return sum;
}

int removal_only_node(const Removal *removal) {
        const MemoryRoom *room = removal->room;

        if (!removal->zones || room->zones[0].node != room->zones[room->n_zones - 1].node)
                return -1;
        return room->zones[0].node;
}

char *removal_room_text(const Removal *removal) {
        CLEANUP(freep) char *text = NULL;
        size_t size = 0, n_nodes = 0, i = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        while (removal->zones && i < removal->room->n_zones && n_nodes < TEXT_NODES_MAX) {
                const int node = removal->room->zones[i].node;
                char buffer[FORMAT_SIZE_MAX];
                uint64_t sum = 0;

                for (; i < removal->room->n_zones && removal->room->zones[i].node == node; i++)
                        sum += zone_room(&removal->room->zones[i], &removal->zones[i]);
                (void) fprintf(f, "%s%s on node %d", n_nodes++ > 0 ? ", " : "", format_size(sum, buffer),
                               node);
        }
        if (removal->zones && i < removal->room->n_zones)
                (void) fputs(", more on others", f);
        return fclose(f) == 0 ? STEAL_PTR(text) : NULL;
}
