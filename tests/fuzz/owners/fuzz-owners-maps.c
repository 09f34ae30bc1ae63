/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any text as the maps of a process: the same ranges in one piece and byte by byte, and none that wraps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "owners/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Maps whole = {}, bytes = {};
        int r, k = 0;

        r = maps_feed(&whole, (const char *) data, size);
        for (size_t i = 0; i < size && k == 0; i++)
                k = maps_feed(&bytes, (const char *) data + i, 1);
        if (r != k || whole.n_ranges != bytes.n_ranges || maps_finish(&whole) != maps_finish(&bytes))
                abort();
        maps_sort(&whole);
        for (size_t i = 0; i < whole.n_ranges; i++) {
                const MapsRange *range = &whole.ranges[i];

                if (range->size == 0 || range->start + range->size < range->start)
                        abort();
        }
        maps_reset(&bytes);
        if (bytes.n_ranges != 0 || bytes.truncated || maps_finish(&bytes) < 0)
                abort(); /* as fit for the next process as a new one */
        maps_clear(&whole);
        maps_clear(&bytes);
        return 0;
}
