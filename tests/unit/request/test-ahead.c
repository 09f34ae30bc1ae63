/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "request/ahead.h"

#define BS (UINT64_C(128) << 20)
#define PAGE UINT64_C(4096)
#define N 4

/* Blocks 13 down to 10 with so many pages in use; so many of them go ahead, and then their order is that. */
static void check(const uint64_t used[N], size_t n_ahead, const uint32_t order[N]) {
        PlanStep steps[N];
        Plan plan = { .steps = steps, .n_steps = N, .block_size = BS };

        for (size_t i = 0; i < N; i++) {
                steps[i] = (PlanStep) { .block = 13 - (uint32_t) i, .move_bytes = used[i] };
                if (used[i] != BLOCK_USAGE_UNKNOWN)
                        plan.move_bytes += steps[i].move_bytes = used[i] * PAGE;
        }
        assert_int_equal(ahead_take(&plan), n_ahead);
        for (size_t i = 0; i < N; i++)
                assert_int_equal(steps[i].block, order[i]);
}

static void test_empty(void **state) {
        check((uint64_t[]) { 0, 100, 2000, 0 }, 2, (uint32_t[]) { 13, 10, 12, 11 });
        check((uint64_t[]) { 0, 0, 0, 0 }, 4, (uint32_t[]) { 13, 12, 11, 10 });
        check((uint64_t[]) { 0, 0, 0, 1 }, 4, (uint32_t[]) { 13, 12, 11, 10 }); /* it is the last */
        check((uint64_t[]) { 0, 0, 0, 512 }, 4, (uint32_t[]) { 13, 12, 11, 10 });
        check((uint64_t[]) { 0, 0, 0, 513 }, 3, (uint32_t[]) { 13, 12, 11, 10 }); /* too much without evacuation */
        check((uint64_t[]) { 1, 1, 1, 1 }, 0, (uint32_t[]) { 13, 12, 11, 10 });
}

static void test_between(void **state) {
        check((uint64_t[]) { 1000, 0, 2000, 0 }, 1, (uint32_t[]) { 10, 13, 12, 11 });
        check((uint64_t[]) { 0, 1000, 0, 2000 }, 1, (uint32_t[]) { 13, 12, 11, 10 });
        check((uint64_t[]) { 1000, 0, 0, 2000 }, 0, (uint32_t[]) { 13, 12, 11, 10 });
}

/* Two pairs of blocks that are not next to each other. */
static void test_apart(void **state) {
        PlanStep steps[N] = {
                { .block = 21, .move_bytes = 1000 * PAGE }, { .block = 20 },
                { .block = 11 }, { .block = 10, .move_bytes = 1000 * PAGE },
        };
        Plan plan = { .steps = steps, .n_steps = N, .block_size = BS, .move_bytes = 2000 * PAGE };

        assert_int_equal(ahead_take(&plan), 2);
        assert_int_equal(steps[0].block, 20);
        assert_int_equal(steps[1].block, 11);
        assert_int_equal(steps[2].block, 21);
        assert_int_equal(steps[3].block, 10);
}

static void test_little(void **state) {
        /* 64 pages may move three times more, and are 1/128 of 192 * 128 */
        check((uint64_t[]) { 8192, 8192, 8128, 64 }, 1, (uint32_t[]) { 10, 13, 12, 11 });
        check((uint64_t[]) { 8192, 8192, 8127, 64 }, 0, (uint32_t[]) { 13, 12, 11, 10 });
        /* least first; what it adds up to counts */
        check((uint64_t[]) { 30000, 30000, 60, 50 }, 2, (uint32_t[]) { 10, 11, 13, 12 });
}

static void test_unknown(void **state) {
        const uint64_t no = BLOCK_USAGE_UNKNOWN;

        check((uint64_t[]) { no, no, no, no }, 0, (uint32_t[]) { 13, 12, 11, 10 });
        check((uint64_t[]) { no, 5000, no, 0 }, 1, (uint32_t[]) { 10, 13, 12, 11 });
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_between),
                cmocka_unit_test(test_apart),
                cmocka_unit_test(test_little),
                cmocka_unit_test(test_unknown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
