/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue and the state machine against an engine that does what it is told. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/memunplug.h>

#include "fake-engine.h"
#include "request/queue.h"
#include "tree.h"

typedef struct World {
        Tree tree;
        sd_event *event;
        int state_fd;
        Engine engine;
        Journal *journal;
        Queue *queue;
        QueueSlot *slot;
        QueuePolicy policy;
        char states[8192]; /* "planning evacuating ..." of all jobs, as they were told */
        unsigned ended, blocks_changed, progressed;
} World;

static void observe(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        World *world = userdata;
        const char *last = strrchr(world->states, ' '), *state;

        world->ended += event == QUEUE_JOB_ENDED;
        world->blocks_changed += event == QUEUE_BLOCK_CHANGED;
        world->progressed += event == QUEUE_JOB_CHANGED;
        if (!job)
                return; /* a block that changed by itself */
        state = job_state_to_string(job->state);
        if (last && strcmp(last + 1, state) == 0)
                return;
        assert_true(strlen(world->states) + strlen(state) + 2 < sizeof(world->states));
        strcat(world->states, " ");
        strcat(world->states, state);
}

static void open_queue(World *world) {
        size_t skipped;

        assert_int_equal(
                journal_open(&world->journal, world->state_fd, world->tree.fd, QUEUE_HISTORY_MAX, &skipped),
                0);
        assert_int_equal(skipped, 0);
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine,
                                   world->journal, &world->policy),
                         0);
        assert_int_equal(queue_observe(world->queue, observe, world, &world->slot), 0);
}

static void close_queue(World *world) {
        world->queue = queue_free(world->queue);
        world->journal = journal_free(world->journal);
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        fake_machine_begin(&world->tree, &world->event, &world->engine);
        world->state_fd = openat(world->tree.fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(world->state_fd >= 0);
        world->policy = (QueuePolicy){ .guard.keep_free_bytes = 64ULL << 20,
                                       .deadline_usec = 60000000,
                                       .retries = 2,
                                         .owners_socket = "owners" };
        open_queue(world);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        close_queue(world);
        (void) close(world->state_fd);
        fake_machine_end(&world->tree, world->event);
        free(world);
        return 0;
}

static const Job *submit(World *world, const Demand *demand) {
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, demand, &answer), 0);
        if (answer.cause != CAUSE_NONE)
                fail_msg("refused: %s", answer.reason);
        return answer.job;
}

static const Job *submit_device(World *world, const char *name) {
        Demand demand = { .source = SOURCE_ACPI, .caller = "platform" };

        strcpy(demand.device, name);
        return submit(world, &demand);
}

static JobCause refusal(World *world, const Demand *demand) {
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, demand, &answer), 0);
        assert_null(answer.job);
        assert_non_null(answer.reason);
        free(answer.reason);
        return answer.cause;
}

/* Runs the loop until so many jobs have ended. */
static void run_until_ended(World *world, unsigned n) {
        while (world->ended < n)
                assert_true(sd_event_run(world->event, 10000000) > 0);
}

/* Runs the loop until nothing happens any more at once. */
static void settle(World *world) {
        while (sd_event_run(world->event, 0) > 0)
                ;
}

static void assert_dimm_online(World *world, unsigned dimm, int online) {
        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++)
                assert_int_equal(
                        tree_is_online(&world->tree, TREE_FIRST_DIMM_BLOCK + dimm * TREE_DIMM_BLOCKS + i),
                        online);
}

static void device_goes_the_straight_way(void **state) {
        World *world = *state;
        const Job *job;

        job = submit_device(world, "PNP0C80:00");
        assert_int_equal(job->state, JOB_QUEUED);
        assert_int_equal(job->requested_bytes, TREE_DIMM_BLOCKS * TREE_BLOCK_SIZE);
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning evacuating offlining ejecting done");
        assert_int_equal(job->cause, CAUSE_NONE);
        assert_null(job->reason);
        assert_int_equal(job->removed_bytes, TREE_DIMM_BLOCKS * TREE_BLOCK_SIZE);
        assert_int_equal(job->move_bytes, TREE_DIMM_BLOCKS * FAKE_USED_BYTES);
        assert_int_equal(job->evacuated_bytes, TREE_DIMM_BLOCKS * FAKE_USED_BYTES);
        assert_int_equal(job->removed_blocks, TREE_DIMM_BLOCKS);
        assert_true(job->finished_at >= job->started_at && job->started_at >= job->created_at);
        assert_int_equal(world->blocks_changed, TREE_DIMM_BLOCKS);
        assert_int_equal(world->engine.n_evacuate, 1);
        assert_int_equal(world->engine.n_eject, 1);
}

