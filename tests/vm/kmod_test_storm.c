/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All calls at once, with good and bad arguments, while memory is allocated, given back
 * and taken offline: only documented errnos, no byte changed, nothing left isolated.
 * Callers are killed in the midst of calls, and files closed with whatever they hold. The
 * numbers are the same in every run; what meets what is not. MEMUNPLUG_STORM_SECONDS says
 * for how long (default 8).
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod_test.h"
#include "pages.h"

#define STORM_SECONDS 8
#define KILL_USEC 300000                        /* between the deaths of callers */
#define CALLERS 3
#define CHURN_BYTES (48UL << 20)

#define ALLOWED(r, ...) errno_allowed(r, (const int[]) { 0, __VA_ARGS__ }, \
                                      sizeof((const int[]) { 0, __VA_ARGS__ }) / sizeof(int))

static bool one_evacuate(int fd, const Machine *m, Dice *dice) {
        struct memunplug_evacuate e = {
                .start = roll_address(dice, m), .size = roll_size(dice, m), .flags = roll_flags(dice),
        };

        return ALLOWED(call(fd, MEMUNPLUG_IOC_EVACUATE, &e), -EINVAL, -ENXIO, -EXDEV, -EOPNOTSUPP, -EBUSY, -ENOMEM);
}

static bool one_survey(int fd, const Machine *m, Dice *dice) {
        static struct memunplug_page list[128];
        struct memunplug_survey s = {
                .start = roll_address(dice, m), .size = roll_size(dice, m), .flags = roll_flags(dice),
                .pages = roll(dice, 4) ? (uint64_t) (uintptr_t) list : 0, .max_pages = (uint32_t) roll(dice, 129),
        };
        uint64_t sum = 0;
        int r = call(fd, MEMUNPLUG_IOC_SURVEY, &s);

        if (r < 0)
                return ALLOWED(r, -EINVAL, -EINTR, -ENOMEM);
        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                sum += s.bytes[i];
        return CHECK(sum + s.hole_bytes == s.size) & CHECK(s.n_pages <= s.total_blockers);
}

static bool one_gate(int fd, Dice *dice) {
        static const char *const names[] = { "PNP0C80:00", "PNP0C80:01", "PNP0C80:7f", "", "x" };
        struct memunplug_gate g = { .hold = (uint32_t) roll(dice, 3), .flags = roll_flags(dice) };
        struct memunplug_answer a = { .status = (uint32_t) roll(dice, 0x90), .flags = roll_flags(dice) };
        struct memunplug_release r = { .flags = roll_flags(dice) };
        struct memunplug_event event;

        strcpy(a.name, names[roll(dice, 5)]);
        strcpy(r.name, names[roll(dice, 5)]);
        switch (roll(dice, 4)) {
        case 0:
                return ALLOWED(call(fd, MEMUNPLUG_IOC_GATE, &g), -EINVAL, -EBUSY, -ENODEV);
        case 1:
                return ALLOWED(call(fd, MEMUNPLUG_IOC_ANSWER, &a), -EINVAL, -EPERM, -ENODEV, -ENOENT);
        case 2:
                return ALLOWED(call(fd, MEMUNPLUG_IOC_RELEASE, &r), -EINVAL, -EPERM, -ENODEV);
        default:
                return ALLOWED(read(fd, &event, sizeof event) < 0 ? -errno : 0, -EAGAIN, -EPERM);
        }
}

static bool one_virtio_mem(int fd, Dice *dice) {
        struct memunplug_virtio_mem v = { .flags = roll(dice, 2) ? MEMUNPLUG_VIRTIO_MEM_RETRY : roll_flags(dice) };

        (void) snprintf(v.name, sizeof v.name, "virtio%u", (unsigned) roll(dice, 8));
        if (roll(dice, 8) == 0)
                memset(v.name, 'v', sizeof v.name);
        return ALLOWED(call(fd, MEMUNPLUG_IOC_VIRTIO_MEM, &v), -EINVAL, -ENODEV, -EBUSY);
}

/* A command number and bytes of no meaning: refused, or harmless. */
static bool one_random(int fd, Dice *dice) {
        static uint64_t bytes[2048];
        unsigned size = (unsigned) roll(dice, 1 << _IOC_SIZEBITS);
        unsigned long command = _IOC(roll(dice, 4), MEMUNPLUG_IOC_TYPE, roll(dice, 8), size);

        for (size_t i = 0; i < 32; i++)
                bytes[i] = roll(dice, 2) ? 0 : roll(dice, ~0ULL);
        (void) call(fd, command, roll(dice, 8) ? bytes : (void *) (uintptr_t) roll(dice, ~0ULL));
        return true;
}

