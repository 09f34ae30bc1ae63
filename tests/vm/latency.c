/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process that writes to its memory feels while memory is taken from the machine:
 * once in a while it is to write to a page of its own, chosen by a fixed rule, and takes
 * the time from when that was due until it is done. So it feels a CPU that is busy, a page that
 * is being moved, and memory that is scarce.
 *
 *   latency --begin=FILE --total=KIB [--bytes=N] [--period=USEC|--burst=N] [--idle=N]
 *
 * With --burst it does not wait: so many writes after each other are one sample, and another
 * burst follows at once. It wants all of a CPU then, and feels how much it gets.
 *
 * It takes the time of --idle writes and prints "ready". What counts afterwards begins when
 * the contents of the file are others than before (a count of the interrupts by which
 * the hypervisor asks), and ends when the machine has no more memory than --total, or after SAMPLES_MAX
 * samples. Then it prints for both, in nanoseconds, and with the writes that took more than a millisecond:
 *
 *   idle samples N p50 N p99 N worst N late N elapsed N
 *   meanwhile samples N p50 N p99 N worst N late N elapsed N
 *
 * With QEMU's -icount and one CPU a nanosecond is an instruction, and the figures repeat.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"

#define SAMPLES_MAX (1U << 20)
#define LATE_NSEC UINT64_C(1000000)

typedef struct Samples {
        size_t n;
        uint64_t begin, end;
        uint64_t nsec[SAMPLES_MAX];
} Samples;

typedef struct Writer {
        volatile char *memory;
        uint64_t pages, period, burst, due, turn;
} Writer;

static Samples idle, meanwhile;

static uint64_t clock_now(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static int writer_begin(Writer *w, uint64_t bytes, uint64_t period, uint64_t burst) {
        *w = (Writer) { .pages = bytes / PAGE_BYTES, .period = period, .burst = burst };
        w->memory = mmap(NULL, w->pages * PAGE_BYTES, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
        if (w->memory == MAP_FAILED)
                return -errno;
        (void) madvise((char *) w->memory, w->pages * PAGE_BYTES, MADV_NOHUGEPAGE);
        for (uint64_t i = 0; i < w->pages; i++)
                w->memory[i * PAGE_BYTES] = 1;
        (void) memset(&idle, 1, sizeof idle);   /* no page of them comes in later */
        (void) memset(&meanwhile, 1, sizeof meanwhile);
        idle.n = meanwhile.n = 0;
        (void) prctl(PR_SET_TIMERSLACK, 1);
        w->due = clock_now();
        return 0;
}

static void write_once(Writer *w) {
        w->memory[mix64(w->turn++) % w->pages * PAGE_BYTES]++;
}

static uint64_t writer_burst(Writer *w) {
        uint64_t begin = clock_now();

        for (uint64_t i = 0; i < w->burst; i++)
                write_once(w);
        return clock_now() - begin;
}

/* The next write: how long it took from when it was due. One that comes too late moves none but itself. */
static uint64_t writer_write(Writer *w) {
        struct timespec due;

        if (w->burst > 0)
                return writer_burst(w);
        w->due += w->period;
        due = (struct timespec) { (time_t) (w->due / 1000000000), (long) (w->due % 1000000000) };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
                ;
        write_once(w);
        return clock_now() - w->due;
}

static void samples_add(Samples *s, uint64_t nsec) {
        if (s->n < SAMPLES_MAX)
                s->nsec[s->n++] = nsec;
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void samples_print(Samples *s, const char *name) {
        size_t late = 0;

        qsort(s->nsec, s->n, sizeof s->nsec[0], compare);
        for (size_t i = 0; i < s->n; i++)
                late += s->nsec[i] > LATE_NSEC;
        if (s->n == 0)
                printf("%s samples 0 p50 0 p99 0 worst 0 late 0 elapsed 0\n", name);
        else
                printf("%s samples %zu p50 %"PRIu64" p99 %"PRIu64" worst %"PRIu64" late %zu elapsed %"PRIu64"\n",
                       name, s->n, s->nsec[s->n / 2], s->nsec[s->n * 99 / 100], s->nsec[s->n - 1], late,
                       s->end - s->begin);
}

static uint64_t total_kib(void) {
        struct sysinfo info = {};

        (void) sysinfo(&info);
        return (uint64_t) info.totalram * info.mem_unit >> 10;
}

static int run(Writer *w, size_t n_idle, int begin, uint64_t total) {
        char before[256] = {}, now[256] = {};

        idle.begin = clock_now();
        for (size_t i = 0; i < n_idle; i++) {
                samples_add(&idle, writer_write(w));
                (void) total_kib(); /* as is done meanwhile */
        }
        idle.end = clock_now();
        if (pread(begin, before, sizeof before - 1, 0) <= 0)
                return EXIT_FAILURE;
        printf("ready\n");
        fflush(stdout);
        do {
                (void) writer_write(w);
                if (pread(begin, now, sizeof now - 1, 0) <= 0)
                        return EXIT_FAILURE;
        } while (strcmp(before, now) == 0);
        meanwhile.begin = clock_now();
        do
                samples_add(&meanwhile, writer_write(w));
        while (total_kib() > total && meanwhile.n < SAMPLES_MAX);
        meanwhile.end = clock_now();
        samples_print(&idle, "idle");
        samples_print(&meanwhile, "meanwhile");
        return EXIT_SUCCESS;
}

static int usage(void) {
        fprintf(stderr, "usage: latency --begin=FILE --total=KIB [--bytes=N] [--period=USEC|--burst=N] [--idle=N]\n");
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "begin",  required_argument, NULL, 'f' },
                { "total",  required_argument, NULL, 't' },
                { "bytes",  required_argument, NULL, 'b' },
                { "period", required_argument, NULL, 'p' },
                { "burst",  required_argument, NULL, 'u' },
                { "idle",   required_argument, NULL, 'i' },
                {}
        };
        uint64_t total = 0, bytes = 64 << 20, period_usec = 200, burst = 0, n_idle = 2000;
        int begin = -1, c, r;
        Writer writer;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'f': begin = open(optarg, O_RDONLY|O_CLOEXEC); break;
                case 't': total = strtoull(optarg, NULL, 0); break;
                case 'b': bytes = strtoull(optarg, NULL, 0); break;
                case 'p': period_usec = strtoull(optarg, NULL, 0); break;
                case 'u': burst = strtoull(optarg, NULL, 0); break;
                case 'i': n_idle = strtoull(optarg, NULL, 0); break;
                default: return usage();
                }
        if (optind != argc || begin < 0 || total == 0 || bytes < PAGE_BYTES || period_usec == 0)
                return usage();
        r = writer_begin(&writer, bytes, period_usec * 1000, burst);
        if (r < 0) {
                fprintf(stderr, "latency: cannot take memory: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return run(&writer, n_idle, begin, total);
}
