/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdicts, and their sentences. A sentence on a block goes on from "block 40: ". Which of the blocks
 * that may go are taken is for plan.c. */
#include "memory/guard.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/index-list.h"
#include "util/saturate.h"
#include "util/text.h"

#define MIB (UINT64_C(1) << 20)

static int __attribute__((format(printf, 2, 3))) sentence(char **ret, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;
        *ret = text;
        return 0;
}

static bool is_on_protected_node(const Block *block, const GuardPolicy *policy) {
        return block->node >= 0 &&
                        index_list_contains(policy->protected_nodes, policy->n_protected_nodes,
                                            (uint32_t) block->node);
}

static int compare_failure(const void *key, const void *item) {
        uint32_t x = *(const uint32_t *) key, y = ((const GuardFailure *) item)->block;

        return (x > y) - (x < y);
}

const GuardFailure *guard_find_failure(const GuardPolicy *policy, uint32_t block) {
        if (policy->n_failures == 0)
                return NULL;
        return bsearch(&block, policy->failures, policy->n_failures, sizeof(*policy->failures),
                       compare_failure);
}

Verdict guard_verdict(const Block *block, const GuardPolicy *policy) {
        switch (block->state) {
        case BLOCK_OFFLINE:
                return VERDICT_OFFLINE;
        case BLOCK_GOING_OFFLINE:
                return VERDICT_BUSY;
        case BLOCK_ONLINE:
                break;
        case BLOCK_ABSENT:
        case _BLOCK_STATE_MAX:
        case _BLOCK_STATE_INVALID:
                return VERDICT_ABSENT;
        }
        if (index_list_contains(policy->busy_blocks, policy->n_busy, block->index))
                return VERDICT_BUSY;
        if (index_list_contains(policy->protected_blocks, policy->n_protected, block->index) ||
            is_on_protected_node(block, policy))
                return VERDICT_GUARDED;
        if (block->crash_kernel)
                return VERDICT_GUARDED;
        if (block->zone == ZONE_NONE || block->zone == ZONE_DEVICE)
                return VERDICT_UNMOVABLE;
        if (block->zone != ZONE_MOVABLE && !policy->try_kernel_zones)
                return VERDICT_GUARDED;
        if (block->unmovable_bytes != BLOCK_USAGE_UNKNOWN && block->unmovable_bytes > 0)
                return VERDICT_UNMOVABLE;
        return block->used_bytes == 0 ? VERDICT_FREE : VERDICT_MOVABLE;
}

static int guarded_reason(const Block *block, const GuardPolicy *policy, char **ret) {
        if (index_list_contains(policy->protected_blocks, policy->n_protected, block->index))
                return sentence(ret, "protected by the configuration (ProtectBlocks=)");
        if (is_on_protected_node(block, policy))
                return sentence(ret, "on node %d, which is protected by the configuration (ProtectNodes=)",
                                block->node);
        if (block->crash_kernel)
                return sentence(ret, "holds memory that is reserved for a crash kernel (crashkernel=)");
        return sentence(ret,
                        "in zone %s, where the kernel keeps its own data; only zone Movable is tried "
                        "(TryKernelZones=)",
                        zone_to_string(block->zone));
}

static int unmovable_reason(const Block *block, char **ret) {
        char size[FORMAT_SIZE_MAX];

        if (block->zone == ZONE_DEVICE)
                return sentence(ret, "memory of a device, not of the system");
        if (block->zone == ZONE_NONE)
                return sentence(ret,
                                "spans several zones or has holes, and the kernel cannot take that offline");
        return sentence(ret, "%s of it cannot be moved", format_size(block->unmovable_bytes, size));
}

