/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The body of the worker that empties ranges. A range is closed to the kernel's allocator only while its
 * own call runs, and what is moved goes to wherever there is room: so all of them are emptied at once, by a
 * thread each, or the pages of one would go into another that has its turn later. Whoever schedules by
 * service, or by session, sees one that wants the processors, however many threads it has. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "engine/task.h"

#define ROUNDS_MAX 3U
#define THREADS_MAX 32U /* ranges beyond these wait until one is through */
#define THREAD_STACK_MIN UINT64_C(65536)

/* One thread, and what it did. */
typedef struct Hand {
        const Task *task;
        atomic_size_t *next; /* the range that nobody has taken yet */
        uint64_t left;
        int error;
} Hand;

static void add_left(uint64_t *sum, uint64_t bytes) {
        if (*sum == BLOCK_USAGE_UNKNOWN || bytes == BLOCK_USAGE_UNKNOWN)
                *sum = BLOCK_USAGE_UNKNOWN;
        else
                *sum += bytes;
}

/* An end of the process counts most, then what came first. */
static void add_error(int *error, int r) {
        if (r == -EINTR || *error == 0)
                *error = r;
}

/* Blocks that look like one range may still lie on two nodes; the module sees that before it touches
 * anything. Then each half is tried alone, the upper one first. */
static int evacuate_range(const Task *task, uint64_t start, uint64_t size, uint64_t *left) {
        uint64_t half = size / task->block_size / 2 * task->block_size, used = BLOCK_USAGE_UNKNOWN;
        struct memunplug_evacuate result = {};
        int r, q;

        r = kmod_evacuate(task->kmod, start, size, task->evacuate_flags, &result);
        if (r == -EINTR)
                return r;
        if (r == -EXDEV && half > 0) {
                r = evacuate_range(task, start + half, size - half, left);
                if (r == -EINTR)
                        return r;
                q = evacuate_range(task, start, half, left);
                return r < 0 && q != -EINTR ? r : q;
        }
        if (r == 0)
                used = result.used_after;
        if (used > 0) /* as the samples count: pages that are out of use already are not left over */
                (void) kmod_used(task->kmod, start, size, &used);
        add_left(left, used);
        return r;
}

/* Goes on after a failure, except when this process is being killed. */
static void *hand_run(void *userdata) {
        Hand *hand = userdata;
        const Task *task = hand->task;

        while (hand->error != -EINTR) {
                size_t i = atomic_fetch_add(hand->next, 1);

                if (i >= task->n_ranges)
                        break;
                add_error(&hand->error, evacuate_range(task, task->ranges[i].start, task->ranges[i].size,
                                                       &hand->left));
        }
        return NULL;
}

static size_t thread_stack(void) {
        long least = sysconf(_SC_THREAD_STACK_MIN);

        return least > (long) THREAD_STACK_MIN ? (size_t) least : (size_t) THREAD_STACK_MIN;
}

/* Without a thread that cannot be had, the others do its part. */
static size_t start_hands(pthread_t *threads, Hand *hands, size_t n) {
        pthread_attr_t attributes;
        size_t i;

        if (pthread_attr_init(&attributes) != 0)
                return 0;
        (void) pthread_attr_setstacksize(&attributes, thread_stack());
        for (i = 0; i < n; i++)
                if (pthread_create(&threads[i], &attributes, hand_run, &hands[i]) != 0)
                        break;
        (void) pthread_attr_destroy(&attributes);
        return i;
}

static int evacuate_all(const Task *task, uint64_t *ret_left) {
        size_t n = task->n_ranges < THREADS_MAX ? task->n_ranges : THREADS_MAX, n_started;
        pthread_t threads[THREADS_MAX];
        Hand hands[THREADS_MAX];
        atomic_size_t next = 0;
        uint64_t left = 0;
        int error = 0;

        assert(n > 0);
        for (size_t i = 0; i < n; i++)
                hands[i] = (Hand) { .task = task, .next = &next };
        n_started = n > 1 ? start_hands(threads, hands + 1, n - 1) : 0;
        (void) hand_run(&hands[0]);
        for (size_t i = 0; i < n_started; i++)
                (void) pthread_join(threads[i], NULL);
        for (size_t i = 0; i < n; i++) {
                add_left(&left, hands[i].left);
                add_error(&error, hands[i].error);
        }
        *ret_left = left;
        return error;
}

/* An emptied range is ordinary free memory, and pages of a range that is emptied longer may still go
 * there. With several ranges what is left is counted anew at the end, and another round made as long as
 * that helps. An empty range costs nothing. */
int task_evacuate(int channel, const void *userdata, uint64_t *ret_bytes) {
        uint64_t left = BLOCK_USAGE_UNKNOWN, before = BLOCK_USAGE_UNKNOWN;
        const Task *task = userdata;
        int r = 0;

        for (unsigned round = 0; round < ROUNDS_MAX; round++) {
                r = evacuate_all(task, &left);
                if (r == -EINTR || task->n_ranges == 1 || task_used(task, &left) < 0)
                        break;
                if (left == 0 || left >= before)
                        break;
                before = left;
        }
        *ret_bytes = left;
        return r;
}
