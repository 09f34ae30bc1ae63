/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EVACUATE on real pages: each is moved once and keeps its content; kill, pins and
 * rivals leave nothing behind.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attribute.h"
#include "kmod_test.h"
#include "pages.h"

#define PIPE_PAGES 16

/* A process that evacuates when told, forked before there are pages to inherit. */
typedef struct Rival {
        pid_t pid;
        int tell, hear;
} Rival;

typedef struct Order {
        uint64_t start, size;
} Order;

typedef struct Result {
        int error;
        struct memunplug_evacuate evacuate;
} Result;

static uint64_t kib(uint64_t bytes) {
        return bytes / 1024;
}

static void rival_main(int fd, int from, int to) {
        Order order;
        Result result;

        while (read(from, &order, sizeof order) == (ssize_t) sizeof order) {
                result.error = evacuate(fd, order.start, order.size, &result.evacuate);
                if (write(to, &result, sizeof result) != (ssize_t) sizeof result)
                        break;
        }
        _exit(0);
}

static bool rival_new(int fd, Rival *ret) {
        int down[2], up[2];

        if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
                return false;
        ret->pid = fork();
        if (ret->pid == 0) {
                close(down[1]);
                close(up[0]);
                rival_main(fd, down[0], up[1]);
        }
        close(down[0]);
        close(up[1]);
        ret->tell = down[1];
        ret->hear = up[0];
        return ret->pid > 0;
}

static bool rival_start(const Rival *rival, uint64_t start, uint64_t end) {
        Order order = { start, end - start };

        return write(rival->tell, &order, sizeof order) == (ssize_t) sizeof order;
}

static bool rival_result(const Rival *rival, Result *ret) {
        return read(rival->hear, ret, sizeof *ret) == (ssize_t) sizeof *ret;
}

static void rival_end(Rival *rival) {
        close(rival->tell);
        close(rival->hear);
        (void) waitpid(rival->pid, NULL, 0);
}

/* One page of so many of a range. */
typedef struct Pick {
        uint64_t start, end, one_in;
} Pick;

static bool is_picked(uint64_t physical, void *userdata) {
        const Pick *pick = userdata;

        return physical >= pick->start && physical < pick->end && mix64(physical) % pick->one_in == 0;
}

static void pages_fill(const Pages *pages) {
        for (size_t i = 0; i < pages->n; i++) {
                uint64_t *word = (uint64_t *) pages->item[i].address;

                for (size_t k = 0; k < PAGE_BYTES / sizeof *word; k++)
                        word[k] = mix64(i) + k;
        }
}

static size_t pages_bad(const Pages *pages) {
        size_t bad = 0;

        for (size_t i = 0; i < pages->n; i++) {
                const uint64_t *word = (const uint64_t *) pages->item[i].address;

                for (size_t k = 0; k < PAGE_BYTES / sizeof *word; k++)
                        if (word[k] != mix64(i) + k) {
                                bad++;
                                break;
                        }
        }
        return bad;
}

/* One page of so many in [start, end), with known content. All movable memory is filled for it. */
static bool pages_scatter(const Machine *m, uint64_t start, uint64_t one_in, Pages *ret) {
        Ranges ranges = { .item = { { m->start, m->end } }, .n = 1 };
        Pick pick = { start, m->end, one_in };
        int r = pages_capture(&ranges, 0, false, is_picked, &pick, ret);

        if (r < 0 || ret->n == 0) {
                note("no pages in the range: %s", strerror(-r));
                return false;
        }
        pages_fill(ret);
        return true;
}

static bool nothing_isolated(void) {
        long n = isolated_blocks();

        if (n != 0)
                note("%ld pageblocks are isolated", n);
        return n == 0;
}

/* Up to the stray pages that come in while we look. */
static bool nearly_empty(uint64_t used, uint64_t before) {
        if (used <= before / 200 + (1 << 20))
                return true;
        note("%"PRIu64" kB of %"PRIu64" kB are left", used / 1024, before / 1024);
        return false;
}

