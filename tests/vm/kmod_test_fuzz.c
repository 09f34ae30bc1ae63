/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fuzzer: two callers make calls by chance, while a block goes offline and comes back.
 * MEMUNPLUG_IOCTL_CALLS says how many (default 4000), MEMUNPLUG_IOCTL_SEED which. Of slow
 * calls, and of what the block does, one in MEMUNPLUG_IOCTL_SLOW is done (default: each).
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod_test.h"
#include "pages.h"

#define CALLS 4000
#define CALLERS 2
#define TOGGLE_MSEC 50

typedef struct Run {
        uint64_t seed;
        unsigned long calls;
        CallTally tally[CALLERS][RANDOM_CALLS_MAX];
} Run;

/* The last block comes and goes until the pipe is closed. */
static bool toggle(const Machine *m, int until) {
        struct pollfd p = { .fd = until, .events = POLLIN };
        const int msec = TOGGLE_MSEC * (int) setting("MEMUNPLUG_IOCTL_SLOW", 1);
        unsigned long went = 0;
        int r = 0;

        while ((r == 0 || r == -EBUSY) && poll(&p, 1, msec) == 0) {
                r = block_write(m, m->end - 1, "offline");
                if (r < 0)
                        continue;
                went++;
                (void) poll(&p, 1, msec);
                r = block_write(m, m->end - 1, "online_movable");
        }
        note("block: offline %lu times", went);
        return CHECK(r == 0 || r == -EBUSY);
}

static bool say_tally(const Run *run, uint64_t usec) {
        unsigned long all = 0;

        for (size_t i = 0; random_call_name(i); i++) {
                CallTally sum = { 0 };

                for (size_t k = 0; k < CALLERS; k++) {
                        sum.done += run->tally[k][i].done;
                        sum.refused += run->tally[k][i].refused;
                        sum.usec += run->tally[k][i].usec;
                }
                note("%s: %lu done, %lu refused, in %lu ms", random_call_name(i), sum.done, sum.refused, sum.usec / 1000);
                all += sum.done + sum.refused;
        }
        note("fuzz: seed %"PRIu64", %lu calls in %"PRIu64" ms", run->seed, all, usec / 1000);
        return CHECK(all > run->calls / 2);          /* without a balloon its calls are left out */
}

/* Ends when both callers have, and then the block stays. */
static bool fuzz(const Machine *m, Run *run) {
        pid_t toggler, pids[CALLERS];
        int until[2], status;
        bool ok = true;

        if (!CHECK(pipe2(until, O_CLOEXEC) == 0))
                return false;
        fflush(stdout);
        for (unsigned i = 0; i < CALLERS; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        finish(random_calls(m, run->seed * CALLERS + i, run->calls / CALLERS, run->tally[i]));
        }
        toggler = fork();
        if (toggler == 0) {
                close(until[1]);
                finish(toggle(m, until[0]));
        }
        close(until[0]);
        for (unsigned i = 0; i < CALLERS; i++)
                ok &= CHECK(pids[i] > 0 && waitpid(pids[i], &status, 0) == pids[i] && status == 0);
        close(until[1]);
        return ok & CHECK(toggler > 0 && waitpid(toggler, &status, 0) == toggler && status == 0);
}

static bool test_fuzz(const Machine *m) {
        Run *run = mmap(NULL, sizeof *run, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
        uint64_t begin = now_usec();
        bool ok;

        if (!CHECK(run != MAP_FAILED))
                return false;
        run->seed = setting("MEMUNPLUG_IOCTL_SEED", 1);
        run->calls = setting("MEMUNPLUG_IOCTL_CALLS", CALLS);
        ok = fuzz(m, run);
        ok &= say_tally(run, now_usec() - begin);
        return ok & nothing_left(m);
}

const Case fuzz_cases[] = {
        { "fuzz: calls by chance do what the contract says of each", test_fuzz },
        { NULL, NULL },
};
