/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "engine/range.h"

#define SIZE (UINT64_C(128) << 20)

static void test_joins_adjacent(void **state) {
        const EngineBlock blocks[] = {
                { 41, ZONE_MOVABLE }, { 40, ZONE_MOVABLE }, { 47, ZONE_MOVABLE }, { 42, ZONE_MOVABLE },
                { 41, ZONE_MOVABLE },
        };
        Range *ranges;
        size_t n;

        assert_int_equal(range_make(blocks, 5, SIZE, &ranges, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(ranges[0].start, 47 * SIZE);
        assert_int_equal(ranges[0].size, SIZE);
        assert_int_equal(ranges[1].start, 40 * SIZE);
        assert_int_equal(ranges[1].size, 3 * SIZE);
        assert_int_equal(range_total(ranges, n), 4 * SIZE);
        free(ranges);
}

static void test_splits_at_zone(void **state) {
        const EngineBlock blocks[] = {
                { 8, ZONE_NORMAL }, { 9, ZONE_NORMAL }, { 10, ZONE_MOVABLE }, { 11, ZONE_NORMAL },
        };
        Range *ranges;
        size_t n;

        assert_int_equal(range_make(blocks, 4, SIZE, &ranges, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(ranges[0].zone, ZONE_NORMAL);
        assert_int_equal(ranges[1].zone, ZONE_MOVABLE);
        assert_int_equal(ranges[1].start, 10 * SIZE);
        assert_int_equal(ranges[2].size, 2 * SIZE);
        free(ranges);
}

static void test_block_zero_and_last(void **state) {
        const EngineBlock blocks[] = { { 0, ZONE_MOVABLE }, { UINT32_MAX, ZONE_MOVABLE } };
        Range *ranges;
        size_t n;

        assert_int_equal(range_make(blocks, 2, SIZE, &ranges, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(ranges[1].start, 0);
        assert_int_equal(ranges[0].start, UINT32_MAX * SIZE);
        free(ranges);
}

static void test_refuses(void **state) {
        const EngineBlock two_zones[] = { { 3, ZONE_MOVABLE }, { 3, ZONE_NORMAL } };
        const EngineBlock far[] = { { UINT32_MAX, ZONE_MOVABLE } };
        Range *ranges = (Range *) 1;
        size_t n = 77;

        assert_int_equal(range_make(two_zones, 0, SIZE, &ranges, &n), -EINVAL);
        assert_int_equal(range_make(two_zones, 2, SIZE, &ranges, &n), -EINVAL);
        assert_int_equal(range_make(two_zones, 1, 0, &ranges, &n), -EINVAL);
        assert_int_equal(range_make(two_zones, 1, SIZE + 1, &ranges, &n), -EINVAL);
        assert_int_equal(range_make(far, 1, UINT64_C(1) << 33, &ranges, &n), -EINVAL);
        assert_ptr_equal(ranges, (Range *) 1);
        assert_int_equal(n, 77);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_joins_adjacent),
                cmocka_unit_test(test_splits_at_zone),
                cmocka_unit_test(test_block_zero_and_last),
                cmocka_unit_test(test_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