static bool test_scattered(const Machine *m) {
        uint64_t size = m->end - m->start, pages_before, t;
        struct memunplug_evacuate e;
        Pages pages;
        long moved;
        bool ok;
        int r;

        if (!pages_scatter(m, m->start, 4, &pages))
                return false;
        moved = vmstat("pgmigrate_success");
        t = now_usec();
        r = evacuate(m->fd, m->start, size, &e);
        t = now_usec() - t;
        moved = vmstat("pgmigrate_success") - moved;
        ok = CHECK(r == 0);
        pages_before = e.used_before / PAGE_BYTES;
        note("%"PRIu64" of %"PRIu64" pages in use, %ld migrations (%.3f each), %u passes, %"PRIu64" ms, left %"PRIu64" kB",
             pages_before, size / PAGE_BYTES, moved, (double) moved / (double) pages_before, e.passes, t / 1000,
             kib(e.used_after));
        ok &= CHECK(pages_before >= pages.n && pages_before < pages.n * 11 / 10);
        ok &= CHECK((double) moved <= 1.05 * (double) pages_before);
        ok &= CHECK(moved >= (long) pages.n);
        ok &= CHECK(nearly_empty(e.used_after, e.used_before));
        ok &= CHECK(e.used_after ? e.first_left >= m->start && e.first_left < m->end : e.first_left == NONE);
        ok &= CHECK(pages_bad(&pages) == 0);
        ok &= CHECK(nothing_isolated());
        return ok;
}

static bool test_empty(const Machine *m) {
        struct memunplug_evacuate e;
        bool ok = true;

        for (int i = 0; i < 3; i++) {           /* a stray page may take a call or two */
                ok = CHECK(evacuate(m->fd, m->end - m->block, m->block, &e) == 0);
                if (!ok || e.used_before == 0)
                        break;
        }
        if (ok && e.used_before == 0)
                ok = CHECK(e.used_after == 0 && e.passes == 0 && e.first_left == NONE);
        return ok;
}

static bool test_full(const Machine *m) {
        struct memunplug_evacuate e;
        struct memunplug_survey v;
        Pages pages;
        bool ok;

        /* All of the last block but what the kernel keeps back. */
        if (!pages_scatter(m, m->end - m->block, 1, &pages))
                return false;
        ok = CHECK(survey(m->fd, m->end - m->block, m->block, &v) == 0);
        note("free before: %"PRIu64" kB", kib(v.bytes[MEMUNPLUG_CLASS_FREE]));
        ok &= CHECK(evacuate(m->fd, m->end - m->block, m->block, &e) == 0);
        note("used %"PRIu64" kB, left %"PRIu64" kB, %u passes", kib(e.used_before), kib(e.used_after), e.passes);
        ok &= CHECK(e.used_before >= m->block / 2);
        ok &= CHECK(nearly_empty(e.used_after, e.used_before));
        ok &= CHECK(pages_bad(&pages) == 0);
        return ok & CHECK(nothing_isolated());
}

#define TRACE "/sys/kernel/tracing/"

/* The killed process cannot say what its call returned; the tracepoint can. */
static bool trace_begin(void) {
        return write_text(TRACE "events/memunplug/memunplug_evacuate_end/enable", "1") == 0 &&
               write_text(TRACE "trace_marker", "begin") == 0;
}

static bool trace_says_interrupted(void) {
        static char text[1 << 20];
        char *begin = NULL;

        (void) write_text(TRACE "events/memunplug/memunplug_evacuate_end/enable", "0");
        if (!read_text(TRACE "trace", text, sizeof text))
                return false;
        for (char *p = text; (p = strstr(p, "tracing_mark_write: begin")); p++)
                begin = p;
        return begin && strstr(begin, "memunplug_evacuate_end") && strstr(begin, "error=-4");
}