static void size_goes_without_eject(void **state) {
        World *world = *state;
        const Job *job =
                submit(world, &(Demand){ .source = SOURCE_OPERATOR, .size_bytes = 2 * TREE_BLOCK_SIZE });

        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(world->engine.n_eject, 0);
        assert_false(tree_is_online(&world->tree, 39)); /* the highest ones */
        assert_false(tree_is_online(&world->tree, 38));
        assert_true(tree_is_online(&world->tree, 37));
}

static void clean_cache_is_kept_if_wanted(void **state) {
        World *world = *state;
        const Job *job = submit_device(world, "PNP0C80:00");

        run_until_ended(world, 1);
        assert_false(world->engine.keep_cache);
        world->policy.keep_cache = true;
        queue_set_policy(world->queue, &world->policy);
        job = submit_device(world, "PNP0C80:01");
        run_until_ended(world, 2);
        assert_true(world->engine.keep_cache);
        assert_int_equal(job->state, JOB_DONE);
}

static void plan_changes_nothing(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE };
        Plan *plan;

        assert_int_equal(queue_plan(world->queue, &demand, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 1);
        (void) plan_free(plan);
        settle(world);
        assert_int_equal(queue_n_jobs(world->queue), 0);
        assert_dimm_online(world, 0, 1);
        assert_dimm_online(world, 1, 1);
}

static void pinned_pages_are_reported_and_nothing_is_taken(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[34] = 640 * 4096;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning evacuating failed");
        assert_int_equal(job->cause, CAUSE_IN_USE);
        assert_string_equal(job->reason, "1 of 4 blocks hold pages that cannot be moved: 2.5M pinned");
        assert_int_equal(job->n_blockers, 1);
        assert_int_equal(job->blockers[0].n_pids, 1);
        assert_int_equal(job->blockers[0].pids[0], FAKE_OWNER_PID);
        assert_string_equal(job->blockers[0].owner, "holder");
        assert_int_equal(job->attempts, 3); /* two retries */
        assert_int_equal(world->engine.n_offline, 0);
        assert_dimm_online(world, 0, 1);
}

static void pages_under_io_are_reported_and_nothing_is_taken(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.locked_bytes[33] = 4096;
        world->engine.writeback_bytes[34] = 2 << 20;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning evacuating failed");
        assert_int_equal(job->cause, CAUSE_BUSY);
        assert_string_equal(job->reason, "2 of 4 blocks hold pages under I/O that does not end: 4K locked, "
                                         "2M under writeback");
        assert_int_equal(job->n_blockers, 2);
        assert_int_equal(job->blockers[0].class, MEMUNPLUG_CLASS_WRITEBACK); /* highest first */
        assert_int_equal(job->blockers[1].class, MEMUNPLUG_CLASS_LOCKED);
        assert_int_equal(job->attempts, 3); /* two retries */
        assert_int_equal(world->engine.n_offline, 0);
        assert_dimm_online(world, 0, 1);
}

static void pages_under_io_and_pinned_ones_are_all_said(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[33] = 4096;
        world->engine.writeback_bytes[33] = 8192;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_int_equal(job->cause, CAUSE_IN_USE);
        assert_string_equal(job->reason, "1 of 4 blocks hold pages that cannot be moved: 4K pinned, "
                                         "8K under writeback");
}

static uint64_t now(World *world) {
        uint64_t usec;

        assert_true(sd_event_now(world->event, CLOCK_MONOTONIC, &usec) >= 0);
        return usec;
}

/* How long a job takes that fails four times, at least: nobody promises that a timer is not late. */
static uint64_t failing_job_takes(World *world, uint64_t retry_delay_usec, uint64_t retry_max_delay_usec) {
        unsigned ended = world->ended + 1;
        uint64_t begin = now(world);
        const Job *job;

        world->policy.retries = 3;
        world->policy.retry_delay_usec = retry_delay_usec;
        world->policy.retry_max_delay_usec = retry_max_delay_usec;
        queue_set_policy(world->queue, &world->policy);
        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[34] = 4096;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, ended);
        assert_int_equal(job->attempts, 4);
        return now(world) - begin;
}

