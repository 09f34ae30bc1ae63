/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's page holder: an ordinary user's process that keeps pages of a
 * physical range from being moved, by vmsplice into pipes nobody reads. It owns the
 * pages and the pipes; it ends, and lets go, on SIGTERM.
 *
 *   holder --range=START-END,... [--pages=N] [--uid=N] [--later] [--unmap]
 *
 * Prints "holding N pages as uid U" once they are held. With --later it has the pages,
 * prints "ready", and holds them on SIGUSR1. With --unmap only the pipes have them then.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pages.h"

#define PIPE_PAGES 16                           /* slots of a pipe of default size */

/* Puts up to PIPE_PAGES pages into a new pipe. Returns how many, or a negative errno. */
static ssize_t hold_some(const Page *pages, size_t n) {
        struct iovec iov[PIPE_PAGES];
        ssize_t taken;
        int fds[2];

        if (n > PIPE_PAGES)
                n = PIPE_PAGES;
        for (size_t i = 0; i < n; i++)
                iov[i] = (struct iovec) { pages[i].address, PAGE_BYTES };
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        taken = vmsplice(fds[1], iov, n, SPLICE_F_NONBLOCK);
        if (taken < (ssize_t) PAGE_BYTES)
                return taken < 0 ? -errno : -EIO;
        return taken / (ssize_t) PAGE_BYTES;
}

/* Holds as many as wanted, gives the others back. 0 or a negative errno. */
static int hold(const Pages *pages, uint64_t want, size_t *ret_held) {
        size_t held = 0;

        while (held < want && held < pages->n) {
                size_t left = want < pages->n ? want - held : pages->n - held;
                ssize_t n = hold_some(pages->item + held, left);

                if (n < 0)
                        return (int) n;
                held += (size_t) n;
        }
        for (size_t i = held; i < pages->n; i++)
                (void) madvise(pages->item[i].address, PAGE_BYTES, MADV_DONTNEED);
        *ret_held = held;
        return 0;
}

static void wait_for(const sigset_t *mask, int wanted) {
        int signo;

        while (sigwait(mask, &signo) == 0 && signo != wanted && signo != SIGTERM)
                ;
}

static int drop_privileges(uid_t uid) {
        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        return 0;
}

static int usage(void) {
        fprintf(stderr, "usage: holder --range=START-END,... [--pages=N] [--uid=N] [--later] [--unmap]\n");
        return 2;
}

static int run(const Ranges *ranges, uint64_t want, uid_t uid, bool later, bool unmap) {
        uint64_t total = 0;
        sigset_t mask;
        Pages pages;
        size_t held;
        uint64_t one_in;
        int r;

        for (size_t i = 0; i < ranges->n; i++)
                total += (ranges->item[i].end - ranges->item[i].start) / PAGE_BYTES;
        /* Twice as many as wanted: some of the range may be in use by others. */
        one_in = total / (want * 2) > 0 ? total / (want * 2) : 1;
        r = pages_capture(ranges, 0, false, pages_one_in, &one_in, &pages);
        if (r >= 0)
                r = drop_privileges(uid);
        if (r < 0)
                return r;
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGUSR1);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        if (later) {
                printf("ready\n");
                fflush(stdout);
                wait_for(&mask, SIGUSR1);
        }
        r = hold(&pages, want, &held);
        if (r < 0)
                return r;
        for (size_t i = 0; unmap && i < held; i++)
                (void) munmap(pages.item[i].address, PAGE_BYTES);
        printf("holding %zu pages as uid %u\n", held, (unsigned) uid);
        fflush(stdout);
        wait_for(&mask, SIGTERM);
        return 0;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "range", required_argument, NULL, 'r' },
                { "pages", required_argument, NULL, 'n' },
                { "uid",   required_argument, NULL, 'u' },
                { "later", no_argument,       NULL, 'l' },
                { "unmap", no_argument,       NULL, 'm' },
                {}
        };
        Ranges ranges = { .n = 0 };
        uint64_t want = 640;
        uid_t uid = 65534;
        bool later = false, unmap = false;
        int c, r;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'r':
                        if (ranges_parse(optarg, &ranges) < 0)
                                return usage();
                        break;
                case 'n': want = strtoull(optarg, NULL, 0); break;
                case 'u': uid = (uid_t) strtoul(optarg, NULL, 0); break;
                case 'l': later = true; break;
                case 'm': unmap = true; break;
                default: return usage();
                }
        if (optind != argc || ranges.n == 0 || want == 0)
                return usage();
        r = run(&ranges, want, uid, later, unmap);
        if (r < 0) {
                fprintf(stderr, "holder: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
