/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test of memunplug.ko, run as root inside a guest that has the module loaded
 * and some blocks online_movable. Prints TAP. Owns the frame: what memory there is,
 * helpers, the report. What must hold is in the parts' own files, kmod_test_PART.c.
 *
 *   kmod_test [PART]       PART: interface, evacuate, gate, storm, fuzz, failure or reload
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attribute.h"
#include "kmod_test.h"

#define MEMORY "/sys/devices/system/memory"

void note(const char *format, ...) {
        va_list args;

        va_start(args, format);
        printf("# ");
        vprintf(format, args);
        printf("\n");
        va_end(args);
        fflush(stdout);
}

bool check_at(bool ok, const char *text, const char *file, int line) {
        if (!ok)
                note("%s:%d: not so: %s", file, line, text);
        return ok;
}

int call(int fd, unsigned long command, void *arg) {
        return ioctl(fd, command, arg) < 0 ? -errno : 0;
}

int evacuate(int fd, uint64_t start, uint64_t size, struct memunplug_evacuate *ret) {
        *ret = (struct memunplug_evacuate) { .start = start, .size = size };
        return call(fd, MEMUNPLUG_IOC_EVACUATE, ret);
}

/* In parts, because the module takes 2 GiB at a time. Counts only. */
int survey(int fd, uint64_t start, uint64_t size, struct memunplug_survey *ret) {
        struct memunplug_survey sum = { .start = start, .size = size };

        while (size > 0) {
                uint64_t part = size < 1ULL << 30 ? size : 1ULL << 30;
                struct memunplug_survey s = { .start = start, .size = part };
                int r = call(fd, MEMUNPLUG_IOC_SURVEY, &s);

                if (r < 0)
                        return r;
                for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                        sum.bytes[i] += s.bytes[i];
                sum.hole_bytes += s.hole_bytes;
                sum.total_blockers += s.total_blockers;
                start += part;
                size -= part;
        }
        *ret = sum;
        return 0;
}

uint64_t setting(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);

        return text ? strtoull(text, NULL, 10) : otherwise;
}

void block_path(const Machine *m, uint64_t address, char path[BLOCK_PATH_MAX]) {
        snprintf(path, BLOCK_PATH_MAX, MEMORY "/memory%"PRIu64"/state", address / m->block);
}

int block_write(const Machine *m, uint64_t address, const char *state) {
        char path[BLOCK_PATH_MAX];

        block_path(m, address, path);
        return write_text(path, state);
}

bool read_text(const char *path, char *buffer, size_t size) {
        int fd = open(path, O_RDONLY|O_CLOEXEC);
        size_t done = 0;
        ssize_t n;

        if (fd < 0)
                return false;
        while (done < size - 1 && (n = read(fd, buffer + done, size - 1 - done)) > 0)
                done += (size_t) n;
        close(fd);
        buffer[done] = '\0';
        return true;
}

long vmstat(const char *name) {
        static char text[65536];
        char key[64];
        char *p;

        if (!read_text("/proc/vmstat", text, sizeof text))
                return -1;
        snprintf(key, sizeof key, "%s ", name);
        p = strstr(text, key);
        return p ? atol(p + strlen(key)) : -1;
}

/* The column "Isolate" of the table "Number of blocks type". */
long isolated_blocks(void) {
        static char text[65536];
        char *table, *line, *save, *word, *inner;
        long sum = 0;

        if (!read_text("/proc/pagetypeinfo", text, sizeof text))
                return -1;
        table = strstr(text, "Number of blocks type");
        if (!table || !strstr(table, "Isolate"))
                return -1;
        line = strtok_r(table, "\n", &save);    /* the heading: Isolate is its last word */
        while ((line = strtok_r(NULL, "\n", &save))) {
                char *last = NULL;

                for (word = strtok_r(line, " ", &inner); word; word = strtok_r(NULL, " ", &inner))
                        last = word;
                if (last)
                        sum += atol(last);
        }
        return sum;
}

