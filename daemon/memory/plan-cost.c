/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Costs of blocks and devices. Choosing by them is for plan-choose.c. */
#include "memory/plan-cost.h"

#include <stdlib.h>

#include "util/cleanup.h"

static unsigned failure_cost(const Block *block, const GuardPolicy *policy) {
        const GuardFailure *failure = guard_find_failure(policy, block->index);

        if (!failure)
                return 0;
        return COST_STEPS * (failure->weight < COST_FAILURES_MAX ? failure->weight : COST_FAILURES_MAX);
}

unsigned plan_block_cost(const BlockTable *table, const Block *block, const GuardPolicy *policy) {
        const uint64_t step = table->block_size / COST_STEPS; /* a block has at least 1 MiB */
        unsigned cost = COST_STEPS;

        if (block->used_bytes < table->block_size)
                cost = (unsigned) ((block->used_bytes + step - 1) / step);
        return cost + failure_cost(block, policy);
}

static bool owns(const BlockTable *table, const Device *device, const Block *block) {
        return block->device == (size_t) (device - table->devices);
}

typedef struct DeviceWalk {
        const BlockTable *table;
        const Device *device;
        const Block *next;
        size_t left; /* blocks of the device from there on */
} DeviceWalk;

static DeviceWalk walk_device(const BlockTable *table, const Device *device) {
        const Block *first = block_table_find(table, device->first_block);

        return (DeviceWalk) { table, device, first, device->n_blocks };
}

/* The next block of the device that is online, or NULL. */
static const Block *next_online(DeviceWalk *walk) {
        const Block *end = walk->table->blocks + walk->table->n_blocks;

        while (walk->next && walk->left > 0 && walk->next < end) {
                const Block *b = walk->next++;

                if (!owns(walk->table, walk->device, b))
                        continue;
                walk->left--;
                if (b->state == BLOCK_ONLINE)
                        return b;
        }
        return NULL;
}

uint64_t plan_device_move(const BlockTable *table, const Device *device) {
        DeviceWalk walk = walk_device(table, device);
        uint64_t sum = 0;

        for (const Block *b; (b = next_online(&walk));)
                sum += b->used_bytes < table->block_size ? b->used_bytes : table->block_size;
        return sum;
}

static void fill_removal(const BlockTable *table, const Device *device, Removal *removal) {
        DeviceWalk walk = walk_device(table, device);

        removal_reset(removal);
        for (const Block *b; (b = next_online(&walk));)
                removal_add(removal, b, table->block_size);
}

static bool can_go(const BlockTable *table, const Device *device, const GuardPolicy *policy) {
        switch (guard_device_verdict(table, device, policy)) {
        case VERDICT_FREE:
        case VERDICT_MOVABLE:
        case VERDICT_OFFLINE:
                return true;
        case VERDICT_BUSY:
        case VERDICT_UNMOVABLE:
        case VERDICT_GUARDED:
        case VERDICT_ABSENT:
        case _VERDICT_MAX:
        case _VERDICT_INVALID:
                break;
        }
        return false;
}

const Device *plan_cheapest_device(const BlockTable *table, const GuardPolicy *policy,
                                   const MemoryRoom *room) {
        CLEANUP(removal_clear) Removal removal = {};
        size_t best_weight = 0;
        uint64_t best_move = 0;
        const Device *best = NULL;

        if (removal_new(&removal, room) < 0)
                return NULL; /* only the name of one is missing */
        for (const Device *d = table->devices; d < table->devices + table->n_devices; d++) {
                const Node *node = block_table_find_node(table, d->node);
                size_t weight = node ? node->n_online : 0;
                uint64_t move;

                if (!d->ejectable || !can_go(table, d, policy))
                        continue;
                move = plan_device_move(table, d);
                fill_removal(table, d, &removal);
                if (!guard_has_room(policy, &removal))
                        continue;
                if (best && (move > best_move || (move == best_move && weight < best_weight)))
                        continue;
                best = d;
                best_move = move;
                best_weight = weight;
        }
        return best;
}
