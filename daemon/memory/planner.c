/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts that plans in both directions are made of. What a direction asks for is in plan-unplug.c and
 * plan-replug.c. */
#include "memory/planner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/index-list.h"
#include "util/text.h"

int planner_end(Planner *p, PlanOutcome outcome, const char *format, ...) {
        char *reason = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&reason, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;
        free(p->plan->reason);
        p->plan->reason = reason;
        p->plan->outcome = outcome;
        return 0;
}

/* Takes reason. Beyond the limit a refusal is counted only. */
int planner_add_refusal(Planner *p, const Block *block, const char *device, Verdict verdict, char *reason) {
        CLEANUP(freep) char *text = reason;
        Plan *plan = p->plan;
        Refusal *refusal;

        if (plan->n_refused >= PLAN_REFUSALS_MAX)
                return 0;
        if (!plan->refused) {
                plan->refused = calloc(PLAN_REFUSALS_MAX, sizeof(*plan->refused));
                if (!plan->refused)
                        return -ENOMEM;
        }
        refusal = &plan->refused[plan->n_refused++];
        *refusal = (Refusal) { .is_device = !block, .block = block ? block->index : 0, .verdict = verdict };
        if (device)
                (void) snprintf(refusal->device, sizeof(refusal->device), "%s", device);
        refusal->reason = STEAL_PTR(text);
        return 0;
}

void plan_drop_refusals(Plan *plan) {
        for (size_t i = 0; i < plan->n_refused; i++)
                free(plan->refused[i].reason);
        free(plan->refused);
        plan->refused = NULL;
        plan->n_refused = 0;
}

void planner_fill_removal(const Planner *p, Removal *removal) {
        removal_reset(removal);
        for (size_t i = 0; i < p->n_picked; i++)
                removal_add(removal, &p->table->blocks[p->picked[i]], p->table->block_size);
}

static uint64_t known_use(const Block *block) {
        return block->used_bytes == BLOCK_USAGE_UNKNOWN ? 0 : block->used_bytes;
}

uint64_t planner_picked_use(const Planner *p, size_t n) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += known_use(&p->table->blocks[p->picked[i]]);
        return sum;
}

bool planner_may_take(const Demand *demand, const Block *block) {
        return !demand->by_node || (block->node >= 0 && (uint32_t) block->node == demand->node);
}

bool planner_owns(const Planner *p, const Block *block, const Device *device) {
        return block->device == (size_t) (device - p->table->devices);
}

/* Only whole blocks can go. A size in between is refused rather than rounded, in which direction ever; who
 * allows part of it gets the whole blocks that are in it. Never more than asked. */
int planner_whole_blocks(Planner *p, size_t *ret) {
        uint64_t size = p->demand->size_bytes, block_size = p->table->block_size;
        char asked[FORMAT_SIZE_MAX], block[FORMAT_SIZE_MAX];

        if (size < block_size || (size % block_size != 0 && !p->demand->allow_partial)) {
                *ret = 0;
                return planner_end(p, PLAN_REFUSED,
                                   "%s is not a multiple of the memory block size, which is %s",
                                   format_size(size, asked), format_size(block_size, block));
        }
        *ret = (size_t) (size / block_size);
        return 0;
}

/* Sorted, without repeats; *ret stays NULL if one is not there. */
int planner_listed_blocks(Planner *p, uint32_t **ret, size_t *ret_n) {
        CLEANUP(freep) uint32_t *list = NULL;
        size_t n = 0;

        list = calloc(p->demand->n_blocks + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        memcpy(list, p->demand->blocks, p->demand->n_blocks * sizeof(*list));
        index_list_sort(list, p->demand->n_blocks);
        for (size_t i = 0; i < p->demand->n_blocks; i++) {
                if (n > 0 && list[n - 1] == list[i])
                        continue;
                if (!block_table_find(p->table, list[i])) {
                        p->plan->missing_block = list[i];
                        return planner_end(p, PLAN_NO_SUCH_BLOCK, "there is no memory block %" PRIu32,
                                           list[i]);
                }
                list[n++] = list[i];
        }
        *ret = STEAL_PTR(list);
        *ret_n = n;
        return 0;
}

/* What the refusals mean for the whole. */
PlanOutcome planner_refusal_outcome(const Planner *p) {
        if (p->count[VERDICT_BUSY] > 0)
                return PLAN_BUSY;
        if (p->n_refused > 0 && p->count[VERDICT_GUARDED] == p->n_refused)
                return PLAN_REFUSED;
        return p->n_picked > 0 && !p->demand->device[0] ? PLAN_TOO_LITTLE : PLAN_NOTHING_REMOVABLE;
}

static const char *plural(size_t n) {
        return n == 1 ? "" : "s";
}

/* Where what was found is, for a sentence: " of node 1", or nothing. */
static const char *of_node(const Planner *p, char buffer[static 32]) {
        buffer[0] = '\0';
        if (p->demand->by_node)
                (void) snprintf(buffer, 32, " of node %" PRIu32, p->demand->node);
        return buffer;
}

/* Why what was asked for by size is not there. */
int planner_end_too_little(Planner *p, uint64_t asked, uint64_t found) {
        PlanOutcome outcome = found > 0 ? PLAN_TOO_LITTLE : PLAN_NOTHING_REMOVABLE;
        char asked_text[FORMAT_SIZE_MAX], found_text[FORMAT_SIZE_MAX], node[32];

        (void) snprintf(found_text, sizeof(found_text), "nothing");
        if (found > 0)
                (void) format_size(found, found_text);
        if (found + p->count[VERDICT_BUSY] * p->table->block_size >= asked)
                outcome = PLAN_BUSY;
        if (p->demand->kind == DEMAND_REPLUG)
                return planner_end(p, outcome, "%s asked for, but of what is offline%s %s can come back",
                                   format_size(asked, asked_text), of_node(p, node), found_text);
        return planner_end(p, outcome,
                           "%s asked for, but %s%s can go "
                           "(blocks that cannot: %zu guarded, %zu unmovable, %zu busy, %zu offline already)",
                           format_size(asked, asked_text), found_text, of_node(p, node),
                           p->count[VERDICT_GUARDED], p->count[VERDICT_UNMOVABLE], p->count[VERDICT_BUSY],
                           p->count[VERDICT_OFFLINE]);
}

int planner_end_with_refusals(Planner *p) {
        const Refusal *first = &p->plan->refused[0];

        if (p->n_refused == 1)
                return planner_end(p, planner_refusal_outcome(p), "block %" PRIu32 ": %s", first->block,
                                   first->reason);
        return planner_end(p, planner_refusal_outcome(p),
                           "%zu of %zu block%s cannot %s, the first is block %" PRIu32 ": %s", p->n_refused,
                           p->n_asked, plural(p->n_asked),
                           p->demand->kind == DEMAND_REPLUG ? "come back" : "go", first->block,
                           first->reason);
}

int planner_no_such_node(Planner *p) {
        return planner_end(p, PLAN_NO_SUCH_NODE, "there is no memory on a node %" PRIu32, p->demand->node);
}

int planner_no_such_device(Planner *p) {
        return planner_end(p, PLAN_NO_SUCH_DEVICE, "there is no memory device '%s'", p->demand->device);
}
