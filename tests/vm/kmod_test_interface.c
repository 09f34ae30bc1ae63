/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the device refuses, and with which errno; sizes of structures; GET_INFO; SURVEY. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kmod_test.h"
#include "pages.h"

#define PAGE 4096ULL
#define MIB (1ULL << 20)
#define TOP (~0ULL)

static bool test_info(const Machine *m) {
        struct memunplug_info info;
        bool ok;

        memset(&info, 0xff, sizeof info);
        if (!CHECK(call(m->fd, MEMUNPLUG_IOC_GET_INFO, &info) == 0))
                return false;
        ok = CHECK(info.abi == MEMUNPLUG_ABI);
        ok &= CHECK(info.features & MEMUNPLUG_FEATURE_SURVEY);
        ok &= CHECK(info.features & MEMUNPLUG_FEATURE_EVACUATE);
        ok &= CHECK(info.features & MEMUNPLUG_FEATURE_KEEP_CACHE);
        ok &= CHECK(info.features & MEMUNPLUG_FEATURE_HELD);
        ok &= CHECK(!(info.features & ~31U));
        ok &= CHECK(info.selftest == MEMUNPLUG_SELFTEST_PASSED && info.selftest_error == 0);
        ok &= CHECK(info.block_size == m->block);
        ok &= CHECK(info.pageblock_size >= PAGE && m->block % info.pageblock_size == 0);
        ok &= CHECK(info.gate_held == 0 && info.gated_devices == 0);
        return ok;
}

static bool test_node(const Machine *m) {
        struct stat st;

        (void) m;
        return CHECK(stat(DEVICE, &st) == 0) && CHECK(S_ISCHR(st.st_mode)) && CHECK((st.st_mode & 0777) == 0600);
}

static bool test_unknown_commands(const Machine *m) {
        static const unsigned long commands[] = {
                _IO(MEMUNPLUG_IOC_TYPE, 0),
                _IOWR(MEMUNPLUG_IOC_TYPE, 0, struct memunplug_info),
                _IOW(MEMUNPLUG_IOC_TYPE, 1, struct memunplug_evacuate),
                _IOR(MEMUNPLUG_IOC_TYPE, 2, struct memunplug_survey),
                _IOWR(MEMUNPLUG_IOC_TYPE, 7, struct memunplug_gate),
                _IOWR(MEMUNPLUG_IOC_TYPE, 255, struct memunplug_gate),
                _IOWR(MEMUNPLUG_IOC_TYPE + 1, 3, struct memunplug_gate),
                0, ~0U, 0x5401 /* TCGETS */,
        };
        char buffer[16384] = { 0 };
        bool ok = true;

        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
                ok &= CHECK(call(m->fd, commands[i], buffer) == -ENOTTY);
        return ok;
}

static bool test_bad_pointers(const Machine *m) {
        static const unsigned long commands[] = {
                MEMUNPLUG_IOC_GET_INFO, MEMUNPLUG_IOC_EVACUATE, MEMUNPLUG_IOC_SURVEY,
                MEMUNPLUG_IOC_GATE, MEMUNPLUG_IOC_ANSWER, MEMUNPLUG_IOC_RELEASE,
                MEMUNPLUG_IOC_VIRTIO_MEM,
        };
        char *pages = mmap(NULL, 2 * PAGE, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
        bool ok = true;

        if (!CHECK(pages != MAP_FAILED) || !CHECK(munmap(pages + PAGE, PAGE) == 0))
                return false;
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
                ok &= CHECK(call(m->fd, commands[i], NULL) == -EFAULT);
                ok &= CHECK(call(m->fd, commands[i], pages + PAGE - 8) == -EFAULT);
                ok &= CHECK(call(m->fd, commands[i], (void *) (TOP - 4095)) == -EFAULT);
        }
        munmap(pages, PAGE);
        return ok;
}

