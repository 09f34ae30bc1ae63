/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Joins blocks into ranges. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/range.h"
#include "util/cleanup.h"

static int compare_descending(const void *a, const void *b) {
        const EngineBlock *x = a, *y = b;

        return (x->block < y->block) - (x->block > y->block);
}

/* The block lies directly below what the range holds so far. */
static bool range_joins(const Range *range, uint64_t start, uint64_t block_size, Zone zone) {
        return range->zone == zone && start + block_size == range->start;
}

int range_make(const EngineBlock *blocks, size_t n, uint64_t block_size, Range **ret, size_t *ret_n) {
        CLEANUP(freep) EngineBlock *sorted = NULL;
        CLEANUP(freep) Range *ranges = NULL;
        size_t n_ranges = 0;

        if (n == 0 || block_size == 0 || (block_size & (block_size - 1)) != 0)
                return -EINVAL;
        sorted = calloc(n, sizeof(*sorted));
        ranges = calloc(n, sizeof(*ranges));
        if (!sorted || !ranges)
                return -ENOMEM;
        memcpy(sorted, blocks, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), compare_descending);
        if (((uint64_t) sorted[0].block + 1) > UINT64_MAX / block_size)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                uint64_t start = sorted[i].block * block_size;

                if (i > 0 && sorted[i].block == sorted[i - 1].block) {
                        if (sorted[i].zone != sorted[i - 1].zone)
                                return -EINVAL;
                        continue;
                }
                if (n_ranges > 0 && range_joins(&ranges[n_ranges - 1], start, block_size, sorted[i].zone)) {
                        ranges[n_ranges - 1].start = start;
                        ranges[n_ranges - 1].size += block_size;
                        continue;
                }
                ranges[n_ranges++] = (Range) { .start = start, .size = block_size, .zone = sorted[i].zone };
        }
        *ret = STEAL_PTR(ranges);
        *ret_n = n_ranges;
        return 0;
}

uint64_t range_total(const Range *ranges, size_t n) {
        uint64_t total = 0;

        for (size_t i = 0; i < n; i++)
                total += ranges[i].size; /* disjoint parts of one address space: no overflow */
        return total;
}
