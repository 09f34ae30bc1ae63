/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of workers, run in this process: what they write, send and wait for is taken in by wrappers,
 * so that the kernel's answers and the time are the test's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/sysfs.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "fake.h"

#define FAR_TOO_MANY 2000

typedef struct World {
        int root_fd;
        Kmod *kmod;
        uint64_t usec;              /* the time */
        WorkerRecord records[16];
        size_t n_records;
        int write_errors[64];       /* by block: what the kernel says */
        bool lies;                  /* writes succeed and do nothing */
        uint64_t gone_at;           /* an ejected device is gone then; 0: never */
        size_t pauses, pauses_max;  /* the parent goes away after so many; 0: it stays */
        char written[256];          /* "path=text" of the last write */
        int n_writes;
        bool no_threads;
} World;

static World world;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_sysfs_write(int root_fd, const char *path, const char *text);
void __wrap_worker_send(int channel, const WorkerRecord *record);
bool __wrap_worker_pause(int channel, uint64_t usec);
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *userdata);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *), void *userdata);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*body)(void *),
                          void *userdata) {
        return world.no_threads ? EAGAIN : __real_pthread_create(ret, attributes, body, userdata);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
        *ret = (struct timespec) {
                .tv_sec = (time_t) (world.usec / 1000000),
                .tv_nsec = (long) (world.usec % 1000000) * 1000,
        };
        return 0;
}

int __wrap_sysfs_write(int root_fd, const char *path, const char *text) {
        unsigned block;

        world.n_writes++;
        (void) snprintf(world.written, sizeof(world.written), "%s=%s", path, text);
        if (sscanf(path, "sys/devices/system/memory/memory%u/state", &block) != 1)
                return faccessat(root_fd, path, F_OK, 0) < 0 ? -errno : 0;
        if (block < 64 && world.write_errors[block] < 0)
                return world.write_errors[block];
        if (!world.lies)
                fake_block(root_fd, block, strncmp(text, "online", 6) == 0 ? "online\n" : "offline\n");
        return 0;
}

void __wrap_worker_send(int channel, const WorkerRecord *record) {
        assert_true(world.n_records < 16);
        world.records[world.n_records++] = *record;
}

bool __wrap_worker_pause(int channel, uint64_t usec) {
        world.usec += usec;
        world.pauses++;
        assert_true(world.pauses < FAR_TOO_MANY);
        if (world.gone_at > 0 && world.usec >= world.gone_at) {
                world.gone_at = 0;
                fake_remove_block(world.root_fd, 40);
                fake_remove_block(world.root_fd, 41);
                fake_write(world.root_fd, "sys/bus/acpi/devices/PNP0C80:01/status", "0\n");
        }
        return world.pauses != world.pauses_max;
}

static int setup(void **state) {
        fake_module_reset();
        world = (World) { .root_fd = fake_root_new(), .usec = 1 };
        return kmod_new(&world.kmod, "x", &fake_ops);
}

static int teardown(void **state) {
        world.kmod = kmod_free(world.kmod);
        fake_root_free(world.root_fd);
        return 0;
}

static Task make(const EngineBlock *blocks, size_t n) {
        Task task = { .root_fd = world.root_fd, .kmod = world.kmod, .block_size = FAKE_BLOCK_SIZE };

        task.blocks = calloc(n, sizeof(*blocks));
        assert_non_null(task.blocks);
        memcpy(task.blocks, blocks, n * sizeof(*blocks));
        task.n_blocks = n;
        assert_int_equal(range_make(blocks, n, FAKE_BLOCK_SIZE, &task.ranges, &task.n_ranges), 0);
        return task;
}

static const EngineBlock three[] = { { 42, ZONE_MOVABLE }, { 41, ZONE_MOVABLE }, { 40, ZONE_MOVABLE } };

static void test_evacuate_one_range(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t left = 1;

        fake_module->movable[40] = fake_module->movable[42] = 1 << 20;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(fake_module->n_evacuate, 1);
        assert_int_equal(fake_module->starts[0], 40 * FAKE_BLOCK_SIZE);
        assert_int_equal(fake_module->sizes[0], 3 * FAKE_BLOCK_SIZE);
        assert_int_equal(fake_module->n_survey, 0);
}