/* Every command with sizes around the one it has: the size is in the command number. */
static bool test_sizes(const Machine *m) {
        static const struct {
                unsigned dir, nr;
                size_t size;
        } table[] = {
                { _IOC_READ, 0, sizeof(struct memunplug_info) },
                { _IOC_READ|_IOC_WRITE, 1, sizeof(struct memunplug_evacuate) },
                { _IOC_READ|_IOC_WRITE, 2, sizeof(struct memunplug_survey) },
                { _IOC_READ|_IOC_WRITE, 3, sizeof(struct memunplug_gate) },
                { _IOC_WRITE, 4, sizeof(struct memunplug_answer) },
                { _IOC_WRITE, 5, sizeof(struct memunplug_release) },
                { _IOC_READ|_IOC_WRITE, 6, sizeof(struct memunplug_virtio_mem) },
        };
        static unsigned char buffer[16384];
        bool ok = true;

        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
                unsigned dir = table[i].dir, nr = table[i].nr;
                size_t size = table[i].size;
                int plain;

                for (size_t s = 0; s < size; s++) {
                        memset(buffer, 0, sizeof buffer);
                        ok &= CHECK(call(m->fd, _IOC(dir, MEMUNPLUG_IOC_TYPE, nr, s), buffer) == -EINVAL);
                }
                /* All zero: whatever the plain size gets, longer ones get too. */
                memset(buffer, 0, sizeof buffer);
                plain = call(m->fd, _IOC(dir, MEMUNPLUG_IOC_TYPE, nr, size), buffer);
                for (size_t s = size + 1; s < 16384; s = s * 2 + 1) {
                        memset(buffer, 0, sizeof buffer);
                        ok &= CHECK(call(m->fd, _IOC(dir, MEMUNPLUG_IOC_TYPE, nr, s), buffer) == plain);
                        memset(buffer, 0, sizeof buffer);
                        buffer[s - 1] = 1;
                        ok &= CHECK(call(m->fd, _IOC(dir, MEMUNPLUG_IOC_TYPE, nr, s), buffer) ==
                                    (dir & _IOC_WRITE ? -E2BIG : 0));
                        if (!(dir & _IOC_WRITE))
                                ok &= CHECK(buffer[s - 1] == 0);
                }
        }
        return ok;
}

static bool test_evacuate_refusals(const Machine *m) {
        const uint64_t s = m->start, b = m->block, p = m->pageblock;
        const bool normal_below = m->normal != NONE && m->normal + b == s;
        const struct {
                uint64_t start, size;
                uint32_t flags, reserved;
                int error;
        } table[] = {
                { 0, 0, 0, 0, -EINVAL },
                { s, 0, 0, 0, -EINVAL },
                { s, 1, 0, 0, -EINVAL },
                { s, PAGE, 0, 0, -EINVAL },
                { s, p - 1, 0, 0, -EINVAL },
                { s, p + PAGE, 0, 0, -EINVAL },
                { s + 1, p, 0, 0, -EINVAL },
                { s + PAGE, p, 0, 0, -EINVAL },
                { s, p, 2, 0, -EINVAL },
                { s, p, 3, 0, -EINVAL },
                { s, p, 1U << 31, 0, -EINVAL },
                { s, p, 0, 1, -EINVAL },
                { TOP, 1, 0, 0, -EINVAL },
                { TOP - p + 1, p, 0, 0, -EINVAL },
                { TOP - p + 1, 2 * p, 0, 0, -EINVAL },
                { s, TOP - p + 1, 0, 0, -EINVAL },
                { p, TOP - p + 1, 0, 0, -EINVAL },
                { 1ULL << 63, 1ULL << 63, 0, 0, -EINVAL },
                { 1ULL << 63, p, 0, 0, -ENXIO },
                { 1ULL << 52, p, 0, 0, -ENXIO },
                { 1ULL << 46, p, 0, 0, -ENXIO },
                { TOP - 2 * p + 1, p, 0, 0, -ENXIO },
                { m->end, p, 0, 0, -ENXIO },
                { m->end - p, 2 * p, 0, 0, -ENXIO },
                { s - p, p, 0, 0, normal_below ? -EOPNOTSUPP : -ENXIO },
                { s - p, 2 * p, 0, 0, normal_below ? -EXDEV : -ENXIO },
                { s, 1ULL << 62, 0, 0, -ENXIO },
                { m->normal, b, 0, 0, -EOPNOTSUPP },
                { m->normal, p, 0, 0, -EOPNOTSUPP },
        };
        bool ok = true;

        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
                struct memunplug_evacuate e = {
                        .start = table[i].start, .size = table[i].size,
                        .flags = table[i].flags, .reserved = table[i].reserved,
                };
                int r = call(m->fd, MEMUNPLUG_IOC_EVACUATE, &e);

                if (!CHECK(r == table[i].error)) {
                        note("row %zu: start 0x%"PRIx64" size 0x%"PRIx64": %s", i,
                             table[i].start, table[i].size, strerror(-r));
                        ok = false;
                }
        }
        return ok;
}

