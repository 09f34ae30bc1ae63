/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose request goes first, and what a lender is asked for: the queue, an engine and a lender that do as the
 * test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake-engine.h"
#include "request/lender.h"
#include "tree.h"
#include "util/cleanup.h"

#define MIB (UINT64_C(1) << 20)
#define RESERVE (64 * MIB)

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Queue *queue;
        QueuePolicy policy;
        QueueLender lender;
        uint64_t has_bytes;      /* what the lender can give back */
        bool later;              /* by a job of its own: */
        const Job *returning;
        unsigned n_loans, n_ways;
        uint32_t lent;           /* a block that it has; 0: none */
        uint64_t available;
} World;

static void set_available(World *world, uint64_t bytes) {
        char path[128];
        FILE *f;

        world->available = bytes;
        (void) snprintf(path, sizeof(path), "%s/proc/meminfo", world->tree.path);
        f = fopen(path, "we");
        assert_non_null(f);
        fprintf(f, "MemTotal: 5242880 kB\nMemFree: %llu kB\nMemAvailable: %llu kB\n",
                (unsigned long long) bytes >> 10, (unsigned long long) bytes >> 10);
        assert_int_equal(fclose(f), 0);
}

static uint64_t can_lend(const Plan *plan, void *userdata) {
        World *world = userdata;

        assert_string_equal(plan->device, "PNP0C80:00");
        return world->has_bytes;
}

static void submit_return(World *world) {
        uint32_t block = TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS;
        Demand demand = { .kind = DEMAND_REPLUG, .source = SOURCE_BALLOON, .blocks = &block, .n_blocks = 1 };
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_non_null(answer.job);
        world->returning = answer.job;
}

/* A quarter of what comes back goes to the reserve of a machine that became larger. */
static LendResult lend(const Plan *plan, uint64_t bytes, void *userdata) {
        World *world = userdata;

        assert_int_equal(plan->n_steps, TREE_DIMM_BLOCKS);
        assert_true(bytes > 0);
        if (world->later && !world->returning)
                submit_return(world);
        if (world->later && !job_state_is_final(world->returning->state))
                return LEND_LATER;
        world->n_loans++;
        bytes += 8 * MIB; /* lest it takes many small ones */
        if (bytes > world->has_bytes)
                bytes = world->has_bytes;
        if (bytes == 0)
                return LEND_NOTHING;
        world->has_bytes -= bytes;
        set_available(world, world->available + bytes - bytes / 4);
        return LEND_NOW;
}

static int lent_blocks(uint32_t **ret, uint32_t *ret_n, void *userdata) {
        World *world = userdata;

        *ret = calloc(1, sizeof(**ret));
        assert_non_null(*ret);
        **ret = world->lent;
        *ret_n = world->lent > 0;
        return 0;
}

static void make_way(const Plan *plan, void *userdata) {
        World *world = userdata;

        assert_true(plan->n_steps > 0);
        world->n_ways++;
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        fake_machine_begin(&world->tree, &world->event, &world->engine);
        world->policy = (QueuePolicy) { .guard.keep_free_bytes = RESERVE, .deadline_usec = 60000000 };
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine, NULL,
                                   &world->policy), 0);
        world->lender = (QueueLender) { .source = SOURCE_BALLOON, .can_lend = can_lend, .lend = lend,
                                        .make_way = make_way, .lent_blocks = lent_blocks,
                                        .userdata = world };
        queue_set_lender(world->queue, &world->lender);
        set_available(world, 4096 * MIB);
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

static Demand of_device(Source source, const char *name) {
        Demand demand = { .source = source };

        (void) snprintf(demand.device, sizeof(demand.device), "%s", name);
        return demand;
}

static Demand of_balloon(void) {
        return (Demand) { .source = SOURCE_BALLOON, .size_bytes = TREE_BLOCK_SIZE, .allow_partial = true };
}

static const Job *submit(World *world, Demand demand) {
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        if (!answer.job)
                fail_msg("refused: %s", answer.reason);
        return answer.job;
}