/* Kills the evacuating process once so many pages have moved: it must end soon, and leave all as it should be. */
static bool test_kill(const Machine *m) {
        long moved = vmstat("pgmigrate_success"), done = 0;
        struct memunplug_survey meanwhile;
        Pages pages = { 0 };
        uint64_t t = 0;
        Rival rival;
        bool ok, traced;
        int status = 0;

        if (!rival_new(m->fd, &rival) || !pages_scatter(m, m->start, 4, &pages))
                return false;
        traced = trace_begin();
        if (!traced)
                note("no tracefs here: the call's errno is not checked");
        moved = vmstat("pgmigrate_success");
        ok = CHECK(rival_start(&rival, m->start, m->end));
        for (uint64_t begin = now_usec(); ok && done < (long) pages.n / 20 && now_usec() - begin < 60000000;)
                done = vmstat("pgmigrate_success") - moved;
        /* The page that the module keeps for itself meanwhile is in nobody's way. */
        ok &= CHECK(survey(m->fd, m->start, m->end - m->start, &meanwhile) == 0);
        ok &= CHECK(meanwhile.bytes[MEMUNPLUG_CLASS_MOVABLE] > 0 && meanwhile.bytes[MEMUNPLUG_CLASS_KERNEL] == 0);
        t = now_usec();
        ok &= CHECK(kill(rival.pid, SIGKILL) == 0);
        ok &= CHECK(waitpid(rival.pid, &status, 0) == rival.pid && WIFSIGNALED(status));
        t = now_usec() - t;
        done = vmstat("pgmigrate_success") - moved;
        note("killed after %ld of %zu pages, ended %"PRIu64" ms later", done, pages.n, t / 1000);
        ok &= CHECK(!traced || trace_says_interrupted());
        ok &= CHECK(done < (long) pages.n * 9 / 10);
        ok &= CHECK(t < 5000000);
        ok &= CHECK(nothing_isolated());
        ok &= CHECK(pages_bad(&pages) == 0);
        close(rival.tell);
        close(rival.hear);
        return ok;
}

/* Two at once: disjoint halves both work, the same range is refused to the second. */
static bool test_two(const Machine *m) {
        uint64_t middle = m->start + (m->end - m->start) / 2 / m->block * m->block;
        struct memunplug_evacuate e;
        Result result = { 0 };
        Pages pages;
        Rival rival;
        uint64_t used;
        int busy = 0;
        bool ok;

        if (!rival_new(m->fd, &rival) || !pages_scatter(m, m->start, 8, &pages))
                return false;
        ok = CHECK(rival_start(&rival, m->start, m->end));
        for (struct pollfd p = { rival.hear, POLLIN, 0 }; ok && poll(&p, 1, 0) == 0;) {
                int r = evacuate(m->fd, m->end - m->block, m->block, &e);

                ok = CHECK(r == 0 || r == -EBUSY);
                busy += r == -EBUSY;
        }
        ok &= CHECK(rival_result(&rival, &result));
        ok &= CHECK(result.error == 0 || result.error == -EBUSY);
        note("refused %d times while the other was at it%s", busy, result.error ? ", after it was itself" : "");
        ok &= CHECK(busy > 0 || result.error == -EBUSY);        /* whoever was second */
        ok &= CHECK(pages_bad(&pages) == 0);

        if (!pages_scatter(m, m->start, 8, &pages))
                return false;
        ok &= CHECK(rival_start(&rival, m->start, middle));
        ok &= CHECK(evacuate(m->fd, middle, m->end - middle, &e) == 0);
        ok &= CHECK(rival_result(&rival, &result) && result.error == 0);
        used = e.used_before + result.evacuate.used_before;
        note("halves: %"PRIu64" kB, left %"PRIu64" kB", kib(used), kib(e.used_after + result.evacuate.used_after));
        ok &= CHECK(nearly_empty(e.used_after + result.evacuate.used_after, used));
        ok &= CHECK(pages_bad(&pages) == 0);
        ok &= CHECK(nothing_isolated());
        rival_end(&rival);
        return ok;
}

/* Takes some pages into pipes, where their content is held by reference. */
static size_t pages_pin(const Pages *pages, size_t n) {
        size_t pinned = 0;

        while (pinned < n && pinned < pages->n) {
                struct iovec iov[PIPE_PAGES];
                size_t some = n - pinned < PIPE_PAGES ? n - pinned : PIPE_PAGES;
                int fds[2];
                ssize_t r;

                for (size_t i = 0; i < some; i++)
                        iov[i] = (struct iovec) { pages->item[pinned + i].address, PAGE_BYTES };
                if (pipe2(fds, O_CLOEXEC|O_NONBLOCK) < 0)
                        break;
                r = vmsplice(fds[1], iov, some, SPLICE_F_NONBLOCK);
                if (r <= 0)
                        break;
                pinned += (size_t) r / PAGE_BYTES;
        }
        return pinned;
}