void finish(bool ok) {
        fflush(stdout);
        _exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool nothing_left(const Machine *m) {
        struct memunplug_info info = { 0 };
        bool ok = CHECK(isolated_blocks() == 0);

        ok &= CHECK(call(m->fd, MEMUNPLUG_IOC_GET_INFO, &info) == 0);
        ok &= CHECK(info.gate_held == 0 && info.gated_devices == 0);
        return ok & CHECK(info.selftest == MEMUNPLUG_SELFTEST_PASSED);
}

static bool block_zone(unsigned index, bool *ret_movable) {
        char path[96], text[64];

        snprintf(path, sizeof path, MEMORY "/memory%u/state", index);
        if (!read_text(path, text, sizeof text) || strncmp(text, "online", 6) != 0)
                return false;
        snprintf(path, sizeof path, MEMORY "/memory%u/valid_zones", index);
        if (!read_text(path, text, sizeof text))
                return false;
        *ret_movable = strncmp(text, "Movable", 7) == 0;
        return true;
}

/* One more than the highest number of a block: to ask for each number there may be takes minutes on the debug kernel. */
static unsigned block_limit(void) {
        DIR *dir = opendir(MEMORY);
        unsigned limit = 0, number;
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (sscanf(entry->d_name, "memory%u", &number) == 1 && number >= limit)
                        limit = number + 1;
        if (dir)
                closedir(dir);
        return limit;
}

static void find_memory(Machine *machine) {
        unsigned run = 0, best = 0, best_end = 0, limit = block_limit();

        machine->normal = NONE;
        for (unsigned i = 0; i < limit; i++) {
                bool movable = false, online = block_zone(i, &movable);

                if (online && !movable)
                        machine->normal = i * machine->block;
                run = online && movable ? run + 1 : 0;
                if (run > best) {
                        best = run;
                        best_end = i + 1;
                }
        }
        machine->start = (best_end - best) * machine->block;
        machine->end = best_end * machine->block;
}

static int machine_open(Machine *machine) {
        struct memunplug_info info = { 0 };
        char text[32];
        int r;

        machine->fd = open(DEVICE, O_RDWR|O_CLOEXEC);
        if (machine->fd < 0)
                return -errno;
        r = call(machine->fd, MEMUNPLUG_IOC_GET_INFO, &info);
        if (r < 0)
                return r;
        if (!read_text(MEMORY "/block_size_bytes", text, sizeof text))
                return -ENOENT;
        machine->block = strtoull(text, NULL, 16);
        machine->pageblock = info.pageblock_size;
        machine->gate = info.features & MEMUNPLUG_FEATURE_GATE;
        find_memory(machine);
        return machine->end - machine->start >= 2 * machine->block ? 0 : -ENOMEM;
}

/* In a process of its own, whose end gives back whatever it has. */
static bool run_case(const Case *c, const Machine *machine) {
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid == 0)
                finish(c->run(machine));
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return false;
        if (WIFSIGNALED(status))
                note("killed by signal %d", WTERMSIG(status));
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static unsigned run_cases(const Case *cases, const Machine *machine, unsigned *number) {
        unsigned failed = 0;

        for (; cases->name; cases++) {
                bool ok = run_case(cases, machine);

                printf("%sok %u - %s\n", ok ? "" : "not ", ++*number, cases->name);
                fflush(stdout);
                failed += !ok;
        }
        return failed;
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                const Case *cases;
                bool closed;                    /* needs that nobody has the device open */
        } parts[] = {
                { "interface", interface_cases, false },
                { "evacuate", evacuate_cases, false },
                { "gate", gate_cases, false },
                { "storm", storm_cases, false },
                { "fuzz", fuzz_cases, false },
                { "failure", failure_cases, false },
                { "reload", reload_cases, true },
        };
        unsigned number = 0, failed = 0;
        Machine machine;
        int r;

        r = machine_open(&machine);
        if (r < 0) {
                printf("Bail out! no module or no movable memory: %s\n", strerror(-r));
                return 2;
        }
        if (argc >= 2 && strcmp(argv[1], "hold") == 0)
                return gate_hold(&machine);
        note("movable 0x%"PRIx64"-0x%"PRIx64", block 0x%"PRIx64", pageblock 0x%"PRIx64,
             machine.start, machine.end, machine.block, machine.pageblock);
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
                if (argc >= 2 && strcmp(argv[1], parts[i].name) != 0)
                        continue;
                if (parts[i].closed)            /* the last part */
                        close(machine.fd);
                failed += run_cases(parts[i].cases, &machine, &number);
        }
        printf("1..%u\n", number);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
