/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The balloon's leader against a driver and a queue that do as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake-queue.h"
#include "source/balloon.h"
#include "util/cleanup.h"

#define BLOCK (128 * MIB)

/* The driver: gives back surplus pages at once, as the real one does. */
static struct {
        struct memunplug_balloon_state state;
        int state_error, give_error;
        uint64_t addresses[32];
        uint32_t n;
        uint64_t pages_for;
        unsigned n_pages, n_pieces;
        uint32_t pieces_shortage; /* what there is of it when pieces were asked for */
        uint64_t range_start, range_bytes; /* of the held pages these are there */
        unsigned n_releases;
        uint64_t floor;
        unsigned n_floors;
} driver;

static int fake_state(int fd, struct memunplug_balloon_state *ret) {
        eventfd_t value;

        (void) eventfd_read(fd, &value);
        *ret = driver.state;
        return driver.state_error;
}

static int fake_give(int fd, uint64_t start, uint64_t size) {
        if (driver.give_error < 0)
                return driver.give_error;
        driver.addresses[driver.n++] = start;
        driver.state.held += size;
        driver.state.blocks += size;
        return 0;
}

static int fake_blocks(int fd, uint64_t *addresses, uint32_t max, uint32_t *ret_n) {
        *ret_n = driver.n;
        memcpy(addresses, driver.addresses, (max < driver.n ? max : driver.n) * sizeof(*addresses));
        return 0;
}

static int fake_pages(int fd, uint64_t sequence, bool pieces) {
        if (sequence != driver.state.sequence)
                return -ESTALE;
        driver.state.shortage = pieces ? driver.pieces_shortage : MEMUNPLUG_BALLOON_SHORT_NONE;
        if (pieces) {
                driver.n_pieces++;
                return 0;
        }
        driver.pages_for = sequence;
        driver.n_pages++;
        return 0;
}

static int fake_release(int fd, uint64_t start, uint64_t size, uint64_t *bytes) {
        uint64_t held = driver.state.held - driver.state.blocks, got = 0;

        driver.n_releases++;
        if (size > 0 && start <= driver.range_start && driver.range_start < start + size) {
                got = driver.range_bytes;
                driver.range_bytes = 0;
        }
        got += *bytes < held - got ? *bytes : held - got;
        driver.state.held -= got;
        *bytes = got;
        return 0;
}

static int fake_floor(int fd, uint64_t bytes) {
        driver.floor = bytes;
        driver.n_floors++;
        return 0;
}

static const BalloonDevice fake_device = {
        .state = fake_state, .give = fake_give, .blocks = fake_blocks, .pages = fake_pages,
        .release = fake_release, .floor = fake_floor,
};

typedef struct Fixture {
        sd_event *event;
        Queue queue;
        BalloonSource *source;
        int fd;
        unsigned n_changes;
} Fixture;

static void on_change(void *userdata) {
        ((Fixture *) userdata)->n_changes++;
}

static void run(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void want(Fixture *f, uint64_t target) {
        driver.state.target = target;
        driver.state.sequence++;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        memset(&driver, 0, sizeof(driver));
        driver.pieces_shortage = MEMUNPLUG_BALLOON_SHORT_MEMORY;
        fake_queue_init(&f->queue);
        f->queue.policy.keep_free_bytes = UINT64_MAX;
        driver.state.needs = 5; /* before there was a leader */
        f->queue.submit_state = JOB_QUEUED;
        assert_return_code(sd_event_new(&f->event), 0);
        f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_return_code(balloon_source_new(&f->source, f->event, &f->queue, &fake_device, f->fd,
                                              on_change, f), 0);
        run(f);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        f->source = balloon_source_free(f->source);
        assert_int_equal(f->queue.n_slots, 0);
        fake_queue_clear(&f->queue);
        (void) sd_event_unref(f->event);
        free(f);
        return 0;
}

static Job *last_job(Fixture *f) {
        return &f->queue.jobs[f->queue.n_jobs - 1];
}

/* The job under way took these blocks, and ends. */
static void end_job(Fixture *f, JobState how, uint32_t first, uint32_t n, const char *reason) {
        Job *job = last_job(f);

        for (uint32_t block = first; block < first + n; block++)
                fake_queue_tell(&f->queue, QUEUE_BLOCK_CHANGED, job, block);
        job->state = how;
        job->removed_bytes = n * BLOCK;
        if (reason)
                job->reason = strdup(reason);
        fake_queue_tell(&f->queue, QUEUE_JOB_ENDED, job, 0);
        run(f);
}

static void test_take_and_return(void **state) {
        Fixture *f = *state;

        want(f, 2 * BLOCK + 5 * MIB);
        assert_int_equal(f->queue.n_submitted, 1);
        assert_int_equal(f->queue.demand.kind, DEMAND_UNPLUG);
        assert_int_equal(f->queue.demand.source, SOURCE_BALLOON);
        assert_int_equal(f->queue.demand.size_bytes, 2 * BLOCK);
        assert_int_equal(f->queue.demand.most_used_bytes, BLOCK / 32);
        assert_true(f->queue.demand.allow_partial);
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(driver.n, 2);
        assert_int_equal(driver.addresses[1], 33 * BLOCK);
        assert_int_equal(driver.pages_for, driver.state.sequence); /* the rest */
        assert_int_equal(driver.n_pages, 1);
        driver.state.held += 5 * MIB;

        want(f, BLOCK);
        driver.state.held = 2 * BLOCK; /* pages went by themselves */
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.kind, DEMAND_REPLUG);
        assert_int_equal(f->queue.demand.n_blocks, 1);
        assert_int_equal(f->queue.demand.blocks[0], 32);
        driver.state.held = driver.state.blocks = BLOCK; /* it was brought online */
        end_job(f, JOB_DONE, 32, 1, NULL);
        assert_int_equal(driver.n, 2); /* nothing was given */
        assert_int_equal(f->queue.n_submitted, 2);
        assert_null(balloon_source_reason(f->source));
}