static bool listed_as_pinned(const Machine *m, uint64_t address, uint64_t end) {
        static struct memunplug_page list[16];
        struct memunplug_survey v = {
                .start = address, .size = m->pageblock, .pages = (uint64_t) (uintptr_t) list, .max_pages = 16,
        };
        bool ok;

        if (address + v.size > end)
                v.size = end - address;
        if (!CHECK(call(m->fd, MEMUNPLUG_IOC_SURVEY, &v) == 0) || !CHECK(v.n_pages > 0))
                return false;
        ok = CHECK(list[0].address == address && list[0].class == MEMUNPLUG_CLASS_PINNED);
        ok &= CHECK(list[0].flags & MEMUNPLUG_PAGE_ANON);
        ok &= CHECK(list[0].ref_count > list[0].expected_count && list[0].map_count == 1 && list[0].order == 0);
        note("pinned at 0x%"PRIx64": %d references, %d mappings, %d expected, flags 0x%x",
             (uint64_t) list[0].address, list[0].ref_count, list[0].map_count, list[0].expected_count, list[0].flags);
        return ok;
}

/*
 * Pages held by vmsplice stay, all others go, and the survey says what they are, before
 * and after. The end of this process unpins them.
 */
static bool test_pinned(const Machine *m) {
        const size_t wanted = 640;
        struct memunplug_evacuate e;
        struct memunplug_survey v;
        size_t pinned;
        Pages pages;
        bool ok;

        if (!pages_scatter(m, m->start, 8, &pages))
                return false;
        pinned = pages_pin(&pages, wanted);
        ok = CHECK(pinned == wanted);
        ok &= CHECK(survey(m->fd, m->start, m->end - m->start, &v) == 0);
        note("survey before: pinned %"PRIu64" kB, in the way %"PRIu64,
             kib(v.bytes[MEMUNPLUG_CLASS_PINNED]), (uint64_t) v.total_blockers);
        ok &= CHECK(v.bytes[MEMUNPLUG_CLASS_PINNED] >= wanted * PAGE_BYTES);
        ok &= CHECK(v.bytes[MEMUNPLUG_CLASS_PINNED] <= (wanted + 64) * PAGE_BYTES);
        ok &= CHECK(v.total_blockers >= wanted);

        ok &= CHECK(evacuate(m->fd, m->start, m->end - m->start, &e) == 0);
        note("%zu pinned, left %"PRIu64" pages, %u passes", pinned, (uint64_t) e.used_after / PAGE_BYTES, e.passes);
        ok &= CHECK(e.used_after >= wanted * PAGE_BYTES);
        ok &= CHECK(nearly_empty(e.used_after - wanted * PAGE_BYTES, e.used_before));
        ok &= CHECK(survey(m->fd, m->start, m->end - m->start, &v) == 0);
        ok &= CHECK(v.bytes[MEMUNPLUG_CLASS_PINNED] >= wanted * PAGE_BYTES &&
                    v.bytes[MEMUNPLUG_CLASS_PINNED] <= (wanted + 64) * PAGE_BYTES);
        ok &= listed_as_pinned(m, e.first_left, m->end);
        ok &= CHECK(pages_bad(&pages) == 0);
        ok &= CHECK(nothing_isolated());
        return ok;
}

/*
 * Pinned pages of a file are isolated before migration finds out, and end the pass:
 * what is behind them must go all the same.
 */
