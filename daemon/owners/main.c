/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memunplug-owners: answers one request on standard input, a socket, and ends. Which processes map given
 * pages can only be known with more rights than the service has; so they are in a program of their own
 * that lives for less than a second, does one thing and believes nobody. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "owners/serve.h"
#include "owners/walk.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/privilege.h"

/* Exit codes of the LSB for services. */
#define EXIT_INVALID_ARGUMENT 2
#define EXIT_NO_PERMISSION 4

/* The service waits for two seconds. Reads of page maps may wait for a lock of the process they are of, and
 * only a signal that kills ends that: what was found until then has been sent already. */
#define SEARCH_USEC UINT64_C(400000)
#define LIFE_USEC 900000
#define MAX_ENTRIES (UINT64_C(1) << 28)         /* 1 TiB of addresses with pages of 4 KiB */
#define FIRST_ENTRIES (UINT64_C(1) << 20)       /* 4 GiB */
#define MAX_PROCESS_ENTRIES (UINT64_C(1) << 25) /* 128 GiB */

/* Frames are shown to CAP_SYS_ADMIN, maps of others to CAP_SYS_PTRACE; and a page map belongs to the user
 * of its process, whose it is to open. */
#define KEPT \
        (PRIVILEGE_BIT(CAP_SYS_ADMIN) | PRIVILEGE_BIT(CAP_SYS_PTRACE) | PRIVILEGE_BIT(CAP_DAC_READ_SEARCH))

static const char *arg_user = NULL;

static int parse_arguments(int argc, char **argv) {
        enum { ARG_VERSION = 0x100, ARG_USER };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "user", required_argument, NULL, ARG_USER },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        printf("memunplug-owners [OPTIONS...]\n\n"
                               "Say on the socket that is standard input which processes map pages.\n\n"
                               "Options:\n"
                               "  -h --help       Show this help\n"
                               "     --version    Show the version\n"
                               "     --user=NAME  User who may ask, besides root\n");
                        return 0;
                case ARG_VERSION:
                        printf("memunplug-owners %s\n", MEMUNPLUG_VERSION);
                        return 0;
                case ARG_USER:
                        arg_user = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "memunplug-owners: takes no arguments\n");
                return -EINVAL;
        }
        return 1;
}

static uint64_t now_usec(void) {
        return clock_now_usec(CLOCK_MONOTONIC);
}

/* The end comes by itself, whatever we wait for. */
static int limit_life(void) {
        const struct itimerval timer = { .it_value = { .tv_usec = LIFE_USEC } };
        sigset_t set;

        if (sigemptyset(&set) < 0 || sigaddset(&set, SIGALRM) < 0 || signal(SIGALRM, SIG_DFL) == SIG_ERR ||
            sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 || setitimer(ITIMER_REAL, &timer, NULL) < 0)
                return -errno;
        return 0;
}

/* Changes: nothing can be started, and no file grows, by our hand. The first limit does not hold for
 * CAP_SYS_ADMIN: the unit's TasksMax= does. */
static int limit_resources(void) {
        static const struct rlimit none = {};

        if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_NPROC, &none) < 0 ||
            setrlimit(RLIMIT_FSIZE, &none) < 0)
                return -errno;
        return 0;
}

static int send_found(const OwnersReply *reply, void *userdata) {
        return serve_send(STDIN_FILENO, reply);
}

static int answer(uint64_t page_size, int proc_fd) {
        OwnersRequest request;
        OwnersReply reply;
        int r;

        r = serve_receive(STDIN_FILENO, page_size, &request);
        if (r < 0)
                return log_warning_errno(r, "Refusing a request: %m");
        r = walk(&(WalkOptions) {
                         .proc_fd = proc_fd,
                         .page_size = page_size,
                         .skip_pid = getpid(),
                         .now = now_usec,
                         .deadline = now_usec() + SEARCH_USEC,
                         .max_entries = MAX_ENTRIES,
                         .first_entries = FIRST_ENTRIES,
                         .max_process_entries = MAX_PROCESS_ENTRIES,
                         .found = send_found,
                 },
                 &request, &reply);
        if (r < 0)
                return log_warning_errno(r, "Failed to look at the processes: %m");
        r = serve_send(STDIN_FILENO, &reply);
        return r < 0 ? log_warning_errno(r, "Failed to answer: %m") : 0;
}

static int run(void) {
        CLEANUP(closep) int proc_fd = -1;
        uint64_t page_size = (uint64_t) sysconf(_SC_PAGESIZE);
        int r;

        r = serve_check_socket(STDIN_FILENO);
        if (r < 0)
                return log_error_errno(r, "Standard input is not a connected local socket: %m");
        r = serve_check_peer(STDIN_FILENO, arg_user);
        if (r < 0)
                return log_warning_errno(r, "Refusing a peer: %m");
        proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return log_error_errno(-errno, "Failed to open '/proc': %m");
        r = walk_sees_frames(proc_fd, page_size);
        if (r < 0)
                return log_error_errno(r, "Failed to read our own page map: %m");
        if (r == 0)
                return log_error_errno(-EPERM, "Page maps do not show us frames: %m");
        return answer(page_size, proc_fd);
}

int main(int argc, char **argv) {
        int r;

        r = parse_arguments(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_INVALID_ARGUMENT : EXIT_SUCCESS;
        r = privilege_drop_to(KEPT, /* user= */ NULL);
        if (r >= 0)
                r = limit_resources();
        if (r >= 0)
                r = limit_life();
        if (r < 0)
                log_error_errno(r, "Failed to give up what is not needed: %m");
        else
                r = run();
        if (r < 0)
                return r == -EPERM || r == -EACCES ? EXIT_NO_PERMISSION : EXIT_FAILURE;
        return EXIT_SUCCESS;
}
