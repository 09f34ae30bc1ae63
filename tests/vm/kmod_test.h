/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the parts of the module's own test, kmod_test: the TAP lines, and the
 * movable memory of the guest that is tried upon. Each part is a list of cases.
 */
#ifndef MEMUNPLUG_KMOD_TEST_H
#define MEMUNPLUG_KMOD_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/memunplug.h>

#define DEVICE "/dev/memunplug"
#define NONE MEMUNPLUG_NONE

typedef struct Machine {
        int fd;                                 /* of DEVICE */
        uint64_t block, pageblock;              /* sizes in bytes */
        uint64_t start, end;                    /* the longest run of online movable blocks */
        uint64_t normal;                        /* an online block of another zone, or NONE */
        bool gate;                              /* ACPI memory devices are there */
} Machine;

typedef struct Case {
        const char *name;
        bool (*run)(const Machine *machine);
} Case;

/* Each: the cases, up to one without a name. */
extern const Case interface_cases[], evacuate_cases[], gate_cases[], storm_cases[];

/* Says on a TAP comment line what was seen. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is the expression true? If not, says so with its text and place. */
#define CHECK(e) check_at((e), #e, __FILE__, __LINE__)
bool check_at(bool ok, const char *text, const char *file, int line);

/* 0, or the negative errno. */
int call(int fd, unsigned long command, void *arg);
int evacuate(int fd, uint64_t start, uint64_t size, struct memunplug_evacuate *ret);
int survey(int fd, uint64_t start, uint64_t size, struct memunplug_survey *ret);

/* A whole small file below /proc or /sys; false if it cannot be read. */
bool read_text(const char *path, char *buffer, size_t size);
long vmstat(const char *name);
/* Pageblocks of type Isolate on the whole machine, or -1. */
long isolated_blocks(void);

#endif
