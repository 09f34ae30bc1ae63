/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations from start to end, with real worker processes on a made-up machine. A FIFO in place of a
 * state file is a write that does not return; a kill that does nothing makes a worker stuck. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"

static const EngineBlock three[] = { { 42, ZONE_MOVABLE }, { 41, ZONE_MOVABLE }, { 40, ZONE_MOVABLE } };

static void expect_block(const EngineEvent *event, uint32_t block, StepResult result, int error) {
        assert_int_equal(event->type, ENGINE_EVENT_BLOCK);
        assert_int_equal(event->block, block);
        assert_int_equal(event->result, result);
        assert_int_equal(event->error, error);
}

static void start_evacuate(Machine *m) {
        assert_int_equal(engine_evacuate(m->engine, three, 3, FAKE_BLOCK_SIZE, /* keep_cache= */ false,
                                         machine_event, m, &m->op), 0);
        assert_int_equal(m->n_events, 0);
}

static void expect_left_keeping(Machine *m, StepResult result, uint64_t left) {
        assert_int_equal(engine_evacuate(m->engine, three, 3, FAKE_BLOCK_SIZE, /* keep_cache= */ true,
                                         machine_event, m, &m->op), 0);
        machine_expect_end(m, result, 0);
        assert_int_equal(m->events[m->n_events - 1].bytes_left, left);
        machine_next(m);
}

/* What is kept is left; an older module is not asked for what it would refuse. */
static void test_evacuate_keeping(void **state) {
        Machine *m = *state;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->movable[40] = fake_module->movable[42] = 8192;
        fake_module->cache[42] = 4096;
        expect_left_keeping(m, STEP_LEFT, 4096);
        start_evacuate(m);
        machine_expect_end(m, STEP_OK, 0);
        machine_next(m);
        fake_module->movable[40] = fake_module->cache[40] = 4096;
        fake_module->info.features &= ~MEMUNPLUG_FEATURE_KEEP_CACHE;
        expect_left_keeping(m, STEP_OK, 0);
}

static void test_evacuate(void **state) {
        Machine *m = *state;
        const EngineEvent *end;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->movable[41] = 8192;
        start_evacuate(m);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(m->events[m->n_events - 1].bytes_left, 0);
        assert_int_equal(fake_module->n_evacuate, 1);
        machine_next(m);
        fake_module->pinned[41] = 4096;
        start_evacuate(m);
        end = machine_run(m);
        assert_int_equal(end->result, STEP_LEFT);
        assert_int_equal(end->error, 0);
        assert_int_equal(end->bytes_left, 4096);
}

static void test_evacuate_fails(void **state) {
        Machine *m = *state;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->evacuate_error = -EBUSY;
        start_evacuate(m);
        machine_expect_end(m, STEP_BUSY, -EBUSY);
        machine_next(m);
        fake_module->evacuate_error = -ENXIO;
        start_evacuate(m);
        machine_expect_end(m, STEP_REFUSED, -ENXIO);
        machine_next(m);
        fake_module->evacuate_error = -ENOMEM;
        fake_module->survey_error = -EIO; /* no progress then, and nobody knows what is left */
        start_evacuate(m);
        machine_expect_end(m, STEP_NO_MEMORY, -ENOMEM);
        assert_int_equal(m->n_events, 1);
        assert_true(m->events[0].bytes_left == BLOCK_USAGE_UNKNOWN);
        machine_next(m);
        assert_int_equal(engine_evacuate(m->engine, three, 3, 12345, /* keep_cache= */ false, machine_event, m,
                                         &m->op), -EINVAL);
        assert_null(m->op);
}