static void test_refused(void **state) {
        Fixture *f = *state;

        f->queue.submit_cause = CAUSE_NOTHING_REMOVABLE;
        f->queue.submit_reason = "nothing can go";
        want(f, 4 * BLOCK);
        assert_int_equal(f->queue.n_submitted, 2); /* each way once for each target */
        assert_int_equal(f->queue.demand.most_used_bytes, 0);
        assert_int_equal(driver.n_pieces, 1);
        assert_int_equal(driver.n_pages, 1);
        driver.state.held = BLOCK;
        driver.state.shortage = MEMUNPLUG_BALLOON_SHORT_FLOOR;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(driver.n_pages, 1);
        assert_string_equal(balloon_source_reason(f->source),
                            "the hypervisor wants 512 MiB and has 128 MiB: more would leave less than must "
                            "stay available; by blocks: nothing can go");
        want(f, 3 * BLOCK);
        assert_int_equal(f->queue.n_submitted, 4);
        assert_int_equal(driver.n_pages, 2);
}

static void test_partial(void **state) {
        Fixture *f = *state;

        want(f, 4 * BLOCK);
        end_job(f, JOB_PARTIAL, 40, 1, "there are no more");
        assert_int_equal(driver.n_pieces, 1);
        assert_int_equal(driver.n_pages, 0);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.size_bytes, 3 * BLOCK);
        end_job(f, JOB_PARTIAL, 41, 1, "pages are pinned");
        assert_int_equal(driver.n, 2);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(driver.n_pages, 1);
        assert_non_null(strstr(balloon_source_reason(f->source), "by blocks: pages are pinned"));
}

/* While a job runs targets come and go: what counts is the last one, when it has ended. */
static void test_coalesced(void **state) {
        Fixture *f = *state;

        want(f, 2 * BLOCK);
        for (unsigned i = 0; i < 100; i++)
                want(f, (i % 7 + 1) * BLOCK);
        want(f, 3 * BLOCK);
        assert_int_equal(f->queue.n_submitted, 1);
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.size_bytes, BLOCK);
}

/* The host has changed its mind when the blocks are there: they come back. */
static void test_not_wanted(void **state) {
        Fixture *f = *state;

        want(f, 2 * BLOCK);
        driver.state.target = 0;
        driver.state.sequence++;
        driver.give_error = -ENOSPC;
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.kind, DEMAND_REPLUG);
        assert_int_equal(f->queue.demand.n_blocks, 2);
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(f->queue.n_submitted, 2);
}

static void test_device_goes(void **state) {
        Fixture *f = *state;

        assert_true(balloon_source_active(f->source));
        driver.state_error = -ENODEV;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
        assert_false(balloon_source_active(f->source));
        assert_non_null(strstr(balloon_source_reason(f->source), "no balloon device"));
        driver.state_error = 0;
        driver.state.sequence = 0;
        want(f, BLOCK);
        assert_true(balloon_source_active(f->source));
        assert_int_equal(f->queue.n_submitted, 1);
        assert_true(f->n_changes > 2);
}

/* A DIMM of two blocks, 32 and 33, is to leave: as the fake queue has it. */
static const PlanStep steps[] = { { .block = 33 }, { .block = 32 } };
static const Plan dimm = { .outcome = PLAN_NO_ROOM, .steps = (PlanStep *) steps, .n_steps = 2,
                           .block_size = BLOCK, .device = "PNP0C80:00" };

static LendResult lend(Fixture *f, uint64_t bytes) {
        return f->queue.lender->lend(&dimm, bytes, f->queue.lender->userdata);
}

