/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI gate as far as it goes without the hypervisor: who holds it, who may what,
 * read and poll. Requests that really come are for the cases that have QMP.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod_test.h"

static int gate_call(int fd, uint32_t hold, uint32_t *ret_devices) {
        struct memunplug_gate gate = { .hold = hold, .devices = 0xffffffff };
        int r = call(fd, MEMUNPLUG_IOC_GATE, &gate);

        if (ret_devices)
                *ret_devices = gate.devices;
        return r;
}

static int answer(int fd, const char *name, uint32_t status) {
        struct memunplug_answer a = { .status = status };

        strncpy(a.name, name, sizeof a.name - 1);
        return call(fd, MEMUNPLUG_IOC_ANSWER, &a);
}

static int release(int fd, const char *name) {
        struct memunplug_release r = { .flags = 0 };

        strncpy(r.name, name, sizeof r.name - 1);
        return call(fd, MEMUNPLUG_IOC_RELEASE, &r);
}

static uint32_t gated(int fd) {
        struct memunplug_info info = { 0 };

        if (call(fd, MEMUNPLUG_IOC_GET_INFO, &info) < 0)
                return 0xffffffff;
        return info.gate_held ? info.gated_devices : 0;
}

static int another(void) {
        return open(DEVICE, O_RDWR|O_CLOEXEC|O_NONBLOCK);
}

static bool test_absent(const Machine *m) {
        if (m->gate)
                return true;                    /* the other cases try it */
        return CHECK(gate_call(m->fd, 1, NULL) == -ENODEV) & CHECK(gate_call(m->fd, 0, NULL) == 0);
}

static bool test_hold(const Machine *m) {
        uint32_t devices = 0;
        int other = another();
        bool ok;

        if (!m->gate)
                return true;
        ok = CHECK(gate_call(m->fd, 1, &devices) == 0 && devices > 0);
        ok &= CHECK(gated(other) == devices);
        ok &= CHECK(gate_call(m->fd, 1, &devices) == 0 && devices > 0);
        ok &= CHECK(gate_call(other, 1, NULL) == -EBUSY);
        ok &= CHECK(gate_call(other, 0, NULL) == -EBUSY);
        ok &= CHECK(gate_call(m->fd, 2, NULL) == -EINVAL);
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_GATE, &(struct memunplug_gate) { .hold = 1, .flags = 1 }) == -EINVAL);
        ok &= CHECK(gate_call(m->fd, 0, &devices) == 0 && devices == 0);
        ok &= CHECK(gated(other) == 0);
        ok &= CHECK(gate_call(other, 1, &devices) == 0 && devices > 0);
        ok &= CHECK(gate_call(m->fd, 1, NULL) == -EBUSY);
        close(other);                           /* gives it back */
        ok &= CHECK(gated(m->fd) == 0);
        ok &= CHECK(gate_call(m->fd, 1, NULL) == 0 && gate_call(m->fd, 0, NULL) == 0);
        return ok;
}

static bool test_names(const Machine *m) {
        static const char *const absent[] = { "PNP0C80:ff", "PNP0C80", "pnp0c80:00", "X" };
        struct memunplug_answer a = { .status = MEMUNPLUG_OST_BUSY };
        struct memunplug_release r = { .flags = 0 };
        bool ok;

        if (!m->gate)
                return true;
        ok = CHECK(answer(m->fd, "PNP0C80:00", MEMUNPLUG_OST_BUSY) == -EPERM);
        ok &= CHECK(release(m->fd, "PNP0C80:00") == -EPERM);
        ok &= CHECK(gate_call(m->fd, 1, NULL) == 0);
        for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
                ok &= CHECK(answer(m->fd, absent[i], MEMUNPLUG_OST_BUSY) == -ENODEV);
                ok &= CHECK(release(m->fd, absent[i]) == -ENODEV);
        }
        ok &= CHECK(answer(m->fd, "PNP0C80:00", MEMUNPLUG_OST_BUSY) == -ENOENT);
        ok &= CHECK(answer(m->fd, "PNP0C80:00", MEMUNPLUG_OST_IN_PROGRESS) == -ENOENT);
        ok &= CHECK(answer(m->fd, "PNP0C80:00", 0x85) == -EINVAL);
        ok &= CHECK(answer(m->fd, "PNP0C80:00", 2) == -EINVAL);
        ok &= CHECK(answer(m->fd, "", MEMUNPLUG_OST_BUSY) == -EINVAL);
        ok &= CHECK(release(m->fd, "") == -EINVAL);
        memset(a.name, 'A', sizeof a.name);     /* no NUL */
        memset(r.name, 'A', sizeof r.name);
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_ANSWER, &a) == -EINVAL);
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_RELEASE, &r) == -EINVAL);
        strncpy(a.name, "PNP0C80:00", sizeof a.name);
        strncpy(r.name, "PNP0C80:00", sizeof r.name);
        a.name[sizeof a.name - 1] = r.name[sizeof r.name - 1] = 'A';
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_ANSWER, &a) == -EINVAL);
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_RELEASE, &r) == -EINVAL);
        a.name[sizeof a.name - 1] = r.name[sizeof r.name - 1] = '\0';
        a.flags = r.flags = 1;
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_ANSWER, &a) == -EINVAL);
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_RELEASE, &r) == -EINVAL);
        r = (struct memunplug_release) { .name = "PNP0C80:00", .reserved = 1 };
        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_RELEASE, &r) == -EINVAL);
        return ok & CHECK(gate_call(m->fd, 0, NULL) == 0);
}