static void retries_wait_twice_as_long_each_time(void **state) {
        World *world = *state;

        assert_true(failing_job_takes(world, 30000, 1000000) >= 30000 + 60000 + 120000);
        assert_true(failing_job_takes(world, 30000, 40000) >= 30000 + 40000 + 40000);
        assert_true(failing_job_takes(world, UINT64_C(600000000), 1) < UINT64_C(600000000));
        assert_true(failing_job_takes(world, 0, 1000000) < UINT64_C(600000000));
}

static void job_ends_without_names_when_nobody_knows_them(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.owners_silent = true;
        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[34] = 4096;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_true(world->engine.n_owners >= 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->n_blockers, 1);
        assert_int_equal(job->blockers[0].n_pids, 0);
}

static void stragglers_that_move_do_not_stop_it(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.evacuate_failures =
                UINT32_MAX; /* pages are left, but a survey sees nothing in the way */
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(job->attempts, 1);
}

static void block_that_stays_brings_back_the_rest(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.fail_block = 33;
        world->engine.offline_failures = UINT32_MAX;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_non_null(strstr(world->states, "offlining restoring failed"));
        assert_int_equal(job->cause, CAUSE_BUSY);
        assert_non_null(strstr(job->reason, "block 33 did not go offline"));
        assert_int_equal(job->removed_blocks, 0);
        assert_int_equal(job->removed_bytes, 0);
        assert_dimm_online(world, 0, 1);
}

static void block_that_goes_late_is_tried_again(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.fail_block = 33;
        world->engine.offline_failures = 2;
        world->engine.pinned_bytes[33] = 4096; /* for a while */
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(job->removed_blocks, TREE_DIMM_BLOCKS);
        assert_int_equal(job->attempts, 3);
        assert_int_equal(job->n_blockers, 0); /* nothing was in the way in the end */
}

static void failed_eject_brings_back_all(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.eject_result = STEP_FAILED;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states,
                            " queued planning evacuating offlining ejecting restoring failed");
        assert_int_equal(job->cause, CAUSE_SYSTEM);
        assert_dimm_online(world, 0, 1);
}

static void blocks_that_do_not_come_back_are_told(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.eject_result = STEP_FAILED;
        world->engine.online_result = STEP_BUSY;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_non_null(strstr(job->reason, "4 blocks could not be brought back"));
}

static void part_is_enough_when_allowed(void **state) {
        World *world = *state;
        uint32_t blocks[] = { 36, 37, 38 };
        const Job *job;

        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[37] = 4096;
        job = submit(world, &(Demand) { .source = SOURCE_OPERATOR, .blocks = blocks, .n_blocks = 3,
                                        .allow_partial = true });
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_PARTIAL);
        assert_int_equal(job->cause, CAUSE_IN_USE);
        assert_non_null(job->reason);
        assert_int_equal(job->removed_blocks, 2);
        assert_false(tree_is_online(&world->tree, 36));
        assert_true(tree_is_online(&world->tree, 37));
        assert_false(tree_is_online(&world->tree, 38));
}

static void cancel_in_each_state(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.hold = true;
        job = submit_device(world, "PNP0C80:00");
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE); /* queued */
        assert_int_equal(job->state, JOB_CANCELLED);
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_REFUSED); /* ended */

        job = submit_device(world, "PNP0C80:00");
        settle(world);
        assert_int_equal(job->state, JOB_EVACUATING);
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE);
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE); /* twice is no harm */
        run_until_ended(world, 2);
        assert_int_equal(job->state, JOB_CANCELLED);
        assert_int_equal(job->cause, CAUSE_CANCELLED);
        assert_int_equal(queue_cancel(world->queue, 12345), CAUSE_REFUSED);
}

static void cancel_while_offlining_restores(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.fail_block = 33;
        world->engine.offline_failures = UINT32_MAX;
        job = submit_device(world, "PNP0C80:00");
        while (world->engine.n_offline == 0 || job->removed_blocks < 2)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE);
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_CANCELLED);
        assert_int_equal(job->removed_blocks, 0);
        assert_dimm_online(world, 0, 1);
}