static uint64_t can_lend(Fixture *f) {
        return f->queue.lender->can_lend(&dimm, f->queue.lender->userdata);
}

/* Somebody else takes memory, and is done. */
static Job *begin_other(Fixture *f) {
        Job *job = fake_queue_add_job(&f->queue, JOB_QUEUED);

        fake_queue_tell(&f->queue, QUEUE_JOB_NEW, job, 0);
        run(f);
        return job;
}

static void end_other(Fixture *f, Job *job) {
        job->state = JOB_DONE;
        fake_queue_tell(&f->queue, QUEUE_JOB_ENDED, job, 0);
        run(f);
}

static void test_lent_blocks(void **state) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        Fixture *f = *state;
        uint32_t n;

        want(f, 2 * BLOCK);
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(f->queue.lender->lent_blocks(&blocks, &n, f->queue.lender->userdata), 0);
        assert_int_equal(n, 2);
        assert_int_equal(blocks[0], 32);
        assert_int_equal(blocks[1], 33);
}

static void test_yields(void **state) {
        Fixture *f = *state;
        Job *other = begin_other(f);

        assert_int_equal(driver.n_releases, 1); /* the driver holds still */
        want(f, 2 * BLOCK + 5 * MIB);
        assert_int_equal(f->queue.n_submitted, 0);
        assert_int_equal(driver.n_pages, 0);
        assert_string_equal(balloon_source_reason(f->source),
                            "the hypervisor wants 261 MiB and has 0 MiB: it waits until what others asked for "
                            "is done");
        end_other(f, other);
        assert_int_equal(driver.n_releases, 2);
        assert_int_equal(f->queue.n_submitted, 1);
        end_job(f, JOB_DONE, 34, 2, NULL);
        assert_int_equal(driver.n_pages, 1);
}

/* One that waits for an operator, brings memory back, or is the balloon's own is nobody to wait for. */
static void test_yields_to_takers_only(void **state) {
        Fixture *f = *state;
        Job *other = fake_queue_add_job(&f->queue, JOB_QUEUED);

        other->unconfirmed = true;
        fake_queue_tell(&f->queue, QUEUE_JOB_NEW, other, 0);
        other = fake_queue_add_job(&f->queue, JOB_RESTORING);
        other->kind = DEMAND_REPLUG;
        fake_queue_tell(&f->queue, QUEUE_JOB_NEW, other, 0);
        want(f, 2 * BLOCK);
        assert_int_equal(f->queue.n_submitted, 1);
        assert_int_equal(driver.n_releases, 0);
}

static void test_lends_pages_first(void **state) {
        Fixture *f = *state;
        Job *other;

        driver.pieces_shortage = MEMUNPLUG_BALLOON_SHORT_NONE;
        want(f, 4 * BLOCK);
        end_job(f, JOB_PARTIAL, 34, 1, "no more");
        driver.state.held += 100 * MIB; /* it is at the pieces */
        driver.range_start = 33 * BLOCK + 7 * MIB;
        driver.range_bytes = 30 * MIB;
        other = begin_other(f);
        assert_int_equal(can_lend(f), BLOCK + 100 * MIB);
        assert_int_equal(lend(f, 12 * MIB), LEND_NOW);
        assert_int_equal(driver.range_bytes, 0);
        assert_int_equal(driver.state.held, BLOCK + 50 * MIB); /* and a little more than was asked for */
        assert_int_equal(lend(f, 90 * MIB), LEND_NOW);
        assert_int_equal(driver.state.held, BLOCK);
        assert_int_equal(f->queue.n_submitted, 1);

        assert_int_equal(lend(f, 10 * MIB), LEND_LATER); /* now it is a block's turn */
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.kind, DEMAND_REPLUG);
        assert_int_equal(f->queue.demand.blocks[0], 34);
        assert_int_equal(lend(f, 10 * MIB), LEND_LATER);
        assert_int_equal(f->queue.n_submitted, 2);
        driver.n = 0;
        driver.state.held = driver.state.blocks = 0;
        assert_int_equal(lend(f, 10 * MIB), LEND_LATER); /* the driver has it no more, its job goes on */
        end_job(f, JOB_DONE, 34, 1, NULL);
        assert_int_equal(lend(f, 10 * MIB), LEND_NOTHING);
        assert_int_equal(can_lend(f), 0);

        end_other(f, other); /* what the hypervisor wants is due again */
        assert_int_equal(f->queue.n_submitted, 3);
        assert_int_equal(f->queue.demand.kind, DEMAND_UNPLUG);
        assert_int_equal(f->queue.demand.size_bytes, 4 * BLOCK);
}

