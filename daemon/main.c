/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memunplugd: arguments, signals, privileges, then the manager. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/serial.h"
#include "manager.h"
#include "memory/pressure.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/privilege.h"

/* Exit codes of the LSB for services. */
#define EXIT_INVALID_ARGUMENT 2
#define EXIT_NO_PERMISSION 4

static ManagerOptions arg_options = {
        .root = "/",
        .device = "/dev/memunplug",
        .listen = "/run/memunplug/org.memunplug",
        .state = "var/lib/memunplug",
        .port = SERIAL_PORT_NAME,
        .pressure_fd = -1,
};
static const char *arg_user = NULL;

DEFINE_CLEANUP(Manager *, manager_free)

static void print_help(void) {
        printf("memunplugd [OPTIONS...]\n\n"
               "Memory hot-remove service for virtual machines.\n\n"
               "Options:\n"
               "  -h --help            Show this help\n"
               "     --version         Show the version\n"
               "     --root=DIR        Directory in place of / for sysfs, procfs, configuration and state\n"
               "     --listen=PATH     Varlink socket to make when none is passed in\n"
               "     --device=PATH     Device node of the kernel module; empty: do without\n"
               "     --state=DIR       Directory of the journal of jobs, below the root\n"
               "     --port=NAME       virtio-serial port of the hypervisor; empty: do without\n"
               "     --user=NAME       User to become when started as root\n"
               "     --log-level=LEVEL debug, info, notice, warning, err, crit\n\n"
               "See the memunplugd.service(8) man page for details.\n");
}

static int set_log_level(const char *text) {
        int level = log_level_from_string(text);

        if (level < 0) {
                fprintf(stderr, "memunplugd: '%s' is not a log level\n", text);
                return level;
        }
        log_set_max_level(level);
        return 1;
}

/* 1: go on; 0: done, a good end; negative: a wrong argument, already told. */
static int parse_arguments(int argc, char **argv) {
        enum {
                ARG_VERSION = 0x100, ARG_ROOT, ARG_LISTEN, ARG_DEVICE, ARG_STATE, ARG_PORT, ARG_USER,
                ARG_LOG_LEVEL,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "root", required_argument, NULL, ARG_ROOT },
                { "listen", required_argument, NULL, ARG_LISTEN },
                { "device", required_argument, NULL, ARG_DEVICE },
                { "state", required_argument, NULL, ARG_STATE },
                { "port", required_argument, NULL, ARG_PORT },
                { "user", required_argument, NULL, ARG_USER },
                { "log-level", required_argument, NULL, ARG_LOG_LEVEL },
                {},
        };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (c) {
                case 'h':
                        print_help();
                        return 0;
                case ARG_VERSION:
                        printf("memunplug " MEMUNPLUG_VERSION "\n");
                        return 0;
                case ARG_ROOT:
                        arg_options.root = optarg;
                        break;
                case ARG_LISTEN:
                        arg_options.listen = optarg;
                        break;
                case ARG_DEVICE:
                        arg_options.device = *optarg ? optarg : NULL;
                        break;
                case ARG_STATE:
                        arg_options.state = optarg;
                        break;
                case ARG_PORT:
                        arg_options.port = *optarg ? optarg : NULL;
                        break;
                case ARG_USER:
                        arg_user = optarg;
                        break;
                case ARG_LOG_LEVEL:
                        r = set_log_level(optarg);
                        if (r < 0)
                                return r;
                        break;
                default:
                        return -EINVAL; /* getopt said why */
                }
        }
        if (optind < argc) {
                fprintf(stderr, "memunplugd: '%s' is too much: there are only options\n", argv[optind]);
                return -EINVAL;
        }
        return 1;
}

/* The loop takes these from a signalfd; SIGPIPE would end the daemon when a client goes away. */
static int block_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        return 0;
}

/* Until Linux 6.5 a trigger takes CAP_SYS_RESOURCE, which is soon gone; the file keeps the right to it. */
static void open_pressure(void) {
        CLEANUP(closep) int root = open(arg_options.root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root >= 0)
                arg_options.pressure_fd = openat(root, PRESSURE_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

int main(int argc, char **argv) {
        CLEANUP(manager_freep) Manager *manager = NULL;
        int r;

        r = parse_arguments(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_INVALID_ARGUMENT : EXIT_SUCCESS;
        r = block_signals();
        if (r < 0) {
                (void) log_error_errno(r, "Failed to block signals: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        open_pressure();
        r = privilege_drop(arg_user);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to drop privileges: %s", strerror(-r));
                return EXIT_NO_PERMISSION;
        }
        r = manager_new(&manager, &arg_options);
        if (r < 0)
                return EXIT_FAILURE; /* told where it happened */
        return manager_run(manager) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
