/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a job is, as a number and as a bar. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/job.h"
#include "ctl/progress.h"
#include "util/cleanup.h"
#include "util/json.h"

static int percent(const char *text) {
        CLEANUP(json_putp) json_object *json = NULL;
        JobView job;

        assert_int_equal(json_parse(text, strlen(text), &json), 0);
        job_view(&job, json);
        return job_percent(&job);
}

static void test_percent(void **state) {
        (void) state;
        assert_int_equal(percent("{}"), -1);
        assert_int_equal(percent("{\"state\":\"done\"}"), 100);
        assert_int_equal(percent("{\"state\":\"failed\",\"totalBlocks\":8}"), -1);
        assert_int_equal(percent("{\"state\":\"restoring\",\"totalBlocks\":8,\"removedBlocks\":4}"), -1);
        assert_int_equal(percent("{\"state\":\"queued\",\"totalBlocks\":8}"), 0);
        /* Without anything to move it is the blocks that count. */
        assert_int_equal(percent("{\"state\":\"offlining\",\"totalBlocks\":8,\"removedBlocks\":4}"), 50);
        /* 8 blocks weigh 32 MiB beside what moves. */
        assert_int_equal(percent("{\"state\":\"evacuating\",\"totalBlocks\":8,\"removedBlocks\":0,"
                                 "\"moveBytes\":33554432,\"evacuatedBytes\":33554432}"), 50);
        /* sysfs alone: nobody counts what moves while a block goes. */
        assert_int_equal(percent("{\"state\":\"offlining\",\"totalBlocks\":4,\"removedBlocks\":3,"
                                 "\"moveBytes\":1000000,\"evacuatedBytes\":0}"), 75);
        assert_int_equal(percent("{\"state\":\"offlining\",\"operation\":\"replug\",\"totalBlocks\":4,"
                                 "\"removedBlocks\":1,\"moveBytes\":1000000000}"), 25);
}

/* Whatever is sent, it stays a percentage. */
static void test_percent_of_nonsense(void **state) {
        (void) state;
        assert_int_equal(percent("{\"state\":\"evacuating\",\"moveBytes\":9223372036854775807,"
                                 "\"evacuatedBytes\":9223372036854775807,"
                                 "\"totalBlocks\":9223372036854775807,"
                                 "\"removedBlocks\":9223372036854775807}"), 100);
        assert_int_equal(percent("{\"state\":\"evacuating\",\"moveBytes\":1,\"evacuatedBytes\":100,"
                                 "\"totalBlocks\":0,\"removedBlocks\":9}"), 100);
        assert_int_equal(percent("{\"state\":\"evacuating\",\"moveBytes\":-1,\"totalBlocks\":-5}"), -1);
}

static void test_percent_grows(void **state) {
        int last = 0;

        (void) state;
        for (unsigned step = 0; step <= 24; step++) {
                char text[256];
                int now;

                (void) snprintf(text, sizeof(text),
                                "{\"state\":\"%s\",\"moveBytes\":1600,\"evacuatedBytes\":%u,"
                                "\"totalBlocks\":8,\"removedBlocks\":%u}",
                                step < 16 ? "evacuating" : "offlining",
                                step < 16 ? step * 100 : 1600, step < 16 ? 0 : step - 16);
                now = percent(text);
                assert_true(now >= last && now <= 100);
                last = now;
        }
        assert_int_equal(last, 100);
}

static void test_rate(void **state) {
        Rate rate = {};

        (void) state;
        rate_update(&rate, 0, 1000000);
        assert_true(rate.per_second <= 0);
        rate_update(&rate, 1000, 1000001); /* too short */
        assert_true(rate.per_second <= 0);
        rate_update(&rate, 1000, 2000000);
        assert_int_equal((int) rate.per_second, 1000);
        rate_update(&rate, 3000, 3000000);
        assert_int_equal((int) rate.per_second, 1300);
        rate_update(&rate, 10, 4000000); /* something else is counted now */
        assert_true(rate.per_second <= 0);
}

static void test_line_fits(void **state) {
        static const char text[] = "{\"id\":7,\"state\":\"evacuating\","
                                   "\"moveBytes\":419430400,\"totalBlocks\":8,"
                                   "\"evacuatedBytes\":104857600,\"etaUsec\":2500000}";
        CLEANUP(json_putp) json_object *json = NULL;
        char line[PROGRESS_LINE_MAX];
        const Rate rate = { .per_second = 325058560 };
        const Ctl ctl = {};
        JobView job;

        (void) state;
        assert_int_equal(json_parse(text, strlen(text), &json), 0);
        job_view(&job, json);
        progress_line(&ctl, &job, &rate, 80, /* utf8= */ false, line);
        assert_string_equal(line, "Job 7 evacuating ######----------------------- 23% 100M of 400M, "
                                  "310M/s, 3s left");
        for (unsigned columns = 0; columns < 300; columns++) {
                progress_line(&ctl, &job, &rate, columns, /* utf8= */ false, line);
                assert_true(strlen(line) <= (columns < 4 ? 4 : columns));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_percent),       cmocka_unit_test(test_percent_of_nonsense),
                cmocka_unit_test(test_percent_grows), cmocka_unit_test(test_rate),
                cmocka_unit_test(test_line_fits),
        };

        return cmocka_run_group_tests_name("ctl-job", tests, NULL, NULL);
}