static bool test_release(const Machine *m) {
        uint32_t before = 0, after = 0;
        bool ok;

        if (!m->gate)
                return true;
        ok = CHECK(gate_call(m->fd, 1, &before) == 0);
        ok &= CHECK(release(m->fd, "PNP0C80:00") == 0);
        ok &= CHECK(gated(m->fd) == before - 1);
        ok &= CHECK(release(m->fd, "PNP0C80:00") == 0);
        ok &= CHECK(gated(m->fd) == before - 1);
        ok &= CHECK(gate_call(m->fd, 1, &after) == 0 && after == before);
        return ok & CHECK(gate_call(m->fd, 0, NULL) == 0);
}

static short polled(int fd) {
        struct pollfd p = { fd, POLLIN|POLLOUT, 0 };

        return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static ssize_t read_errno(int fd, size_t size) {
        struct memunplug_event events[4];
        ssize_t n = read(fd, events, size);

        return n < 0 ? -errno : n;
}

static bool test_read(const Machine *m) {
        const size_t one = sizeof(struct memunplug_event);
        int fd = another();
        bool ok;

        if (!m->gate)
                return true;
        ok = CHECK(read_errno(fd, one) == -EPERM && polled(fd) == POLLOUT);
        ok &= CHECK(gate_call(fd, 1, NULL) == 0 && polled(m->fd) == 0);
        ok &= CHECK(read_errno(fd, 0) == -EINVAL && read_errno(fd, one - 1) == -EINVAL);
        ok &= CHECK(read_errno(fd, one) == -EAGAIN && read_errno(fd, 4 * one) == -EAGAIN);
        ok &= CHECK(polled(fd) == 0);
        ok &= CHECK(write(fd, "x", 1) < 0 && errno == EINVAL);
        ok &= CHECK(pread(fd, &ok, 1, 0) < 0 && errno == ESPIPE);
        close(fd);
        return ok & CHECK(polled(m->fd) == POLLOUT);
}

static void *reader(void *userdata) {
        return (void *) read_errno(*(int *) userdata, sizeof(struct memunplug_event));
}

/* A reader that waits is sent away when the gate is given back. */
static bool test_reader_woken(const Machine *m) {
        pthread_t thread;
        void *result = NULL;
        int fd = m->fd;
        bool ok;

        if (!m->gate)
                return true;
        ok = CHECK(gate_call(fd, 1, NULL) == 0);
        ok &= CHECK(pthread_create(&thread, NULL, reader, &fd) == 0);
        if (!ok)
                return false;
        usleep(100000);                         /* asleep or not yet: both must end the same */
        ok &= CHECK(gate_call(fd, 0, NULL) == 0);
        ok &= CHECK(pthread_join(thread, &result) == 0);
        return ok & CHECK((ssize_t) result == -EPERM);
}

static bool test_holder_killed(const Machine *m) {
        int status;
        pid_t pid;
        bool ok;

        if (!m->gate)
                return true;
        pid = fork();
        if (pid == 0) {
                int fd = another();

                if (gate_call(fd, 1, NULL) == 0)
                        raise(SIGKILL);
                _exit(1);
        }
        ok = CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ok &= CHECK(gate_call(m->fd, 1, NULL) == 0);
        return ok & CHECK(gate_call(m->fd, 0, NULL) == 0);
}

int gate_hold(const Machine *m) {
        if (gate_call(m->fd, 1, NULL) < 0)
                return EXIT_FAILURE;
        printf("held\n");
        fflush(stdout);
        for (;;)
                pause();
}

const Case gate_cases[] = {
        { "gate: ENODEV without memory devices", test_absent },
        { "gate: held by one file at a time, given back by close", test_hold },
        { "gate: EPERM, ENODEV, ENOENT, EINVAL of answer and release", test_names },
        { "gate: a released device is taken back by GATE", test_release },
        { "gate: read and poll without events", test_read },
        { "gate: a waiting reader is sent away with the gate", test_reader_woken },
        { "gate: a killed holder gives it back", test_holder_killed },
        { NULL, NULL },
};
