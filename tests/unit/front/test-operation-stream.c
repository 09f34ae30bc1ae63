/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams: a job followed to its end, everything watched; states at once, progress now and then, nothing
 * for who does not read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/operation-internal.h"
#include "operation-fixture.h"

static void change(Test *t, Job *job, JobState state) {
        job->state = state;
        fake_queue_tell(&t->queue, job_state_is_final(state) ? QUEUE_JOB_ENDED : QUEUE_JOB_CHANGED, job, 0);
}

static void test_follow(void **state) {
        static const JobState ends[] = { JOB_DONE, JOB_PARTIAL, JOB_FAILED, JOB_CANCELLED };
        Test *t = *state;

        for (size_t i = 0; i < 4; i++) {
                Job *job, other = { .id = 99 };

                assert_int_equal(run(t, "Unplug", "{\"sizeBytes\":1}", true), 0);
                assert_non_null(t->call);
                expect_job(t, "part", "queued");
                job = &t->queue.jobs[t->queue.n_jobs - 1];
                change(t, &other, JOB_EVACUATING);
                expect_log(t, "");
                /* Each state at once, however fast they come. */
                change(t, job, JOB_PLANNING);
                expect_job(t, "part", "planning");
                change(t, job, JOB_EVACUATING);
                expect_job(t, "part", "evacuating");
                change(t, job, ends[i]);
                expect_job(t, "last", job_state_to_string(ends[i]));
                assert_null(t->call);
                assert_int_equal(t->queue.n_slots, 0);
                change(t, job, JOB_DONE);
                expect_log(t, "");
        }
}

static void test_follow_progress(void **state) {
        Test *t = *state;
        unsigned parts = 0;
        Job *job;

        assert_int_equal(run(t, "Unplug", "{\"sizeBytes\":1}", true), 0);
        job = &t->queue.jobs[0];
        forget_log(t);
        for (unsigned i = 0; i < 100; i++) {
                job->evacuated_bytes = i;
                change(t, job, JOB_QUEUED);
        }
        expect_log(t, ""); /* too soon after the first one */
        let_pass(t, OPERATION_PROGRESS_USEC + 50000);
        assert_true(log_has(t, "\"evacuatedBytes\":99"));
        expect_job(t, "part", "queued");
        let_pass(t, 2 * OPERATION_PROGRESS_USEC);
        expect_log(t, ""); /* no change, no reply */
        job->evacuated_bytes = 1000;
        change(t, job, JOB_QUEUED);
        assert_true(log_has(t, "\"evacuatedBytes\":1000")); /* the first one after a while: at once */
        forget_log(t);
        for (unsigned i = 0; i < 40; i++) {
                job->evacuated_bytes++;
                change(t, job, JOB_QUEUED);
                let_pass(t, 10000);
        }
        for (const char *p = strstr(t->log, "part"); p; p = strstr(p + 1, "part"))
                parts++;
        assert_true(parts >= 2 && parts <= 6); /* about 0.4 s */
        t->call = operation_call_free(t->call);
}

static void test_follow_slow_reader(void **state) {
        Test *t = *state;
        Job *job;

        assert_int_equal(run(t, "Unplug", "{\"sizeBytes\":1}", true), 0);
        job = &t->queue.jobs[0];
        forget_log(t);
        t->full = true;
        job->evacuated_bytes = 5;
        change(t, job, JOB_QUEUED);
        let_pass(t, 3 * OPERATION_PROGRESS_USEC);
        expect_log(t, "");
        change(t, job, JOB_EVACUATING); /* a state is never left out */
        expect_job(t, "part", "evacuating");
        job->evacuated_bytes = 6;
        change(t, job, JOB_EVACUATING);
        let_pass(t, 3 * OPERATION_PROGRESS_USEC);
        expect_log(t, "");
        t->full = false;
        operation_call_resume(t->call);
        assert_true(log_has(t, "\"evacuatedBytes\":6"));
        expect_job(t, "part", "evacuating");
        t->full = true;
        change(t, job, JOB_DONE);
        expect_job(t, "last", "done");
        assert_null(t->call);
}

static void test_follow_refused(void **state) {
        Test *t = *state;
        Job *job;

        assert_int_equal(run(t, "Unplug", "{\"sizeBytes\":1}", true), 0);
        job = &t->queue.jobs[0];
        forget_log(t);
        t->refuse = -ENOBUFS;
        change(t, job, JOB_EVACUATING);
        expect_job(t, "part", "evacuating");
        change(t, job, JOB_OFFLINING);
        change(t, job, JOB_DONE);
        expect_log(t, "");
        let_pass(t, 2 * OPERATION_PROGRESS_USEC);
        expect_log(t, "");
        t->call = operation_call_free(t->call);
        assert_int_equal(t->queue.n_slots, 0);
}