static void ejecting_cannot_be_cancelled(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.hold = true;
        job = submit_device(world, "PNP0C80:00");
        settle(world);
        fake_engine_finish(&world->engine);
        settle(world);
        fake_engine_finish(&world->engine);
        settle(world);
        assert_int_equal(job->state, JOB_EJECTING);
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_BUSY);
        fake_engine_finish(&world->engine);
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
}

static void deadline_ends_it(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.hold = true;
        job = submit(world, &(Demand) { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE,
                                        .deadline_usec = 20000 });
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_DEADLINE);
        assert_non_null(strstr(job->reason, "the deadline passed"));
        assert_true(job->finished_at >= job->deadline_at);
}

static void deadline_with_pins_is_in_use(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.hold = true;
        world->engine.pinned_bytes[39] = 4096;
        job = submit(world, &(Demand) { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE,
                                        .deadline_usec = 20000 });
        run_until_ended(world, 1);
        assert_int_equal(job->cause, CAUSE_IN_USE);
        assert_int_equal(job->n_blockers, 1);
}

static void stuck_worker_is_set_aside(void **state) {
        World *world = *state;
        Demand again = { .source = SOURCE_OPERATOR, .device = "PNP0C80:00" };
        const Job *job;

        world->engine.hold = true;
        world->engine.cancel_result = STEP_STUCK;
        job = submit(world,
                     &(Demand){ .source = SOURCE_OPERATOR, .device = "PNP0C80:00", .deadline_usec = 20000 });
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(refusal(world, &again), CAUSE_BUSY); /* its blocks are marked */
        world->engine.hold = false;
        job = submit_device(world, "PNP0C80:01"); /* others go on */
        run_until_ended(world, 2);
        assert_int_equal(job->state, JOB_DONE);
        fake_engine_release(&world->engine); /* too late: what it took comes back */
        assert_dimm_online(world, 0, 0);
        settle(world);
        assert_dimm_online(world, 0, 1);
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 3);
        assert_int_equal(job->state, JOB_DONE);
}

static void disjoint_jobs_run_together_and_overlapping_are_refused(void **state) {
        World *world = *state;
        Demand same = { .source = SOURCE_OPERATOR, .device = "PNP0C80:00" };
        const Job *a, *b;

        world->engine.hold = true;
        a = submit_device(world, "PNP0C80:00");
        settle(world);
        assert_int_equal(refusal(world, &same), CAUSE_BUSY);
        b = submit_device(world, "PNP0C80:01");
        settle(world);
        assert_int_equal(a->state, JOB_EVACUATING);
        assert_int_equal(b->state, JOB_EVACUATING);
        world->engine.hold = false;
        fake_engine_finish(&world->engine);
        fake_engine_finish(&world->engine);
        run_until_ended(world, 2);
        assert_int_equal(a->state, JOB_DONE);
        assert_int_equal(b->state, JOB_DONE);
}

static void wrong_demands_are_refused(void **state) {
        World *world = *state;
        uint32_t blocks[] = { 39, 77 };
        QueueAnswer answer;

        assert_int_equal(refusal(world, &(Demand) { .device = "PNP0C80:77" }), CAUSE_NO_SUCH_DEVICE);
        assert_int_equal(queue_submit(world->queue, &(Demand){ .blocks = blocks, .n_blocks = 2 }, &answer),
                         0);
        assert_int_equal(answer.cause, CAUSE_NO_SUCH_BLOCK);
        assert_int_equal(answer.missing_block, 77);
        free(answer.reason);
        assert_int_equal(queue_n_jobs(world->queue), 0);
}

static void pending_jobs_are_limited(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE };

        world->engine.hold = true;
        for (unsigned i = 0; i < QUEUE_PENDING_MAX; i++)
                (void) submit(world, &demand);
        assert_int_equal(refusal(world, &demand), CAUSE_BUSY);
}

static void history_is_limited(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE };

        world->engine.hold = true;
        for (unsigned i = 0; i < QUEUE_HISTORY_MAX + 10; i++) {
                const Job *job = submit(world, &demand);

                assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE);
                settle(world);
        }
        assert_int_equal(queue_n_jobs(world->queue), QUEUE_HISTORY_MAX);
        assert_int_equal(queue_job_at(world->queue, 0)->id, 11);
        assert_null(queue_find(world->queue, 10));
}

