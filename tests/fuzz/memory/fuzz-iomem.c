/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ranges must be sorted and apart, and each must be found where it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory/iomem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        IomemMap map;

        if (iomem_parse((const char *) data, size, &map) < 0)
                return 0;
        for (size_t i = 0; i < map.n_ranges; i++) {
                const IomemRange *range = &map.ranges[i];

                if (range->last < range->start || (i > 0 && range->start <= range[-1].last))
                        abort();
                if (!range->name[0] || !memchr(range->name, 0, sizeof(range->name)))
                        abort();
                if (range->start < UINT64_MAX && iomem_map_find(&map, range->start, 1) != range)
                        abort();
        }
        iomem_map_clear(&map);
        return 0;
}
