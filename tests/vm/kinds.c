/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's maker of pages of every kind that moves in a way of its own. It owns the pages; who empties
 * the memory below them is the test.
 *
 *   kinds --range=START-END,... --files=DIRECTORY [--poison]
 *
 * The movable zone is used first, so most of them are in the ranges of its memory. Prints for each kind
 * "kind NAME pages N inside I marked M" (in the ranges, and of those: with the kernel's own mark of the kind in
 * /proc/kpageflags), then "ready". SIGUSR1: reads all of them back: "kind NAME bad B inside I" for each, then
 * "checked". SIGTERM ends it. DIRECTORY is on a disk. --poison makes one page that the hardware is said to have
 * lost, and nothing else.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attribute.h"
#include "pages.h"

#define AREA_BYTES (2UL << 20)
#define AREA_PAGES (AREA_BYTES / PAGE_BYTES)
#define HUGE_BYTES (2UL << 20)
#define TRIES 200U

/* Bits of /proc/kpageflags. */
#define KPF_DIRTY (1ULL << 4)
#define KPF_ANON (1ULL << 12)
#define KPF_SWAPCACHE (1ULL << 13)
#define KPF_SWAPBACKED (1ULL << 14)
#define KPF_HUGE (1ULL << 17)
#define KPF_UNEVICTABLE (1ULL << 18)
#define KPF_HWPOISON (1ULL << 19)
#define KPF_KSM (1ULL << 21)
#define KPF_THP (1ULL << 22)

typedef struct Kind {
        const char *name;
        int (*make)(struct Kind *kind);
        uint64_t set, unset;                    /* the kernel's marks */
        bool same;                              /* all pages have one content */
        char *area;                             /* AREA_BYTES */
} Kind;

static const char *files;

static uint64_t word_of(const Kind *kind, size_t page) {
        return mix64((uint64_t) kind->name[0] << 40 | (uint64_t) kind->name[1] << 32 | (kind->same ? 0 : page + 1));
}

static void fill(const Kind *kind, char *area) {
        for (size_t i = 0; i < AREA_PAGES; i++)
                for (size_t k = 0; k < PAGE_BYTES / sizeof(uint64_t); k++)
                        ((uint64_t *) (area + i * PAGE_BYTES))[k] = word_of(kind, i) + k;
}

static size_t count_bad(const Kind *kind) {
        size_t bad = 0;

        for (size_t i = 0; i < AREA_PAGES; i++)
                for (size_t k = 0; k < PAGE_BYTES / sizeof(uint64_t); k++)
                        if (((const uint64_t *) (kind->area + i * PAGE_BYTES))[k] != word_of(kind, i) + k) {
                                bad++;
                                break;
                        }
        return bad;
}

