/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans of what comes back: offline blocks, to ZONE_MOVABLE, from where they can go again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory/planner.h"
#include "util/cleanup.h"
#include "util/index-list.h"

/* Why this block need not or must not come back; NULL if it can. */
static const char *replug_obstacle(const Planner *p, const Block *block, Verdict *ret) {
        *ret = VERDICT_BUSY;
        if (block->state == BLOCK_GOING_OFFLINE)
                return "going offline at this moment";
        if (index_list_contains(p->policy->busy_blocks, p->policy->n_busy, block->index))
                return "part of a job that is under way, or set aside after one";
        if (block->state != BLOCK_OFFLINE) {
                *ret = guard_verdict(block, p->policy);
                return "online already";
        }
        return NULL;
}

static int consider(Planner *p, const Block *block, const char *obstacle, Verdict verdict) {
        char *reason;

        if (!obstacle) {
                p->picked[p->n_picked++] = (size_t) (block - p->table->blocks);
                return 0;
        }
        reason = strdup(obstacle);
        if (!reason)
                return -ENOMEM;
        /* An online block is nothing that policy refuses, whatever its verdict as one to go. */
        p->count[verdict == VERDICT_BUSY ? VERDICT_BUSY : VERDICT_ABSENT]++;
        p->n_refused++;
        return planner_add_refusal(p, block, NULL, verdict, reason);
}

static int consider_back(Planner *p, const Block *block) {
        Verdict verdict;
        const char *obstacle = replug_obstacle(p, block, &verdict);

        return consider(p, block, obstacle, verdict);
}

/* Whichever block will do: not one that somebody would only have to take again. */
static int consider_any(Planner *p, const Block *block) {
        if (index_list_contains(p->policy->lent_blocks, p->policy->n_lent, block->index))
                return consider(p, block, "given to the hypervisor by the balloon", VERDICT_OFFLINE);
        return consider_back(p, block);
}

static int by_size(Planner *p) {
        size_t want;
        int r;

        r = planner_whole_blocks(p, &want);
        if (r < 0 || want == 0)
                return r;
        for (size_t i = 0; i < p->table->n_blocks && p->n_picked < want; i++) {
                const Block *block = &p->table->blocks[i];

                if (block->state != BLOCK_OFFLINE || !planner_may_take(p->demand, block))
                        continue;
                r = consider_any(p, block);
                if (r < 0)
                        return r;
        }
        if (p->n_picked < want) {
                r = planner_end_too_little(p, want * p->table->block_size,
                                           p->n_picked * p->table->block_size);
                if (r >= 0 && p->policy->n_lent > 0)
                        r = planner_end(p, p->plan->outcome,
                                        "%s; what the hypervisor has by the balloon comes back by name only",
                                        p->plan->reason);
                if (r >= 0 && p->n_picked > 0 && p->demand->allow_partial)
                        p->plan->outcome = PLAN_FEASIBLE;
                return r;
        }
        plan_drop_refusals(p->plan);
        return 0;
}

static int by_node(Planner *p) {
        for (size_t i = 0; i < p->table->n_blocks; i++) {
                const Block *block = &p->table->blocks[i];
                int r = 0;

                if (block->state == BLOCK_OFFLINE && planner_may_take(p->demand, block))
                        r = consider_any(p, block);
                if (r < 0)
                        return r;
        }
        if (p->n_picked > 0)
                return 0;
        if (p->n_refused > 0)
                return planner_end(p, planner_refusal_outcome(p), "nothing of node %" PRIu32
                                   " can come back: %s", p->demand->node, p->plan->refused[0].reason);
        return planner_end(p, PLAN_NOTHING_REMOVABLE, "node %" PRIu32 ": online already", p->demand->node);
}

static int by_blocks(Planner *p) {
        CLEANUP(freep) uint32_t *list = NULL;
        size_t n;
        int r;

        r = planner_listed_blocks(p, &list, &n);
        if (r < 0 || !list)
                return r;
        p->n_asked = n;
        for (size_t i = 0; i < n; i++) {
                r = consider_back(p, block_table_find(p->table, list[i]));
                if (r < 0)
                        return r;
        }
        if (p->n_refused == 0)
                return 0;
        r = planner_end_with_refusals(p);
        if (r >= 0 && p->n_picked > 0 && p->demand->allow_partial)
                p->plan->outcome = PLAN_FEASIBLE;
        return r;
}

static int by_device(Planner *p) {
        const Device *device = block_table_find_device(p->table, p->demand->device);

        if (!device)
                return planner_no_such_device(p);
        memcpy(p->plan->device, device->name, sizeof(p->plan->device));
        for (size_t i = 0; i < p->table->n_blocks; i++) {
                const Block *block = &p->table->blocks[i];
                int r = 0;

                if (planner_owns(p, block, device) && block->state == BLOCK_OFFLINE) {
                        p->n_asked++;
                        r = consider_back(p, block);
                }
                if (r < 0)
                        return r;
        }
        if (p->n_refused > 0)
                return planner_end_with_refusals(p);
        if (p->n_picked == 0)
                return planner_end(p, PLAN_NOTHING_REMOVABLE, "%s: online already", device->name);
        return 0;
}

int plan_replug(Planner *p) {
        if (p->demand->device[0])
                return by_device(p);
        if (p->demand->n_blocks > 0)
                return by_blocks(p);
        return p->demand->by_node && p->demand->size_bytes == 0 ? by_node(p) : by_size(p);
}
