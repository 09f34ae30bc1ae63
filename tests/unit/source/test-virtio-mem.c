/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device that has more than is requested, from the first look to the end, with an engine that does as told.
 * The pauses are real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake-engine.h"
#include "source/virtio-mem.h"
#include "tree.h"
#include "util/clock.h"

#define DEVICE "PNP0C80:01"
#define FIRST (TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS)
#define SECOND UINT64_C(1000000)

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Queue *queue;
        VirtioMemSource *source;
} World;

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        fake_machine_begin(&world->tree, &world->event, &world->engine);
        world->engine.target = DEVICE;
        world->engine.requested_bytes = world->engine.plugged_bytes = TREE_DIMM_BLOCKS * TREE_BLOCK_SIZE;
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine,
                                   /* journal= */ NULL, &(QueuePolicy) { .deadline_usec = 60000000 }), 0);
        assert_int_equal(virtio_mem_source_new(&world->source, world->event, &world->engine, world->queue,
                                               /* owners_socket= */ NULL), 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        (void) virtio_mem_source_free(world->source);
        (void) queue_free(world->queue);
        fake_machine_end(&world->tree, world->event);
        free(world);
        return 0;
}

static void run_for(World *world, uint64_t usec) {
        uint64_t end = clock_now_usec(CLOCK_MONOTONIC) + usec, now;

        while ((now = clock_now_usec(CLOCK_MONOTONIC)) < end)
                assert_true(sd_event_run(world->event, end - now) >= 0);
}

/* Until it is so: how long that took. */
static uint64_t run_until(World *world, bool (*is)(const World *), uint64_t limit) {
        uint64_t began = clock_now_usec(CLOCK_MONOTONIC);

        while (!is(world)) {
                assert_true(clock_now_usec(CLOCK_MONOTONIC) - began < limit);
                assert_true(sd_event_run(world->event, 50000) >= 0);
        }
        return clock_now_usec(CLOCK_MONOTONIC) - began;
}

static bool has_note(const World *world, const char *part) {
        char *note = virtio_mem_source_note(world->source, DEVICE);
        bool has = note && strstr(note, part);

        free(note);
        return has;
}

static void set_pinned(World *world, uint64_t bytes) {
        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++)
                world->engine.pinned_bytes[FIRST + i] = bytes;
}

static bool is_explained(const World *world) {
        return has_note(world, "requested 0B, plugged 512M for 0s, because 4 of 4 blocks");
}

static bool is_told(const World *world) {
        return world->engine.n_retries > 0;
}

static bool is_offline(const World *world) {
        return !tree_is_online(&world->tree, FIRST);
}

static bool is_back(const World *world) {
        return tree_is_online(&world->tree, FIRST) && tree_is_online(&world->tree, FIRST + 3);
}

static void explained_told_emptied_and_back(void **state) {
        World *world = *state;
        const Job *job;
        uint64_t began;
        bool late;

        run_for(world, SECOND / 2);
        assert_null(virtio_mem_source_note(world->source, DEVICE)); /* all is as requested */

        set_pinned(world, 8192); /* more than are listed: no piece is known to be clear */
        world->engine.requested_bytes = 0;
        virtio_mem_source_notified(world->source);
        (void) run_until(world, is_explained, SECOND);
        began = clock_now_usec(CLOCK_MONOTONIC);
        run_for(world, 9 * SECOND / 4); /* the fourth look is over, the next is two seconds later */
        late = clock_now_usec(CLOCK_MONOTONIC) - began > 11 * SECOND / 4;
        assert_int_equal(world->engine.n_retries, 0); /* that would be of no use */
        assert_int_equal(queue_n_jobs(world->queue), 0);

        set_pinned(world, 0);
        (void) run_until(world, is_told, 10 * SECOND);
        assert_true(late || world->engine.n_let_go == 1); /* noticed by that, not by a look at all */
        assert_int_equal(queue_n_jobs(world->queue), 0);

        (void) run_until(world, is_offline, 20 * SECOND); /* the driver did not get on */
        job = queue_job_at(world->queue, 0);
        assert_int_equal(job->source, SOURCE_VIRTIO_MEM);
        assert_string_equal(job->caller, DEVICE);
        run_for(world, SECOND / 2);
        assert_int_equal(job->state, JOB_DONE);
        assert_int_equal(world->engine.n_retries, 2);

        world->engine.requested_bytes = world->engine.plugged_bytes; /* the hypervisor has thought again */
        virtio_mem_source_notified(world->source);
        (void) run_until(world, is_back, 10 * SECOND);
        assert_null(virtio_mem_source_note(world->source, DEVICE));
        job = queue_job_at(world->queue, 1);
        assert_int_equal(job->source, SOURCE_VIRTIO_MEM);
        assert_int_equal(job->kind, DEMAND_REPLUG);
}

static void nothing_without_the_module(void **state) {
        World *world = *state;
        VirtioMemSource *source;

        world->engine.kind = ENGINE_SYSFS;
        assert_int_equal(virtio_mem_source_new(&source, world->event, &world->engine, world->queue, NULL),
                         -EOPNOTSUPP);
        virtio_mem_source_blocks_changed(world->source); /* nothing is unmet: no look */
        assert_null(virtio_mem_source_note(world->source, DEVICE));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(explained_told_emptied_and_back, set_up, tear_down),
                cmocka_unit_test_setup_teardown(nothing_without_the_module, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