static int verdict_reason(const Block *block, Verdict verdict, const GuardPolicy *policy, char **ret) {
        switch (verdict) {
        case VERDICT_BUSY:
                return block->state == BLOCK_GOING_OFFLINE
                               ? sentence(ret, "going offline at this moment")
                               : sentence(ret, "part of a job that is under way, or set aside after one");
        case VERDICT_UNMOVABLE:
                return unmovable_reason(block, ret);
        case VERDICT_GUARDED:
                return guarded_reason(block, policy, ret);
        case VERDICT_OFFLINE:
                return sentence(ret, "offline already");
        case VERDICT_ABSENT:
                return sentence(ret, "not there any more");
        case VERDICT_FREE:
        case VERDICT_MOVABLE:
        case _VERDICT_MAX:
        case _VERDICT_INVALID:
                break;
        }
        *ret = NULL;
        return 0;
}

int guard_block(const BlockTable *table, const Block *block, const GuardPolicy *policy, Verdict *ret,
                char **ret_reason) {
        Verdict verdict = guard_verdict(block, policy);
        char *reason;
        int r;

        r = verdict_reason(block, verdict, policy, &reason);
        if (r < 0)
                return r;
        *ret = verdict;
        *ret_reason = reason;
        return 0;
}

/* A device is as bad as its worst block; offline blocks are no obstacle. */
static unsigned verdict_weight(Verdict verdict) {
        switch (verdict) {
        case VERDICT_ABSENT:
        case _VERDICT_MAX:
        case _VERDICT_INVALID:
                return 0;
        case VERDICT_OFFLINE:
                return 1;
        case VERDICT_FREE:
                return 2;
        case VERDICT_MOVABLE:
                return 3;
        case VERDICT_BUSY:
                return 4;
        case VERDICT_UNMOVABLE:
                return 5;
        case VERDICT_GUARDED:
                return 6;
        }
        return 0;
}

typedef struct DeviceSum {
        Verdict worst;
        const Block *worst_block; /* the lowest of them */
        size_t n_blocks, n_worst;
        uint64_t unmovable_bytes;
} DeviceSum;

static DeviceSum sum_device(const BlockTable *table, const Device *device, const GuardPolicy *policy) {
        DeviceSum sum = { .worst = VERDICT_ABSENT };
        const Block *first = block_table_find(table, device->first_block);
        const Block *end = table->blocks + table->n_blocks;

        for (const Block *b = first; b && b < end && sum.n_blocks < device->n_blocks; b++) {
                Verdict verdict;

                if (b->device != (size_t) (device - table->devices))
                        continue;
                verdict = guard_verdict(b, policy);
                sum.n_blocks++;
                if (b->state == BLOCK_ONLINE && b->unmovable_bytes != BLOCK_USAGE_UNKNOWN)
                        sum.unmovable_bytes += b->unmovable_bytes;
                if (!sum.worst_block || verdict_weight(verdict) > verdict_weight(sum.worst)) {
                        sum.worst = verdict;
                        sum.worst_block = b;
                        sum.n_worst = 0;
                }
                sum.n_worst += verdict == sum.worst;
        }
        return sum;
}

Verdict guard_device_verdict(const BlockTable *table, const Device *device, const GuardPolicy *policy) {
        return sum_device(table, device, policy).worst;
}

static int device_reason(const DeviceSum *sum, const GuardPolicy *policy, char **ret) {
        char size[FORMAT_SIZE_MAX], *reason;
        int r;

        if (!sum->worst_block)
                return sentence(ret, "has no memory blocks");
        if (sum->worst == VERDICT_OFFLINE)
                return sentence(ret, "offline already");
        if (sum->worst == VERDICT_UNMOVABLE && sum->worst_block->zone != ZONE_NONE &&
            sum->worst_block->zone != ZONE_DEVICE)
                return sentence(ret,
                                "%s in %zu of its %zu blocks cannot be moved, the first in block %" PRIu32,
                                format_size(sum->unmovable_bytes, size), sum->n_worst, sum->n_blocks,
                                sum->worst_block->index);
        r = verdict_reason(sum->worst_block, sum->worst, policy, &reason);
        if (r < 0 || !reason) {
                if (r >= 0)
                        *ret = NULL;
                return r;
        }
        r = sum->n_worst > 1
                    ? sentence(ret, "%zu of its %zu blocks cannot go, the first is block %" PRIu32 ": %s",
                               sum->n_worst, sum->n_blocks, sum->worst_block->index, reason)
                    : sentence(ret, "block %" PRIu32 ": %s", sum->worst_block->index, reason);
        free(reason);
        return r;
}

