/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums and differences that stop at the end of the range in place of wrapping. */
#pragma once

#include <stdint.h>

static inline uint64_t minus(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static inline uint64_t plus(uint64_t a, uint64_t b) {
        uint64_t sum;

        return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