static bool test_survey_refusals(const Machine *m) {
        static struct memunplug_page pages[16];
        const uint64_t s = m->start, list = (uint64_t) (uintptr_t) pages;
        const struct {
                uint64_t start, size, pages;
                uint32_t max_pages, flags;
                int error;
        } table[] = {
                { 0, 0, 0, 0, 0, -EINVAL },
                { s, 0, 0, 0, 0, -EINVAL },
                { s, 1, 0, 0, 0, -EINVAL },
                { s + 1, PAGE, 0, 0, 0, -EINVAL },
                { s, PAGE + 1, 0, 0, 0, -EINVAL },
                { s, PAGE, 0, 0, 2, -EINVAL },
                { s, PAGE, 0, 0, 1U << 31, -EINVAL },
                { s, PAGE, list, 4097, 0, -EINVAL },
                { s, PAGE, list, ~0U, 0, -EINVAL },
                { s, (2ULL << 30) + PAGE, 0, 0, 0, -EINVAL },
                { s, TOP - PAGE + 1, 0, 0, 0, -EINVAL },
                { TOP - PAGE + 1, PAGE, 0, 0, 0, -EINVAL },
                { TOP - PAGE + 1, 2 * PAGE, 0, 0, 0, -EINVAL },
                { s, PAGE, 0, 0, 0, 0 },
                { s, PAGE, 0, 16, 0, 0 },
                { s, PAGE, list, 0, 0, 0 },
                { s, PAGE, list, 16, 0, 0 },
                { s, PAGE, list, 16, MEMUNPLUG_SURVEY_HELD, 0 },
                { s - PAGE, 2 * PAGE, 0, 0, 0, 0 },
                { 0, 2ULL << 30, 0, 0, 0, 0 },
                { 1ULL << 63, 2ULL << 30, 0, 0, 0, 0 },
                { TOP - 2 * PAGE + 1, PAGE, 0, 0, 0, 0 },
                { 0, MIB, 8, 16, 0, -EFAULT },
        };
        bool ok = true;

        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
                struct memunplug_survey v = {
                        .start = table[i].start, .size = table[i].size, .pages = table[i].pages,
                        .max_pages = table[i].max_pages, .flags = table[i].flags,
                };
                int r = call(m->fd, MEMUNPLUG_IOC_SURVEY, &v);

                if (!CHECK(r == table[i].error)) {
                        note("row %zu: start 0x%"PRIx64" size 0x%"PRIx64": %s", i,
                             table[i].start, table[i].size, strerror(-r));
                        ok = false;
                }
        }
        return ok;
}

static uint64_t survey_sum(const struct memunplug_survey *v) {
        uint64_t sum = v->hole_bytes;

        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                sum += v->bytes[i];
        return sum;
}

static bool test_survey_holes(const Machine *m) {
        struct memunplug_survey v;
        bool ok;

        ok = CHECK(survey(m->fd, m->end - m->block, 2 * m->block, &v) == 0);
        ok &= CHECK(v.hole_bytes == m->block && survey_sum(&v) == 2 * m->block);
        ok &= CHECK(survey(m->fd, 1ULL << 60, 1ULL << 30, &v) == 0);
        ok &= CHECK(v.hole_bytes == 1ULL << 30 && v.total_blockers == 0);
        return ok;
}

/* Pages by what /proc/kpageflags says of them, in the terms of the survey. */
static bool kpage_counts(uint64_t start, uint64_t end, uint64_t bytes[MEMUNPLUG_CLASS_MAX]) {
        static uint64_t flags[4096];
        int fd = open("/proc/kpageflags", O_RDONLY|O_CLOEXEC);

        if (fd < 0)
                return false;
        memset(bytes, 0, sizeof(uint64_t) * MEMUNPLUG_CLASS_MAX);
        for (uint64_t pfn = start / PAGE; pfn < end / PAGE;) {
                ssize_t n = pread(fd, flags, sizeof flags, (off_t) (pfn * 8)) / 8;

                if (n <= 0)
                        break;
                for (ssize_t i = 0; i < n && pfn < end / PAGE; i++, pfn++) {
                        uint64_t f = flags[i], class = MEMUNPLUG_CLASS_UNKNOWN;

                        if (f & 1ULL << 20)             /* NOPAGE */
                                continue;
                        if (f & 1ULL << 10)             /* BUDDY */
                                class = MEMUNPLUG_CLASS_FREE;
                        else if (f & 1ULL << 32)        /* RESERVED */
                                class = MEMUNPLUG_CLASS_RESERVED;
                        else if (f & 1ULL << 7)         /* SLAB */
                                class = MEMUNPLUG_CLASS_SLAB;
                        else if (f & 1ULL << 26)        /* PGTABLE */
                                class = MEMUNPLUG_CLASS_PAGE_TABLE;
                        else if (f & 1ULL << 5)         /* LRU */
                                class = MEMUNPLUG_CLASS_MOVABLE;
                        bytes[class] += PAGE;
                }
        }
        close(fd);
        return true;
}

