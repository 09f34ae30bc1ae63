/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that grow. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more behind n items of an array on the heap: it doubles, from `first` on. array: the address
 * of the pointer to its items. -ENOMEM leaves it as it is. */
static inline int array_reserve(void *array, size_t n, size_t *allocated, size_t item_size, size_t first) {
        size_t bigger = *allocated ? 2 * *allocated : first;
        void *items;

        if (n < *allocated)
                return 0;
        memcpy(&items, array, sizeof(items)); /* whatever it points to */
        items = reallocarray(items, bigger, item_size);
        if (!items)
                return -ENOMEM;
        memcpy(array, &items, sizeof(items));
        *allocated = bigger;
        return 0;
}

#define ARRAY_RESERVE(items, n, allocated, first) \
        array_reserve(&(items), (n), (allocated), sizeof(*(items)), (first))
