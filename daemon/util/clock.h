/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks in microseconds. */
#pragma once

#include <stdint.h>
#include <time.h>

/* Microseconds by a clock that every kernel has: CLOCK_MONOTONIC, CLOCK_REALTIME,
 * CLOCK_THREAD_CPUTIME_ID. */
static inline uint64_t clock_now_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts); /* cannot fail for those */
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}
