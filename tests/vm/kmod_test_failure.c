/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each call with each of its allocations, and copies from and to user space, failing in
 * turn: the kernel's fail-nth makes the n-th of this task fail, until a call gets through
 * without. It says ENOMEM or EFAULT, or does what it can; the next one finds nothing locked,
 * claimed or isolated. Only a kernel with fault injection can do this, the debug kernel.
 * MEMUNPLUG_FAILURE_STEP: behind the first ones of a call, one in so many (default each).
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/memunplug_balloon.h>

#include "kmod_test.h"
#include "pages.h"

#define POINTS_MAX 20000
#define FIRST_POINTS 16                         /* are all tried; what comes then are repetitions mostly */
#define MOVED_PAGES 16                          /* that an evacuation finds at least */
#define LIST 4096

typedef struct Bench {
        const Machine *machine;
        int fd, balloon;                        /* of the device, without waiting; of the balloon's, or -1 */
        Failure failure;
        bool met;                               /* the failure that was asked for last has come */
        char *pages;                            /* MOVED_PAGES */
        uint64_t moved;                         /* where they are */
        struct memunplug_page *list;
} Bench;

typedef struct Trial {
        const char *name;
        int (*run)(Bench *bench);
        int normal[2];                          /* what it says when nothing fails, either */
        bool (*prepare)(Bench *bench);          /* before each, or NULL */
} Trial;

static int run_open(Bench *b) {
        int fd = open(DEVICE, O_RDWR|O_CLOEXEC);

        (void) b;
        return fd < 0 ? -errno : close(fd);
}

static int run_info(Bench *b) {
        struct memunplug_info info;

        return call(b->fd, MEMUNPLUG_IOC_GET_INFO, &info);
}

static int run_survey(Bench *b) {
        struct memunplug_survey s = {
                .start = 0, .size = b->machine->pageblock * 8, .pages = (uint64_t) (uintptr_t) b->list, .max_pages = LIST,
        };

        return call(b->fd, MEMUNPLUG_IOC_SURVEY, &s);
}

static bool prepare_evacuate(Bench *b) {
        return CHECK(page_physical(b->pages, &b->moved) == 0);
}

/* Its pages move to another pageblock each time. Whatever fails, they keep what is in them. */
static int evacuate_own(Bench *b, uint32_t flags) {
        uint64_t mask = b->machine->pageblock - 1;
        struct memunplug_evacuate e = { .start = b->moved & ~mask, .size = mask + 1, .flags = flags };
        int r = call(b->fd, MEMUNPLUG_IOC_EVACUATE, &e);

        for (size_t i = 0; i < MOVED_PAGES; i++)
                if (*(uint64_t *) (b->pages + i * PAGE_BYTES) != mix64(i))
                        return -EILSEQ;
        return r;
}

static int run_evacuate(Bench *b) {
        return evacuate_own(b, 0);
}

static int run_evacuate_keep(Bench *b) {
        return evacuate_own(b, MEMUNPLUG_EVACUATE_KEEP_CACHE);
}

static int gate_set(Bench *b, uint32_t hold) {
        struct memunplug_gate gate = { .hold = hold };

        return call(b->fd, MEMUNPLUG_IOC_GATE, &gate);
}

static int run_gate(Bench *b) {
        int r = gate_set(b, 1);

        return r < 0 ? r : gate_set(b, 0);
}

/* What is tried is the call of who has the gate, not how he got it. */
static bool prepare_gate(Bench *b) {
        return CHECK(gate_set(b, 1) == 0);
}

static int run_release(Bench *b) {
        struct memunplug_release release = { .name = "PNP0C80:00" };

        return call(b->fd, MEMUNPLUG_IOC_RELEASE, &release);
}

static int run_answer(Bench *b) {
        struct memunplug_answer answer = { .name = "PNP0C80:00", .status = MEMUNPLUG_OST_BUSY };

        return call(b->fd, MEMUNPLUG_IOC_ANSWER, &answer);
}

static int run_read(Bench *b) {
        struct pollfd p = { .fd = b->fd, .events = POLLIN };
        struct memunplug_event event;

        if (poll(&p, 1, 0) < 0)
                return -errno;
        return read(b->fd, &event, sizeof event) < 0 ? -errno : 0;
}

static int run_virtio_mem(Bench *b) {
        struct memunplug_virtio_mem v = { .flags = MEMUNPLUG_VIRTIO_MEM_RETRY };
        int r = -ENODEV;

        for (int i = 0; i < 8 && r == -ENODEV; i++) {
                snprintf(v.name, sizeof v.name, "virtio%d", i);
                r = call(b->fd, MEMUNPLUG_IOC_VIRTIO_MEM, &v);
        }
        return r;
}

static int run_balloon_open(Bench *b) {
        int fd = open(BALLOON, O_RDWR|O_CLOEXEC);

        (void) b;
        return fd < 0 ? -errno : close(fd);
}

static int run_balloon_blocks(Bench *b) {
        struct memunplug_balloon_blocks blocks = { .addresses = (uint64_t) (uintptr_t) b->list, .max = LIST };
        struct memunplug_balloon_state state;
        int r = call(b->balloon, MEMUNPLUG_BALLOON_IOC_STATE, &state);

        return r < 0 ? r : call(b->balloon, MEMUNPLUG_BALLOON_IOC_BLOCKS, &blocks);
}

static int run_balloon_pages(Bench *b) {
        struct memunplug_balloon_state state;
        struct memunplug_balloon_pages pages = {};
        struct memunplug_balloon_release release = { .bytes = PAGE_BYTES };
        int r = call(b->balloon, MEMUNPLUG_BALLOON_IOC_STATE, &state);

        if (r < 0)
                return r;
        pages.sequence = state.sequence;
        r = call(b->balloon, MEMUNPLUG_BALLOON_IOC_PAGES, &pages);
        return r < 0 ? r : call(b->balloon, MEMUNPLUG_BALLOON_IOC_RELEASE, &release);
}

