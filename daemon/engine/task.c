/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of the worker processes, but for the one that empties ranges: task-evacuate.c. */
#include "engine/task.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine/sysfs.h"
#include "engine/worker.h"
#include "util/clock.h"

#define SAMPLE_USEC UINT64_C(250000)
#define SAMPLE_SHARE 20U /* a sample is followed by a pause at least so many times its own length */
#define EJECT_PAUSE_MIN_USEC UINT64_C(5000)
#define EJECT_PAUSE_MAX_USEC UINT64_C(200000)
#define EJECT_TIMEOUT_USEC UINT64_C(10000000)

void task_clear(Task *task) {
        free(task->blocks);
        free(task->ranges);
        *task = (Task) { .root_fd = -EBADF };
}

int task_used(const Task *task, uint64_t *ret) {
        uint64_t sum = 0, used;
        int r;

        for (size_t i = 0; i < task->n_ranges; i++) {
                r = kmod_used(task->kmod, task->ranges[i].start, task->ranges[i].size, &used);
                if (r < 0)
                        return r;
                sum += used;
        }
        *ret = sum;
        return 0;
}

int task_sample(int channel, const void *userdata, uint64_t *ret_bytes) {
        WorkerRecord record = { .type = WORKER_RECORD_PROGRESS };
        const Task *task = userdata;
        uint64_t began, pause;
        int r;

        do {
                began = clock_now_usec(CLOCK_MONOTONIC);
                r = task_used(task, &record.bytes);
                if (r < 0)
                        return r;
                worker_send(channel, &record);
                pause = SAMPLE_SHARE * (clock_now_usec(CLOCK_MONOTONIC) - began);
        } while (worker_pause(channel, pause > SAMPLE_USEC ? pause : SAMPLE_USEC));
        return 0;
}

static void send_block(int channel, uint32_t block, int error) {
        const WorkerRecord record = { .type = WORKER_RECORD_BLOCK, .block = block, .error = error };

        worker_send(channel, &record);
}

int task_offline(int channel, const void *userdata, uint64_t *ret_bytes) {
        const Task *task = userdata;
        int r;

        for (size_t i = 0; i < task->n_blocks; i++) {
                r = sysfs_block_offline(task->root_fd, task->blocks[i].block);
                send_block(channel, task->blocks[i].block, r);
                if (r < 0)
                        return r;
        }
        return 0;
}

int task_online(int channel, const void *userdata, uint64_t *ret_bytes) {
        const Task *task = userdata;
        int error = 0, r;

        for (size_t i = 0; i < task->n_blocks; i++) {
                r = sysfs_block_online(task->root_fd, task->blocks[i].block, task->blocks[i].zone);
                send_block(channel, task->blocks[i].block, r);
                if (r < 0 && error == 0)
                        error = r;
        }
        return error;
}

/* The kernel's eject path takes blocks that are still online offline by itself, in a kernel thread that
 * nobody can stop. */
static int check_all_offline(const Task *task) {
        for (size_t i = 0; i < task->n_blocks; i++) {
                BlockState state;
                int r;

                r = sysfs_block_state(task->root_fd, task->blocks[i].block, &state);
                if (r == -ENOENT || r == -ENODEV)
                        continue;
                if (r < 0)
                        return r;
                if (state != BLOCK_OFFLINE)
                        return -EBUSY;
        }
        return 0;
}

/* 1 the device and all its blocks are gone, 0 not yet. */
static int is_gone(const Task *task) {
        int r;

        for (size_t i = 0; i < task->n_blocks; i++) {
                BlockState state;

                r = sysfs_block_state(task->root_fd, task->blocks[i].block, &state);
                if (r != -ENOENT && r != -ENODEV)
                        return r < 0 ? r : 0;
        }
        return sysfs_device_is_gone(task->root_fd, task->device);
}

/* Nothing announces the end of an ACPI eject to user space: the removal of the blocks comes before the
 * firmware is asked, and the firmware may lose the request ("Eject incomplete"). So the device's status
 * is looked at again and again, with growing pauses, for a bounded time. */
static int wait_until_gone(int channel, const Task *task) {
        uint64_t pause = EJECT_PAUSE_MIN_USEC, end = clock_now_usec(CLOCK_MONOTONIC) + EJECT_TIMEOUT_USEC;
        int r;

        for (;;) {
                r = is_gone(task);
                if (r != 0)
                        return r < 0 ? r : 0;
                if (clock_now_usec(CLOCK_MONOTONIC) >= end)
                        return -ETIMEDOUT;
                if (!worker_pause(channel, pause))
                        return -ECANCELED;
                pause = pause * 2 < EJECT_PAUSE_MAX_USEC ? pause * 2 : EJECT_PAUSE_MAX_USEC;
        }
}

int task_eject(int channel, const void *userdata, uint64_t *ret_bytes) {
        const Task *task = userdata;
        int released, r;

        r = check_all_offline(task);
        if (r < 0)
                return r;
        released = task->kmod ? kmod_release(task->kmod, task->device) : 0;
        if (released < 0)
                return released;
        r = sysfs_device_eject(task->root_fd, task->device);
        if (r == 0)
                r = wait_until_gone(channel, task);
        /* Else the platform's next request would be tried blindly by the kernel. It also stops an eject
         * that is still queued, so that the answer stands. Nothing more can be done if it fails: the
         * eject's error is what counts. */
        if (r < 0 && released > 0)
                (void) kmod_take_back(task->kmod);
        return r;
}