static void test_evacuate_leaves(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t left = 0;

        fake_module->pinned[41] = 8192;
        fake_module->offline[42] = 1 << 20; /* out of use already */
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 8192);
        fake_module->survey_error = -EIO; /* then the module's own count stands */
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 8192 + (1 << 20));
}

static void test_evacuate_two_nodes(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t left = 1;

        fake_module->node[42] = 1;
        fake_module->movable[40] = fake_module->movable[41] = fake_module->movable[42] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        /* 3 blocks; upper 2; upper 1 of them; the lower of them; lowest */
        assert_int_equal(fake_module->n_evacuate, 5);
        assert_int_equal(fake_module->starts[2], 42 * FAKE_BLOCK_SIZE);
        assert_int_equal(fake_module->starts[3], 41 * FAKE_BLOCK_SIZE);
        assert_int_equal(fake_module->starts[4], 40 * FAKE_BLOCK_SIZE);
}

static void test_evacuate_single_block_is_refused(void **state) {
        CLEANUP(task_clear) Task task = make(three, 1);
        uint64_t left = 1;

        fake_module->evacuate_error = -EXDEV;
        fake_module->movable[42] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), -EXDEV);
        assert_int_equal(left, 4096);
        assert_int_equal(fake_module->n_evacuate, 1);
}

static const EngineBlock gaps[] = { { 50, ZONE_MOVABLE }, { 40, ZONE_MOVABLE }, { 45, ZONE_MOVABLE } };

/* Each of the calls so far was for one of the gaps' blocks, so often. */
static void expect_calls(uint32_t block, size_t times) {
        size_t n = 0;

        for (size_t i = 0; i < fake_module->n_evacuate; i++)
                n += fake_module->starts[i] == block * FAKE_BLOCK_SIZE;
        assert_int_equal(n, times);
}

static void test_evacuate_all_at_once(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        fake_module->together = 3; /* none returns before all are under way */
        fake_module->movable[40] = fake_module->movable[45] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(fake_module->n_evacuate, 3);
        for (size_t i = 0; i < 3; i++)
                expect_calls(gaps[i].block, 1);
}

static void test_evacuate_without_threads(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        world.no_threads = true;
        fake_module->movable[40] = fake_module->movable[45] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(fake_module->n_evacuate, 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(fake_module->starts[i], (50 - 5 * i) * FAKE_BLOCK_SIZE);
}

static void test_evacuate_many_ranges(void **state) {
        EngineBlock many[FAKE_BLOCKS / 2 - 1];
        CLEANUP(task_clear) Task task = {};
        uint64_t left = 1;

        for (uint32_t i = 0; i < FAKE_BLOCKS / 2 - 1; i++) {
                many[i] = (EngineBlock) { 2 * i + 1, ZONE_MOVABLE };
                fake_module->movable[2 * i + 1] = 4096;
        }
        task = make(many, FAKE_BLOCKS / 2 - 1);
        assert_int_equal(task.n_ranges, FAKE_BLOCKS / 2 - 1);
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(fake_module->n_evacuate, task.n_ranges);
        for (uint32_t i = 0; i < FAKE_BLOCKS / 2 - 1; i++)
                expect_calls(2 * i + 1, 1);
}

static void test_evacuate_again_what_came_back(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        fake_module->comes_back = 50; /* emptied before the others were */
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(fake_module->n_evacuate, 6);
        for (size_t i = 0; i < 3; i++)
                expect_calls(gaps[i].block, 2);
}

static void test_evacuate_stops_when_it_does_not_help(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        fake_module->pinned[45] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 4096);
        assert_int_equal(fake_module->n_evacuate, 6); /* the second round showed that */
}

static void test_evacuate_rounds_are_bounded(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        fake_module->movable[45] = 100 * 4096;
        fake_module->step = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), 0);
        assert_int_equal(left, 97 * 4096);
        assert_int_equal(fake_module->n_evacuate, 9);
}

