/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorted lists of numbers: of memory blocks, of nodes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* For qsort() and bsearch(): the lowest first. */
static inline int index_compare(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return (x > y) - (x < y);
}

static inline void index_list_sort(uint32_t *list, size_t n) {
        if (n > 0)
                qsort(list, n, sizeof(*list), index_compare);
}

static inline bool index_list_contains(const uint32_t *sorted, size_t n, uint32_t index) {
        return n > 0 && bsearch(&index, sorted, n, sizeof(*sorted), index_compare);
}
