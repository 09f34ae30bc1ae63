/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node with processors keeps memory: without any, all that runs there works on memory that is far away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan-cost.h"
#include "memory/planner.h"
#include "util/cleanup.h"

/* Is there a block of the node that stays? picked_at: a flag for each block of the table. */
static bool keeps_memory(const Planner *p, const bool *picked_at, int node) {
        for (size_t i = 0; i < p->table->n_blocks; i++) {
                const Block *block = &p->table->blocks[i];

                if (block->node == node && block->state == BLOCK_ONLINE && !picked_at[i] &&
                    guard_verdict(block, p->policy) != VERDICT_BUSY)
                        return true;
        }
        return false;
}

/* The higher, the rather it stays: what the order of choice would take last. place: among those picked, in
 * the order of their addresses. */
static size_t stay_rank(const Planner *p, size_t place) {
        switch (p->policy->order) {
        case PLAN_ORDER_CHEAPEST:
                return plan_block_cost(p->table, &p->table->blocks[p->picked[place]], p->policy);
        case PLAN_ORDER_HIGHEST:
                return p->n_picked - place;
        case PLAN_ORDER_LOWEST:
                return place;
        }
        return 0;
}

/* Of those picked in the node the one that stays, of equal ones the lowest; n_picked if there is none. */
static size_t find_stayer(const Planner *p, int node) {
        size_t found = p->n_picked, rank = 0;

        for (size_t i = 0; i < p->n_picked; i++) {
                size_t here = stay_rank(p, i);

                if (p->table->blocks[p->picked[i]].node != node || (found < p->n_picked && here <= rank))
                        continue;
                found = i;
                rank = here;
        }
        return found;
}

static int leave_out(Planner *p, size_t place, int node) {
        const Block *block = &p->table->blocks[p->picked[place]];
        char *reason = NULL;

        if (asprintf(&reason,
                     "the last memory of node %d, which has processors, stays there (KeepNodeMemory=)",
                     node) < 0)
                return -ENOMEM;
        memmove(p->picked + place, p->picked + place + 1, (p->n_picked - place - 1) * sizeof(*p->picked));
        p->n_picked--;
        p->count[VERDICT_GUARDED]++;
        p->n_refused++;
        return planner_add_refusal(p, block, NULL, VERDICT_GUARDED, reason);
}

int plan_keep_nodes(Planner *p) {
        CLEANUP(freep) bool *picked_at = NULL;
        const Node *end = p->table->nodes + p->table->n_nodes;

        if (p->policy->empty_nodes || p->table->n_nodes == 0)
                return 0;
        picked_at = calloc(p->table->n_blocks + 1, sizeof(*picked_at));
        if (!picked_at)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_picked; i++)
                picked_at[p->picked[i]] = true;
        for (const Node *node = p->table->nodes; node < end; node++) {
                size_t place = p->n_picked;
                int r;

                if (node->has_cpus && !keeps_memory(p, picked_at, node->node))
                        place = find_stayer(p, node->node);
                if (place == p->n_picked)
                        continue;
                r = leave_out(p, place, node->node);
                if (r < 0)
                        return r;
        }
        return 0;
}