int guard_device(const BlockTable *table, const Device *device, const GuardPolicy *policy, Verdict *ret,
                 char **ret_reason) {
        DeviceSum sum = sum_device(table, device, policy);
        char *reason;
        int r;

        r = device_reason(&sum, policy, &reason);
        if (r < 0)
                return r;
        *ret = sum.worst;
        *ret_reason = reason;
        return 0;
}

/* What a machine needs to go on working grows with its size, but less and less: the floor that balloon
 * drivers keep, straight lines between these points. Beyond the last, 1/32 of the rest. */
static uint64_t default_floor(uint64_t total) {
        static const struct {
                uint64_t total, floor;
        } points[] = {
                { 0, 8 * MIB },
                { 128 * MIB, 72 * MIB },
                { 512 * MIB, 168 * MIB },
                { 2048 * MIB, 360 * MIB },
                { 8192 * MIB, 744 * MIB },
                { 32768 * MIB, 1512 * MIB },
        };
        size_t last = sizeof(points) / sizeof(points[0]) - 1, i = 0;

        if (total >= points[last].total)
                return points[last].floor + (total - points[last].total) / 32;
        while (total >= points[i + 1].total)
                i++;
        return points[i].floor + (uint64_t) ((__uint128_t) (total - points[i].total) *
                                             (points[i + 1].floor - points[i].floor) /
                                             (points[i + 1].total - points[i].total));
}

uint64_t guard_reserve(const GuardPolicy *policy, const MemoryRoom *room) {
        return policy->keep_free_bytes != UINT64_MAX ? policy->keep_free_bytes
                                                     : default_floor(room->total_bytes);
}

uint64_t guard_reserve_after(const GuardPolicy *policy, const MemoryRoom *room, uint64_t remove_bytes) {
        return guard_reserve(policy,
                             &(MemoryRoom) { .total_bytes = minus(room->total_bytes, remove_bytes) });
}

/* What is free inside goes away. */
static uint64_t removal_lost(const Removal *removal) {
        return minus(removal->remove_bytes, removal->move_bytes);
}

static uint64_t available_outside(const Removal *removal) {
        return minus(removal->room->available_bytes, removal_lost(removal));
}

uint64_t guard_free_outside(const Removal *removal) {
        uint64_t available = available_outside(removal), zones = removal_room_bytes(removal);

        return zones < available ? zones : available;
}

/* What has to be available outside. */
static uint64_t need_outside(const GuardPolicy *policy, const Removal *removal, uint64_t move_bytes) {
        return plus(guard_reserve_after(policy, removal->room, removal->remove_bytes), move_bytes);
}

static bool zones_have_room(const GuardPolicy *policy, const Removal *removal) {
        return removal_room_bytes(removal) >= need_outside(policy, removal, removal_move_bytes(removal));
}

static bool huge_pages_fit(const Removal *removal) {
        uint64_t needed, free_bytes;

        return huge_pools_fit(removal->room->huge, removal->room->n_huge, removal->huge_bytes, &needed,
                              &free_bytes);
}

/* What is used inside has to find room outside: by the machine's sum, and by what each zone can take. Swap
 * does not count: to make room by swapping is what the workload would feel. */
bool guard_has_room(const GuardPolicy *policy, const Removal *removal) {
        return removal->remove_bytes == 0 ||
               (huge_pages_fit(removal) && removal->room->available_bytes >= removal_lost(removal) &&
                available_outside(removal) >= need_outside(policy, removal, removal->move_bytes) &&
                zones_have_room(policy, removal));
}