static bool caller(const Machine *m, unsigned number, uint64_t end) {
        Dice dice = { .seed = mix64(number) };
        int fd = open(DEVICE, O_RDWR|O_CLOEXEC|O_NONBLOCK);
        unsigned long calls = 0;
        bool ok = CHECK(fd >= 0);

        for (; ok && now_usec() < end; calls++) {
                switch (roll(&dice, 64)) {
                case 0:
                        close(fd);              /* with whatever it holds */
                        fd = open(DEVICE, O_RDWR|O_CLOEXEC|O_NONBLOCK);
                        ok = CHECK(fd >= 0);
                        break;
                case 1 ... 15:
                        ok = one_evacuate(fd, m, &dice);
                        break;
                case 16 ... 25:
                        ok = one_survey(fd, m, &dice);
                        break;
                case 26 ... 37:
                        ok = one_gate(fd, &dice);
                        break;
                case 38 ... 40:
                        ok = one_virtio_mem(fd, &dice);
                        break;
                default:
                        ok = one_random(fd, &dice);
                }
        }
        note("caller %u: %lu calls", number, calls);
        return ok;
}

/* Memory that comes and goes, and must read as it was written. */
static bool churn(uint64_t end) {
        uint64_t round = 0;

        for (; now_usec() < end; round++) {
                uint64_t *area = mmap(NULL, CHURN_BYTES, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
                const size_t words = CHURN_BYTES / sizeof *area, step = 64;

                if (area == MAP_FAILED)
                        continue;
                for (size_t i = 0; i < words; i += step)
                        area[i] = mix64(i ^ round);
                for (size_t i = 0; i < words; i += step)
                        if (area[i] != mix64(i ^ round))
                                return CHECK(!"content");
                munmap(area, CHURN_BYTES);
        }
        note("churn: %"PRIu64" rounds", round);
        return true;
}

static bool toggle_block(const Machine *m, uint64_t end) {
        unsigned long went = 0, refused = 0;
        bool ok = true;

        while (ok && now_usec() < end) {
                int r = block_write(m, m->end - 1, "offline");

                if (r == 0)
                        ok = CHECK(block_write(m, m->end - 1, "online_movable") == 0);
                else
                        ok = CHECK(r == -EBUSY);
                went += r == 0;
                refused += r != 0;
        }
        note("block: offline %lu times, refused %lu", went, refused);
        return ok;
}

/* Callers that live for a moment: what they are in when they die is given back. */
static bool killer(const Machine *m, uint64_t end) {
        unsigned kills = 0;

        for (; now_usec() < end; kills++) {
                pid_t pid = fork();
                int status;

                if (pid == 0)
                        _exit(caller(m, CALLERS + kills, end) ? EXIT_SUCCESS : EXIT_FAILURE);
                if (!CHECK(pid > 0))
                        return false;
                usleep(KILL_USEC);
                kill(pid, SIGKILL);
                if (!CHECK(waitpid(pid, &status, 0) == pid) ||
                    !CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_SUCCESS))
                        return false;
        }
        note("killed %u callers", kills);
        return true;
}

static bool play(const Machine *m, unsigned part, uint64_t end) {
        switch (part) {
        case CALLERS:
                return churn(end);
        case CALLERS + 1:
                return toggle_block(m, end);
        case CALLERS + 2:
                return killer(m, end);
        }
        return caller(m, part, end);
}

static bool test_storm(const Machine *m) {
        uint64_t end = now_usec() + setting("MEMUNPLUG_STORM_SECONDS", STORM_SECONDS) * 1000000;
        bool ok = true;

        fflush(stdout);
        for (unsigned i = 0; i < CALLERS + 3; i++) {
                pid_t pid = fork();

                if (pid == 0)
                        finish(play(m, i, end));
                ok &= CHECK(pid > 0);
        }
        for (int status; wait(&status) > 0;)
                ok &= CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
        return ok & nothing_left(m);
}

const Case storm_cases[] = {
        { "storm: all calls at once, memory in use and going offline", test_storm },
        { NULL, NULL },
};
