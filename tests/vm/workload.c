/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's workload: memory in use whose contents are known, page by page.
 * It owns filling, rewriting and checking; who moves the pages meanwhile is the test.
 *
 *   workload [--range=START-END,...] [--bytes=N] [--share=PERCENT] [--compact]
 *            [--seed=N] [--pause=MSEC] [--touch] [--huge] [--forks=N]
 *
 * With --range it takes all memory it can get there, or --bytes, and keeps a share of it:
 * scattered by a fixed rule on the physical address, or (--compact) the lowest part
 * of each memory block. Each page's content follows from seed, index and how often it
 * was written; each pass checks all pages and rewrites one in eight.
 *
 * --touch writes to all free memory first, so that moving pages into it later costs the
 * hypervisor nothing. --huge asks for huge pages. With --forks so many children share all
 * pages, and nothing is rewritten, so that they go on to.
 *
 * Prints "ready, pages N" once all is written. SIGUSR1: checks everything once more
 * from there on and prints "pages checked N, bad M". SIGTERM: the same, then ends;
 * exit status 1 if any page was ever bad.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pages.h"

#define WORDS (PAGE_BYTES / sizeof(uint64_t))

typedef struct Selection {
        uint64_t seed;
        double share;
        bool compact;
        uint64_t block_bytes;
} Selection;

static volatile sig_atomic_t asked, ended;

static void on_signal(int signo) {
        asked = 1;
        if (signo == SIGTERM)
                ended = 1;
}

static bool is_selected(uint64_t physical, void *userdata) {
        const Selection *s = userdata;

        if (s->compact)
                return (double) (physical % s->block_bytes) < s->share / 100 * (double) s->block_bytes;
        return (double) (mix64(s->seed ^ physical) >> 11) * 0x1p-53 * 100 < s->share;
}

static uint64_t page_key(uint64_t seed, uint64_t index, uint32_t generation) {
        return mix64(mix64(seed ^ index) + generation);
}

static void page_fill(const Page *page, uint64_t key) {
        uint64_t *words = (uint64_t *) page->address;

        for (size_t i = 0; i < WORDS; i++)
                words[i] = key + i * 0x9e3779b97f4a7c15ULL;
}

static bool page_is_good(const Page *page, uint64_t key) {
        const uint64_t *words = (const uint64_t *) page->address;
        uint64_t difference = 0;

        for (size_t i = 0; i < WORDS; i++)
                difference |= words[i] ^ (key + i * 0x9e3779b97f4a7c15ULL);
        return difference == 0;
}

static uint64_t block_size(void) {
        unsigned long long size = 128ULL << 20;
        FILE *f = fopen("/sys/devices/system/memory/block_size_bytes", "re");

        if (f) {
                if (fscanf(f, "%llx", &size) != 1)
                        size = 128ULL << 20;
                fclose(f);
        }
        return size;
}

/* One pass. Each bad page is counted once: it gets good contents again. */
static uint64_t pass(const Pages *pages, uint32_t *generation, uint64_t seed, uint64_t turn, bool rewrite) {
        uint64_t bad = 0;

        for (size_t i = 0; i < pages->n; i++) {
                bool good = page_is_good(pages->item + i, page_key(seed, i, generation[i]));

                if (!good)
                        bad++;
                if (!good || (rewrite && i % 8 == turn % 8))
                        page_fill(pages->item + i, page_key(seed, i, ++generation[i]));
        }
        return bad;
}

/* Children that have the same pages, for as long as this process is there. */
static bool share(unsigned long forks) {
        const pid_t parent = getpid();

        for (unsigned long i = 0; i < forks; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return false;
                if (pid > 0)
                        continue;
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(EXIT_FAILURE);
                for (;;)
                        pause();
        }
        return true;
}

static int work(const Pages *pages, uint64_t seed, int pause_msec, unsigned long forks) {
        uint32_t *generation = calloc(pages->n + 1, sizeof *generation);
        uint64_t checked = 0, bad = 0;
        sigset_t mask, none;

        if (!generation)
                return EXIT_FAILURE;
        for (size_t i = 0; i < pages->n; i++)
                page_fill(pages->item + i, page_key(seed, i, 0));
        if (!share(forks))
                return EXIT_FAILURE;
        sigemptyset(&none);
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);    /* signals come in ppoll only: no lost wake-up */
        printf("ready, pages %zu\n", pages->n);
        fflush(stdout);

        for (uint64_t turn = 0;; turn++) {
                struct timespec pause = { pause_msec / 1000, pause_msec % 1000 * 1000000L };
                bool answer = asked, end = ended;

                asked = 0;
                bad += pass(pages, generation, seed, turn, forks == 0);
                checked += pages->n;
                if (answer) {
                        printf("pages checked %"PRIu64", bad %"PRIu64", passes %"PRIu64"\n",
                               checked, bad, turn + 1);
                        fflush(stdout);
                }
                if (end)
                        break;
                (void) ppoll(NULL, 0, &pause, &none);
        }
        free(generation);
        return bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int usage(void) {
        fprintf(stderr, "usage: workload [--range=START-END,...] [--bytes=N] [--share=PERCENT] [--compact] "
                "[--seed=N] [--pause=MSEC] [--touch] [--huge] [--forks=N]\n");
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "range",   required_argument, NULL, 'r' },
                { "bytes",   required_argument, NULL, 'b' },
                { "share",   required_argument, NULL, 's' },
                { "compact", no_argument,       NULL, 'c' },
                { "seed",    required_argument, NULL, 'd' },
                { "pause",   required_argument, NULL, 'p' },
                { "touch",   no_argument,       NULL, 't' },
                { "huge",    no_argument,       NULL, 'h' },
                { "forks",   required_argument, NULL, 'f' },
                {}
        };
        Selection selection = { .seed = 1, .share = 100 };
        struct sigaction action = { .sa_handler = on_signal };
        Ranges ranges = { .n = 0 };
        uint64_t bytes = 0;
        int pause_msec = 10, c, r;
        bool touch = false, huge = false;
        unsigned long forks = 0;
        Pages pages;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'r':
                        if (ranges_parse(optarg, &ranges) < 0)
                                return usage();
                        break;
                case 'b': bytes = strtoull(optarg, NULL, 0); break;
                case 's': selection.share = strtod(optarg, NULL); break;
                case 'c': selection.compact = true; break;
                case 'd': selection.seed = strtoull(optarg, NULL, 0); break;
                case 'p': pause_msec = atoi(optarg); break;
                case 't': touch = true; break;
                case 'h': huge = true; break;
                case 'f': forks = strtoul(optarg, NULL, 0); break;
                default: return usage();
                }
        if (optind != argc || pause_msec < 0)
                return usage();
        if (ranges.n == 0 && bytes == 0)
                bytes = 64 << 20;
        selection.block_bytes = block_size();
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        r = touch ? pages_touch_all() : 0;
        if (r >= 0)
                r = pages_capture(&ranges, bytes, huge, is_selected, &selection, &pages);
        if (r < 0) {
                fprintf(stderr, "workload: cannot take memory: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return work(&pages, selection.seed, pause_msec, forks);
}
