/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of a hook: how it is made, watched, and ended. It is given nothing of the daemon's: no file,
 * no variable, no capability, no signal mask. It does not outlive the daemon, nor its children it. */
#include "request/hook-process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/json-text.h"
#include "util/privilege.h"

#define EXIT_NOT_RUN 127 /* as a shell has it */
/* A killed process that is not back after this long hangs in the kernel; nobody waits for it. */
#define KILLED_PATIENCE_USEC UINT64_C(500000)
#define FREED_PATIENCE_MSEC 100

struct HookProcess {
        pid_t pid;
        int pidfd, output;
        sd_event_source *exit, *io, *timer;
        bool killed;
        bool line_complete;
        char line[HOOK_LINE_MAX + 1];
        size_t n_line;
        HookProcessCallback callback;
        void *userdata;
};

DEFINE_CLEANUP(HookProcess *, hook_process_free)

/* The leader is not reaped yet where this is called, so its number is nobody else's. */
static void kill_group(const HookProcess *p) {
        (void) kill(-p->pid, SIGKILL); /* nobody left: fine */
}

/* Only the first line with something in it counts; the rest is read and forgotten, so that no hook hangs on
 * a full pipe. */
static void take_output(HookProcess *p, const char *data, size_t n) {
        for (size_t i = 0; i < n && !p->line_complete; i++) {
                if (data[i] == '\n')
                        p->line_complete = p->n_line > 0;
                else if (p->n_line < HOOK_LINE_MAX)
                        p->line[p->n_line++] = data[i] ?: '?';
        }
}

/* Bytes that are no printable character become "?"; one that was cut through goes. */
static const char *clean_line(HookProcess *p) {
        size_t i = 0;

        p->line[p->n_line] = '\0';
        while (i < p->n_line) {
                size_t n = json_text_character(p->line + i);

                if (n == 0 && p->n_line == HOOK_LINE_MAX && p->n_line - i < 4 &&
                    ((unsigned char) p->line[i] & 0xc0) == 0xc0) {
                        p->line[i] = '\0';
                        break;
                }
                if (n == 0)
                        p->line[i] = '?';
                i += n ?: 1;
        }
        return p->line;
}

/* 1: more may come; 0: nothing more, now or ever. */
static int read_output(HookProcess *p) {
        char data[4096];
        ssize_t n;

        n = read(p->output, data, sizeof(data));
        if (n > 0)
                take_output(p, data, (size_t) n);
        return n > 0 || (n < 0 && errno == EINTR);
}

static void tell(HookProcess *p, HookEnd end, int status) {
        HookResult result = { .end = end, .status = status, .line = clean_line(p) };

        p->exit = sd_event_source_disable_unref(p->exit);
        p->io = sd_event_source_disable_unref(p->io);
        p->timer = sd_event_source_disable_unref(p->timer);
        p->callback(p, &result, p->userdata);
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HookProcess *p = userdata;

        if (!read_output(p) && (revents & EPOLLHUP))
                p->io = sd_event_source_disable_unref(p->io);
        return 0;
}

/* What it left behind in its group goes with it; what it wrote is read, but not waited for. */
static int on_exit_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HookProcess *p = userdata;
        siginfo_t info = {};

        kill_group(p);
        if (waitid(P_PIDFD, (id_t) p->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                return 0;
        p->pid = 0;
        for (unsigned i = 0; i < 16 && read_output(p); i++)
                ;
        if (p->killed)
                tell(p, HOOK_TOO_LATE, 0);
        else if (info.si_code == CLD_EXITED)
                tell(p, info.si_status == 0 ? HOOK_SUCCEEDED : HOOK_FAILED, info.si_status);
        else
                tell(p, HOOK_KILLED, info.si_status);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HookProcess *p = userdata;

        if (p->killed) {
                tell(p, HOOK_TOO_LATE, 0);
                return 0;
        }
        p->killed = true;
        kill_group(p);
        if (sd_event_source_set_time_relative(p->timer, KILLED_PATIENCE_USEC) < 0 ||
            sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT) < 0)
                tell(p, HOOK_TOO_LATE, 0);
        return 0;
}

static _Noreturn void child_fail(const char *what, int error) {
        (void) dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(error)); /* it is all that can be said */
        _exit(EXIT_NOT_RUN);
}

static void reset_signals(void) {
        struct sigaction action = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, &action, NULL); /* SIGKILL, SIGSTOP and libc's own cannot be set */
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs by a path below the root, which is where it is started. */
static _Noreturn void child_run(int root_fd, const Hook *hook, const char *phase, int input, int output,
                                pid_t parent) {
        static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        static char lang[] = "LANG=C.UTF-8";
        static char *const environment[] = { path, lang, NULL };
        char *const arguments[] = { (char *) hook->path, (char *) phase, NULL };
        int r;

        if (setpgid(0, 0) < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
            dup2(output, STDERR_FILENO) < 0)
                _exit(EXIT_NOT_RUN);
        if (lseek(STDIN_FILENO, 0, SEEK_SET) < 0 || fchdir(root_fd) < 0)
                child_fail("cannot be prepared", errno);
        r = privilege_drop_to(0, NULL);
        if (r < 0)
                child_fail("cannot give up privileges", -r);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXIT_NOT_RUN);
        if (close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
                child_fail("cannot be prepared", errno);
        reset_signals();
        (void) execve(hook->path, arguments, environment);
        child_fail("cannot be run", errno);
}

static int watch(HookProcess *p, sd_event *event, uint64_t timeout_usec) {
        int r;

        r = sd_event_add_io(event, &p->exit, p->pidfd, EPOLLIN, on_exit_event, p);
        if (r >= 0)
                r = sd_event_add_io(event, &p->io, p->output, EPOLLIN, on_output, p);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, timeout_usec, 1000,
                                               on_timer, p);
        return r;
}

int hook_process_start(HookProcess **ret, sd_event *event, int root_fd, const Hook *hook, const char *phase,
                       int input, uint64_t timeout_usec, HookProcessCallback callback, void *userdata) {
        CLEANUP(hook_process_freep) HookProcess *p = calloc(1, sizeof(*p));
        CLEANUP(closep) int output = -EBADF;
        pid_t parent = getpid();
        int fds[2], r;

        if (!p)
                return -ENOMEM;
        p->pidfd = p->output = -EBADF;
        p->callback = callback;
        p->userdata = userdata;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        p->output = fds[0];
        output = fds[1];
        if (fcntl(p->output, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        p->pid = fork();
        if (p->pid == 0)
                child_run(root_fd, hook, phase, input, output, parent);
        if (p->pid < 0) {
                p->pid = 0;
                return -errno;
        }
        (void) setpgid(p->pid, p->pid); /* both do it: neither waits for the other */
        p->pidfd = pidfd_open(p->pid, 0);
        if (p->pidfd < 0)
                return -errno;
        r = watch(p, event, timeout_usec);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(p);
        return 0;
}

HookProcess *hook_process_free(HookProcess *p) {
        if (!p)
                return NULL;
        (void) sd_event_source_disable_unref(p->exit);
        (void) sd_event_source_disable_unref(p->io);
        (void) sd_event_source_disable_unref(p->timer);
        if (p->pid > 0) {
                struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
                siginfo_t info;

                kill_group(p);
                (void) poll(&pfd, 1, FREED_PATIENCE_MSEC); /* it was killed: this is no wait but for one
                                                              that hangs in the kernel */
                (void) waitid(P_PID, (id_t) p->pid, &info, WEXITED | WNOHANG);
        }
        (void) close_fd(p->pidfd);
        (void) close_fd(p->output);
        free(p);
        return NULL;
}
