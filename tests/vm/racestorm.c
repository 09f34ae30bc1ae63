/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Brings page migration into the two races of 2007, and reads every page back.
 * Owns the memory that is in motion and the two ways of moving it; how often a race
 * was met is counted by the test, with probes in the kernel.
 *
 *   racestorm race1 SECONDS     pages go to swap and come back into the swap cache without being mapped
 *                               (MADV_PAGEOUT, MADV_WILLNEED). Needs swap.
 *   racestorm race2 SECONDS     processes that share pages end while these move
 *   racestorm evacuate SECONDS START END    EVACUATE of each block of the range, over and over
 *   racestorm offline SECONDS START END     the same with the kernel's own offline, through sysfs
 *
 * The races print "pages checked N, bad M", the movers "moved N, busy M". Exit status 1:
 * a bad page, or an error that a busy page does not explain.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/memunplug.h>

#include "attribute.h"
#include "pages.h"

#define BLOCK_SIZE_PATH "/sys/devices/system/memory/block_size_bytes"
#define WORDS (PAGE_BYTES / sizeof(uint64_t))
#define OUT_PAGES 12000                         /* of each process that pages out and in */

/* More of the one is less of the other: what is in motion shares the guest's processors. */
typedef struct Storm {
        const char *name;
        uint64_t writers;                       /* processes that page out and back in */
        uint64_t forkers;                       /* processes whose children come and go */
        size_t fork_pages;                      /* of each child */
} Storm;

static const Storm storms[] = {
        { "race1", 2, 2, 256 },
        { "race2", 1, 3, 3072 },
};

typedef struct Tally {                          /* shared by all processes of the storm */
        _Atomic uint64_t checked, bad;
} Tally;

static uint64_t now_sec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec;
}

static void fill(uint64_t *area, size_t pages, uint64_t key) {
        for (size_t i = 0; i < pages * WORDS; i++)
                area[i] = key + i * 0x9e3779b97f4a7c15ULL;
}

static void verify(const uint64_t *area, size_t pages, uint64_t key, Tally *tally) {
        for (size_t p = 0; p < pages; p++) {
                uint64_t difference = 0;

                for (size_t i = p * WORDS; i < (p + 1) * WORDS; i++)
                        difference |= area[i] ^ (key + i * 0x9e3779b97f4a7c15ULL);
                tally->bad += difference != 0;
        }
        tally->checked += pages;
}

static uint64_t *map_pages(size_t pages) {
        void *area = mmap(NULL, pages * PAGE_BYTES, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
                exit(EXIT_FAILURE);
        /* A huge page is split on its way to swap, which takes time from the races. */
        (void) madvise(area, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        return area;
}

/* Race 1: what WILLNEED brings back is in the swap cache and in no page table. */
static void page_out_and_in(size_t pages, uint64_t key, uint64_t end, Tally *tally) {
        uint64_t *area = map_pages(pages);

        fill(area, pages, key);
        for (uint64_t round = 0; now_sec() < end; round++) {
                if (madvise(area, pages * PAGE_BYTES, MADV_PAGEOUT) < 0 ||
                    madvise(area, pages * PAGE_BYTES, MADV_WILLNEED) < 0)
                        exit(EXIT_FAILURE);
                if (round % 4 == 3)             /* reading maps them: not so often */
                        verify(area, pages, key, tally);
        }
        verify(area, pages, key, tally);
}

/* Race 2: the last process that maps a page ends, and with it the anon_vma. */
static void fork_and_exit(size_t pages, uint64_t key, uint64_t end, Tally *tally) {
        while (now_sec() < end) {
                pid_t pid = fork();

                if (pid == 0) {
                        uint64_t *area = map_pages(pages);

                        fill(area, pages, key);
                        if (fork() == 0)        /* shares all pages, and writes to half of them */
                                fill(area, pages / 2, key + 1);
                        else
                                verify(area, pages, key, tally);
                        _exit(EXIT_SUCCESS);
                }
                if (pid < 0)
                        continue;
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
}

static int storm(const Storm *s, uint64_t end) {
        Tally *tally = mmap(NULL, sizeof *tally, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
        bool ok = true;

        if (tally == MAP_FAILED)
                return 2;
        for (uint64_t i = 0; i < s->writers + s->forkers; i++) {
                pid_t pid = fork();

                if (pid == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        if (i < s->writers)
                                page_out_and_in(OUT_PAGES, mix64(i), end, tally);
                        else
                                fork_and_exit(s->fork_pages, mix64(i), end, tally);
                        _exit(EXIT_SUCCESS);
                }
                ok &= pid > 0;
        }
        for (int status; wait(&status) > 0;)
                ok &= WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
        printf("pages checked %"PRIu64", bad %"PRIu64"\n", tally->checked, tally->bad);
        return ok && tally->bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int offline(uint64_t start, uint64_t size) {
        char path[96];
        int r;

        snprintf(path, sizeof path, "/sys/devices/system/memory/memory%"PRIu64"/state", start / size);
        r = write_text(path, "offline");
        if (r < 0)
                return r;
        return write_text(path, "online_movable") < 0 ? -EIO : 0;
}

static int evacuate(int fd, uint64_t start, uint64_t size) {
        struct memunplug_evacuate e = { .start = start, .size = size };

        return ioctl(fd, MEMUNPLUG_IOC_EVACUATE, &e) < 0 ? -errno : 0;
}

static int move(bool by_offline, uint64_t end, uint64_t from, uint64_t to) {
        int fd = by_offline ? -1 : open("/dev/memunplug", O_RDWR|O_CLOEXEC);
        FILE *f = fopen(BLOCK_SIZE_PATH, "re");
        unsigned long moved = 0, busy = 0;
        unsigned long long block = 0;

        if (!f || fscanf(f, "%llx", &block) != 1 || block == 0 || from >= to || (!by_offline && fd < 0))
                return 2;
        fclose(f);
        while (now_sec() < end)
                for (uint64_t start = from; start < to && now_sec() < end; start += block) {
                        int r = by_offline ? offline(start, block) : evacuate(fd, start, block);

                        if (r < 0 && r != -EBUSY) {
                                fprintf(stderr, "racestorm: 0x%"PRIx64": %s\n", start, strerror(-r));
                                return EXIT_FAILURE;
                        }
                        moved += r == 0;
                        busy += r != 0;
                }
        printf("moved %lu, busy %lu\n", moved, busy);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        uint64_t end = now_sec() + (argc > 2 ? strtoull(argv[2], NULL, 0) : 0);

        for (size_t i = 0; argc == 3 && i < sizeof storms / sizeof storms[0]; i++)
                if (strcmp(argv[1], storms[i].name) == 0)
                        return storm(storms + i, end);
        if (argc == 5 && (strcmp(argv[1], "evacuate") == 0 || strcmp(argv[1], "offline") == 0))
                return move(argv[1][0] == 'o', end, strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
        fprintf(stderr, "usage: racestorm race1|race2 SECONDS | evacuate|offline SECONDS START END\n");
        return 2;
}