static bool near_bytes(const char *name, uint64_t ours, uint64_t kernels, uint64_t tolerance) {
        uint64_t difference = ours > kernels ? ours - kernels : kernels - ours;

        if (difference <= tolerance)
                return true;
        note("%s: survey %"PRIu64" kB, kpageflags %"PRIu64" kB", name, ours / 1024, kernels / 1024);
        return false;
}

/* Normal memory has all classes; kpageflags is as racy as we are, so a little may differ. */
static bool survey_agrees(const Machine *m, uint64_t start, uint64_t end) {
        uint64_t kernels[MEMUNPLUG_CLASS_MAX];
        struct memunplug_survey v;
        uint64_t t = now_usec();
        bool ok;

        ok = CHECK(survey(m->fd, start, end - start, &v) == 0);
        t = now_usec() - t;
        note("survey of %"PRIu64" MiB: %"PRIu64" us", (uint64_t) ((end - start) / MIB), t);
        if (!ok || !CHECK(kpage_counts(start, end, kernels)))
                return false;
        ok = CHECK(survey_sum(&v) == end - start);
        ok &= CHECK(near_bytes("reserved", v.bytes[MEMUNPLUG_CLASS_RESERVED],
                               kernels[MEMUNPLUG_CLASS_RESERVED], 0));
        ok &= CHECK(near_bytes("slab", v.bytes[MEMUNPLUG_CLASS_SLAB], kernels[MEMUNPLUG_CLASS_SLAB], 2 * MIB));
        ok &= CHECK(near_bytes("page table", v.bytes[MEMUNPLUG_CLASS_PAGE_TABLE],
                               kernels[MEMUNPLUG_CLASS_PAGE_TABLE], 512 << 10));
        ok &= CHECK(near_bytes("movable", v.bytes[MEMUNPLUG_CLASS_MOVABLE] + v.bytes[MEMUNPLUG_CLASS_PINNED],
                               kernels[MEMUNPLUG_CLASS_MOVABLE], 4 * MIB));
        /* kpageflags knows no pages of per-CPU lists: free is at least what it says. */
        ok &= CHECK(v.bytes[MEMUNPLUG_CLASS_FREE] + 4 * MIB >= kernels[MEMUNPLUG_CLASS_FREE]);
        return ok;
}

static bool test_survey_agrees(const Machine *m) {
        return survey_agrees(m, 0, m->block * 4) & survey_agrees(m, m->start, m->end);
}

static bool test_survey_list(const Machine *m) {
        static struct memunplug_page pages[64];
        struct memunplug_survey v = {
                .start = 0, .size = m->block, .pages = (uint64_t) (uintptr_t) pages, .max_pages = 32,
        };
        bool ok;

        memset(pages, 0xa5, sizeof pages);
        if (!CHECK(call(m->fd, MEMUNPLUG_IOC_SURVEY, &v) == 0))
                return false;
        ok = CHECK(v.n_pages == 32 && v.total_blockers > 32);
        ok &= CHECK(pages[32].address == 0xa5a5a5a5a5a5a5a5ULL);
        for (size_t i = 0; i < v.n_pages; i++) {
                ok &= CHECK(pages[i].class != MEMUNPLUG_CLASS_FREE && pages[i].class != MEMUNPLUG_CLASS_MOVABLE);
                ok &= CHECK(pages[i].class < MEMUNPLUG_CLASS_MAX && pages[i].address < m->block);
                ok &= CHECK(i == 0 || pages[i].address > pages[i - 1].address);
        }
        return ok;
}

static bool test_no_unload_while_open(const Machine *m) {
        (void) m;
        return CHECK(syscall(SYS_delete_module, "memunplug", O_NONBLOCK) < 0 &&
                     (errno == EWOULDBLOCK || errno == EBUSY));
}

const Case interface_cases[] = {
        { "node: a character device, for its owner alone", test_node },
        { "info: features, sizes and a passed self-test", test_info },
        { "ioctl: unknown commands are ENOTTY", test_unknown_commands },
        { "ioctl: bad pointers are EFAULT", test_bad_pointers },
        { "ioctl: shorter structures EINVAL, longer ones must be zero", test_sizes },
        { "evacuate: refusals have the documented errno", test_evacuate_refusals },
        { "survey: refusals have the documented errno", test_survey_refusals },
        { "survey: holes and offline memory are counted", test_survey_holes },
        { "survey: classes agree with /proc/kpageflags", test_survey_agrees },
        { "survey: the list is bounded and in order", test_survey_list },
        { "module: not unloaded while a file is open", test_no_unload_while_open },
        { NULL, NULL },
};