uint64_t guard_missing_room(const GuardPolicy *policy, const Removal *removal) {
        uint64_t by_sum, by_zones;

        if (guard_has_room(policy, removal))
                return 0;
        if (!huge_pages_fit(removal))
                return UINT64_MAX;
        by_sum = plus(minus(removal_lost(removal), removal->room->available_bytes),
                      minus(need_outside(policy, removal, removal->move_bytes), available_outside(removal)));
        by_zones = minus(need_outside(policy, removal, removal_move_bytes(removal)),
                         removal_room_bytes(removal));
        return by_sum > by_zones ? by_sum : by_zones;
}

/* "on node 0, has 1.4G", or of several nodes each. */
static char *where_text(const Removal *removal, uint64_t have, bool by_zones) {
        CLEANUP(freep) char *nodes = by_zones ? removal_room_text(removal) : NULL;
        const int node = removal_only_node(removal);
        char size[FORMAT_SIZE_MAX], *text = NULL;
        int r;

        if (node >= 0)
                r = asprintf(&text, "on node %d, has %s", node, format_size(have, size));
        else
                r = asprintf(&text, "elsewhere, has %s%s%s", format_size(have, size), nodes ? ": " : "",
                             nodes ? nodes : "");
        return r < 0 ? NULL : text;
}

static void swap_text(const MemoryRoom *room, char ret[64]) {
        char size[FORMAT_SIZE_MAX];

        if (room->swap_free_bytes == 0)
                (void) snprintf(ret, 64, "no swap is free");
        else
                (void) snprintf(ret, 64, "%s of free swap does not count",
                                format_size(room->swap_free_bytes, size));
}

static int huge_reason(const Removal *removal, char **ret) {
        char need[FORMAT_SIZE_MAX], have[FORMAT_SIZE_MAX];
        uint64_t needed, free_bytes;

        (void) huge_pools_fit(removal->room->huge, removal->room->n_huge, removal->huge_bytes, &needed,
                              &free_bytes);
        return sentence(ret,
                        "needs %s free in gigantic huge pages, which move to nothing else, has %s (see "
                        "/sys/kernel/mm/hugepages)",
                        format_size(needed, need), format_size(free_bytes, have));
}

int guard_room(const GuardPolicy *policy, const Removal *removal, char **ret_reason) {
        const bool by_zones = !zones_have_room(policy, removal);
        const uint64_t moves = by_zones ? removal_move_bytes(removal) : removal->move_bytes;
        const uint64_t missing = minus(removal_lost(removal), removal->room->available_bytes);
        char need[FORMAT_SIZE_MAX], move[FORMAT_SIZE_MAX], reserve[FORMAT_SIZE_MAX], swap[64];
        CLEANUP(freep) char *where = NULL;

        if (guard_has_room(policy, removal)) {
                *ret_reason = NULL;
                return 0;
        }
        if (!huge_pages_fit(removal))
                return huge_reason(removal, ret_reason);
        where = where_text(removal, by_zones ? removal_room_bytes(removal) : available_outside(removal),
                           by_zones);
        if (!where)
                return -ENOMEM;
        swap_text(removal->room, swap);
        return sentence(ret_reason,
                        "needs %s free %s (%s would have to move, %s is kept in reserve, %s)",
                        format_size(plus(need_outside(policy, removal, moves), missing), need), where,
                        format_size(moves, move),
                        format_size(guard_reserve_after(policy, removal->room, removal->remove_bytes),
                                    reserve),
                        swap);
}

const char *verdict_to_string(Verdict verdict) {
        switch (verdict) {
        case VERDICT_FREE:
                return "free";
        case VERDICT_MOVABLE:
                return "movable";
        case VERDICT_BUSY:
                return "busy";
        case VERDICT_UNMOVABLE:
                return "unmovable";
        case VERDICT_GUARDED:
                return "guarded";
        case VERDICT_OFFLINE:
                return "offline";
        case VERDICT_ABSENT:
                return "absent";
        case _VERDICT_MAX:
        case _VERDICT_INVALID:
                break;
        }
        return NULL;
}
