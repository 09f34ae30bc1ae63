/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs that are held while the machine has no memory to spare, against an engine that does what it is told
 * and made-up files that say how it is. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake-engine.h"
#include "memory/pressure.h"
#include "request/queue.h"
#include "tree.h"
#include "util/sysfs.h"

#define TOP_BLOCK (TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS - 1) /* goes first */
#define LONG_USEC UINT64_C(60000000)

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Queue *queue;
        QueuePolicy policy;
        const Job *job;
} World;

static void set_file(World *world, const char *path, const char *format, ...)
                __attribute__((format(printf, 3, 4)));

static void set_file(World *world, const char *path, const char *format, ...) {
        char text[512];
        va_list args;
        int fd;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void) mkdirat(world->tree.fd, "proc/pressure", 0755);
        fd = openat(world->tree.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
        close(fd);
}

static void set_pressure(World *world, unsigned percent) {
        set_file(world, PRESSURE_PATH,
                 "some avg10=%u.25 avg60=0.00 avg300=0.00 total=0\n"
                 "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                 percent);
}

static void set_available(World *world, unsigned mib) {
        set_file(world, "proc/meminfo", "MemTotal: 5242880 kB\nMemFree: %u kB\nMemAvailable: %u kB\n",
                 mib * 1024, mib * 1024);
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        fake_machine_begin(&world->tree, &world->event, &world->engine);
        world->policy = (QueuePolicy) { .guard.keep_free_bytes = 64 << 20,
                                        .deadline_usec = LONG_USEC,
                                        .pressure_limit = 20,
                                        .pause_usec = LONG_USEC };
        set_pressure(world, 0);
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine, NULL,
                                   &world->policy),
                         0);
        assert_int_equal(queue_watch_pressure(world->queue, world->tree.fd, -1), 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        (void) queue_free(world->queue);
        fake_machine_end(&world->tree, world->event);
        free(world);
        return 0;
}

static void submit(World *world) {
        Demand demand = { .source = SOURCE_ACPI, .caller = "platform", .device = "PNP0C80:00" };
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_non_null(answer.job);
        world->job = answer.job;
}

static void run_until_reason(World *world, const char *reason) {
        while (reason ? !world->job->reason || !strstr(world->job->reason, reason) : !!world->job->reason)
                assert_true(sd_event_run(world->event, 10000000) > 0);
}

static void run_until_state(World *world, JobState state) {
        while (world->job->state != state) {
                if (job_state_is_final(world->job->state))
                        fail_msg("%s: %s", job_state_to_string(world->job->state), world->job->reason);
                assert_true(sd_event_run(world->event, 10000000) > 0);
        }
}

static void let_go_on(World *world) {
        world->engine.hold = false;
        while (world->engine.n_held > 0)
                fake_engine_finish(&world->engine);
}

static void assert_dimm_online(World *world, int online) {
        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++)
                assert_int_equal(tree_is_online(&world->tree, TREE_FIRST_DIMM_BLOCK + i), online);
}

/* Until the engine is at it and waits there. */
static void run_until_held(World *world, JobState state) {
        while (world->job->state != state || world->engine.n_held == 0) {
                if (world->engine.n_held > 0)
                        fake_engine_finish(&world->engine);
                assert_true(sd_event_run(world->event, 10000000) > 0);
        }
}

static void start_and_pause(World *world, JobState state) {
        world->engine.hold = true;
        submit(world);
        run_until_held(world, state);
        set_pressure(world, 34);
        run_until_reason(world, "paused: memory pressure 34 % above 20 %");
        while (world->engine.n_held > 0)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        assert_int_equal(world->job->state, state);
}

static void test_waits_to_start(void **state) {
        World *world = *state;

        set_pressure(world, 40);
        submit(world);
        run_until_reason(world, "waiting: memory pressure 40 % above 20 %");
        assert_int_equal(world->job->state, JOB_QUEUED);
        assert_int_equal(world->engine.n_evacuate, 0);
        set_pressure(world, 18); /* below the limit, but not by enough */
        run_until_reason(world, "waiting: memory pressure 18 % after it was above 20 %");
        set_pressure(world, 3);
        run_until_state(world, JOB_DONE);
        assert_null(world->job->reason);
        assert_int_equal(world->engine.n_eject, 1);
}

static void test_a_second_job_waits(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_ACPI, .caller = "platform", .device = "PNP0C80:01" };
        QueueAnswer answer;

        start_and_pause(world, JOB_EVACUATING);
        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        run_until_reason(world, "paused");
        while (!answer.job->reason)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        assert_non_null(strstr(answer.job->reason, "waiting: memory pressure"));
        assert_int_equal(world->engine.n_evacuate, 1);
}

static void test_replug_does_not_wait(void **state) {
        World *world = *state;
        Demand demand = { .kind = DEMAND_REPLUG, .caller = "uid 0", .size_bytes = TREE_BLOCK_SIZE };
        QueueAnswer answer;

        assert_true(sysfs_write(world->tree.fd, "sys/devices/system/memory/memory35/state", "offline") >= 0);
        set_pressure(world, 90);
        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        world->job = answer.job;
        run_until_state(world, JOB_DONE);
}