/* Blocks of the device that is to leave are no help; nor are those that do not come back. */
static void test_lends_other_blocks(void **state) {
        Fixture *f = *state;

        want(f, 2 * BLOCK);
        end_job(f, JOB_DONE, 33, 2, NULL);
        (void) begin_other(f);
        assert_int_equal(can_lend(f), BLOCK);
        assert_int_equal(lend(f, 3 * BLOCK), LEND_LATER);
        assert_int_equal(f->queue.demand.n_blocks, 1);
        assert_int_equal(f->queue.demand.blocks[0], 34);
        end_job(f, JOB_FAILED, 34, 0, "it does not go online");
        assert_int_equal(can_lend(f), 0);
        assert_int_equal(lend(f, BLOCK), LEND_NOTHING);
        assert_int_equal(f->queue.n_submitted, 2);
}

/* A process was about to be killed, and there are next to no pages to give back: a block comes, one each time. */
static void test_need(void **state) {
        Fixture *f = *state;

        driver.state.flags = MEMUNPLUG_BALLOON_DEFLATE_ON_OOM;
        want(f, 3 * BLOCK + 5 * MIB);
        assert_int_equal(f->queue.demand.size_bytes, 2 * BLOCK);
        end_job(f, JOB_DONE, 32, 2, NULL);
        assert_int_equal(driver.n_pages, 1);
        driver.state.held = driver.state.target - 16 * MIB;
        driver.state.shortage = MEMUNPLUG_BALLOON_SHORT_NEED;
        driver.state.needs++;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(f->queue.demand.kind, DEMAND_REPLUG);
        assert_int_equal(f->queue.demand.n_blocks, 1);
        driver.n = 0;
        driver.state.held -= BLOCK;
        driver.state.blocks -= BLOCK;
        end_job(f, JOB_DONE, 32, 1, NULL);
        want(f, 5 * BLOCK); /* nothing is taken as long as that is so */
        assert_int_equal(f->queue.n_submitted, 2);
        assert_int_equal(driver.n_pages, 1);
        driver.state.shortage = MEMUNPLUG_BALLOON_SHORT_NONE;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
        assert_int_equal(f->queue.n_submitted, 3);
        assert_int_equal(f->queue.demand.kind, DEMAND_UNPLUG);
        end_job(f, JOB_FAILED, 33, 0, "no");
        end_other(f, begin_other(f)); /* what has been seen to has been seen to */
        assert_int_equal(f->queue.demand.kind, DEMAND_UNPLUG);
}

/* A need that the queue refuses is seen to when a job has ended, and then once. */
static void test_need_refused(void **state) {
        Fixture *f = *state;

        driver.state.flags = MEMUNPLUG_BALLOON_DEFLATE_ON_OOM;
        want(f, 2 * BLOCK);
        end_job(f, JOB_DONE, 32, 1, NULL);
        driver.state.shortage = MEMUNPLUG_BALLOON_SHORT_NEED;
        driver.state.needs++;
        f->queue.submit_cause = CAUSE_BUSY;
        assert_return_code(eventfd_write(f->fd, 1), 0);
        run(f);
        assert_int_equal(f->queue.n_submitted, 2);
        f->queue.submit_cause = CAUSE_NONE;
        end_other(f, begin_other(f));
        assert_int_equal(f->queue.n_submitted, 3);
        assert_int_equal(f->queue.demand.kind, DEMAND_REPLUG);
        end_job(f, JOB_FAILED, 32, 0, "no");
        end_other(f, begin_other(f));
        assert_int_equal(f->queue.n_submitted, 3);
}

static void test_floor(void **state) {
        Fixture *f = *state;

        assert_int_equal(driver.n_floors, 1); /* one that led before may have told another */
        assert_int_equal(driver.floor, 0);
        f->queue.policy.keep_free_bytes = 77 * MIB;
        balloon_source_policy_changed(f->source);
        run(f);
        assert_int_equal(driver.floor, 77 * MIB);
        want(f, BLOCK);
        assert_int_equal(driver.n_floors, 2);
        driver.state_error = -ENODEV; /* another device does not know */
        want(f, 0);
        driver.state_error = 0;
        want(f, 0);
        assert_int_equal(driver.n_floors, 3);
}

static void test_led_by_another(void **state) {
        BalloonSource *source = NULL;
        Fixture *f = *state;
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

        driver.state_error = -EBUSY;
        assert_int_equal(balloon_source_new(&source, f->event, &f->queue, &fake_device, fd, NULL, NULL),
                         -EBUSY);
        assert_null(source);
        assert_int_equal(close(fd), -1); /* taken over, and closed */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_take_and_return, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_partial, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_coalesced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_not_wanted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_device_goes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lent_blocks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_yields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_yields_to_takers_only, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lends_pages_first, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lends_other_blocks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_need, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_need_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_floor, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_led_by_another, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
