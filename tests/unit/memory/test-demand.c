/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/demand.h"

static void test_copy(void **state) {
        uint32_t blocks[] = { 3, 1, 3 };
        Demand demand = { .source = SOURCE_OPERATOR, .blocks = blocks, .n_blocks = 3, .caller = "uid 0" },
               copy = {};

        assert_int_equal(demand_copy(&demand, &copy), 0);
        assert_ptr_not_equal(copy.blocks, blocks);
        assert_memory_equal(copy.blocks, blocks, sizeof(blocks));
        assert_string_equal(copy.caller, "uid 0");
        demand_clear(&copy);
        assert_null(copy.blocks);
        demand_clear(&copy);
        demand.n_blocks = 0;
        demand.blocks = NULL;
        assert_int_equal(demand_copy(&demand, &copy), 0);
        assert_null(copy.blocks);
        demand.n_blocks = DEMAND_BLOCKS_MAX + 1;
        copy.deadline_usec = 5;
        assert_int_equal(demand_copy(&demand, &copy), -E2BIG);
        assert_int_equal(copy.deadline_usec, 5);
}

static void test_names(void **state) {
        for (Source s = 0; s < _SOURCE_MAX; s++)
                assert_non_null(source_to_string(s));
        for (DemandKind k = 0; k < _DEMAND_MAX; k++)
                assert_non_null(demand_kind_to_string(k));
        assert_string_equal(source_to_string(SOURCE_VIRTIO_MEM), "virtio_mem");
        assert_null(source_to_string(_SOURCE_INVALID));
        assert_null(demand_kind_to_string(_DEMAND_MAX));
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_copy), cmocka_unit_test(test_names) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
