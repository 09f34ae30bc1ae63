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
#define BALLOON "/dev/memunplug-balloon"
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
extern const Case interface_cases[], evacuate_cases[], gate_cases[], storm_cases[], fuzz_cases[],
        failure_cases[], reload_cases[];

/* Holds the gate until it is killed, and says "held" when it does; exit status if it cannot. */
int gate_hold(const Machine *m);

/* Says on a TAP comment line what was seen. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is the expression true? If not, says so with its text and place. */
#define CHECK(e) check_at((e), #e, __FILE__, __LINE__)
bool check_at(bool ok, const char *text, const char *file, int line);

/* 0, or the negative errno. */
int call(int fd, unsigned long command, void *arg);
int evacuate(int fd, uint64_t start, uint64_t size, struct memunplug_evacuate *ret);
int survey(int fd, uint64_t start, uint64_t size, struct memunplug_survey *ret);

/* Numbers that look random; the same seed gives the same ones. */
typedef struct Dice {
        uint64_t seed, n;
} Dice;

uint64_t roll(Dice *dice, uint64_t sides);
uint64_t roll_address(Dice *dice, const Machine *machine);
uint64_t roll_size(Dice *dice, const Machine *machine);
uint32_t roll_flags(Dice *dice);
/* Is a result among these? If not, says so. */
bool errno_allowed(int r, const int *allowed, size_t n);

/* How often a call was made: it did its work, or was refused. And what all of that took. */
typedef struct CallTally {
        unsigned long done, refused, usec;
} CallTally;

#define RANDOM_CALLS_MAX 16                     /* more than there are */
/* Of those that random_calls() makes: a name, or NULL behind the last. */
const char *random_call_name(size_t command);
/*
 * So many calls by chance, or until the module is gone; false at the first that does not do what
 * it must. tally: by command, added to.
 */
bool random_calls(const Machine *machine, uint64_t seed, unsigned long calls, CallTally *tally);

/* The n-th allocation of this task, or copy from or to it, fails: of kernels with fault injection. */
typedef struct Failure {
        int fd;
} Failure;

bool failure_open(Failure *ret);
bool failure_set(const Failure *failure, unsigned n);   /* 0: none */
bool failure_met(const Failure *failure);               /* it has come */

/* End of a process of a test. */
_Noreturn void finish(bool ok);
/* Nothing isolated, nobody holds the gate, the self-test's verdict stands. */
bool nothing_left(const Machine *machine);

#define BLOCK_PATH_MAX 96
/* The state file of the block with this address. */
void block_path(const Machine *machine, uint64_t address, char path[BLOCK_PATH_MAX]);
int block_write(const Machine *machine, uint64_t address, const char *state);
/* A number from the environment, or what it is otherwise. */
uint64_t setting(const char *name, uint64_t otherwise);
/* A whole small file below /proc or /sys; false if it cannot be read. */
bool read_text(const char *path, char *buffer, size_t size);
long vmstat(const char *name);
/* Pageblocks of type Isolate on the whole machine, or -1. */
long isolated_blocks(void);

#endif
