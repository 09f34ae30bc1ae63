/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's side of a worker: watches its channel and its pidfd, and decides how it ended. Never
 * blocks on it. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/worker-child.h"
#include "engine/worker.h"
#include "util/log.h"

struct Worker {
        int pidfd;
        int channel;
        sd_event *event;
        sd_event_source *channel_source;
        sd_event_source *exit_source;
        sd_event_source *stuck_timer;
        WorkerKill kill;
        WorkerRecordHandler on_record;
        WorkerOverHandler on_over;
        void *userdata;
        WorkerRecord end;
        bool has_end;
        bool garbled;
        bool killed;
        bool eof;    /* the channel has nothing more */
        bool exited; /* reaped */
        bool stuck;  /* on_over has been called with WORKER_STUCK */
};

static int kill_process(int pidfd) {
        return pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

/* Changes: w->exited. Never waits. */
static void worker_reap(Worker *w) {
        siginfo_t info = {};

        if (w->exited)
                return;
        if (waitid(P_PIDFD, (id_t) w->pidfd, &info, WEXITED | WNOHANG) < 0) {
                /* ECHILD: somebody else has reaped it; all the same, it is gone. */
                if (errno == ECHILD)
                        w->exited = true;
                return;
        }
        w->exited = info.si_pid != 0;
}

/* Changes: tells the owner, who may free the worker: nothing may be touched after it. The end of the
 * process and the end of what it has written are both waited for, so that no report is lost. */
static void worker_check_over(Worker *w) {
        WorkerFate fate = w->garbled ? WORKER_GARBLED : w->has_end ? WORKER_FINISHED : WORKER_DIED;

        if (!w->exited || !w->eof)
                return;
        w->stuck_timer = sd_event_source_disable_unref(w->stuck_timer);
        w->on_over(w, fate, &w->end, w->userdata);
}

static int on_stuck_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;

        w->stuck_timer = sd_event_source_disable_unref(w->stuck_timer);
        worker_reap(w); /* a loop that was late itself is no proof against the worker */
        if (w->exited)
                return 0;
        w->stuck = true;
        w->on_over(w, WORKER_STUCK, &w->end, w->userdata);
        return 0;
}

void worker_kill(Worker *w, uint64_t patience_usec) {
        int r;

        if (w->killed || w->exited)
                return;
        w->killed = true;
        r = w->kill(w->pidfd);
        if (r < 0)
                (void) log_debug_errno(r, "Failed to kill a worker: %m");
        r = sd_event_add_time_relative(w->event, &w->stuck_timer, CLOCK_MONOTONIC, patience_usec, 1000,
                                       on_stuck_timer, w);
        if (r < 0) /* then it is waited for without an end, as one that is not stuck */
                (void) log_debug_errno(r, "Failed to set a timer for a killed worker: %m");
}

/* Changes: the worker is done for; what comes from it now is thrown away. */
static void worker_condemn(Worker *w) {
        w->garbled = true;
        worker_kill(w, WORKER_AWAIT_USEC);
}

static void worker_take(Worker *w, const void *message, size_t n) {
        WorkerRecord record;

        if (w->garbled)
                return;
        if (w->has_end || worker_record_decode(message, n, &record) < 0)
                worker_condemn(w);
        else if (record.type == WORKER_RECORD_END) {
                w->end = record;
                w->has_end = true;
        } else if (w->on_record && !w->on_record(w, &record, w->userdata))
                worker_condemn(w);
}

/* One message at a time: the owner may have set the worker aside when the handler returns. */
static int on_channel(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        uint8_t message[WORKER_RECORD_SIZE];
        Worker *w = userdata;
        ssize_t n;

        n = recv(w->channel, message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0) {
                worker_take(w, message, (size_t) n);
                return 0;
        }
        w->eof = true;
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        worker_check_over(w);
        return 0;
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Worker *w = userdata;

        worker_reap(w);
        if (!w->exited)
                return 0;
        w->exit_source = sd_event_source_disable_unref(w->exit_source);
        worker_check_over(w);
        return 0;
}

/* The pidfd is watched as a plain file, which unlike sd_event_add_child_pidfd() does not ask that SIGCHLD
 * be blocked. */
static int worker_watch(Worker *w) {
        int r;

        r = sd_event_add_io(w->event, &w->channel_source, w->channel, EPOLLIN, on_channel, w);
        if (r < 0)
                return r;
        r = sd_event_add_io(w->event, &w->exit_source, w->pidfd, EPOLLIN, on_exit_event, w);
        if (r < 0)
                return r;
        return 0;
}

int worker_start(Worker **ret, sd_event *event, const WorkerSpec *spec) {
        CLEANUP(worker_freep) Worker *w = NULL;
        int r;

        assert(ret && event && spec && spec->body && spec->on_over);
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->pidfd = w->channel = -EBADF;
        w->kill = spec->kill ?: kill_process;
        w->on_record = spec->on_record;
        w->on_over = spec->on_over;
        w->userdata = spec->userdata;
        w->event = sd_event_ref(event);
        r = worker_child_start(spec, &w->channel, &w->pidfd);
        if (r < 0)
                return r;
        r = worker_watch(w);
        if (r < 0)
                return r;
        if (send(w->channel, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) /* go */
                return -errno;
        *ret = STEAL_PTR(w);
        return 0;
}

/* Only for a process that was killed a moment ago: its end is an event, and the wait for it is bounded. */
static void worker_await(Worker *w) {
        struct pollfd pfd = { .fd = w->pidfd, .events = POLLIN };

        (void) poll(&pfd, 1, (int) (WORKER_AWAIT_USEC / 1000));
        worker_reap(w);
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        w->exit_source = sd_event_source_disable_unref(w->exit_source);
        w->stuck_timer = sd_event_source_disable_unref(w->stuck_timer);
        if (w->pidfd >= 0) {
                worker_reap(w);
                if (!w->exited)
                        (void) kill_process(w->pidfd);
                if (!w->exited && !w->stuck)
                        worker_await(w);
        }
        (void) close_fd(w->channel);
        (void) close_fd(w->pidfd);
        (void) sd_event_unref(w->event);
        free(w);
        return NULL;
}

void worker_set_aside(Worker *w, WorkerOverHandler on_gone, void *userdata) {
        w->on_record = NULL;
        w->on_over = on_gone;
        w->userdata = userdata;
        w->stuck_timer = sd_event_source_disable_unref(w->stuck_timer);
}
