/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of blocks that the kernel announces, by rule and by ratio, with an engine that does as told. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake-engine.h"
#include "memory/online.h"
#include "request/onlining.h"
#include "tree.h"
#include "util/sysfs.h"

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Queue *queue;
        Onlining *onlining;
} World;

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        fake_machine_begin(&world->tree, &world->event, &world->engine);
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine,
                                   /* journal= */ NULL, &(QueuePolicy) { .deadline_usec = 60000000 }), 0);
        assert_int_equal(onlining_new(&world->onlining, world->event, &world->engine, world->queue), 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        (void) onlining_free(world->onlining);
        (void) queue_free(world->queue);
        fake_machine_end(&world->tree, world->event);
        free(world);
        return 0;
}

/* A DIMM as it is after being plugged, and announced. */
static void plug(World *world, unsigned dimm) {
        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++) {
                unsigned block = TREE_FIRST_DIMM_BLOCK + dimm * TREE_DIMM_BLOCKS + i;
                char path[64];

                (void) snprintf(path, sizeof(path), "sys/devices/system/memory/memory%u/state", block);
                assert_true(sysfs_write(world->tree.fd, path, "offline") >= 0);
                onlining_added(world->onlining, block);
        }
}

/* Until nothing happens for longer than blocks are gathered. */
static void settle(World *world) {
        while (sd_event_run(world->event, 300000) > 0)
                ;
}

static int n_online(const World *world, unsigned dimm) {
        int n = 0;

        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++)
                n += tree_is_online(&world->tree, TREE_FIRST_DIMM_BLOCK + dimm * TREE_DIMM_BLOCKS + i);
        return n;
}

static void nothing_without_a_rule(void **state) {
        World *world = *state;

        plug(world, 1);
        settle(world);
        assert_int_equal(world->engine.n_online, 0);
        assert_int_equal(n_online(world, 1), 0);
}

static void announced_device_comes_online_at_once(void **state) {
        World *world = *state;

        onlining_set_rule(world->onlining, (OnlineRule) { .movable = true, .ratio = 3 });
        plug(world, 1);
        settle(world);
        assert_int_equal(world->engine.n_online, 1); /* one call for all */
        assert_int_equal(n_online(world, 1), TREE_DIMM_BLOCKS);
}

static void what_was_not_announced_stays(void **state) {
        World *world = *state;

        plug(world, 0); /* before there is a rule: as if taken offline by somebody */
        onlining_set_rule(world->onlining, (OnlineRule) { .movable = true, .ratio = 3 });
        plug(world, 1);
        settle(world);
        assert_int_equal(n_online(world, 0), 0);
        assert_int_equal(n_online(world, 1), TREE_DIMM_BLOCKS);
}

static void those_that_are_online_are_left_alone(void **state) {
        World *world = *state;

        onlining_set_rule(world->onlining, (OnlineRule) { .movable = true, .ratio = 3 });
        onlining_added(world->onlining, TREE_FIRST_DIMM_BLOCK);
        onlining_added(world->onlining, 0);   /* boot memory */
        onlining_added(world->onlining, 999); /* gone again */
        settle(world);
        assert_int_equal(world->engine.n_online, 0);
}

static void zone_follows_the_ratio(void **state) {
        Block blocks[10] = {};
        const BlockTable table = { .block_size = 100, .blocks = blocks, .n_blocks = 10 };
        OnlineTotals totals;

        for (unsigned i = 0; i < 10; i++)
                blocks[i] = (Block) { .index = i, .device = i / 2, .state = i < 4 ? BLOCK_ONLINE : BLOCK_OFFLINE,
                                      .zone = i < 2 ? ZONE_NORMAL : ZONE_MOVABLE };
        totals = online_totals(&table);
        assert_int_equal(totals.other_bytes, 200);
        assert_int_equal(totals.movable_bytes, 200);
        assert_int_equal(online_zone(&table, 2, 400, 3, &totals), ZONE_MOVABLE); /* 600:200 */
        assert_int_equal(online_zone(&table, 3, 200, 3, &totals), ZONE_NORMAL);  /* 800:200 would be too much */
        assert_int_equal(totals.other_bytes, 400);
        assert_int_equal(online_zone(&table, 4, 200, 3, &totals), ZONE_MOVABLE); /* 800:400 */
        assert_int_equal(online_zone(&table, 1, 1 << 20, 3, &totals), ZONE_MOVABLE); /* the device's other part */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                CASE(nothing_without_a_rule),
                CASE(announced_device_comes_online_at_once),
                CASE(what_was_not_announced_stays),
                CASE(those_that_are_online_are_left_alone),
                cmocka_unit_test(zone_follows_the_ratio),
        };

        return cmocka_run_group_tests_name("onlining", tests, NULL, NULL);
}
