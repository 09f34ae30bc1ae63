/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the configuration becomes for the queue: each setting that the queue knows, and nothing mixed up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy.h"

static void test_numbers(void **state) {
        uint32_t blocks[] = { 1, 2 }, nodes[] = { 3 };
        const Config config = {
                .keep_free_bytes = 11, .protected_blocks = blocks, .n_protected_blocks = 2,
                .protected_nodes = nodes, .n_protected_nodes = 1, .deadline_usec = 12,
                .deadline_per_gib_usec = 13, .retries = 14, .retry_delay_usec = 15, .retry_max_delay_usec = 16,
        };
        QueuePolicy policy = policy_from_config(&config, NULL);

        assert_int_equal(policy.guard.keep_free_bytes, 11);
        assert_ptr_equal(policy.guard.protected_blocks, blocks);
        assert_int_equal(policy.guard.n_protected, 2);
        assert_ptr_equal(policy.guard.protected_nodes, nodes);
        assert_int_equal(policy.guard.n_protected_nodes, 1);
        assert_int_equal(policy.deadline_usec, 12);
        assert_int_equal(policy.deadline_per_gib_usec, 13);
        assert_int_equal(policy.retries, 14);
        assert_int_equal(policy.retry_delay_usec, 15);
        assert_int_equal(policy.retry_max_delay_usec, 16);
}

static void test_choices(void **state) {
        Config config = {};
        QueuePolicy policy = policy_from_config(&config, NULL);

        assert_false(policy.guard.try_kernel_zones);
        assert_true(policy.guard.empty_nodes);
        assert_int_equal(policy.guard.order, PLAN_ORDER_CHEAPEST);
        assert_false(policy.keep_cache);
        for (Source source = 0; source < _SOURCE_MAX; source++)
                assert_false(policy.ask[source]);

        config = (Config) { .try_kernel_zones = true, .keep_node_memory = true, .order = CONFIG_ORDER_LOWEST,
                            .keep_cache = true, .source_acpi = CONFIG_SOURCE_ASK };
        policy = policy_from_config(&config, NULL);
        assert_true(policy.guard.try_kernel_zones);
        assert_false(policy.guard.empty_nodes);
        assert_int_equal(policy.guard.order, PLAN_ORDER_LOWEST);
        assert_true(policy.keep_cache);
        assert_true(policy.ask[SOURCE_ACPI]);
        assert_false(policy.ask[SOURCE_OPERATOR]);

        assert_false(policy.ask[SOURCE_BALLOON]);

        config = (Config) { .order = CONFIG_ORDER_HIGHEST, .source_acpi = CONFIG_SOURCE_YES,
                            .source_balloon = CONFIG_SOURCE_ASK };
        policy = policy_from_config(&config, NULL);
        assert_int_equal(policy.guard.order, PLAN_ORDER_HIGHEST);
        assert_false(policy.ask[SOURCE_ACPI]);
        assert_true(policy.ask[SOURCE_BALLOON]);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_choices) };

        return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
