/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's first process: runs commands for the host over a virtio-serial
 * port and sends back what they print and how they end. It owns the processes it
 * started and their pipes; what to run and when to stop is the host's business.
 *
 * Frames both ways: length of the payload, id, type (each 32 bits, little endian),
 * payload. The id is chosen by the host and names one process.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAYLOAD_MAX (256U * 1024)
#define STDIN_MAX (16U * 1024 * 1024)
#define PROCESSES_MAX 64
#define ARGS_MAX 256

enum {                                          /* host to guest */
        FRAME_SPAWN = 1,                        /* u32 flags, then NUL-terminated arguments */
        FRAME_STDIN = 2,                        /* bytes; none: close */
        FRAME_SIGNAL = 3,                       /* u32 signal, to the process group */
};

enum {                                          /* guest to host */
        FRAME_HELLO = 16,
        FRAME_STARTED = 17,                     /* u32 pid */
        FRAME_STDOUT = 18,
        FRAME_STDERR = 19,
        FRAME_NOTIFY = 20,                      /* one sd_notify datagram */
        FRAME_EXIT = 21,                        /* u32: exit status, or 128 + signal */
        FRAME_ERROR = 22,                       /* text: the request could not be done */
};

enum {
        SPAWN_NOTIFY = 1U << 0,                 /* give it a NOTIFY_SOCKET */
        SPAWN_STDIN = 1U << 1,                  /* its stdin comes in FRAME_STDIN, not from /dev/null */
};

typedef struct Header {
        uint32_t length;
        uint32_t id;
        uint32_t type;
} Header;

typedef struct Process {
        bool used;
        bool exited;
        uint32_t id;
        pid_t pid;
        int in, out, err, notify;               /* -1: closed */
        char *pending;                          /* stdin not written yet */
        size_t n_pending;
        bool in_eof;
} Process;

static Process processes[PROCESSES_MAX];
static int channel = -1;

static _Noreturn void die(const char *what) {
        dprintf(STDERR_FILENO, "agent: %s: %s\n", what, strerror(errno));
        _exit(1);
}

static void read_all(int fd, void *buffer, size_t size) {
        for (char *p = buffer; size > 0;) {
                ssize_t n = read(fd, p, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)                     /* the host has gone: nobody to work for */
                        die("channel");
                p += n;
                size -= (size_t) n;
        }
}