static void test_evacuate_not_possible(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        start_evacuate(m);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(m->n_events, 1);
        assert_true(m->events[0].bytes_left == BLOCK_USAGE_UNKNOWN);
        machine_next(m);
        start_evacuate(m);
        engine_op_cancel(m->op, ENGINE_PATIENCE_USEC);
        machine_expect_end(m, STEP_KILLED, 0);
        machine_next(m);
        start_evacuate(m); /* freed before it ends: nothing is called */
        machine_next(m);
        (void) sd_event_run(m->event, 0);
        assert_int_equal(m->n_events, 0);
}

static void test_selftest_at_first_use(void **state) {
        Machine *m = *state;

        fake_module->info.selftest = MEMUNPLUG_SELFTEST_PENDING;
        fake_module->info.features &= ~MEMUNPLUG_FEATURE_EVACUATE;
        fake_module->fail_selftest = true;
        machine_make(m, "/dev/memunplug", NULL);
        assert_true(engine_can_evacuate(m->engine));
        assert_null(engine_reason(m->engine));
        start_evacuate(m);
        machine_expect_end(m, STEP_OK, 0);
        assert_false(engine_can_evacuate(m->engine));
        assert_non_null(strstr(engine_reason(m->engine), "self-test failed"));
        assert_int_equal(engine_kind(m->engine), ENGINE_KMOD);
        machine_next(m);
        start_evacuate(m);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(fake_module->n_evacuate, 1);
}

static void test_progress_and_cancel(void **state) {
        Machine *m = *state;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->hang = true;
        fake_module->movable[40] = 3 << 20;
        m->cancel_at = 2;
        start_evacuate(m);
        while (m->n_events < 1)
                machine_turn(m);
        assert_int_equal(m->events[0].type, ENGINE_EVENT_PROGRESS);
        assert_int_equal(m->events[0].bytes_left, 3 << 20);
        fake_module->movable[40] = 1 << 20; /* told once it has changed */
        machine_expect_end(m, STEP_KILLED, 0);
        assert_int_equal(m->n_events, 3);
        assert_int_equal(m->events[1].bytes_left, 1 << 20);
        assert_int_equal(m->events[2].bytes_left, 1 << 20);
        engine_op_cancel(m->op, ENGINE_PATIENCE_USEC); /* too late: no more events */
        (void) sd_event_run(m->event, 0);
}

static void test_freed_in_an_event(void **state) {
        Machine *m = *state;
        size_t n;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->hang = true;
        fake_module->movable[40] = 3 << 20;
        m->free_at = 1;
        start_evacuate(m);
        while (m->op)
                machine_turn(m);
        /* the worker holds its blocks until it has ended */
        assert_ptr_equal(engine_stuck_blocks(m->engine, &n), engine_stuck_blocks(m->engine, &n));
        assert_int_equal(n, 3);
        while (n > 0) {
                machine_turn(m);
                (void) engine_stuck_blocks(m->engine, &n);
        }
        assert_int_equal(m->n_events, 1);
}

static void set_states(Machine *m, const char *state) {
        for (size_t i = 0; i < 3; i++)
                fake_block(m->root_fd, three[i].block, state);
}

