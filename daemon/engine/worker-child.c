/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker process: a fork of the daemon without exec, that holds no more than it needs, that no signal
 * but SIGKILL disturbs, and that does not outlive the daemon. What watches it is in worker.c. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/worker-child.h"

#define ERRNO_MAX 4095
#define RECORD_MAGIC UINT32_C(0x4d55574b) /* "MUWK" */

/* On the channel, in the machine's own byte order: both ends are this program. */
typedef struct WireRecord {
        uint32_t magic;
        uint32_t type;
        uint32_t block;
        int32_t error;
        uint64_t bytes;
} WireRecord;

_Static_assert(sizeof(WireRecord) == WORKER_RECORD_SIZE, "no padding on the wire");

int worker_record_decode(const void *data, size_t n, WorkerRecord *ret) {
        WireRecord wire;

        if (n != sizeof(wire))
                return -EBADMSG;
        memcpy(&wire, data, sizeof(wire));
        if (wire.magic != RECORD_MAGIC)
                return -EBADMSG;
        if (wire.type < WORKER_RECORD_PROGRESS || wire.type >= _WORKER_RECORD_MAX)
                return -EBADMSG;
        if (wire.error > 0 || wire.error < -ERRNO_MAX)
                return -EBADMSG;
        if (wire.block != 0 && wire.type != WORKER_RECORD_BLOCK)
                return -EBADMSG;
        if (wire.bytes != 0 && wire.type == WORKER_RECORD_BLOCK)
                return -EBADMSG;
        if (wire.error != 0 && wire.type == WORKER_RECORD_PROGRESS)
                return -EBADMSG;
        *ret = (WorkerRecord) {
                .type = (WorkerRecordType) wire.type,
                .block = wire.block,
                .error = wire.error,
                .bytes = wire.bytes,
        };
        return 0;
}

void worker_record_encode(const WorkerRecord *record, uint8_t ret[WORKER_RECORD_SIZE]) {
        WireRecord wire = {
                .magic = RECORD_MAGIC,
                .type = record->type,
                .block = record->block,
                .error = record->error,
                .bytes = record->bytes,
        };

        memcpy(ret, &wire, sizeof(wire));
}

void worker_send(int channel, const WorkerRecord *record) {
        uint8_t message[WORKER_RECORD_SIZE];
        ssize_t n;

        worker_record_encode(record, message);
        do
                n = send(channel, message, sizeof(message), MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t) sizeof(message))
                _exit(EXIT_FAILURE);
}

bool worker_pause(int channel, uint64_t usec) {
        struct pollfd pfd = { .fd = channel }; /* no events asked for: POLLHUP is always told */

        return poll(&pfd, 1, (int) ((usec + 999) / 1000)) <= 0;
}

static int compare_fds(const void *a, const void *b) {
        int x = *(const int *) a, y = *(const int *) b;

        return (x > y) - (x < y);
}

/* A stuck worker lives long: nothing of the daemon, least of all a client's connection, must hang on it. */
static int close_others(const WorkerSpec *spec, int channel) {
        int keep[WORKER_KEEP_MAX + 1];
        unsigned first = STDERR_FILENO + 1;

        memcpy(keep, spec->keep_fds, sizeof(spec->keep_fds));
        keep[WORKER_KEEP_MAX] = channel;
        qsort(keep, WORKER_KEEP_MAX + 1, sizeof(keep[0]), compare_fds);
        for (size_t i = 0; i < WORKER_KEEP_MAX + 1; i++) {
                if (keep[i] < (int) first) /* none, a repeat, or one of the standard ones */
                        continue;
                if ((unsigned) keep[i] > first && close_range(first, (unsigned) keep[i] - 1, 0) < 0)
                        return -errno;
                first = (unsigned) keep[i] + 1;
        }
        return close_range(first, ~0U, 0) < 0 ? -errno : 0;
}

/* All signals stay blocked (the parent has blocked them before the fork): Linux 6.1 gives up an offline
 * for any signal that has a handler. With default dispositions none has one, should a mask ever be
 * lifted. */
static void reset_signals(void) {
        struct sigaction action = { .sa_handler = SIG_DFL };

        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, &action, NULL); /* SIGKILL, SIGSTOP and libc's own cannot be set */
}

/* The parent watches the process before anything begins that it could not undo. */
static bool wait_for_go(int channel) {
        char go;

        return recv(channel, &go, sizeof(go), 0) == (ssize_t) sizeof(go);
}

static _Noreturn void child_run(const WorkerSpec *spec, int channel, pid_t parent) {
        WorkerRecord end = { .type = WORKER_RECORD_END };

        /* Set here, after the fork and with the credentials it will keep: a change of them would clear
         * it. Then look whether the parent has gone before that. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
        (void) prctl(PR_SET_NAME, spec->name); /* for people only */
        reset_signals();
        end.error = close_others(spec, channel);
        if (!wait_for_go(channel))
                _exit(EXIT_FAILURE);
        if (end.error == 0)
                end.error = spec->body(channel, spec->task, &end.bytes);
        worker_send(channel, &end);
        _exit(EXIT_SUCCESS); /* not exit(): buffers and handlers are the daemon's */
}

/* fork() with all signals blocked in the child. */
static pid_t fork_blocked(void) {
        sigset_t all, old;
        pid_t pid;
        int saved;

        (void) sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, &old) < 0)
                return -1;
        pid = fork();
        if (pid == 0)
                return 0;
        saved = errno;
        (void) sigprocmask(SIG_SETMASK, &old, NULL);
        errno = saved;
        return pid;
}

int worker_child_start(const WorkerSpec *spec, int *ret_channel, int *ret_pidfd) {
        CLEANUP(closep) int ours = -EBADF, theirs = -EBADF;
        int pair[2], pidfd, r;
        pid_t parent = getpid(), pid;

        /* Messages, not a stream: a record comes whole or not at all. */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        pid = fork_blocked();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_run(spec, theirs, parent);
        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0) {
                r = -errno;
                (void) kill(pid, SIGKILL); /* a child of ours, not reaped: the number is still its own */
                (void) waitpid(pid, NULL, 0); /* it has done nothing yet that could hold it */
                return r;
        }
        *ret_channel = steal_fd(&ours);
        *ret_pidfd = pidfd;
        return 0;
}