static void interrupted_job_is_brought_back(void **state) {
        World *world = *state;
        const Job *job;
        uint32_t id;

        world->engine.fail_block = 32; /* the last one */
        world->engine.offline_failures = UINT32_MAX;
        job = submit_device(world, "PNP0C80:00");
        id = job->id;
        while (job->removed_blocks < 3)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        close_queue(world); /* as if killed: nothing is undone */
        assert_false(tree_is_online(&world->tree, 35));
        open_queue(world);
        job = queue_find(world->queue, id);
        assert_non_null(job);
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_INTERRUPTED);
        assert_dimm_online(world, 0, 1);
        close_queue(world);
        open_queue(world); /* once is enough */
        assert_int_equal(queue_find(world->queue, id)->cause, CAUSE_INTERRUPTED);
        assert_null(queue_current(world->queue));
}

static void other_boot_is_not_brought_back(void **state) {
        World *world = *state;
        int fd;

        world->engine.hold = true;
        (void) submit_device(world, "PNP0C80:00");
        settle(world);
        fake_engine_finish(&world->engine);
        settle(world);
        close_queue(world);
        fd = openat(world->tree.fd, "proc/sys/kernel/random/boot_id", O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(write(fd, "99999999-2222-3333-4444-555555555555\n", 37), 37);
        (void) close(fd);
        world->engine.n_online = 0;
        open_queue(world);
        settle(world);
        assert_int_equal(queue_job_at(world->queue, 0)->cause, CAUSE_INTERRUPTED);
        assert_int_equal(world->engine.n_online, 0);
}

static void full_disk_refuses_and_harms_nothing(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .device = "PNP0C80:00" };
        struct rlimit old, none = { 0, RLIM_INFINITY };

        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        assert_int_equal(refusal(world, &demand), CAUSE_SYSTEM);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        (void) submit(world, &demand);
        run_until_ended(world, 1);
        assert_int_equal(queue_job_at(world->queue, 0)->state, JOB_DONE);
}

static void disk_that_fills_up_ends_the_job(void **state) {
        World *world = *state;
        struct rlimit old, none = { 0, RLIM_INFINITY };
        const Job *job = submit_device(world, "PNP0C80:00");

        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        settle(world);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_SYSTEM);
        assert_dimm_online(world, 0, 1);
}

static void replug_brings_online(void **state) {
        World *world = *state;
        const Job *job;

        (void) submit(world, &(Demand) { .source = SOURCE_OPERATOR, .size_bytes = 2 * TREE_BLOCK_SIZE });
        run_until_ended(world, 1);
        job = submit(world, &(Demand) { .kind = DEMAND_REPLUG, .source = SOURCE_OPERATOR,
                                        .size_bytes = 2 * TREE_BLOCK_SIZE });
        run_until_ended(world, 2);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(job->removed_bytes, 2 * TREE_BLOCK_SIZE);
        assert_dimm_online(world, 1, 1);
}

static void note_idle(void *userdata) {
        *(unsigned *) userdata += 1;
}

/* What the platform asks for waits, with the numbers of its plan. */
static const Job *submit_to_be_confirmed(World *world) {
        const Job *job;

        world->policy.ask[SOURCE_ACPI] = true;
        queue_set_policy(world->queue, &world->policy);
        job = submit_device(world, "PNP0C80:00");
        settle(world);
        assert_int_equal(job->state, JOB_QUEUED);
        assert_true(job->unconfirmed);
        assert_string_equal(job->reason, "waits for an operator: memunplugctl confirm 1");
        assert_int_equal(job->total_blocks, TREE_DIMM_BLOCKS);
        assert_int_equal(job->move_bytes, TREE_DIMM_BLOCKS * FAKE_USED_BYTES);
        assert_int_equal(world->engine.n_evacuate, 0);
        return job;
}

static void confirmed_job_goes_on(void **state) {
        World *world = *state;
        const Job *job = submit_to_be_confirmed(world);

        assert_int_equal(queue_confirm(world->queue, job->id + 1), CAUSE_REFUSED);
        world->engine.hold = true;
        assert_int_equal(queue_confirm(world->queue, job->id), CAUSE_NONE);
        assert_null(job->reason);
        assert_false(job->unconfirmed);
        assert_int_equal(queue_confirm(world->queue, job->id), CAUSE_BUSY);
        settle(world);
        assert_int_equal(job->state, JOB_EVACUATING);
        assert_int_equal(queue_confirm(world->queue, job->id), CAUSE_BUSY);
        fake_engine_finish(&world->engine);
        world->engine.hold = false;
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(queue_confirm(world->queue, job->id), CAUSE_REFUSED);
}

