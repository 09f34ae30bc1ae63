/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module comes and goes while callers come and go: files are opened, used and closed,
 * their processes killed at any moment, and the module unloaded whenever nobody has it.
 * MEMUNPLUG_STORM_SECONDS says for how long (default 8). On a kernel with fault injection
 * each allocation of loading fails in turn besides, or one of so many as
 * MEMUNPLUG_LOAD_STEP says.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod_test.h"
#include "pages.h"

#define SECONDS 8
#define CALLERS 2
#define LIFE_USEC 40000                         /* of a caller, at most */
#define CALLS_MAX 64                            /* and of its file */
#define MODULE "memunplug"

typedef struct Counts {
        unsigned long killed, loaded, refused;
        CallTally tally[RANDOM_CALLS_MAX];
} Counts;

static int module_open(void) {
        struct utsname name;
        char path[256];
        int fd;

        uname(&name);
        snprintf(path, sizeof path, "/lib/modules/%s/updates/" MODULE ".ko", name.release);
        fd = open(path, O_RDONLY|O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int module_insert(int fd) {
        return syscall(SYS_finit_module, fd, "", 0) < 0 ? -errno : 0;
}

static int module_load(void) {
        int fd = module_open(), r;

        if (fd < 0)
                return fd;
        r = module_insert(fd);
        close(fd);
        return r;
}

static int module_unload(void) {
        return syscall(SYS_delete_module, MODULE, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Until it is killed: opens the device whenever it is there. */
static bool caller(const Machine *m, Dice *dice, CallTally *tally) {
        for (;;)
                if (!random_calls(m, roll(dice, ~0ULL), roll(dice, CALLS_MAX), tally))
                        return false;
}

/* One caller after the other, each killed in the midst of something. */
static bool killer(const Machine *m, unsigned number, uint64_t end, Counts *counts) {
        Dice dice = { .seed = mix64(number) };

        while (now_usec() < end) {
                pid_t pid = fork();
                int status;

                dice.n += 1000;
                if (pid == 0)
                        finish(caller(m, &dice, counts->tally));
                if (!CHECK(pid > 0))
                        return false;
                usleep((useconds_t) roll(&dice, LIFE_USEC));
                kill(pid, SIGKILL);
                if (!CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)))
                        return false;
                counts->killed++;
        }
        return true;
}

static bool reloader(uint64_t end, Counts *counts) {
        while (now_usec() < end) {
                int r = module_unload();

                if (r == 0) {
                        counts->loaded++;
                        if (!CHECK(module_load() == 0))
                                return false;
                } else if (r == -EWOULDBLOCK || r == -EBUSY) {
                        counts->refused++;
                } else {
                        return CHECK(!"unload: an errno of its own");
                }
                usleep(1000);
        }
        return true;
}

/* Nobody has the device open when this begins, nor when it ends. */
static bool test_races(const Machine *m) {
        uint64_t end = now_usec() + setting("MEMUNPLUG_STORM_SECONDS", SECONDS) * 1000000;
        Counts *counts = mmap(NULL, sizeof *counts * CALLERS, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
        unsigned long killed = 0;
        bool ok = CHECK(counts != MAP_FAILED);

        fflush(stdout);
        for (unsigned i = 0; ok && i < CALLERS; i++) {
                pid_t pid = fork();

                if (pid == 0)
                        finish(killer(m, i, end, &counts[i]));
                ok = CHECK(pid > 0);
        }
        ok = ok && reloader(end, counts);
        for (int status; wait(&status) > 0;)
                ok &= CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
        if (!ok)
                return false;
        for (size_t i = 0; i < CALLERS; i++)
                killed += counts[i].killed;
        note("reload: %lu callers killed, unloaded %lu times, refused %lu times", killed, counts->loaded, counts->refused);
        return CHECK(counts->loaded > 0 && killed > 0);
}

/* What loading took is given back, whatever of it failed: the next loading works. */
static bool test_load_failures(const Machine *m) {
        unsigned n = 1, step = (unsigned) setting("MEMUNPLUG_LOAD_STEP", 1), refused = 0, tried = 0;
        int fd = module_open();                 /* what fails is loading, not finding it */
        Failure failure;
        bool met = true;

        (void) m;
        if (!failure_open(&failure)) {
                note("this kernel cannot let allocations fail");
                return true;
        }
        if (!CHECK(fd >= 0) || !CHECK(module_unload() == 0))
                return false;
        for (; met; n += step, tried++) {
                int r;

                if (!CHECK(failure_set(&failure, n)))
                        return false;
                r = module_insert(fd);
                met = failure_met(&failure);
                if (!CHECK(failure_set(&failure, 0)))
                        return false;
                if (!CHECK(r == 0 || (met && (r == -ENOMEM || r == -EFAULT))) || !CHECK(r < 0 || module_unload() == 0)) {
                        note("failure %u%s: %s", n, met ? "" : " not met", strerror(-r));
                        return false;
                }
                refused += r < 0;
        }
        close(fd);
        note("load: %u of %u points, %u times refused", tried, n - step, refused);
        return CHECK(module_load() == 0);
}

const Case reload_cases[] = {
        { "reload: callers killed in the midst of calls, the module unloaded between", test_races },
        { "reload: loading fails at each of its allocations", test_load_failures },
        { NULL, NULL },
};