static void test_evacuate_fails(void **state) {
        CLEANUP(task_clear) Task task = make(gaps, 3);
        uint64_t left = 1;

        fake_module->evacuate_error = -EBUSY;
        fake_module->movable[40] = 4096;
        assert_int_equal(task_evacuate(-1, &task, &left), -EBUSY);
        assert_int_equal(left, 4096);
        fake_module->survey_error = -EIO;
        assert_int_equal(task_evacuate(-1, &task, &left), -EBUSY);
        assert_true(left == BLOCK_USAGE_UNKNOWN);
        fake_module->n_evacuate = 0;
        fake_module->evacuate_error = -EINTR;
        assert_int_equal(task_evacuate(-1, &task, &left), -EINTR);
        assert_in_range(fake_module->n_evacuate, 1, 3); /* one for each thread, and no other round */
}

static void test_sample(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t unused = 0;

        world.pauses_max = 3;
        fake_module->movable[41] = 12288;
        assert_int_equal(task_sample(-1, &task, &unused), 0);
        assert_int_equal(world.n_records, 3);
        assert_int_equal(world.records[0].type, WORKER_RECORD_PROGRESS);
        assert_int_equal(world.records[0].bytes, 12288);
        assert_int_equal(world.usec, 1 + 3 * 250000); /* at most four times a second */
        fake_module->survey_error = -EIO;
        assert_int_equal(task_sample(-1, &task, &unused), -EIO);
}

static void set_states(const char *state) {
        for (size_t i = 0; i < 3; i++)
                fake_block(world.root_fd, three[i].block, state);
}

static void expect_block(size_t at, uint32_t block, int error) {
        assert_true(at < world.n_records);
        assert_int_equal(world.records[at].type, WORKER_RECORD_BLOCK);
        assert_int_equal(world.records[at].block, block);
        assert_int_equal(world.records[at].error, error);
}

static void test_offline(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t unused = 0;

        set_states("online\n");
        assert_int_equal(task_offline(-1, &task, &unused), 0);
        assert_int_equal(world.n_records, 3);
        for (size_t i = 0; i < 3; i++)
                expect_block(i, three[i].block, 0);
        assert_string_equal(world.written, "sys/devices/system/memory/memory40/state=offline");
}

static void test_offline_stops(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t unused = 0;

        set_states("online\n");
        world.write_errors[41] = -EBUSY;
        assert_int_equal(task_offline(-1, &task, &unused), -EBUSY);
        assert_int_equal(world.n_records, 2);
        expect_block(1, 41, -EBUSY);
        assert_true(fake_block_is(world.root_fd, 40, "online\n"));
}

static void test_offline_already(void **state) {
        CLEANUP(task_clear) Task task = make(three, 3);
        uint64_t unused = 0;

        set_states("offline\n");
        world.write_errors[40] = world.write_errors[41] = world.write_errors[42] = -EINVAL;
        assert_int_equal(task_offline(-1, &task, &unused), 0);
        fake_block(world.root_fd, 41, "online\n"); /* then it means holes, or several zones */
        world.n_records = 0;
        assert_int_equal(task_offline(-1, &task, &unused), -EINVAL);
        expect_block(0, 42, 0);
        expect_block(1, 41, -EINVAL);
}

static void test_offline_is_verified(void **state) {
        CLEANUP(task_clear) Task task = make(three, 1);
        uint64_t unused = 0;

        world.lies = true;
        fake_block(world.root_fd, 42, "online\n");
        assert_int_equal(task_offline(-1, &task, &unused), -EIO);
        fake_block(world.root_fd, 42, "something else entirely, and longer than a state\n");
        assert_int_equal(task_offline(-1, &task, &unused), -EBADMSG);
        fake_remove_block(world.root_fd, 42); /* ejected by somebody meanwhile */
        assert_int_equal(task_offline(-1, &task, &unused), 0);
}