static void test_pauses_and_goes_on(void **state) {
        World *world = *state;

        start_and_pause(world, JOB_EVACUATING);
        assert_int_equal(world->engine.n_evacuate, 1);
        set_pressure(world, 0);
        let_go_on(world);
        run_until_state(world, JOB_DONE);
        assert_null(world->job->reason);
        assert_int_equal(world->engine.n_evacuate, 2);
        assert_int_equal(world->job->attempts, 1); /* none of them failed */
        assert_int_equal(world->job->removed_blocks, TREE_DIMM_BLOCKS);
}

/* The killed worker had taken a block already. */
static void test_goes_on_with_a_block_taken(void **state) {
        World *world = *state;

        start_and_pause(world, JOB_OFFLINING);
        assert_true(sysfs_write(world->tree.fd, "sys/devices/system/memory/memory35/state", "offline") >= 0);
        assert_int_equal(TOP_BLOCK, 35);
        set_pressure(world, 0);
        let_go_on(world);
        run_until_state(world, JOB_DONE);
        assert_int_equal(world->job->removed_blocks, TREE_DIMM_BLOCKS);
        assert_int_equal(world->job->removed_bytes, TREE_DIMM_BLOCKS * TREE_BLOCK_SIZE);
        assert_dimm_online(world, false);
}

static void new_pause(World *world, uint64_t usec) {
        world->policy.pause_usec = usec;
        queue_set_policy(world->queue, &world->policy);
}

static void test_gives_back(void **state) {
        World *world = *state;

        new_pause(world, 1000000);
        start_and_pause(world, JOB_OFFLINING);
        assert_true(sysfs_write(world->tree.fd, "sys/devices/system/memory/memory35/state", "offline") >= 0);
        world->engine.hold = false;
        run_until_state(world, JOB_FAILED);
        assert_string_equal(world->job->reason,
                            "paused for 1s, then given up: memory pressure 34 % above 20 %");
        assert_int_equal(world->job->cause, CAUSE_NO_ROOM);
        assert_dimm_online(world, true);
        assert_int_equal(world->engine.n_online, 1);
}

static void test_deadline(void **state) {
        World *world = *state;

        world->policy.deadline_usec = 1500000;
        queue_set_policy(world->queue, &world->policy);
        start_and_pause(world, JOB_EVACUATING);
        run_until_state(world, JOB_FAILED);
        assert_string_equal(world->job->reason,
                            "paused until the deadline passed: memory pressure 34 % above 20 %");
        assert_dimm_online(world, true);
}

static void test_cancel(void **state) {
        World *world = *state;

        start_and_pause(world, JOB_EVACUATING);
        assert_int_equal(queue_cancel(world->queue, world->job->id), CAUSE_NONE);
        run_until_state(world, JOB_CANCELLED);
        assert_string_equal(world->job->reason, "cancelled on request");
}

/* Half of what is kept in reserve is gone: no pressure is needed to see that. */
static void test_reserve(void **state) {
        World *world = *state;

        world->policy.pressure_limit = 0;
        queue_set_policy(world->queue, &world->policy);
        world->engine.hold = true;
        submit(world);
        run_until_held(world, JOB_EVACUATING);
        set_available(world, 31);
        fake_engine_finish(&world->engine); /* tells of progress */
        run_until_reason(world, "paused: 31M available, and 64M are to be kept in reserve");
        assert_int_equal(world->engine.n_offline, 1); /* that it got to, and which was stopped */
        set_available(world, 500); /* not enough for the 512 MiB of the device to go */
        run_until_reason(world, "paused: needs 76M free elsewhere, has 0B");
        set_available(world, 600);
        let_go_on(world);
        run_until_state(world, JOB_DONE);
}

/* What was taken is needed now: no time is spent on waiting. */
static void test_urgent(void **state) {
        World *world = *state;

        world->engine.fail_block = TOP_BLOCK - 1;
        world->engine.offline_failures = UINT32_MAX;
        world->policy.retries = 99;
        queue_set_policy(world->queue, &world->policy);
        submit(world);
        while (world->job->removed_blocks == 0 || world->job->state != JOB_EVACUATING)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        set_available(world, 31);
        run_until_state(world, JOB_FAILED);
        assert_string_equal(world->job->reason, "paused and given up at once: 31M available, and 64M are to be kept "
                                                "in reserve");
        assert_dimm_online(world, true);
}

static void test_off(void **state) {
        World *world = *state;

        world->policy.pressure_limit = 0;
        queue_set_policy(world->queue, &world->policy);
        set_pressure(world, 99);
        submit(world);
        run_until_state(world, JOB_DONE);
}

static void test_stuck(void **state) {
        World *world = *state;

        world->engine.hold = true;
        world->engine.cancel_result = STEP_STUCK;
        submit(world);
        run_until_held(world, JOB_EVACUATING);
        set_pressure(world, 34);
        run_until_state(world, JOB_FAILED);
        assert_non_null(strstr(world->job->reason, "does not come back"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_waits_to_start, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_second_job_waits, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_replug_does_not_wait, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pauses_and_goes_on, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_goes_on_with_a_block_taken, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_gives_back, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reserve, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_urgent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stuck, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
