/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures one removal of memory, for the benchmark: how many instructions the whole
 * guest executed meanwhile and how many pages the kernel moved. It owns the readings;
 * what is removed and how is the command's or the hypervisor's business.
 *
 *   measure [--evacuate=START-END] COMMAND [ARG...]
 *   measure --removed=N          until N memory blocks have left; says "ready" first
 *   measure --total=KIB          until the machine has no more memory than that; the same, and meanwhile
 *                                how long each eighth of the way took
 *
 * --evacuate calls the module's EVACUATE on the range before the command.
 *
 * For a guest with one CPU that runs with QEMU's -icount shift=0: there the clock counts
 * one nanosecond for each instruction, and jumps over the time in which the CPU is idle.
 * The kernel counts that time, too; it is not among the instructions.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/memunplug.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"

#define TOTAL_STEPS 8

typedef struct Reading {
        uint64_t clock, idle, migrated, failed;
} Reading;

static void die(const char *what) {
        fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
        exit(125);
}

static uint64_t clock_now(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* The sum of a file's lines that are this key and a number. */
static uint64_t sum_of(const char *path, const char *format) {
        uint64_t sum = 0, value;
        char line[512];
        bool found = false;
        FILE *f = fopen(path, "re");

        if (!f)
                die(path);
        while (fgets(line, sizeof line, f))
                if (sscanf(line, format, &value) == 1) {
                        sum += value;
                        found = true;
                }
        fclose(f);
        if (!found) {
                errno = ENODATA;
                die(format);
        }
        return sum;
}

static uint64_t idle_time(void) {
        return sum_of("/proc/timer_list", " .idle_sleeptime : %"SCNu64) +
               sum_of("/proc/timer_list", " .iowait_sleeptime : %"SCNu64);
}

/* The clock is read last before and first after: what the other readings cost is outside. */
static Reading reading_begin(void) {
        Reading r;

        r.migrated = sum_of("/proc/vmstat", "pgmigrate_success %"SCNu64);
        r.failed = sum_of("/proc/vmstat", "pgmigrate_fail %"SCNu64);
        r.idle = idle_time();
        r.clock = clock_now();
        return r;
}

static void reading_end(const Reading *begin, int status) {
        uint64_t elapsed = clock_now() - begin->clock, idle = idle_time() - begin->idle;

        printf("instructions %"PRIu64" idle %"PRIu64" migrated %"PRIu64" failed %"PRIu64" status %d\n",
               elapsed > idle ? elapsed - idle : 0, idle,
               sum_of("/proc/vmstat", "pgmigrate_success %"SCNu64) - begin->migrated,
               sum_of("/proc/vmstat", "pgmigrate_fail %"SCNu64) - begin->failed, status);
        fflush(stdout);
}

static int evacuate(const Range *range) {
        struct memunplug_evacuate call = { .start = range->start, .size = range->end - range->start };
        int fd = open("/dev/memunplug", O_RDWR|O_CLOEXEC), r;

        if (fd < 0)
                die("/dev/memunplug");
        r = ioctl(fd, MEMUNPLUG_IOC_EVACUATE, &call);
        if (r < 0)
                die("EVACUATE");
        close(fd);
        return 0;
}

static int run(char **argv) {
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                int out = open("/dev/null", O_WRONLY|O_CLOEXEC);

                if (out >= 0)
                        dup2(out, STDOUT_FILENO);       /* what it says to stderr is kept */
                execvp(argv[0], argv);
                die(argv[0]);
        }
        if (waitpid(pid, &status, 0) < 0)
                die("waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int listen_to_kernel(void) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
        int fd = socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT), size = 4 << 20;

        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) < 0)
                die("uevents");
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
        return fd;
}

static void wait_removed(int fd, unsigned long n) {
        static const char event[] = "remove@/devices/system/memory/memory";
        char buffer[8192];

        while (n > 0) {
                ssize_t length = recv(fd, buffer, sizeof buffer - 1, 0);

                if (length < 0)
                        die("uevents");
                buffer[length] = '\0';
                if (strncmp(buffer, event, sizeof event - 1) == 0)
                        n--;
        }
}

static uint64_t total_now(void) {
        return sum_of("/proc/meminfo", "MemTotal: %"SCNu64);
}

/* Looked at so seldom that the looking counts for nothing. */
static void wait_total(uint64_t kib, uint64_t begin) {
        uint64_t full = total_now(), total, step, next;

        step = full > kib ? (full - kib) / TOTAL_STEPS + 1 : 1;
        next = full - step;
        for (; (total = total_now()) > kib; usleep(20000)) {
                if (total > next)
                        continue;
                printf("left %"PRIu64" after %"PRIu64"\n", total - kib, clock_now() - begin);
                fflush(stdout);
                for (; next >= total; next -= step)
                        ;
        }
}

static int usage(void) {
        fprintf(stderr, "usage: measure [--evacuate=START-END] COMMAND [ARG...] | measure --removed=N | "
                        "measure --total=KIB\n");
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "evacuate", required_argument, NULL, 'e' },
                { "removed",  required_argument, NULL, 'r' },
                { "total",    required_argument, NULL, 't' },
                {}
        };
        unsigned long removed = 0, total = 0;
        Ranges ranges = { .n = 0 };
        int c, status = 0, fd = -1;
        Reading begin;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (c) {
                case 'e':
                        if (ranges_parse(optarg, &ranges) < 0)
                                return usage();
                        break;
                case 'r': removed = strtoul(optarg, NULL, 0); break;
                case 't': total = strtoul(optarg, NULL, 0); break;
                default: return usage();
                }
        if ((removed > 0) + (total > 0) + (optind < argc) != 1)
                return usage();
        if (removed > 0)
                fd = listen_to_kernel();
        begin = reading_begin();
        if (removed > 0 || total > 0) {
                printf("ready\n");
                fflush(stdout);
                if (removed > 0)
                        wait_removed(fd, removed);
                else
                        wait_total(total, begin.clock);
        } else {
                for (size_t i = 0; i < ranges.n; i++)
                        evacuate(&ranges.item[i]);
                status = run(argv + optind);
        }
        reading_end(&begin, status);
        return EXIT_SUCCESS;
}