static bool test_pinned_file(const Machine *m) {
        const size_t size = 64UL << 20, step = size / 8;
        int fd = memfd_create("pinned", MFD_CLOEXEC);
        Pages held = { .item = calloc(8, sizeof(Page)) };
        struct memunplug_evacuate e;
        struct memunplug_survey v;
        size_t pinned;
        char *map;
        bool ok;

        if (fd < 0 || ftruncate(fd, (off_t) size) < 0 || !held.item)
                return false;
        map = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return false;
        for (size_t i = 0; i < size; i += PAGE_BYTES)
                *(uint64_t *) (map + i) = mix64(i);
        for (size_t i = 0; i < size; i += step)
                held.item[held.n++] = (Page) { map + i, 0 };
        pinned = pages_pin(&held, held.n);

        ok = CHECK(pinned == held.n);
        ok &= CHECK(evacuate(m->fd, m->start, m->end - m->start, &e) == 0);
        ok &= CHECK(survey(m->fd, m->start, m->end - m->start, &v) == 0);
        note("%zu pages of a file pinned: used %"PRIu64" kB, left %"PRIu64" kB, pinned %"PRIu64" kB, %u passes", pinned,
             kib(e.used_before), kib(e.used_after), kib(v.bytes[MEMUNPLUG_CLASS_PINNED]), e.passes);
        ok &= CHECK(e.used_before >= size / 2);
        ok &= CHECK(nearly_empty(e.used_after, e.used_before));
        ok &= CHECK(v.bytes[MEMUNPLUG_CLASS_PINNED] >= PAGE_BYTES);
        for (size_t i = 0; i < size; i += PAGE_BYTES)
                if (*(uint64_t *) (map + i) != mix64(i))
                        return CHECK(!"content of the file");
        return ok;
}

static bool test_zones(const Machine *m) {
        uint64_t last = m->end - m->block;
        struct memunplug_evacuate e;
        struct memunplug_survey v;
        bool ok;

        ok = CHECK(evacuate(m->fd, last, m->block, &e) == 0);
        ok &= CHECK(block_write(m, last, "offline") == 0);
        ok &= CHECK(evacuate(m->fd, last, m->block, &e) == -ENXIO);
        ok &= CHECK(evacuate(m->fd, last - m->block, 2 * m->block, &e) == -ENXIO);
        ok &= CHECK(survey(m->fd, last, m->block, &v) == 0 && v.hole_bytes == m->block);
        ok &= CHECK(block_write(m, last, "online_kernel") == 0);
        ok &= CHECK(evacuate(m->fd, last, m->block, &e) == -EOPNOTSUPP);
        ok &= CHECK(evacuate(m->fd, last - m->block, 2 * m->block, &e) == -EXDEV);
        /* The kernel may have taken pages of it by now, for good. */
        if (block_write(m, last, "offline") == 0)
                ok &= CHECK(block_write(m, last, "online_movable") == 0) & CHECK(evacuate(m->fd, last, m->block, &e) == 0);
        else
                note("the last block stays in the kernel's zone");
        return ok;
}

/* Who comes second is refused, and neither does harm: offline under evacuations, in a loop. */
static bool test_offline_meanwhile(const Machine *m) {
        uint64_t last = m->end - m->block, begin = now_usec();
        unsigned went = 0, busy = 0, rounds = 0, refused = 0;
        Result result;
        Rival rival;
        bool ok = true;

        if (!rival_new(m->fd, &rival))
                return false;
        while (ok && now_usec() - begin < 4000000) {
                int r;

                ok &= CHECK(rival_start(&rival, m->start, m->end));
                r = block_write(m, last, "offline");
                ok &= CHECK(r == 0 || r == -EBUSY);
                went += r == 0;
                busy += r == -EBUSY;
                ok &= CHECK(rival_result(&rival, &result));
                ok &= CHECK(result.error == 0 || result.error == -EBUSY || result.error == -ENXIO);
                refused += result.error != 0;
                if (r == 0)
                        ok &= CHECK(block_write(m, last, "online_movable") == 0);
                rounds++;
        }
        note("%u rounds: offline %u times, refused %u; evacuation refused %u", rounds, went, busy, refused);
        rival_end(&rival);
        return ok & CHECK(nothing_isolated());
}

const Case evacuate_cases[] = {
        { "evacuate: 25 % scattered pages move once each and keep their content", test_scattered },
        { "evacuate: an empty range needs no pass", test_empty },
        { "evacuate: a block as full as can be", test_full },
        { "evacuate: killed in the middle, nothing stays isolated", test_kill },
        { "evacuate: two at once, the same range only once", test_two },
        { "evacuate: pages held by vmsplice stay, are named, stop nothing", test_pinned },
        { "evacuate: pinned pages of a file do not keep those behind them", test_pinned_file },
        { "evacuate: against blocks going offline", test_offline_meanwhile },
        { "evacuate: offline, other zone, two zones", test_zones },
        { NULL, NULL },
};
