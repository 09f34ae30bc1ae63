/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "request/failure.h"

#define MINUTE (UINT64_C(60) * 1000000)
#define BS (UINT64_C(128) << 20)

static void check(Failures *failures, uint64_t now, size_t n, uint32_t first, unsigned weight) {
        failures_age(failures, now);
        assert_int_equal(failures->n_now, n);
        if (n == 0)
                return;
        assert_int_equal(failures->now[0].block, first);
        assert_int_equal(failures->now[0].weight, weight);
        for (size_t i = 1; i < n; i++)
                assert_true(failures->now[i].block > failures->now[i - 1].block);
}

static void test_ageing(void **state) {
        JobBlocker blockers[] = { { .address = 50 * BS }, { .address = 41 * BS + 4096 },
                                  { .address = 50 * BS + 8192 } };
        const Job pinned = { .cause = CAUSE_IN_USE, .blockers = blockers, .n_blockers = 3,
                             .current_block = 60 };
        const Job busy = { .cause = CAUSE_BUSY, .current_block = 40 };
        Failures failures = {};

        failures_note(&failures, &pinned, BS, 0);
        check(&failures, 0, 2, 41, 4); /* not 60: it is known which ones */
        check(&failures, 10 * MINUTE - 1, 2, 41, 4);
        check(&failures, 10 * MINUTE, 2, 41, 3);
        failures_note(&failures, &busy, BS, 20 * MINUTE);
        check(&failures, 20 * MINUTE, 3, 40, 2);
        assert_string_equal(failures.now[0].cause, "busy");
        assert_string_equal(failures.now[1].cause, "in_use");
        assert_true(failures.now[0].age_usec == 0 && failures.now[0].left_usec == 20 * MINUTE);
        assert_true(failures.now[1].age_usec == 20 * MINUTE && failures.now[1].left_usec == 20 * MINUTE);
        check(&failures, 39 * MINUTE, 3, 40, 1);
        check(&failures, 40 * MINUTE, 0, 0, 0);
        failures_note(&failures, &pinned, BS, 50 * MINUTE);
        failures_note(&failures, &busy, BS, 51 * MINUTE);
        failures_forget(&failures, 40); /* it went after all */
        failures_forget(&failures, 40);
        check(&failures, 51 * MINUTE, 2, 41, 4);
}

static void test_not_of_blocks(void **state) {
        static const JobCause causes[] = { CAUSE_NONE, CAUSE_CANCELLED, CAUSE_NO_ROOM, CAUSE_REFUSED };
        Job job = { .current_block = 40 };
        Failures failures = {};

        for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
                job.cause = causes[i];
                failures_note(&failures, &job, BS, 0);
        }
        job.cause = CAUSE_BUSY;
        job.kind = DEMAND_REPLUG;
        failures_note(&failures, &job, BS, 0);
        job.kind = DEMAND_UNPLUG;
        job.current_block = -1;
        failures_note(&failures, &job, BS, 0);
        check(&failures, 0, 0, 0, 0);
}

static void test_limit(void **state) {
        Job job = { .cause = CAUSE_BUSY };
        Failures failures = {};

        for (job.current_block = 2 * FAILURES_MAX; job.current_block > 0; job.current_block--)
                failures_note(&failures, &job, BS, 0);
        check(&failures, 0, FAILURES_MAX, FAILURES_MAX + 1, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_ageing), cmocka_unit_test(test_not_of_blocks),
                                            cmocka_unit_test(test_limit) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
