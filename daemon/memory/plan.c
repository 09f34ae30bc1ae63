/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a demand to steps, or to the reason why not. Changes nothing and reads nothing but its arguments.
 * What can go is for plan-unplug.c, what can come back for plan-replug.c. */
#include "memory/plan.h"

#include <stdlib.h>
#include <string.h>

#include "memory/plan-cost.h"
#include "memory/planner.h"
#include "util/cleanup.h"

DEFINE_CLEANUP(Plan *, plan_free)

static int compare_steps_down(const void *a, const void *b) {
        const PlanStep *x = a, *y = b;

        return (x->block < y->block) - (x->block > y->block);
}

static int compare_steps_up(const void *a, const void *b) {
        return compare_steps_down(b, a);
}

/* Mostly they have been picked so. */
static bool are_in_order(const Plan *plan, bool back) {
        for (size_t i = 1; i < plan->n_steps; i++)
                if ((plan->steps[i].block > plan->steps[i - 1].block) != back)
                        return false;
        return true;
}

/* Offline from the top: pages that come back then find no way into a block that goes next. Online from
 * below. */
static int fill_steps(Planner *p) {
        CLEANUP(removal_clear) Removal removal = {};
        bool back = p->demand->kind == DEMAND_REPLUG;
        Plan *plan = p->plan;
        int r;

        r = removal_new(&removal, p->room);
        if (r < 0)
                return r;
        plan->steps = calloc(p->n_picked + 1, sizeof(*plan->steps));
        if (!plan->steps)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_picked; i++) {
                const Block *block = &p->table->blocks[p->picked[back ? i : p->n_picked - 1 - i]];

                plan->steps[plan->n_steps++] = (PlanStep) {
                        .block = block->index,
                        .zone = back ? ZONE_MOVABLE : block->zone, /* from where it can go again */
                        .node = block->node,
                        .device = block->device,
                        .move_bytes = back ? 0 : block->used_bytes,
                };
        }
        if (!are_in_order(plan, back))
                qsort(plan->steps, plan->n_steps, sizeof(*plan->steps),
                      back ? compare_steps_up : compare_steps_down);
        plan->removable_bytes = plan->n_steps * plan->block_size;
        plan->move_bytes = back ? 0 : planner_picked_use(p, p->n_picked);
        if (!back)
                planner_fill_removal(p, &removal);
        plan->reserve_bytes = guard_reserve_after(p->policy, p->room, removal.remove_bytes);
        plan->free_bytes = guard_free_outside(&removal);
        return 0;
}

static int make_steps(Planner *p) {
        if (p->demand->by_node && !block_table_find_node(p->table, (int) p->demand->node))
                return planner_no_such_node(p);
        return p->demand->kind == DEMAND_REPLUG ? plan_replug(p) : plan_unplug(p);
}

int plan_make(const BlockTable *table, const Demand *demand, const GuardPolicy *policy,
              const MemoryRoom *room, Plan **ret) {
        CLEANUP(plan_freep) Plan *plan = NULL;
        CLEANUP(freep) size_t *picked = NULL;
        const Device *cheapest;
        Planner planner = { .table = table, .demand = demand, .policy = policy, .room = room };
        int r;

        plan = calloc(1, sizeof(*plan));
        picked = calloc(table->n_blocks + 1, sizeof(*picked));
        if (!plan || !picked)
                return -ENOMEM;
        plan->block_size = table->block_size;
        planner.plan = plan;
        planner.picked = picked;
        r = make_steps(&planner);
        if (r >= 0)
                r = fill_steps(&planner);
        if (r < 0)
                return r;
        cheapest = demand->kind == DEMAND_UNPLUG ? plan_cheapest_device(table, policy, room) : NULL;
        if (cheapest)
                memcpy(plan->cheapest_device, cheapest->name, sizeof(plan->cheapest_device));
        *ret = STEAL_PTR(plan);
        return 0;
}

Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;
        plan_drop_refusals(plan);
        free(plan->steps);
        free(plan->reason);
        free(plan);
        return NULL;
}
