/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans of what goes: by size, by node, by list, by device. The verdicts are guard.c's, the order of choice
 * is plan-choose.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan-choose.h"
#include "memory/planner.h"
#include "util/cleanup.h"
#include "util/text.h"

/* Is there room for a sentence about it? Else it is only counted: sentences are dear. */
static bool count_refused(Planner *p, Verdict verdict) {
        p->count[verdict]++;
        p->n_refused++;
        return p->plan->n_refused < PLAN_REFUSALS_MAX;
}

static int refuse_block(Planner *p, const Block *block) {
        Verdict verdict = guard_verdict(block, p->policy);
        char *reason;
        int r;

        if (!count_refused(p, verdict))
                return 0;
        r = guard_block(p->table, block, p->policy, &verdict, &reason);
        return r < 0 ? r : planner_add_refusal(p, block, NULL, verdict, reason);
}

static bool may_go(Verdict verdict) {
        return verdict == VERDICT_FREE || verdict == VERDICT_MOVABLE;
}

static int consider(Planner *p, const Block *block) {
        if (!may_go(guard_verdict(block, p->policy)))
                return refuse_block(p, block);
        p->picked[p->n_picked++] = (size_t) (block - p->table->blocks);
        return 0;
}

/* What another driver put there is its to give back, when the hypervisor asks it to. Who wants it offline
 * all the same names its device or its blocks. */
static bool is_left_to_driver(const BlockTable *table, const Block *block) {
        DeviceKind kind;

        if (block->device >= table->n_devices)
                return false;
        kind = table->devices[block->device].kind;
        return kind == DEVICE_VIRTIO_MEM || kind == DEVICE_DAX;
}

static int leave_to_driver(Planner *p, const Block *block) {
        char *reason;

        if (!may_go(guard_verdict(block, p->policy)))
                return refuse_block(p, block);
        if (!count_refused(p, VERDICT_GUARDED))
                return 0;
        if (asprintf(&reason, "left to the driver of %s, which put it there; it can be asked for by name",
                     block_device_name(p->table, block)) < 0)
                return -ENOMEM;
        return planner_add_refusal(p, block, NULL, VERDICT_GUARDED, reason);
}

static bool is_too_full(const Planner *p, const Block *block) {
        return p->demand->most_used_bytes > 0 && block->used_bytes > p->demand->most_used_bytes;
}

static int refuse_full(Planner *p, const Block *block) {
        char *reason, size[FORMAT_SIZE_MAX];

        if (!may_go(guard_verdict(block, p->policy)))
                return refuse_block(p, block);
        if (!count_refused(p, VERDICT_GUARDED))
                return 0;
        if (asprintf(&reason, "more than %s of it in use",
                     format_size(p->demand->most_used_bytes, size)) < 0)
                return -ENOMEM;
        return planner_add_refusal(p, block, NULL, VERDICT_GUARDED, reason);
}

/* How many of those picked there is room for, the best of them first in place: *ret. removal: all of
 * them. */
static int count_fitting(Planner *p, Removal *removal, size_t *ret) {
        size_t n = p->n_picked;
        int r;

        while (n > 0 && !guard_has_room(p->policy, removal)) {
                removal_drop(removal, &p->table->blocks[p->picked[--n]], p->table->block_size);
                if (!guard_has_room(p->policy, removal))
                        continue;
                r = plan_choose(p->table, p->policy, p->picked, p->n_picked, n, &n);
                if (r < 0)
                        return r;
                p->n_picked = n;
                planner_fill_removal(p, removal);
        }
        *ret = n;
        return 0;
}