static int map(Kind *kind, int flags, int fd) {
        char *area = mmap(NULL, AREA_BYTES + HUGE_BYTES, PROT_READ|PROT_WRITE, flags, fd, 0);

        if (area == MAP_FAILED)
                return -errno;
        kind->area = (char *) (((uintptr_t) area + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
        return 0;
}

static int make_anon(Kind *kind) {
        int r = map(kind, MAP_PRIVATE|MAP_ANONYMOUS, -1);

        if (r < 0)
                return r;
        (void) madvise(kind->area, AREA_BYTES, MADV_NOHUGEPAGE);
        fill(kind, kind->area);
        return 0;
}

static int make_thp(Kind *kind) {
        int r = map(kind, MAP_PRIVATE|MAP_ANONYMOUS, -1);

        if (r < 0)
                return r;
        if (madvise(kind->area, AREA_BYTES, MADV_HUGEPAGE) < 0)
                return -errno;
        fill(kind, kind->area);
        return 0;
}

static int make_mlocked(Kind *kind) {
        int r = make_anon(kind);

        return r < 0 || mlock(kind->area, AREA_BYTES) == 0 ? r : -errno;
}

/* Merged with its neighbours when the daemon has seen them twice. */
static int make_ksm(Kind *kind) {
        int r = make_anon(kind);

        if (r < 0)
                return r;
        if (madvise(kind->area, AREA_BYTES, MADV_MERGEABLE) < 0)
                return -errno;
        r = write_text("/sys/kernel/mm/ksm/pages_to_scan", "4096");
        if (r >= 0)
                r = write_text("/sys/kernel/mm/ksm/sleep_millisecs", "10");
        return r < 0 ? r : write_text("/sys/kernel/mm/ksm/run", "1");
}

static int make_hugetlb(Kind *kind) {
        int r = write_text("/proc/sys/vm/nr_hugepages", "1");

        kind->area = mmap(NULL, AREA_BYTES, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB, -1, 0);
        if (r < 0 || kind->area == MAP_FAILED)
                return r < 0 ? r : -errno;
        fill(kind, kind->area);
        return 0;
}

/* A file, written through its descriptor, then mapped. */
static int make_file(Kind *kind, const char *directory, bool sync) {
        static char contents[AREA_BYTES];
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, kind->name);
        fd = open(path, O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        fill(kind, contents);
        if (write(fd, contents, AREA_BYTES) != (ssize_t) AREA_BYTES)
                return -EIO;
        if (sync && fsync(fd) < 0)
                return -errno;
        kind->area = mmap(NULL, AREA_BYTES, PROT_READ, MAP_SHARED, fd, 0);
        if (kind->area == MAP_FAILED)
                return -errno;
        return count_bad(kind) > 0 ? -EIO : 0;  /* all of it is mapped now */
}

static int make_tmpfs(Kind *kind) {
        return make_file(kind, "/dev/shm", false);
}

static int make_clean(Kind *kind) {
        return make_file(kind, files, true);
}

static int make_dirty(Kind *kind) {
        return make_file(kind, files, false);
}

/* Read back while another process has the same slots of swap: those stay, and with them the cache. */
static int make_swapcache(Kind *kind) {
        int r = make_anon(kind);

        if (r < 0)
                return r;
        if (madvise(kind->area, AREA_BYTES, MADV_PAGEOUT) < 0)
                return -errno;
        if (fork() == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        return count_bad(kind) > 0 ? -EIO : 0;
}

static Kind kinds[] = {
        { "anon", make_anon, KPF_ANON, KPF_SWAPCACHE, false, NULL },
        { "thp", make_thp, KPF_THP, 0, false, NULL },
        { "mlocked", make_mlocked, KPF_UNEVICTABLE, 0, false, NULL },
        { "ksm", make_ksm, KPF_KSM, 0, true, NULL },
        { "hugetlb", make_hugetlb, KPF_HUGE, 0, false, NULL },
        { "tmpfs", make_tmpfs, KPF_SWAPBACKED, KPF_ANON, false, NULL },
        { "clean", make_clean, 0, KPF_ANON|KPF_SWAPBACKED|KPF_DIRTY, false, NULL },
        { "dirty", make_dirty, KPF_DIRTY, KPF_ANON|KPF_SWAPBACKED, false, NULL },
        { "swapcache", make_swapcache, KPF_SWAPCACHE, 0, false, NULL },
};

/* Frames of an area in the ranges, and those of them that have the marks. */
static int count_frames(const Kind *kind, const Ranges *ranges, size_t *ret_inside, size_t *ret_marked) {
        size_t inside = 0, marked = 0;
        int flags = open("/proc/kpageflags", O_RDONLY|O_CLOEXEC);

        if (flags < 0)
                return -errno;
        for (size_t i = 0; i < AREA_PAGES; i++) {
                uint64_t physical, f = 0;

                if (page_physical(kind->area + i * PAGE_BYTES, &physical) < 0 || !ranges_contain(ranges, physical))
                        continue;
                inside++;
                if (pread(flags, &f, sizeof(f), (off_t) (physical / PAGE_BYTES * sizeof(f))) == sizeof(f))
                        marked += (f & kind->set) == kind->set && (f & kind->unset) == 0;
        }
        close(flags);
        *ret_inside = inside;
        *ret_marked = marked;
        return 0;
}

/* Some get their mark a little later: from a daemon of the kernel, or when a batch of pages is drained. */
static int show_made(const Kind *kind, const Ranges *ranges) {
        size_t inside, marked;
        unsigned tries = 0;
        int r;

        do {
                r = count_frames(kind, ranges, &inside, &marked);
                if (r < 0)
                        return r;
        } while (marked < inside && ++tries < TRIES && usleep(20000) == 0);
        printf("kind %s pages %lu inside %zu marked %zu\n", kind->name, AREA_PAGES, inside, marked);
        return 0;
}

static int show_checked(const Kind *kind, const Ranges *ranges) {
        size_t inside, marked, bad = count_bad(kind);
        int r = count_frames(kind, ranges, &inside, &marked);

        if (r < 0)
                return r;
        printf("kind %s bad %zu inside %zu\n", kind->name, bad, inside);
        return 0;
}

/* Newer kernels tell the process at once that it lost a page. */
static void on_lost(int signo) {
        (void) signo;
}

static int show_poisoned(const Ranges *ranges) {
        Kind kind = { "poison", make_anon, 0, 0, false, NULL };
        uint64_t physical;
        int r = make_anon(&kind);

        (void) signal(SIGBUS, on_lost);
        for (size_t i = 0; r >= 0 && i < AREA_PAGES; i++) {
                if (page_physical(kind.area + i * PAGE_BYTES, &physical) < 0 || !ranges_contain(ranges, physical))
                        continue;
                if (madvise(kind.area + i * PAGE_BYTES, PAGE_BYTES, MADV_HWPOISON) < 0)
                        return -errno;
                printf("poisoned %#"PRIx64"\n", physical);
                fflush(stdout);
                return 0;
        }
        return r < 0 ? r : -ENOENT;
}

static int run(const Ranges *ranges, const sigset_t *mask) {
        const size_t n = sizeof(kinds) / sizeof(kinds[0]);
        int signo, r = 0;

        for (size_t i = 0; i < n; i++) {
                r = kinds[i].make(&kinds[i]);
                if (r < 0) {
                        fprintf(stderr, "kinds: %s: %s\n", kinds[i].name, strerror(-r));
                        return r;
                }
        }
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = show_made(&kinds[i], ranges);
        printf("ready\n");
        fflush(stdout);
        while (r >= 0 && sigwait(mask, &signo) == 0 && signo == SIGUSR1) {
                for (size_t i = 0; r >= 0 && i < n; i++)
                        r = show_checked(&kinds[i], ranges);
                printf("checked\n");
                fflush(stdout);
        }
        return r;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "range",  required_argument, NULL, 'r' },
                { "files",  required_argument, NULL, 'f' },
                { "poison", no_argument,       NULL, 'p' },
                {}
        };
        Ranges ranges = { .n = 0 };
        bool poison = false;
        sigset_t mask;
        int c, r;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'r':
                        if (ranges_parse(optarg, &ranges) < 0)
                                c = '?';
                        break;
                case 'f': files = optarg; break;
                case 'p': poison = true; break;
                default: break;
                }
        if (ranges.n == 0 || (!files && !poison)) {
                fprintf(stderr, "usage: kinds --range=START-END,... --files=DIRECTORY [--poison]\n");
                return 2;
        }
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        r = poison ? show_poisoned(&ranges) : run(&ranges, &mask);
        if (r < 0)
                fprintf(stderr, "kinds: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
