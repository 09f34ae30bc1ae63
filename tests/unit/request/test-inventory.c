/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the memory is read again, and what is remembered in between. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fake-engine.h"
#include "request/queue.h"
#include "tree.h"

#define STORM 10000U

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Queue *queue;
        QueueSlot *slot;
        unsigned ended, told;
} World;

static void on_change(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        World *world = userdata;

        world->ended += event == QUEUE_JOB_ENDED;
        world->told += event == QUEUE_BLOCK_CHANGED;
}

static int setup(void **state) {
        const QueuePolicy policy = { .guard = { .keep_free_bytes = 0 }, .deadline_usec = 5000000 };
        World *world = calloc(1, sizeof(*world));

        tree_make(&world->tree, 2);
        assert_int_equal(sd_event_new(&world->event), 0);
        fake_engine_init(&world->engine, world->event, world->tree.fd);
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine,
                                   /* journal= */ NULL, &policy), 0);
        assert_int_equal(queue_observe(world->queue, on_change, world, &world->slot), 0);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        World *world = *state;

        queue_slot_free(world->slot);
        queue_free(world->queue);
        sd_event_unref(world->event);
        tree_remove(&world->tree);
        free(world);
        return 0;
}

static void storm_costs_one_scan(void **state) {
        const GuardPolicy *policy;
        const BlockTable *table;
        World *world = *state;

        assert_int_equal(queue_table(world->queue, &table, &policy), 0);
        assert_int_equal(world->engine.n_surveys, 1);
        for (unsigned i = 0; i < STORM; i++)
                queue_block_changed(world->queue, 32 + i % 8);
        while (sd_event_run(world->event, 0) > 0)
                ;
        assert_int_equal(world->told, STORM);
        assert_int_equal(world->engine.n_surveys, 1); /* nobody has asked yet */
        assert_int_equal(queue_table(world->queue, &table, &policy), 0);
        assert_int_equal(world->engine.n_surveys, 2);
}

/* The price of a device that nobody asked for is known as well. */
static void plan_names_the_cheapest_of_all(void **state) {
        const Demand demand = { .device = "PNP0C80:00" };
        World *world = *state;
        Plan *plan;

        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++)
                world->engine.used_bytes[TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS + i] = 0;
        assert_int_equal(queue_plan(world->queue, &demand, &plan), 0);
        assert_int_equal(plan->move_bytes, TREE_DIMM_BLOCKS * FAKE_USED_BYTES);
        assert_string_equal(plan->cheapest_device, "PNP0C80:01");
        plan_free(plan);
}

/* What is for cheap blocks only looks into others no further than that takes. */
static void cheap_blocks_only(void **state) {
        const Demand demand = { .size_bytes = TREE_BLOCK_SIZE, .most_used_bytes = 12345 }, any = {
                .size_bytes = TREE_BLOCK_SIZE
        };
        World *world = *state;
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_int_equal(world->engine.most_used_bytes, 12345);
        free(answer.reason);
        assert_int_equal(queue_submit(world->queue, &any, &answer), 0);
        assert_int_equal(world->engine.most_used_bytes, 0);
        free(answer.reason);
}

static void assert_plan_leaves(World *world, uint32_t block) {
        const Demand demand = { .size_bytes = 7 * TREE_BLOCK_SIZE }; /* of eight */
        Plan *plan;

        assert_int_equal(queue_plan(world->queue, &demand, &plan), 0);
        assert_int_equal(plan->n_steps, 7);
        for (size_t i = 0; i < plan->n_steps; i++)
                assert_int_not_equal(plan->steps[i].block, block);
        plan_free(plan);
}

static void what_failed_goes_last(void **state) {
        const Demand demand = { .device = "PNP0C80:00" };
        World *world = *state;
        QueueAnswer answer;

        assert_plan_leaves(world, 32); /* the lowest */
        world->engine.fail_block = 35;
        world->engine.offline_failures = UINT32_MAX;
        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_non_null(answer.job);
        while (world->ended == 0)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        assert_int_equal(answer.job->state, JOB_FAILED);
        assert_plan_leaves(world, 35);
        world->engine.offline_failures = 0;
        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        while (world->ended == 1)
                assert_true(sd_event_run(world->event, 10000000) > 0);
        assert_int_equal(answer.job->state, JOB_DONE); /* last is not never */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(storm_costs_one_scan, setup, teardown),
                cmocka_unit_test_setup_teardown(plan_names_the_cheapest_of_all, setup, teardown),
                cmocka_unit_test_setup_teardown(cheap_blocks_only, setup, teardown),
                cmocka_unit_test_setup_teardown(what_failed_goes_last, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