static void test_online(void **state) {
        const EngineBlock blocks[] = { { 40, ZONE_MOVABLE }, { 41, ZONE_NORMAL }, { 42, ZONE_MOVABLE } };
        CLEANUP(task_clear) Task task = make(blocks, 3);
        uint64_t unused = 0;

        set_states("offline\n");
        world.write_errors[40] = -ENOMEM;
        world.write_errors[41] = -EBUSY;
        assert_int_equal(task_online(-1, &task, &unused), -ENOMEM);
        assert_int_equal(world.n_records, 3);
        expect_block(1, 41, -EBUSY);
        expect_block(2, 42, 0);
        assert_string_equal(world.written, "sys/devices/system/memory/memory42/state=online_movable");
        task.n_blocks = 2;
        world.write_errors[40] = world.write_errors[41] = 0;
        assert_int_equal(task_online(-1, &task, &unused), 0);
        assert_string_equal(world.written, "sys/devices/system/memory/memory41/state=online_kernel");
        world.write_errors[40] = world.write_errors[41] = -EINVAL; /* online already */
        assert_int_equal(task_online(-1, &task, &unused), 0);
}

static const EngineBlock of_device[] = { { 40, ZONE_NONE }, { 41, ZONE_NONE } };

static Task make_eject(void) {
        Task task = make(of_device, 2);

        strcpy(task.device, "PNP0C80:01");
        fake_device(world.root_fd, "PNP0C80:01", 40, 41);
        return task;
}

static void test_eject(void **state) {
        CLEANUP(task_clear) Task task = make_eject();
        uint64_t unused = 0;

        world.gone_at = 700000;
        assert_int_equal(task_eject(-1, &task, &unused), 0);
        assert_string_equal(world.written, "sys/bus/acpi/devices/PNP0C80:01/eject=1");
        assert_int_equal(fake_module->n_release, 1);
        assert_int_equal(fake_module->n_gate, 0);
        assert_true(world.usec < 1000000);
}

static void test_eject_without_module(void **state) {
        CLEANUP(task_clear) Task task = make_eject();
        uint64_t unused = 0;

        task.kmod = NULL;
        world.gone_at = 700000;
        assert_int_equal(task_eject(-1, &task, &unused), 0);
        assert_int_equal(fake_module->n_release, 0);
}

static void test_eject_is_lost(void **state) {
        CLEANUP(task_clear) Task task = make_eject();
        uint64_t unused = 0;

        assert_int_equal(task_eject(-1, &task, &unused), -ETIMEDOUT);
        assert_true(world.usec > 10000000 && world.usec < 10500000);
        assert_true(world.pauses < 100);
        assert_int_equal(fake_module->n_gate, 1); /* back into the gate */
        /* not in the gate: nothing to bring back */
        fake_module->release_error = -EPERM;
        assert_int_equal(task_eject(-1, &task, &unused), -ETIMEDOUT);
        assert_int_equal(fake_module->n_gate, 1);
}

static void test_eject_needs_all_offline(void **state) {
        CLEANUP(task_clear) Task task = make_eject();
        uint64_t unused = 0;

        fake_block(world.root_fd, 41, "online\n");
        assert_int_equal(task_eject(-1, &task, &unused), -EBUSY);
        assert_int_equal(fake_module->n_release, 0);
        assert_int_equal(world.n_writes, 0);
}

static void test_eject_fails(void **state) {
        CLEANUP(task_clear) Task task = make_eject();
        uint64_t unused = 0;

        fake_module->release_error = -EIO;
        assert_int_equal(task_eject(-1, &task, &unused), -EIO);
        assert_int_equal(world.n_writes, 0);
        fake_module->release_error = 0;
        strcpy(task.device, "PNP0C80:77");
        assert_int_equal(task_eject(-1, &task, &unused), -ENOENT);
        assert_int_equal(fake_module->n_gate, 1);
        strcpy(task.device, "PNP0C80:01");
        world.pauses = 0;
        world.pauses_max = 2; /* the daemon goes away */
        assert_int_equal(task_eject(-1, &task, &unused), -ECANCELED);
}