static void unconfirmed_job_stops_nobody(void **state) {
        World *world = *state;
        const Job *waits = submit_to_be_confirmed(world);
        const Job *job;

        assert_ptr_equal(queue_current(world->queue), waits);
        world->engine.hold = true;
        job = submit(world, &(Demand) { .source = SOURCE_OPERATOR, .device = "PNP0C80:01" });
        settle(world);
        assert_int_equal(job->state, JOB_EVACUATING);
        assert_ptr_equal(queue_current(world->queue), job);
        fake_engine_finish(&world->engine);
        world->engine.hold = false;
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(queue_cancel(world->queue, waits->id), CAUSE_NONE);
        settle(world);
        assert_int_equal(waits->state, JOB_CANCELLED);
        assert_string_equal(waits->reason, "cancelled on request");
        assert_false(waits->unconfirmed);
        assert_dimm_online(world, 0, 1);
}

static void unconfirmed_job_is_refused_in_time(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .device = "PNP0C80:00", .deadline_usec = 20000,
                          .ask = true };
        const Job *job = submit(world, &demand);

        assert_true(job->unconfirmed);
        run_until_ended(world, 1);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_REFUSED);
        assert_string_equal(job->reason, "no operator confirmed it in time");
        assert_string_equal(world->states, " queued failed");
        assert_dimm_online(world, 0, 1);
}

static void unconfirmed_jobs_are_limited_and_end_with_the_service(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE, .ask = true };
        unsigned idle = 0;

        for (unsigned i = 0; i < QUEUE_UNCONFIRMED_MAX; i++)
                (void) submit(world, &demand);
        assert_int_equal(refusal(world, &demand), CAUSE_BUSY);
        assert_int_equal(queue_cancel(world->queue, 1), CAUSE_NONE);
        (void) submit(world, &demand);
        close_queue(world);
        open_queue(world);
        settle(world);
        assert_int_equal(queue_find(world->queue, 2)->cause, CAUSE_INTERRUPTED);
        (void) submit(world, &demand);
        world->ended = 0;
        queue_shutdown(world->queue, note_idle, &idle);
        settle(world);
        assert_int_equal(idle, 1);
        assert_int_equal(world->ended, 1);
}

/* What could go when it was asked for need not be able to when it is confirmed. */
static void confirmed_job_is_planned_again(void **state) {
        World *world = *state;
        const Job *job = submit_to_be_confirmed(world);

        world->policy.guard.keep_free_bytes = UINT64_C(1) << 60;
        queue_set_policy(world->queue, &world->policy);
        assert_int_equal(queue_confirm(world->queue, job->id), CAUSE_NONE);
        run_until_ended(world, 1);
        assert_int_equal(job->cause, CAUSE_NO_ROOM);
        assert_int_equal(world->engine.n_evacuate, 0);
}

static void shutdown_brings_back_and_ends(void **state) {
        World *world = *state;
        Demand demand = { .source = SOURCE_OPERATOR, .device = "PNP0C80:01" };
        QueueAnswer answer;
        unsigned idle = 0;

        world->engine.hold = true;
        (void) submit_device(world, "PNP0C80:00");
        settle(world);
        queue_shutdown(world->queue, note_idle, &idle);
        assert_int_equal(queue_submit(world->queue, &demand, &answer), -ESHUTDOWN);
        settle(world);
        assert_int_equal(idle, 1);
        assert_int_equal(queue_job_at(world->queue, 0)->state, JOB_CANCELLED);
}

static void sysfs_engine_works_without_evacuation(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.kind = ENGINE_SYSFS;
        queue_invalidate_table(world->queue);
        world->engine.fail_block = 33;
        world->engine.offline_failures = UINT32_MAX;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_int_equal(job->cause, CAUSE_BUSY);
        assert_non_null(strstr(job->reason, "without the module"));
        assert_dimm_online(world, 0, 1);
}