static JobCause refusal(World *world, Demand demand) {
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_null(answer.job);
        free(answer.reason);
        return answer.cause;
}

static void settle(World *world) {
        while (sd_event_run(world->event, 0) > 0)
                ;
}

static void run_until_final(World *world, const Job *job, JobState state) {
        while (!job_state_is_final(job->state))
                assert_true(sd_event_run(world->event, 10000000) > 0);
        if (job->state != state)
                fail_msg("%s: %s", job_state_to_string(job->state), job->reason ? job->reason : "");
}

static void device_gets_room_from_lender(void **state) {
        World *world = *state;
        const Job *job;

        set_available(world, 300 * MIB); /* the DIMM has 508 MiB free, which go, and 4 MiB in use */
        world->has_bytes = 1024 * MIB;
        job = submit(world, of_device(SOURCE_ACPI, "PNP0C80:00"));
        assert_int_equal(world->n_loans, 0); /* not before it is its turn */
        run_until_final(world, job, JOB_DONE);
        assert_in_range(world->n_loans, 2, 8); /* less is missing each time */
        assert_in_range(world->has_bytes, 512 * MIB, 724 * MIB); /* no more than it took */
        assert_int_equal(world->n_ways, 1);
}

static void loan_may_take_a_job(void **state) {
        World *world = *state;
        const uint32_t block = TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS;
        const Job *job, *gone;

        gone = submit(world, (Demand) { .source = SOURCE_OPERATOR, .blocks = (uint32_t[]) { block },
                                        .n_blocks = 1 });
        run_until_final(world, gone, JOB_DONE);
        assert_int_equal(tree_is_online(&world->tree, block), 0);
        set_available(world, 560 * MIB);
        world->has_bytes = 512 * MIB;
        world->later = true;
        job = submit(world, of_device(SOURCE_OPERATOR, "PNP0C80:00"));
        run_until_final(world, job, JOB_DONE);
        assert_int_equal(world->returning->state, JOB_DONE);
        assert_int_equal(tree_is_online(&world->tree, block), 1);
}

static void refused_if_lender_has_too_little(void **state) {
        World *world = *state;
        const Job *job;

        set_available(world, 300 * MIB);
        world->has_bytes = 100 * MIB;
        assert_int_equal(refusal(world, of_device(SOURCE_ACPI, "PNP0C80:00")), CAUSE_NO_ROOM);
        assert_int_equal(world->n_loans, 0);
        assert_int_equal(world->has_bytes, 100 * MIB);

        world->has_bytes = 276 * MIB; /* it would be enough, but for the larger reserve */
        job = submit(world, of_device(SOURCE_ACPI, "PNP0C80:00"));
        run_until_final(world, job, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_NO_ROOM);
        assert_int_equal(world->engine.n_evacuate, 0);
}

/* Nothing is lent for what stays in the machine, nor to the lender itself. */
static void only_devices_borrow(void **state) {
        World *world = *state;

        set_available(world, RESERVE);
        world->has_bytes = 4096 * MIB;
        assert_int_equal(refusal(world, (Demand) { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE }),
                         CAUSE_NO_ROOM);
        assert_int_equal(refusal(world, of_balloon()), CAUSE_NO_ROOM);
        assert_int_equal(refusal(world, of_device(SOURCE_BALLOON, "PNP0C80:00")), CAUSE_NO_ROOM);
        assert_int_equal(world->n_loans, 0);
}