static void write_all(int fd, const void *buffer, size_t size) {
        for (const char *p = buffer; size > 0;) {
                ssize_t n = write(fd, p, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        die("channel");
                p += n;
                size -= (size_t) n;
        }
}

static void send_frame(uint32_t id, uint32_t type, const void *payload, size_t length) {
        Header header = { (uint32_t) length, id, type };

        write_all(channel, &header, sizeof header);
        write_all(channel, payload, length);
}

static void send_u32(uint32_t id, uint32_t type, uint32_t value) {
        send_frame(id, type, &value, sizeof value);
}

static void send_error(uint32_t id, const char *text) {
        send_frame(id, FRAME_ERROR, text, strlen(text));
}

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static Process *process_find(uint32_t id) {
        for (size_t i = 0; i < PROCESSES_MAX; i++)
                if (processes[i].used && processes[i].id == id)
                        return processes + i;
        return NULL;
}

static Process *process_new(uint32_t id) {
        for (size_t i = 0; i < PROCESSES_MAX; i++)
                if (!processes[i].used) {
                        processes[i] = (Process) {
                                .used = true, .id = id, .in = -1, .out = -1, .err = -1, .notify = -1,
                        };
                        return processes + i;
                }
        return NULL;
}

/* A slot is free again when the process and everybody who holds its output have ended. */
static void process_release(Process *process) {
        if (!process->exited || process->out >= 0 || process->err >= 0)
                return;
        close_fd(&process->in);
        close_fd(&process->notify);
        free(process->pending);
        *process = (Process) { .used = false };
}

static int notify_open(uint32_t id, char *ret_name, size_t size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -1;
        snprintf(ret_name, size, "@memunplug-agent/%u", id);
        memcpy(address.sun_path + 1, ret_name + 1, strlen(ret_name) - 1);
        if (bind(fd, (struct sockaddr *) &address,
                 (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(ret_name))) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

static _Noreturn void child_run(char **argv, int in, int out, int err, const char *notify) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        setpgid(0, 0);
        dup2(in, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        if (notify)
                setenv("NOTIFY_SOCKET", notify, 1);
        execvp(argv[0], argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
}

static int process_start(Process *process, char **argv, uint32_t flags) {
        int in[2] = { -1, -1 }, out[2], err[2];
        char notify[64];

        if (flags & SPAWN_NOTIFY) {
                process->notify = notify_open(process->id, notify, sizeof notify);
                if (process->notify < 0)
                        return -errno;
        }
        if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
                return -errno;
        if (flags & SPAWN_STDIN) {
                if (pipe2(in, O_CLOEXEC) < 0)
                        return -errno;
        } else {
                in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (in[0] < 0)
                        return -errno;
        }

        process->pid = fork();
        if (process->pid == 0)
                child_run(argv, in[0], out[1], err[1], flags & SPAWN_NOTIFY ? notify : NULL);
        close(in[0]);
        close(out[1]);
        close(err[1]);
        process->in = in[1];
        process->out = out[0];
        process->err = err[0];
        if (process->pid < 0)
                return -EAGAIN;
        setpgid(process->pid, process->pid);
        if (process->in >= 0)
                (void) fcntl(process->in, F_SETFL, O_NONBLOCK);
        (void) fcntl(process->out, F_SETFL, O_NONBLOCK);
        (void) fcntl(process->err, F_SETFL, O_NONBLOCK);
        return 0;
}

static void handle_spawn(uint32_t id, char *payload, size_t length) {
        char *argv[ARGS_MAX + 1];
        size_t n = 0;
        uint32_t flags;
        Process *process;

        if (length < sizeof flags + 2 || payload[length - 1] != '\0' || process_find(id)) {
                send_error(id, "malformed spawn request");
                return;
        }
        memcpy(&flags, payload, sizeof flags);
        for (char *p = payload + sizeof flags; p < payload + length && n < ARGS_MAX; p += strlen(p) + 1)
                argv[n++] = p;
        argv[n] = NULL;
        process = process_new(id);
        if (!process) {
                send_error(id, "too many processes");
                return;
        }
        if (process_start(process, argv, flags) < 0) {
                send_error(id, "cannot start a process");
                process->exited = true;
                close_fd(&process->out);
                close_fd(&process->err);
                process_release(process);
                return;
        }
        send_u32(id, FRAME_STARTED, (uint32_t) process->pid);
}

static void stdin_flush(Process *process) {
        while (process->in >= 0 && process->n_pending > 0) {
                ssize_t n = write(process->in, process->pending, process->n_pending);

                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {                    /* it reads no more */
                        process->n_pending = 0;
                        close_fd(&process->in);
                        return;
                }
                process->n_pending -= (size_t) n;
                memmove(process->pending, process->pending + n, process->n_pending);
        }
        if (process->in_eof)
                close_fd(&process->in);
}

static void handle_stdin(uint32_t id, const char *payload, size_t length) {
        Process *process = process_find(id);
        char *grown;

        if (!process || process->in < 0)
                return;
        if (length == 0)
                process->in_eof = true;
        else if (process->n_pending + length > STDIN_MAX)
                send_error(id, "too much input");
        else {
                grown = realloc(process->pending, process->n_pending + length);
                if (!grown)
                        die("realloc");
                process->pending = grown;
                memcpy(process->pending + process->n_pending, payload, length);
                process->n_pending += length;
        }
        stdin_flush(process);
}

static void handle_frame(void) {
        static char payload[PAYLOAD_MAX];
        Header header;
        Process *process;
        uint32_t signo;

        read_all(channel, &header, sizeof header);
        if (header.length > PAYLOAD_MAX) {
                errno = EMSGSIZE;
                die("frame");
        }
        read_all(channel, payload, header.length);
        switch (header.type) {
        case FRAME_SPAWN:
                handle_spawn(header.id, payload, header.length);
                break;
        case FRAME_STDIN:
                handle_stdin(header.id, payload, header.length);
                break;
        case FRAME_SIGNAL:
                process = process_find(header.id);
                if (!process || process->exited || header.length != sizeof signo)
                        break;
                memcpy(&signo, payload, sizeof signo);
                (void) kill(-process->pid, (int) signo);
                break;
        default:
                send_error(header.id, "unknown frame");
        }
}

/* Sends on what is there. False at the end of the file. */
static bool forward(int fd, uint32_t id, uint32_t type) {
        char buffer[16384];

        for (;;) {
                ssize_t n = read(fd, buffer, sizeof buffer);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                if (n == 0 && type != FRAME_NOTIFY)
                        return false;
                send_frame(id, type, buffer, (size_t) n);
        }
}

static void process_forward(Process *process) {
        if (process->notify >= 0)
                (void) forward(process->notify, process->id, FRAME_NOTIFY);
        if (process->out >= 0 && !forward(process->out, process->id, FRAME_STDOUT))
                close_fd(&process->out);
        if (process->err >= 0 && !forward(process->err, process->id, FRAME_STDERR))
                close_fd(&process->err);
}

static void reap(int signals) {
        struct signalfd_siginfo info;
        int status;
        pid_t pid;

        while (read(signals, &info, sizeof info) > 0)
                ;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (size_t i = 0; i < PROCESSES_MAX; i++) {
                        Process *process = processes + i;

                        if (!process->used || process->exited || process->pid != pid)
                                continue;
                        process_forward(process);       /* all it wrote is in the pipes by now */
                        process->exited = true;
                        send_u32(process->id, FRAME_EXIT, WIFEXITED(status)
                                 ? (uint32_t) WEXITSTATUS(status) : 128U + (uint32_t) WTERMSIG(status));
                        process_release(process);
                }
}

static nfds_t collect_fds(struct pollfd *fds, int signals) {
        nfds_t n = 0;

        fds[n++] = (struct pollfd) { .fd = channel, .events = POLLIN };
        fds[n++] = (struct pollfd) { .fd = signals, .events = POLLIN };
        for (size_t i = 0; i < PROCESSES_MAX; i++) {
                const Process *process = processes + i;

                if (!process->used)
                        continue;
                fds[n++] = (struct pollfd) { .fd = process->out, .events = POLLIN };
                fds[n++] = (struct pollfd) { .fd = process->err, .events = POLLIN };
                fds[n++] = (struct pollfd) { .fd = process->notify, .events = POLLIN };
                if (process->n_pending > 0)
                        fds[n++] = (struct pollfd) { .fd = process->in, .events = POLLOUT };
        }
        return n;
}

int main(int argc, char **argv) {
        struct pollfd fds[2 + 4 * PROCESSES_MAX];
        sigset_t mask;
        int signals;

        if (argc != 2)
                return 2;
        channel = open(argv[1], O_RDWR | O_CLOEXEC);
        if (channel < 0)
                die(argv[1]);
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals < 0)
                die("signalfd");
        send_frame(0, FRAME_HELLO, NULL, 0);

        for (;;) {
                nfds_t n = collect_fds(fds, signals);

                if (poll(fds, n, -1) < 0 && errno != EINTR)
                        die("poll");
                for (size_t i = 0; i < PROCESSES_MAX; i++)
                        if (processes[i].used) {
                                stdin_flush(processes + i);
                                process_forward(processes + i);
                                process_release(processes + i);
                        }
                if (fds[1].revents)
                        reap(signals);
                if (fds[0].revents)
                        handle_frame();
        }
}
