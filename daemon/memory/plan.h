/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks go for a demand: a pure function of the block table, the policy and the
 * room there is. Same input, same plan. */
#pragma once

#include "memory/block.h"
#include "memory/demand.h"
#include "memory/guard.h"

#define PLAN_REFUSALS_MAX 256U /* refusals listed in a plan; the rest is counted */

typedef enum PlanOutcome {
        PLAN_FEASIBLE,
        PLAN_NO_SUCH_BLOCK,
        PLAN_NO_SUCH_DEVICE,
        PLAN_NO_SUCH_NODE,
        PLAN_NOTHING_REMOVABLE, /* no block that was asked for can go */
        PLAN_TOO_LITTLE,        /* some can, but not all that was asked */
        PLAN_NO_ROOM,           /* what must move has nowhere to go */
        PLAN_BUSY,              /* part of it belongs to a job under way */
        PLAN_REFUSED,           /* guarded by policy */
        _PLAN_OUTCOME_MAX,
        _PLAN_OUTCOME_INVALID = -EINVAL,
} PlanOutcome;

typedef struct PlanStep {
        uint32_t block;
        Zone zone;            /* where it is now, for the way back */
        int node;
        uint32_t device;      /* index into the table's devices, or BLOCK_DEVICE_NONE */
        uint64_t move_bytes;  /* BLOCK_USAGE_UNKNOWN without a survey */
} PlanStep;

typedef struct Refusal {
        bool is_device;
        uint32_t block;       /* if not is_device */
        char device[DEVICE_NAME_SIZE];
        Verdict verdict;
        char *reason;         /* never NULL */
} Refusal;

typedef struct Plan {
        PlanOutcome outcome;
        char *reason;             /* a sentence, NULL if all that was asked can be done */
        uint32_t missing_block;   /* with PLAN_NO_SUCH_BLOCK */
        PlanStep *steps;          /* in their order: offline from the highest block, back from the lowest */
        size_t n_steps;
        Refusal *refused;
        size_t n_refused;
        uint64_t block_size;
        uint64_t removable_bytes; /* n_steps * block_size for what can go of what was asked */
        uint64_t move_bytes;      /* known part of what must move */
        uint64_t free_bytes;      /* available outside the set, to pages that move */
        uint64_t reserve_bytes;
        uint64_t missing_bytes;   /* with PLAN_NO_ROOM: guard_missing_room() */
        /* That the firmware could take at least cost, where all have been looked into; "": none. */
        char cheapest_device[DEVICE_NAME_SIZE];
        bool eject;               /* the demand is for a device that the firmware can take */
        char device[DEVICE_NAME_SIZE];
} Plan;

/* Makes the plan of an unplug or replug demand. 0 with *ret, also when it is not feasible
 * (outcome says so); negative errno only if memory is short. A demand with allow_partial gets
 * PLAN_FEASIBLE with fewer steps than asked, if at least one block can go. */
int plan_make(const BlockTable *table, const Demand *demand, const GuardPolicy *policy,
              const MemoryRoom *room, Plan **ret);
Plan *plan_free(Plan *plan);
/* Whose usage the plan depends on: ret goes with table->blocks. Without any usage in the table. */
void plan_wants(const BlockTable *table, const Demand *demand, const GuardPolicy *policy, bool *ret);