static void plan_says_what_is_lent(void **state) {
        Demand demand = of_device(SOURCE_OPERATOR, "PNP0C80:00");
        World *world = *state;
        Plan *plan;

        set_available(world, 300 * MIB);
        world->has_bytes = 1024 * MIB;
        assert_int_equal(queue_plan(world->queue, &demand, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_string_equal(plan->reason, "the balloon gives back 276M for it");
        (void) plan_free(plan);
        world->has_bytes = 0;
        assert_int_equal(queue_plan(world->queue, &demand, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_NO_ROOM);
        (void) plan_free(plan);
        assert_int_equal(world->n_loans, 0);
}

/* The lender's own job is in the midst of it: it ends, the other one begins. */
static void lenders_job_gives_way(void **state) {
        World *world = *state;
        const Job *ours, *other;

        for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++)
                world->engine.used_bytes[i] = 3 * MIB; /* too much to go without evacuation */
        world->engine.hold = true;
        ours = submit(world, of_balloon());
        settle(world);
        assert_int_equal(ours->state, JOB_EVACUATING);
        world->engine.hold = false;
        other = submit(world, of_device(SOURCE_ACPI, "PNP0C80:00"));
        run_until_final(world, other, JOB_DONE);
        assert_int_equal(ours->state, JOB_CANCELLED);
        assert_non_null(strstr(ours->reason, "goes first"));
}

/* While others take memory, the lender takes none; it is its turn when they are done. */
static void lender_waits_for_others(void **state) {
        World *world = *state;
        const Job *ours, *other;

        world->engine.hold = true;
        other = submit(world, of_device(SOURCE_OPERATOR, "PNP0C80:00"));
        settle(world);
        assert_int_equal(other->state, JOB_EVACUATING);
        ours = submit(world, of_balloon());
        settle(world);
        assert_int_equal(ours->state, JOB_QUEUED);
        world->engine.hold = false;
        fake_engine_finish(&world->engine);
        run_until_final(world, other, JOB_DONE);
        run_until_final(world, ours, JOB_DONE);
}

/* An operator wants some memory back: any, but not what the lender has. */
static void replug_by_size_leaves_what_is_lent(void **state) {
        Demand back = { .kind = DEMAND_REPLUG, .source = SOURCE_OPERATOR, .size_bytes = 2 * TREE_BLOCK_SIZE };
        World *world = *state;
        const BlockTable *table;

        run_until_final(world, submit(world, (Demand) { .source = SOURCE_OPERATOR,
                                                        .size_bytes = 2 * TREE_BLOCK_SIZE }), JOB_DONE);
        assert_int_equal(queue_blocks(world->queue, &table, NULL), 0);
        for (size_t i = 0; i < table->n_blocks && !world->lent; i++)
                if (table->blocks[i].state == BLOCK_OFFLINE)
                        world->lent = table->blocks[i].index; /* the lowest, which would be the first */
        assert_true(world->lent > 0);
        assert_int_equal(refusal(world, back), CAUSE_NOTHING_REMOVABLE);
        back.size_bytes = TREE_BLOCK_SIZE;
        run_until_final(world, submit(world, back), JOB_DONE);
        assert_int_equal(queue_blocks(world->queue, &table, NULL), 0);
        for (size_t i = 0; i < table->n_blocks; i++)
                assert_true((table->blocks[i].state == BLOCK_OFFLINE) ==
                            (table->blocks[i].index == world->lent));
}

static void more_urgent_sources_start_first(void **state) {
        World *world = *state;
        const Job *jobs[3];

        queue_hold_all(world->queue, "for a moment");
        queue_hold_all(world->queue, NULL);
        jobs[0] = submit(world, (Demand) { .source = SOURCE_VIRTIO_MEM, .size_bytes = TREE_BLOCK_SIZE });
        jobs[1] = submit(world, (Demand) { .source = SOURCE_OPERATOR, .size_bytes = TREE_BLOCK_SIZE });
        jobs[2] = submit(world, of_device(SOURCE_ACPI, "PNP0C80:00"));
        for (size_t i = 0; i < 3; i++)
                run_until_final(world, jobs[i], JOB_DONE);
        assert_true(jobs[2]->started_at <= jobs[1]->started_at);
        assert_true(jobs[1]->started_at <= jobs[0]->started_at);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(device_gets_room_from_lender, set_up, tear_down),
                cmocka_unit_test_setup_teardown(loan_may_take_a_job, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refused_if_lender_has_too_little, set_up, tear_down),
                cmocka_unit_test_setup_teardown(only_devices_borrow, set_up, tear_down),
                cmocka_unit_test_setup_teardown(plan_says_what_is_lent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lenders_job_gives_way, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lender_waits_for_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(replug_by_size_leaves_what_is_lent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(more_urgent_sources_start_first, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