static bool block_online(const Machine *m, bool online) {
        char path[BLOCK_PATH_MAX], text[32];

        block_path(m, m->end - 1, path);
        if (!CHECK(read_text(path, text, sizeof text)))
                return false;
        if ((strncmp(text, "online", 6) == 0) == online)
                return true;
        return CHECK(block_write(m, m->end - 1, online ? "online_movable" : "offline") == 0);
}

/* A block that the host can be given: it has the last one back, and then not. */
static bool prepare_give(Bench *b) {
        return block_online(b->machine, true) && block_online(b->machine, false);
}

static int run_balloon_give(Bench *b) {
        struct memunplug_balloon_range range = {
                .start = b->machine->end - b->machine->block, .size = b->machine->block,
        };

        return call(b->balloon, MEMUNPLUG_BALLOON_IOC_GIVE, &range);
}

static const Trial trials[] = {
        { "open", run_open, { 0, 0 }, NULL },
        { "GET_INFO", run_info, { 0, 0 }, NULL },
        { "SURVEY", run_survey, { 0, 0 }, NULL },
        { "EVACUATE", run_evacuate, { 0, 0 }, prepare_evacuate },
        { "EVACUATE with KEEP_CACHE", run_evacuate_keep, { 0, 0 }, prepare_evacuate },
        { "GATE", run_gate, { 0, -ENODEV }, NULL },
        { "RELEASE", run_release, { 0, 0 }, prepare_gate },
        { "ANSWER", run_answer, { -ENOENT, -ENOENT }, prepare_gate },
        { "read", run_read, { -EAGAIN, -EAGAIN }, prepare_gate },
        { "VIRTIO_MEM", run_virtio_mem, { 0, -ENODEV }, NULL },
        { "balloon open", run_balloon_open, { 0, 0 }, NULL },
        { "balloon STATE and BLOCKS", run_balloon_blocks, { 0, 0 }, NULL },
        { "balloon PAGES and RELEASE", run_balloon_pages, { 0, 0 }, NULL },
        { "balloon GIVE", run_balloon_give, { 0, 0 }, prepare_give },
};

static int trial_run(const Trial *trial, Bench *b, unsigned n) {
        int r;

        if ((trial->prepare && !trial->prepare(b)) || (n > 0 && !CHECK(failure_set(&b->failure, n))))
                return -EPROTO;
        r = trial->run(b);
        b->met = n > 0 && failure_met(&b->failure);
        return n > 0 && !CHECK(failure_set(&b->failure, 0)) ? -EPROTO : r;
}

static bool is_normal(const Trial *trial, int r) {
        return r == trial->normal[0] || r == trial->normal[1];
}

/* Every point of one call. After each, the same call without a failure: as if nothing had been. */
static bool try_points(Bench *b, const Trial *trial) {
        unsigned n = 0, tried = 0, refused = 0, step = (unsigned) setting("MEMUNPLUG_FAILURE_STEP", 1);

        if (!CHECK(is_normal(trial, trial_run(trial, b, 0))))
                return false;
        do {
                int r, after;
                bool met;

                n += n < FIRST_POINTS ? 1 : step;
                r = trial_run(trial, b, n);
                met = b->met;
                after = trial_run(trial, b, 0);
                if (!CHECK(is_normal(trial, r) || (met && (r == -ENOMEM || r == -EFAULT))) |
                    !CHECK(is_normal(trial, after))) {
                        note("%s, failure %u%s: %s, then %s", trial->name, n, met ? "" : " not met", strerror(-r),
                             strerror(-after));
                        return false;
                }
                refused += r != after;
                tried += met;
                b->met = met;
        } while (b->met && n < POINTS_MAX);
        note("%s: %u points, of nearly %u, %u times refused", trial->name, tried, n, refused);
        return CHECK(!b->met) & CHECK(isolated_blocks() == 0);
}

static bool bench_init(Bench *b, const Machine *m) {
        const int all = PROT_READ|PROT_WRITE, private = MAP_PRIVATE|MAP_ANONYMOUS;

        *b = (Bench) {
                .machine = m,
                .fd = open(DEVICE, O_RDWR|O_CLOEXEC|O_NONBLOCK),
                .balloon = open(BALLOON, O_RDWR|O_CLOEXEC),
                .pages = mmap(NULL, MOVED_PAGES * PAGE_BYTES, all, private, -1, 0),
                .list = calloc(LIST, sizeof *b->list),
        };
        if (b->fd < 0 || b->pages == MAP_FAILED || !b->list)
                return false;
        memset(b->list, 1, LIST * sizeof *b->list);
        for (size_t i = 0; i < MOVED_PAGES; i++)
                *(uint64_t *) (b->pages + i * PAGE_BYTES) = mix64(i);
        return true;
}

static bool test_failures(const Machine *m) {
        bool ok = true;
        Bench b;

        if (!bench_init(&b, m))
                return false;
        if (!failure_open(&b.failure)) {
                note("this kernel cannot let allocations fail");
                return true;
        }
        for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
                if (b.balloon >= 0 || strncmp(trials[i].name, "balloon", 7) != 0)
                        ok &= try_points(&b, &trials[i]);
        if (b.balloon >= 0)
                ok &= block_online(m, true);
        close(b.fd);
        return ok & nothing_left(m);
}

const Case failure_cases[] = {
        { "failure: every allocation and copy of each call fails in turn", test_failures },
        { NULL, NULL },
};