static void test_device_names(void **state) {
        static const char *const bad[] = {
                "", ".", "..", ".hidden", "a/b", "../memory", "a b", "a\nb", "\xc3\xa4", "a%s",
        };
        static const char *const good[] = { "PNP0C80:00", "ACPI0012:00", "a.b_c-d" };
        char lengthy[DEVICE_NAME_SIZE + 1];
        uint32_t *blocks = NULL;
        size_t n = 0;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_false(sysfs_device_name_is_valid(bad[i]));
                assert_int_equal(sysfs_device_eject(world.root_fd, bad[i]), -EINVAL);
                assert_int_equal(sysfs_device_is_gone(world.root_fd, bad[i]), -EINVAL);
                assert_int_equal(sysfs_device_blocks(world.root_fd, bad[i], &blocks, &n), -EINVAL);
        }
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_true(sysfs_device_name_is_valid(good[i]));
        memset(lengthy, 'x', DEVICE_NAME_SIZE);
        lengthy[DEVICE_NAME_SIZE] = 0;
        assert_false(sysfs_device_name_is_valid(lengthy));
        assert_true(sysfs_device_name_is_valid(lengthy + 1));
        assert_int_equal(world.n_writes, 0);
}

static void test_device_blocks(void **state) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        const char *folder = "sys/bus/acpi/devices/PNP0C80:02/";
        uint64_t sum = 0;
        char path[128];
        size_t n = 0;

        fake_device(world.root_fd, "PNP0C80:02", 10, 50);
        (void) snprintf(path, sizeof(path), "%sphysical_node77", folder);
        fake_link(world.root_fd, path, "../../pnp0/00:01");
        (void) snprintf(path, sizeof(path), "%sphysical_node78", folder);
        fake_link(world.root_fd, path, "../memory99999999999999");
        (void) snprintf(path, sizeof(path), "%sother", folder);
        fake_link(world.root_fd, path, "../memory5");
        (void) snprintf(path, sizeof(path), "%sphysical_node79", folder);
        fake_write(world.root_fd, path, "no link");
        assert_int_equal(sysfs_device_blocks(world.root_fd, "PNP0C80:02", &blocks, &n), 0);
        assert_int_equal(n, 41);
        for (size_t i = 0; i < n; i++)
                sum += blocks[i];
        assert_int_equal(sum, 41 * 30);
        assert_int_equal(sysfs_device_blocks(world.root_fd, "PNP0C80:03", &blocks, &n), -ENOENT);
}

static void test_device_is_gone(void **state) {
        const char *status = "sys/bus/acpi/devices/PNP0C80:02/status";

        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), 1);
        fake_write(world.root_fd, status, "15\n");
        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), 0);
        fake_write(world.root_fd, status, "1\n");
        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), 0);
        fake_write(world.root_fd, status, "8\n"); /* functional, but neither present nor enabled */
        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), 1);
        fake_write(world.root_fd, status, "0\n");
        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), 1);
        fake_write(world.root_fd, status, "none\n");
        assert_int_equal(sysfs_device_is_gone(world.root_fd, "PNP0C80:02"), -EBADMSG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_evacuate_one_range),
                TEST(test_evacuate_leaves),
                TEST(test_evacuate_two_nodes),
                TEST(test_evacuate_single_block_is_refused),
                TEST(test_evacuate_all_at_once),
                TEST(test_evacuate_without_threads),
                TEST(test_evacuate_many_ranges),
                TEST(test_evacuate_again_what_came_back),
                TEST(test_evacuate_stops_when_it_does_not_help),
                TEST(test_evacuate_rounds_are_bounded),
                TEST(test_evacuate_fails),
                TEST(test_sample),
                TEST(test_offline),
                TEST(test_offline_stops),
                TEST(test_offline_already),
                TEST(test_offline_is_verified),
                TEST(test_online),
                TEST(test_eject),
                TEST(test_eject_without_module),
                TEST(test_eject_is_lost),
                TEST(test_eject_needs_all_offline),
                TEST(test_eject_fails),
                TEST(test_device_names),
                TEST(test_device_blocks),
                TEST(test_device_is_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
