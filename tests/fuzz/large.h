/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block lists such as 0-65535 cost a fuzzer a thousand inputs and tell it nothing: it leaves them to the corpus,
 * which is replayed with them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__attribute__((unused)) static inline bool has_large_range(const uint8_t *data, size_t size) {
        size_t digits = 0;
        bool range = false;

        for (size_t i = 0; i < size; i++) {
                if (data[i] >= '0' && data[i] <= '9') {
                        if (++digits > 3 && range)
                                return true;
                        continue;
                }
                digits = 0;
                range = data[i] == '-';
        }
        return false;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define SKIP_LARGE_RANGES(data, size) has_large_range(data, size)
#else
#define SKIP_LARGE_RANGES(data, size) false
#endif
