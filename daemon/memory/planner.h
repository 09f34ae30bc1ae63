/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the makers of plans share: the plan under construction, the blocks picked so far, and the ways
 * to end. Used by the plan files only. */
#pragma once

#include "memory/plan.h"

typedef struct Planner {
        const BlockTable *table;
        const Demand *demand;
        const GuardPolicy *policy;
        const MemoryRoom *room;
        Plan *plan;
        size_t *picked; /* positions in table->blocks that can go */
        size_t n_picked;
        size_t n_asked;             /* blocks that were asked for */
        size_t count[_VERDICT_MAX]; /* of those that cannot */
        size_t n_refused;           /* their sum */
} Planner;

int plan_unplug(Planner *p);
int plan_replug(Planner *p);
/* Leaves out a block wherever a node with processors would lose all its memory, as a refusal. */
int plan_keep_nodes(Planner *p);

/* Sets outcome and sentence. The plan may still be extended, or set again. */
int planner_end(Planner *p, PlanOutcome outcome, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
int planner_end_too_little(Planner *p, uint64_t asked, uint64_t found);
int planner_end_with_refusals(Planner *p);
int planner_no_such_device(Planner *p);
int planner_no_such_node(Planner *p);
PlanOutcome planner_refusal_outcome(const Planner *p);

/* Takes reason. block NULL: the refusal is of the device. */
int planner_add_refusal(Planner *p, const Block *block, const char *device, Verdict verdict, char *reason);
void plan_drop_refusals(Plan *plan);

/* *ret 0: the plan has ended. */
int planner_whole_blocks(Planner *p, size_t *ret);
/* The blocks of the demand, sorted, without repeats. *ret untouched: the plan has ended, one is not there.
 */
int planner_listed_blocks(Planner *p, uint32_t **ret, size_t *ret_n);

/* Is it of the node that the demand names? Without one, of whichever. */
bool planner_may_take(const Demand *demand, const Block *block);
bool planner_owns(const Planner *p, const Block *block, const Device *device);
/* The picked blocks and no others; removal is of the planner's room. */
void planner_fill_removal(const Planner *p, Removal *removal);
uint64_t planner_picked_use(const Planner *p, size_t n);