static void empty_blocks_go_without_evacuation(void **state) {
        World *world = *state;

        world->engine.used_bytes[32] = world->engine.used_bytes[33] = 0;
        (void) submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning offlining evacuating offlining ejecting done");
        assert_int_equal(world->engine.n_evacuate, 1);
        for (size_t i = 36; i < 40; i++)
                world->engine.used_bytes[i] = 0;
        world->states[0] = 0;
        (void) submit_device(world, "PNP0C80:01");
        run_until_ended(world, 2);
        assert_string_equal(world->states, " queued planning offlining ejecting done");
        assert_int_equal(world->engine.n_evacuate, 1);
}

static void empty_blocks_come_back_if_the_others_stay(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.used_bytes[32] = 0;
        world->engine.evacuate_failures = UINT32_MAX;
        world->engine.pinned_bytes[34] = 4096;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning offlining evacuating restoring failed");
        assert_int_equal(job->cause, CAUSE_IN_USE);
        assert_int_equal(job->removed_blocks, 0);
        assert_dimm_online(world, 0, 1);
}

static void block_that_is_not_empty_after_all_is_evacuated(void **state) {
        World *world = *state;
        const Job *job;

        world->engine.used_bytes[32] = 0;
        world->engine.fail_block = 32;
        world->engine.offline_failures = 1;
        job = submit_device(world, "PNP0C80:00");
        run_until_ended(world, 1);
        assert_string_equal(world->states, " queued planning offlining evacuating offlining ejecting done");
        assert_int_equal(job->attempts, 1);
}

/* An observer may leave, and take another with it, while it is told. */
static void leave(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        QueueSlot **slots = userdata;

        slots[0] = queue_slot_free(slots[0]);
        slots[1] = queue_slot_free(slots[1]);
}

static void observers_may_leave_while_told(void **state) {
        World *world = *state;
        QueueSlot *slots[2];

        assert_int_equal(queue_observe(world->queue, leave, slots, &slots[0]), 0);
        assert_int_equal(queue_observe(world->queue, leave, slots, &slots[1]), 0);
        (void) submit_device(world, "PNP0C80:00");
        assert_null(slots[0]);
        run_until_ended(world, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                CASE(device_goes_the_straight_way),
                CASE(clean_cache_is_kept_if_wanted),
                CASE(size_goes_without_eject),
                CASE(plan_changes_nothing),
                CASE(pinned_pages_are_reported_and_nothing_is_taken),
                CASE(pages_under_io_are_reported_and_nothing_is_taken),
                CASE(pages_under_io_and_pinned_ones_are_all_said),
                CASE(retries_wait_twice_as_long_each_time),
                CASE(job_ends_without_names_when_nobody_knows_them),
                CASE(stragglers_that_move_do_not_stop_it),
                CASE(block_that_stays_brings_back_the_rest),
                CASE(block_that_goes_late_is_tried_again),
                CASE(failed_eject_brings_back_all),
                CASE(blocks_that_do_not_come_back_are_told),
                CASE(part_is_enough_when_allowed),
                CASE(cancel_in_each_state),
                CASE(cancel_while_offlining_restores),
                CASE(ejecting_cannot_be_cancelled),
                CASE(deadline_ends_it),
                CASE(deadline_with_pins_is_in_use),
                CASE(stuck_worker_is_set_aside),
                CASE(disjoint_jobs_run_together_and_overlapping_are_refused),
                CASE(wrong_demands_are_refused),
                CASE(pending_jobs_are_limited),
                CASE(history_is_limited),
                CASE(interrupted_job_is_brought_back),
                CASE(other_boot_is_not_brought_back),
                CASE(full_disk_refuses_and_harms_nothing),
                CASE(disk_that_fills_up_ends_the_job),
                CASE(replug_brings_online),
                CASE(confirmed_job_goes_on),
                CASE(unconfirmed_job_stops_nobody),
                CASE(unconfirmed_job_is_refused_in_time),
                CASE(unconfirmed_jobs_are_limited_and_end_with_the_service),
                CASE(confirmed_job_is_planned_again),
                CASE(shutdown_brings_back_and_ends),
                CASE(sysfs_engine_works_without_evacuation),
                CASE(empty_blocks_go_without_evacuation),
                CASE(empty_blocks_come_back_if_the_others_stay),
                CASE(block_that_is_not_empty_after_all_is_evacuated),
                CASE(observers_may_leave_while_told),
        };

        return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