static void test_offline(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        set_states(m, "online\n");
        m->free_at = 4; /* as its owners do */
        assert_int_equal(engine_offline(m->engine, three, 3, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(m->n_events, 4);
        assert_null(m->op);
        for (size_t i = 0; i < 3; i++) {
                expect_block(&m->events[i], three[i].block, STEP_OK, 0);
                assert_true(fake_block_is(m->root_fd, three[i].block, "offline"));
        }
        machine_next(m);
        assert_int_equal(engine_offline(m->engine, three, 0, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(m->n_events, 1);
}

static void test_offline_stops(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        fake_block(m->root_fd, 42, "online\n");
        fake_link(m->root_fd, "sys/devices/system/memory/memory41/state", "/dev/full");
        fake_block(m->root_fd, 40, "online\n");
        assert_int_equal(engine_offline(m->engine, three, 3, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_FAILED, -ENOSPC);
        assert_int_equal(m->n_events, 3);
        expect_block(&m->events[0], 42, STEP_OK, 0);
        expect_block(&m->events[1], 41, STEP_FAILED, -ENOSPC);
        assert_true(fake_block_is(m->root_fd, 40, "online\n"));
}

static void test_online_goes_on(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        fake_block(m->root_fd, 42, "offline\n");
        fake_block(m->root_fd, 40, "offline\n");
        assert_int_equal(engine_online(m->engine, three, 3, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_REFUSED, -ENOENT);
        assert_int_equal(m->n_events, 4);
        expect_block(&m->events[1], 41, STEP_REFUSED, -ENOENT);
        expect_block(&m->events[2], 40, STEP_OK, 0);
        assert_true(fake_block_is(m->root_fd, 40, "online_movable"));
}

static void make_fifo(Machine *m, uint32_t block) {
        char path[PATH_MAX];

        fake_block(m->root_fd, block, "");
        (void) snprintf(path, sizeof(path), "sys/devices/system/memory/memory%u/state", block);
        assert_int_equal(unlinkat(m->root_fd, path, 0), 0);
        assert_int_equal(mkfifoat(m->root_fd, path, 0644), 0);
}

static void test_offline_cancelled(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        set_states(m, "online\n");
        fake_remove_block(m->root_fd, 41);
        make_fifo(m, 41);
        m->cancel_at = 1;
        assert_int_equal(engine_offline(m->engine, three, 3, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_KILLED, 0);
        assert_int_equal(m->n_events, 2);
        expect_block(&m->events[0], 42, STEP_OK, 0);
        assert_true(fake_block_is(m->root_fd, 40, "online\n"));
}

static int kill_nothing(int pidfd) {
        return 0;
}

/* Somebody reads the FIFO at last, after a plain file with the result has taken its place. */
static void release_fifo(Machine *m, uint32_t block) {
        char path[PATH_MAX], aside[PATH_MAX];
        int fd;

        (void) snprintf(path, sizeof(path), "sys/devices/system/memory/memory%u/state", block);
        (void) snprintf(aside, sizeof(aside), "sys/fifo%u", block);
        assert_int_equal(renameat(m->root_fd, path, m->root_fd, aside), 0);
        fake_block(m->root_fd, block, "offline\n");
        fd = openat(m->root_fd, aside, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        for (size_t n = 1; n > 0;) {
                machine_turn(m);
                (void) engine_stuck_blocks(m->engine, &n);
        }
        (void) close(fd);
}

static void test_offline_stuck(void **state) {
        Machine *m = *state;
        const uint32_t *stuck;
        size_t n;

        machine_make(m, NULL, kill_nothing);
        set_states(m, "online\n");
        fake_remove_block(m->root_fd, 41);
        make_fifo(m, 41);
        m->cancel_at = 1;
        m->free_at = 2;
        assert_int_equal(engine_offline(m->engine, three, 2, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_STUCK, 0);
        assert_int_equal(m->n_events, 2);
        assert_null(m->op);
        /* 42 was done; 41 is held, until the worker has come back */
        stuck = engine_stuck_blocks(m->engine, &n);
        assert_int_equal(n, 1);
        assert_int_equal(stuck[0], 41);
        /* other work goes on meanwhile */
        machine_next(m);
        assert_int_equal(engine_offline(m->engine, three + 2, 1, machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_OK, 0);
        release_fifo(m, 41);
}

static void test_evacuate_stuck(void **state) {
        Machine *m = *state;
        const uint32_t *stuck;
        size_t n;

        machine_make(m, "/dev/memunplug", kill_nothing);
        fake_module->hang = true;
        start_evacuate(m);
        while (m->n_events < 1) /* its first sample */
                machine_turn(m);
        engine_op_cancel(m->op, ENGINE_PATIENCE_USEC);
        machine_expect_end(m, STEP_STUCK, 0);
        stuck = engine_stuck_blocks(m->engine, &n);
        assert_int_equal(n, 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(stuck[i], 40 + i);
        m->op = engine_op_free(m->op);
        m->engine = engine_free(m->engine); /* its last kill is the real one, and is not waited for */
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void test_worker_is_killed_by_somebody(void **state) {
        Machine *m = *state;
        siginfo_t info = {};
        char path[64], line[256] = "";
        int fd;

        machine_make(m, NULL, NULL);
        make_fifo(m, 42);
        assert_int_equal(engine_offline(m->engine, three, 1, machine_event, m, &m->op), 0);
        /* its process is the only child there is */
        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) { /* a kernel without that file */
                engine_op_cancel(m->op, ENGINE_PATIENCE_USEC);
                machine_expect_end(m, STEP_KILLED, 0);
                skip();
        }
        assert_true(read(fd, line, sizeof(line) - 1) > 0);
        (void) close(fd);
        assert_int_equal(kill((pid_t) strtol(line, NULL, 10), SIGKILL), 0);
        assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
        machine_expect_end(m, STEP_FAILED, -EOWNERDEAD);
        assert_int_equal(m->n_events, 1);
}

/* The platform of this test: takes the device's memory away when it is asked to. */
static _Noreturn void be_platform(Machine *m, int watch) {
        char buffer[4096];

        if (read(watch, buffer, sizeof(buffer)) <= 0)
                _exit(EXIT_FAILURE);
        fake_remove_block(m->root_fd, 40);
        fake_remove_block(m->root_fd, 41);
        fake_write(m->root_fd, "sys/bus/acpi/devices/PNP0C80:01/status", "0\n");
        _exit(EXIT_SUCCESS);
}

static void test_eject(void **state) {
        Machine *m = *state;
        char path[PATH_MAX];
        int watch, status;
        pid_t platform;

        machine_make(m, "/dev/memunplug", NULL);
        fake_device(m->root_fd, "PNP0C80:01", 40, 41);
        watch = inotify_init1(IN_CLOEXEC);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d/sys/bus/acpi/devices/PNP0C80:01/eject",
                        m->root_fd);
        assert_true(watch >= 0 && inotify_add_watch(watch, path, IN_CLOSE_WRITE) >= 0);
        platform = fork();
        assert_true(platform >= 0);
        if (platform == 0)
                be_platform(m, watch);
        assert_int_equal(engine_eject(m->engine, "PNP0C80:01", machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_OK, 0);
        assert_int_equal(m->n_events, 1);
        assert_int_equal(fake_module->n_release, 1);
        assert_int_equal(waitpid(platform, &status, 0), platform);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
        (void) close(watch);
}

static void test_eject_fails(void **state) {
        Machine *m = *state;

        machine_make(m, NULL, NULL);
        assert_int_equal(engine_eject(m->engine, "../PNP0C80:01", machine_event, m, &m->op), -EINVAL);
        assert_int_equal(engine_eject(m->engine, "PNP0C80:01", machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_REFUSED, -ENOENT);
        machine_next(m);
        fake_device(m->root_fd, "PNP0C80:01", 40, 41);
        fake_block(m->root_fd, 40, "online\n");
        assert_int_equal(engine_eject(m->engine, "PNP0C80:01", machine_event, m, &m->op), 0);
        machine_expect_end(m, STEP_BUSY, -EBUSY);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, machine_setup, machine_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_evacuate),
                TEST(test_evacuate_keeping),
                TEST(test_evacuate_fails),
                TEST(test_evacuate_not_possible),
                TEST(test_selftest_at_first_use),
                TEST(test_progress_and_cancel),
                TEST(test_freed_in_an_event),
                TEST(test_offline),
                TEST(test_offline_stops),
                TEST(test_online_goes_on),
                TEST(test_offline_cancelled),
                TEST(test_offline_stuck),
                TEST(test_evacuate_stuck),
                TEST(test_worker_is_killed_by_somebody),
                TEST(test_eject),
                TEST(test_eject_fails),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