static void test_monitor(void **state) {
        Test *t = *state;
        Job *one, *two;
        unsigned reads;

        (void) fake_queue_add_job(&t->queue, JOB_FAILED);
        one = fake_queue_add_job(&t->queue, JOB_EVACUATING);
        assert_int_equal(run(t, "Monitor", NULL, true), 0);
        assert_non_null(t->call);
        expect_start(t, "part {\"event\":\"job\",\"job\":{\"id\":12,");
        assert_string_equal(strchr(t->log, '\n'), "\npart {\"event\":\"ready\"}\n");
        forget_log(t);

        two = fake_queue_add_job(&t->queue, JOB_QUEUED);
        fake_queue_tell(&t->queue, QUEUE_JOB_NEW, two, 0);
        expect_job(t, "part", "queued");
        change(t, one, JOB_OFFLINING);
        expect_job(t, "part", "offlining");
        change(t, one, JOB_DONE);
        expect_job(t, "part", "done");

        /* Changes of blocks are gathered, the machine is read once for all of them. */
        reads = t->queue.n_table_reads;
        t->queue.blocks[2].state = BLOCK_OFFLINE;
        for (unsigned i = 0; i < 1000; i++)
                fake_queue_tell(&t->queue, QUEUE_BLOCK_CHANGED, two, i % 2 == 0 ? 32 : 40);
        expect_log(t, "");
        let_pass(t, OPERATION_BLOCKS_USEC + 50000);
        assert_int_equal(t->queue.n_table_reads, reads + 1);
        assert_true(log_has(t, "part {\"event\":\"block\",\"block\":{\"index\":32,"
                               "\"physicalAddress\":4294967296,"
                               "\"sizeBytes\":134217728,\"state\":\"offline\""));
        assert_true(log_has(t, "part {\"event\":\"block\",\"block\":{\"index\":40,"
                               "\"physicalAddress\":5368709120,"
                               "\"sizeBytes\":134217728,\"state\":\"absent\",\"verdict\":\"absent\""));
        assert_false(log_has(t, "\"device\",\"device\""));
        forget_log(t);
        let_pass(t, OPERATION_BLOCKS_USEC);
        expect_log(t, "");
        t->call = operation_call_free(t->call);
        assert_int_equal(t->queue.n_slots, 0);
}

static void test_monitor_devices(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, "Monitor", NULL, true), 0);
        expect_log(t, "part {\"event\":\"ready\"}\n");
        t->queue.table.n_blocks = 2;
        t->queue.table.n_devices = 1;
        fake_queue_tell(&t->queue, QUEUE_BLOCK_CHANGED, NULL, 33);
        let_pass(t, OPERATION_BLOCKS_USEC + 50000);
        assert_true(log_has(t, "part {\"event\":\"device\",\"device\":{\"name\":\"PNP0C80:00\","
                               "\"kind\":\"acpi_dimm\","
                               "\"firstBlock\":32,\"blocks\":2,\"sizeBytes\":268435456,\"onlineBytes\":0,"
                               "\"verdict\":\"absent\"}}\n"));
        forget_log(t);
        t->queue.table.n_blocks = 4;
        t->queue.table.n_devices = 2;
        fake_queue_tell(&t->queue, QUEUE_BLOCK_CHANGED, NULL, 33);
        let_pass(t, OPERATION_BLOCKS_USEC + 50000);
        assert_true(log_has(t, "part {\"event\":\"device\",\"device\":{\"name\":\"PNP0C80:00\""));
        assert_true(log_has(t, "\"verdict\":\"movable\"}}\n"));
        t->call = operation_call_free(t->call);
}

/* The first change at once, those that follow gathered; with the device that it may be about. */
static void test_monitor_health(void **state) {
        Test *t = *state;

        t->queue.devices[1].target_known = true;
        t->context.sources[SOURCE_BALLOON] = (OperationSource) { .active = true, .reason = "wants more" };
        assert_int_equal(run(t, "Monitor", NULL, true), 0);
        expect_log(t, "part {\"event\":\"ready\"}\n");
        queue_health_changed(&t->queue);
        let_pass(t, 50000);
        assert_true(log_has(t, "part {\"event\":\"device\",\"device\":{\"name\":\"PNP0C80:00\""));
        assert_false(log_has(t, "\"name\":\"boot\""));
        assert_true(log_has(t, "part {\"event\":\"health\",\"health\":[\"wants more\"]}\n"));
        forget_log(t);
        t->context.sources[SOURCE_BALLOON].reason = NULL;
        t->queue.devices[1].target_known = false;
        for (unsigned i = 0; i < 1000; i++)
                queue_health_changed(&t->queue);
        expect_log(t, "");
        let_pass(t, OPERATION_BLOCKS_USEC + 50000);
        expect_log(t, "part {\"event\":\"health\",\"health\":[]}\n");
        let_pass(t, OPERATION_BLOCKS_USEC + 50000);
        expect_log(t, "");
        t->call = operation_call_free(t->call);
}

static void test_monitor_slow_reader(void **state) {
        Test *t = *state;
        Job *job = fake_queue_add_job(&t->queue, JOB_EVACUATING);

        assert_int_equal(run(t, "Monitor", NULL, true), 0);
        forget_log(t);
        t->full = true;
        for (unsigned i = 0; i < 1000; i++) {
                fake_queue_tell(&t->queue, QUEUE_BLOCK_CHANGED, job, i % 4 < 2 ? i % 4 : 30 + i % 4);
                change(t, job, JOB_EVACUATING);
        }
        let_pass(t, OPERATION_BLOCKS_USEC * 2);
        expect_log(t, "");
        t->full = false;
        operation_call_resume(t->call);
        assert_true(log_has(t, "\"event\":\"job\""));
        assert_true(log_has(t, "\"index\":0,"));
        assert_true(log_has(t, "\"index\":33,"));
        t->call = operation_call_free(t->call);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, operation_setup, operation_teardown)
                TEST(test_follow),
                TEST(test_follow_progress),
                TEST(test_follow_slow_reader),
                TEST(test_follow_refused),
                TEST(test_monitor),
                TEST(test_monitor_devices),
                TEST(test_monitor_health),
                TEST(test_monitor_slow_reader),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
