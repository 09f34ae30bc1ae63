/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must never go, and why: a verdict and a sentence with numbers for each block and
 * device, and whether what must move has room elsewhere. Pure functions of plain data. */
#pragma once

#include "memory/block.h"
#include "memory/removal.h"
#include "memory/room.h"

typedef enum Verdict {
        VERDICT_FREE,
        VERDICT_MOVABLE,
        VERDICT_BUSY,
        VERDICT_UNMOVABLE,
        VERDICT_GUARDED,
        VERDICT_OFFLINE,
        VERDICT_ABSENT,
        _VERDICT_MAX,
        _VERDICT_INVALID = -EINVAL,
} Verdict;

/* A block that did not go, not long ago. */
typedef struct GuardFailure {
        uint32_t block;
        unsigned weight;        /* how much that still counts, as if so many full blocks had to move */
        const char *cause;      /* one word, constant: "in_use" */
        uint64_t age_usec;
        uint64_t left_usec;     /* until nothing of it counts any more */
} GuardFailure;

/* Which blocks go first, where there is a choice. */
typedef enum PlanOrder {
        PLAN_ORDER_CHEAPEST,
        PLAN_ORDER_HIGHEST,
        PLAN_ORDER_LOWEST,
} PlanOrder;

typedef struct GuardPolicy {
        uint64_t keep_free_bytes;       /* reserve after removal; UINT64_MAX: the default floor */
        const uint32_t *protected_blocks; /* sorted */
        size_t n_protected;
        const uint32_t *protected_nodes; /* sorted */
        size_t n_protected_nodes;
        const uint32_t *busy_blocks;    /* part of jobs under way or set aside; sorted */
        size_t n_busy;
        const uint32_t *lent_blocks;    /* the hypervisor's: they come back by name only; sorted */
        size_t n_lent;
        const GuardFailure *failures;   /* sorted by block */
        size_t n_failures;
        bool try_kernel_zones;          /* also blocks outside ZONE_MOVABLE */
        bool empty_nodes;               /* also the last memory of a node that has CPUs */
        PlanOrder order;
} GuardPolicy;

/* The reserve that must stay free for a machine of this size. Bytes. */
uint64_t guard_reserve(const GuardPolicy *policy, const MemoryRoom *room);

/* The same for the machine that is left when remove_bytes are gone. */
uint64_t guard_reserve_after(const GuardPolicy *policy, const MemoryRoom *room, uint64_t remove_bytes);
/* What is available outside the blocks of a removal, by the machine's sum and by those of its zones. */
uint64_t guard_free_outside(const Removal *removal);

/* That it did not go not long ago, or NULL. */
const GuardFailure *guard_find_failure(const GuardPolicy *policy, uint32_t block);
/* Verdict on one block, and nothing else. */
Verdict guard_verdict(const Block *block, const GuardPolicy *policy);
/* Verdict on one block. ret_reason: a sentence to be freed, NULL if nothing is to be said. */
int guard_block(const BlockTable *table, const Block *block, const GuardPolicy *policy, Verdict *ret,
                char **ret_reason);

/* Verdict on a device: the worst of its blocks. */
Verdict guard_device_verdict(const BlockTable *table, const Device *device, const GuardPolicy *policy);
int guard_device(const BlockTable *table, const Device *device, const GuardPolicy *policy, Verdict *ret,
                 char **ret_reason);

/* Is there room elsewhere for what must move? 0 and *ret_reason NULL: yes; 0 and a sentence with numbers:
 * no. */
bool guard_has_room(const GuardPolicy *policy, const Removal *removal);
int guard_room(const GuardPolicy *policy, const Removal *removal, char **ret_reason);
/* So much more would have to be available for it; 0: there is room, UINT64_MAX: no memory would help. */
uint64_t guard_missing_room(const GuardPolicy *policy, const Removal *removal);

const char *verdict_to_string(Verdict verdict);