/* If there is no room for all, as many as there is room for, if that is enough for the demand. */
static int fit_into_room(Planner *p) {
        CLEANUP(removal_clear) Removal removal = {};
        CLEANUP(freep) char *reason = NULL;
        size_t n;
        int r;

        r = removal_new(&removal, p->room);
        if (r < 0)
                return r;
        planner_fill_removal(p, &removal);
        r = guard_room(p->policy, &removal, &reason);
        if (r < 0 || !reason)
                return r;
        p->plan->missing_bytes = guard_missing_room(p->policy, &removal);
        if (!p->demand->allow_partial || p->demand->device[0])
                return planner_end(p, PLAN_NO_ROOM, "%s", reason);
        r = count_fitting(p, &removal, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return planner_end(p, PLAN_NO_ROOM, "%s", reason);
        r = planner_end(p, PLAN_FEASIBLE, "all of it %s", reason);
        p->n_picked = n;
        return r;
}

/* All that may go, of the demand's node if it names one. */
static int pick_all(Planner *p) {
        for (size_t i = 0; i < p->table->n_blocks; i++) {
                const Block *block = &p->table->blocks[i];
                int r;

                if (!planner_may_take(p->demand, block))
                        continue;
                if (is_left_to_driver(p->table, block))
                        r = leave_to_driver(p, block);
                else
                        r = is_too_full(p, block) ? refuse_full(p, block) : consider(p, block);
                if (r < 0)
                        return r;
        }
        return plan_keep_nodes(p);
}

static int by_size(Planner *p) {
        size_t want, n;
        int r;

        r = planner_whole_blocks(p, &want);
        if (r < 0 || want == 0)
                return r;
        r = pick_all(p);
        n = p->n_picked;
        if (r >= 0 && (n > want || p->demand->allow_partial)) /* else there is no choice */
                r = plan_choose(p->table, p->policy, p->picked, p->n_picked, want, &n);
        if (r < 0)
                return r;
        p->n_picked = n;
        if (n < want) {
                r = planner_end_too_little(p, want * p->table->block_size, n * p->table->block_size);
                if (r < 0 || n == 0 || !p->demand->allow_partial)
                        return r;
                p->plan->outcome = PLAN_FEASIBLE; /* the sentence stays and says how much it is */
        } else
                plan_drop_refusals(p->plan); /* what was not needed was not refused */
        return fit_into_room(p);
}

/* What cannot go was not asked for, but is listed: it is why the node is not empty afterwards. */
static int by_node(Planner *p) {
        size_t chosen;
        int r;

        r = pick_all(p);
        if (r < 0)
                return r;
        if (p->n_picked == 0)
                return planner_end(p, planner_refusal_outcome(p), "nothing of node %" PRIu32 " can go: %s",
                                   p->demand->node, p->plan->refused[0].reason);
        r = plan_choose(p->table, p->policy, p->picked, p->n_picked, p->n_picked,
                        &chosen); /* if not all fit: these first */
        return r < 0 ? r : fit_into_room(p);
}

static int by_blocks(Planner *p) {
        CLEANUP(freep) uint32_t *list = NULL;
        size_t n, chosen;
        int r;

        r = planner_listed_blocks(p, &list, &n);
        if (r < 0 || !list)
                return r;
        p->n_asked = n;
        for (size_t i = 0; i < n; i++) {
                r = consider(p, block_table_find(p->table, list[i]));
                if (r < 0)
                        return r;
        }
        r = plan_keep_nodes(p);
        if (r < 0)
                return r;
        if (p->n_refused > 0) {
                r = planner_end_with_refusals(p);
                if (r < 0 || p->n_picked == 0 || !p->demand->allow_partial)
                        return r;
                p->plan->outcome = PLAN_FEASIBLE;
        }
        r = plan_choose(p->table, p->policy, p->picked, p->n_picked, p->n_picked,
                        &chosen); /* if not all fit: these first */
        return r < 0 ? r : fit_into_room(p);
}

/* Says it of the device; its blocks have been listed. */
static int refuse_device(Planner *p, const Device *device) {
        CLEANUP(freep) char *reason = NULL;
        Verdict verdict;
        char *copy;
        int r;

        r = guard_device(p->table, device, p->policy, &verdict, &reason);
        if (r < 0)
                return r;
        if (!reason) { /* each of its blocks alone may go: it is about all of them */
                reason = strdup(p->plan->refused[0].reason);
                verdict = p->plan->refused[0].verdict;
        }
        if (!reason)
                return -ENOMEM;
        copy = strdup(reason);
        if (!copy)
                return -ENOMEM;
        if (p->plan->n_refused >= PLAN_REFUSALS_MAX) /* the last of its blocks makes room */
                free(p->plan->refused[--p->plan->n_refused].reason);
        r = planner_add_refusal(p, NULL, device->name, verdict, copy);
        return r < 0 ? r : planner_end(p, planner_refusal_outcome(p), "%s: %s", device->name, reason);
}

/* All or nothing: a device that keeps one block stays. */
static int by_device(Planner *p) {
        const Device *device = block_table_find_device(p->table, p->demand->device);
        int r;

        if (!device)
                return planner_no_such_device(p);
        memcpy(p->plan->device, device->name, sizeof(p->plan->device));
        for (size_t i = 0; i < p->table->n_blocks; i++) {
                const Block *block = &p->table->blocks[i];

                if (!planner_owns(p, block, device) || block->state == BLOCK_OFFLINE)
                        continue;
                r = consider(p, block);
                if (r < 0)
                        return r;
        }
        r = p->n_refused > 0 ? 0 : plan_keep_nodes(p);
        if (r < 0)
                return r;
        if (p->n_refused > 0 || (p->n_picked == 0 && !device->ejectable))
                return refuse_device(p, device);
        p->plan->eject = device->ejectable;
        return fit_into_room(p);
}

static bool demand_wants(const BlockTable *table, const Demand *demand, const Block *block) {
        const char *name = block_device_name(table, block);

        if (demand->device[0])
                return name && strcmp(name, demand->device) == 0;
        return demand->n_blocks == 0 && planner_may_take(demand, block) && !is_left_to_driver(table, block);
}

void plan_wants(const BlockTable *table, const Demand *demand, const GuardPolicy *policy, bool *ret) {
        for (size_t i = 0; i < table->n_blocks; i++)
                ret[i] = demand->kind == DEMAND_UNPLUG && demand_wants(table, demand, &table->blocks[i]);
        for (size_t i = 0; demand->kind == DEMAND_UNPLUG && i < demand->n_blocks; i++) {
                const Block *block = block_table_find(table, demand->blocks[i]);

                if (block)
                        ret[block - table->blocks] = true;
        }
        for (size_t i = 0; i < table->n_blocks; i++)
                ret[i] = ret[i] && may_go(guard_verdict(&table->blocks[i], policy));
}

int plan_unplug(Planner *p) {
        if (p->demand->device[0])
                return by_device(p);
        if (p->demand->n_blocks > 0)
                return by_blocks(p);
        return p->demand->by_node && p->demand->size_bytes == 0 ? by_node(p) : by_size(p);
}
