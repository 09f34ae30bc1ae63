/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of the device files by chance: fields at random or at an edge, in structures of
 * any size at any address. Of each call it is known what may come of it, so each is judged:
 * the errno, that nothing behind the structure was written, and nothing in it when it was
 * refused. Who calls, and what happens meanwhile, is kmod_test_fuzz.c's and _reload.c's.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/memunplug_balloon.h>

#include "kmod_test.h"
#include "pages.h"

#define SIZE_MAX_IOC ((1U << _IOC_SIZEBITS) - 1)
#define CANARY 0xa5
#define LIST_PAGES 4                            /* of what lists are written to */
#define FIELDS_MAX 8
#define ERRORS_MAX 8

typedef enum Kind {
        KIND_END,
        KIND_ADDRESS,
        KIND_SIZE,
        KIND_FLAGS,
        KIND_LIST,                              /* a pointer to an array */
        KIND_COUNT,                             /* its length */
        KIND_NAME,
        KIND_SMALL,                             /* 0 or 1, seldom more */
        KIND_NUMBER,
} Kind;

typedef struct Field {
        Kind kind;
        size_t offset, size;
} Field;

typedef struct Command {
        const char *name;
        bool balloon;                           /* which of the two files */
        unsigned long number;
        Field fields[FIELDS_MAX];
        int errors[ERRORS_MAX];                 /* besides EINVAL, up to a 0 */
} Command;

#define FIELD(kind, type, member) { KIND_##kind, offsetof(struct type, member), sizeof(((struct type *) 0)->member) }

static const Command commands[] = {
        { "GET_INFO", false, MEMUNPLUG_IOC_GET_INFO, { { KIND_END, 0, 0 } }, { 0 } },
        { "EVACUATE", false, MEMUNPLUG_IOC_EVACUATE,
          { FIELD(ADDRESS, memunplug_evacuate, start), FIELD(SIZE, memunplug_evacuate, size),
            FIELD(SMALL, memunplug_evacuate, flags), FIELD(FLAGS, memunplug_evacuate, reserved) },
          { -ENXIO, -EXDEV, -EOPNOTSUPP, -EBUSY, -ENOMEM } },
        { "SURVEY", false, MEMUNPLUG_IOC_SURVEY,
          { FIELD(ADDRESS, memunplug_survey, start), FIELD(SIZE, memunplug_survey, size),
            FIELD(LIST, memunplug_survey, pages), FIELD(COUNT, memunplug_survey, max_pages),
            FIELD(SMALL, memunplug_survey, flags) },
          { -ENOMEM } },
        { "GATE", false, MEMUNPLUG_IOC_GATE,
          { FIELD(SMALL, memunplug_gate, hold), FIELD(FLAGS, memunplug_gate, flags) }, { -EBUSY, -ENODEV, -ENOMEM } },
        { "ANSWER", false, MEMUNPLUG_IOC_ANSWER,
          { FIELD(NAME, memunplug_answer, name), FIELD(NUMBER, memunplug_answer, status),
            FIELD(FLAGS, memunplug_answer, flags) },
          { -EPERM, -ENODEV, -ENOENT } },
        { "RELEASE", false, MEMUNPLUG_IOC_RELEASE,
          { FIELD(NAME, memunplug_release, name), FIELD(FLAGS, memunplug_release, flags),
            FIELD(FLAGS, memunplug_release, reserved) },
          { -EPERM, -ENODEV } },
        { "VIRTIO_MEM", false, MEMUNPLUG_IOC_VIRTIO_MEM,
          { FIELD(NAME, memunplug_virtio_mem, name), FIELD(SMALL, memunplug_virtio_mem, flags),
            FIELD(FLAGS, memunplug_virtio_mem, reserved) },
          { -ENODEV, -EBUSY } },
        { "balloon STATE", true, MEMUNPLUG_BALLOON_IOC_STATE, { { KIND_END, 0, 0 } }, { -ENODEV, -EBUSY } },
        { "balloon GIVE", true, MEMUNPLUG_BALLOON_IOC_GIVE,
          { FIELD(ADDRESS, memunplug_balloon_range, start), FIELD(SIZE, memunplug_balloon_range, size),
            FIELD(FLAGS, memunplug_balloon_range, flags), FIELD(FLAGS, memunplug_balloon_range, reserved) },
          { -ENODEV, -EBUSY, -ENXIO, -EEXIST, -ENOSPC, -ENOMEM } },
        { "balloon BLOCKS", true, MEMUNPLUG_BALLOON_IOC_BLOCKS,
          { FIELD(LIST, memunplug_balloon_blocks, addresses), FIELD(COUNT, memunplug_balloon_blocks, max),
            FIELD(FLAGS, memunplug_balloon_blocks, n) },
          { -ENODEV, -EBUSY, -ENOMEM } },
        { "balloon PAGES", true, MEMUNPLUG_BALLOON_IOC_PAGES,
          { FIELD(NUMBER, memunplug_balloon_pages, sequence), FIELD(SMALL, memunplug_balloon_pages, flags),
            FIELD(FLAGS, memunplug_balloon_pages, reserved) },
          { -ENODEV, -EBUSY, -ESTALE } },
        { "balloon RELEASE", true, MEMUNPLUG_BALLOON_IOC_RELEASE,
          { FIELD(ADDRESS, memunplug_balloon_release, start), FIELD(SIZE, memunplug_balloon_release, size),
            FIELD(NUMBER, memunplug_balloon_release, bytes) },
          { -ENODEV, -EBUSY } },
        { "balloon FLOOR", true, MEMUNPLUG_BALLOON_IOC_FLOOR,
          { FIELD(NUMBER, memunplug_balloon_floor, bytes), FIELD(FLAGS, memunplug_balloon_floor, reserved) },
          { -ENODEV, -EBUSY } },
};
#define COMMANDS (sizeof commands / sizeof commands[0])

const char *random_call_name(size_t command) {
        return command < COMMANDS ? commands[command].name : NULL;
}

/* How a structure lies in memory. */
typedef enum Place {
        PLACE_OPEN,                             /* with a canary behind it */
        PLACE_EDGE,                             /* up to the last mapped byte */
        PLACE_BEYOND,                           /* begins in mapped memory, ends in unmapped */
        PLACE_READ_ONLY,
        PLACE_NOWHERE,
} Place;

/* What one caller has. */
typedef struct Fuzzer {
        const Machine *machine;
        Dice dice;
        int fds[2];                             /* of the device, of the balloon's or -1 */
        unsigned char *open, *edge_end, *read_only, *list;
        unsigned char before[SIZE_MAX_IOC];     /* what was sent */
} Fuzzer;

/* One call as it was made. */
typedef struct Shot {
        const Command *command;                 /* NULL: there is no such command */
        unsigned long number;
        unsigned size;
        Place place;
        bool tail, odd_list;                    /* non-zero behind what is known; a list nobody can write to */
        unsigned char *at;
} Shot;

static bool fuzzer_open(Fuzzer *f) {
        f->fds[0] = open(DEVICE, O_RDWR|O_CLOEXEC|O_NONBLOCK);
        f->fds[1] = open(BALLOON, O_RDWR|O_CLOEXEC|O_NONBLOCK);
        return f->fds[0] >= 0;
}

/* The module has been unloaded, or is about to be. */
static bool is_gone(void) {
        return errno == ENOENT || errno == ENODEV || errno == ENXIO;
}

static void fuzzer_close(Fuzzer *f) {
        close(f->fds[0]);
        if (f->fds[1] >= 0)
                close(f->fds[1]);
}

static unsigned char *map_pages(size_t n, int protection) {
        void *p = mmap(NULL, n * PAGE_BYTES, protection, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

static bool fuzzer_init(Fuzzer *f, const Machine *m, uint64_t seed) {
        const size_t pages = SIZE_MAX_IOC / PAGE_BYTES + 1;
        unsigned char *edge = map_pages(pages + 1, PROT_READ|PROT_WRITE);

        *f = (Fuzzer) { .machine = m, .dice = { .seed = mix64(seed) } };
        f->open = map_pages(pages + 1, PROT_READ|PROT_WRITE);
        f->read_only = map_pages(pages, PROT_READ|PROT_WRITE);
        f->list = map_pages(LIST_PAGES + 1, PROT_READ|PROT_WRITE);
        if (!edge || !f->open || !f->read_only || !f->list)
                return false;
        f->edge_end = edge + pages * PAGE_BYTES;
        memset(f->list, CANARY, LIST_PAGES * PAGE_BYTES);
        return mprotect(f->edge_end, PAGE_BYTES, PROT_NONE) == 0 &&
               mprotect(f->list + LIST_PAGES * PAGE_BYTES, PAGE_BYTES, PROT_NONE) == 0;
}

/* Small ones mostly: what a large one costs is not what is sought here. */
static uint64_t fuzz_size(Fuzzer *f) {
        switch (roll(&f->dice, 8)) {
        case 0:
                return roll_size(&f->dice, f->machine);
        case 1:
                return roll(&f->dice, ~0ULL) >> roll(&f->dice, 64);
        case 2 ... 4:
                return f->machine->pageblock;
        case 5:
                return f->machine->block;
        default:
                return PAGE_BYTES * roll(&f->dice, 16);
        }
}

static uint64_t fuzz_list(Fuzzer *f, Shot *shot) {
        unsigned char *const bad[] = {
                f->read_only, f->list + LIST_PAGES * PAGE_BYTES, (unsigned char *) 8,
                (unsigned char *) ~0xfffULL, (unsigned char *) (1ULL << 47), (unsigned char *) 0xffff888000000000ULL,
        };

        if (roll(&f->dice, 4) != 0)
                return (uint64_t) (uintptr_t) f->list;
        shot->odd_list = true;
        return (uint64_t) (uintptr_t) bad[roll(&f->dice, sizeof bad / sizeof bad[0])];
}

/* With as much room as there is for the longest elements, or more than may be asked for. */
static uint32_t fuzz_count(Fuzzer *f) {
        const uint32_t counts[] = { 0, 1, 2, 64, 64, 64, 64, 4097, 0x80000000, ~0U };

        return counts[roll(&f->dice, sizeof counts / sizeof counts[0])];
}

static void fuzz_name(Fuzzer *f, char *name, size_t size) {
        static const char *const prefix[] = { "PNP0C80:", "PNP0C80:", "virtio", "virtio", "virtio", "", "\377", "../" };

        (void) snprintf(name, size, "%s%02x", prefix[roll(&f->dice, 8)], (unsigned) roll(&f->dice, 4));
        if (strncmp(name, "virtio0", 7) == 0)   /* has one digit */
                (void) snprintf(name, size, "virtio%u", (unsigned) roll(&f->dice, 6));
        if (roll(&f->dice, 16) == 0)
                memset(name + strlen(name), 'x', size - strlen(name));
}

static void fuzz_field(Fuzzer *f, const Field *field, unsigned char *bytes, Shot *shot) {
        uint64_t value = 0;

        switch (field->kind) {
        case KIND_ADDRESS:
                value = roll(&f->dice, 4) ? roll_address(&f->dice, f->machine) : f->machine->end - f->machine->block;
                break;
        case KIND_SIZE:
                value = fuzz_size(f);
                break;
        case KIND_FLAGS:
                value = roll_flags(&f->dice);
                break;
        case KIND_LIST:
                value = fuzz_list(f, shot);
                break;
        case KIND_COUNT:
                value = fuzz_count(f);
                break;
        case KIND_SMALL:
                value = roll(&f->dice, 32) ? roll(&f->dice, 2) : roll(&f->dice, ~0ULL);
                break;
        case KIND_NUMBER:
                value = roll(&f->dice, ~0ULL) >> roll(&f->dice, 64);
                break;
        case KIND_NAME:
                fuzz_name(f, (char *) bytes + field->offset, field->size);
                return;
        case KIND_END:
                return;
        }
        memcpy(bytes + field->offset, &value, field->size);
}

/* Which size the command number says, of SIZE that the structure has. */
static unsigned fuzz_ioc_size(Fuzzer *f, unsigned size) {
        switch (roll(&f->dice, 16)) {
        case 0:
                return (unsigned) roll(&f->dice, size);
        case 1:
                return size + (unsigned) roll(&f->dice, 64);
        case 2:
                return size + (unsigned) roll(&f->dice, SIZE_MAX_IOC - size + 1);
        default:
                return size;
        }
}

static void fuzz_place(Fuzzer *f, Shot *shot) {
        unsigned char *const nowhere[] = {
                NULL, (unsigned char *) 1, f->edge_end, (unsigned char *) (1ULL << 47), (unsigned char *) ~0ULL,
                (unsigned char *) 0xffff888000001000ULL, (unsigned char *) 0xffffffff81000000ULL,
        };

        switch (roll(&f->dice, 16)) {
        case 0 ... 8:
                shot->place = PLACE_OPEN;
                shot->at = f->open + roll(&f->dice, 64);
                break;
        case 9 ... 12:
                shot->place = PLACE_EDGE;
                shot->at = f->edge_end - shot->size;
                break;
        case 13:
                shot->place = shot->size > 1 ? PLACE_BEYOND : PLACE_EDGE;
                shot->at = f->edge_end - (shot->size > 1 ? 1 + roll(&f->dice, shot->size - 1) : shot->size);
                break;
        case 14:
                shot->place = PLACE_READ_ONLY;
                shot->at = f->read_only;
                break;
        default:
                shot->place = PLACE_NOWHERE;
                shot->at = nowhere[roll(&f->dice, sizeof nowhere / sizeof nowhere[0])];
        }
}

static void fuzz_write(Fuzzer *f, const Shot *shot) {
        size_t size = shot->size;

        if (shot->place == PLACE_NOWHERE)
                return;
        if (shot->place == PLACE_READ_ONLY)
                (void) mprotect(f->read_only, SIZE_MAX_IOC + 1, PROT_READ|PROT_WRITE);
        if (shot->place == PLACE_BEYOND)
                size = (size_t) (f->edge_end - shot->at);
        memcpy(shot->at, f->before, size);
        if (shot->place == PLACE_OPEN)
                memset(shot->at + size, CANARY, 64);
        if (shot->place == PLACE_READ_ONLY)
                (void) mprotect(f->read_only, SIZE_MAX_IOC + 1, PROT_READ);
}

/* Would it, as it is, move pages or have firmware's tables looked through? That takes seconds on the debug kernel. */
static bool fuzz_is_slow(const Fuzzer *f, const Shot *shot) {
        const uint64_t mask = f->machine->pageblock - 1;
        struct memunplug_evacuate evacuate;
        struct memunplug_gate gate;

        if (!shot->command || shot->tail || shot->place == PLACE_BEYOND || shot->place == PLACE_NOWHERE)
                return false;
        if (shot->command->number == MEMUNPLUG_IOC_GATE) {
                memcpy(&gate, f->before, sizeof gate);
                return gate.hold == 1 && gate.flags == 0;
        }
        if (shot->command->number != MEMUNPLUG_IOC_EVACUATE)
                return false;
        memcpy(&evacuate, f->before, sizeof evacuate);
        return evacuate.size > 0 && ((evacuate.start | evacuate.size) & mask) == 0 &&
               evacuate.start < f->machine->end && evacuate.size <= f->machine->end - evacuate.start;
}

/* A call by chance: what is sent is in f->before, and where it lies. */
static Shot fuzz_aim_any(Fuzzer *f) {
        const Command *c = &commands[roll(&f->dice, COMMANDS)];
        const unsigned known = _IOC_SIZE(c->number);
        Shot shot = { .command = c, .size = fuzz_ioc_size(f, known) };

        memset(f->before, 0, shot.size > known ? shot.size : known);
        for (size_t i = 0; i < FIELDS_MAX && c->fields[i].kind != KIND_END; i++)
                fuzz_field(f, &c->fields[i], f->before, &shot);
        if (shot.size > known && roll(&f->dice, 2)) {
                f->before[known + roll(&f->dice, shot.size - known)] = (unsigned char) (1 + roll(&f->dice, 255));
                shot.tail = true;
        }
        shot.number = _IOC(_IOC_DIR(c->number), _IOC_TYPE(c->number), _IOC_NR(c->number), shot.size);
        if (roll(&f->dice, 32) == 0) {          /* a number that is not there, but nearly */
                const unsigned long wrong[] = {
                        _IOC(_IOC_DIR(c->number) ^ 1 ^ roll(&f->dice, 2) * 3, MEMUNPLUG_IOC_TYPE, _IOC_NR(c->number), shot.size),
                        _IOC(_IOC_DIR(c->number), MEMUNPLUG_IOC_TYPE, 7 + roll(&f->dice, 57), shot.size),
                        _IOC(_IOC_DIR(c->number), MEMUNPLUG_IOC_TYPE + 1, _IOC_NR(c->number), shot.size),
                };

                shot.number = wrong[roll(&f->dice, 3)];
                shot.command = NULL;
        }
        fuzz_place(f, &shot);
        fuzz_write(f, &shot);
        return shot;
}

/* Slow ones seldom, if that is asked for: the others would come to nothing. */
static Shot fuzz_aim(Fuzzer *f) {
        const uint64_t one_in = setting("MEMUNPLUG_IOCTL_SLOW", 1);
        Shot shot;

        do
                shot = fuzz_aim_any(f);
        while (fuzz_is_slow(f, &shot) && one_in > 1 && roll(&f->dice, one_in) != 0);
        return shot;
}

/* Nothing behind the structure was written, and nothing in it by a call that was refused. */
static bool fuzz_memory_right(const Fuzzer *f, const Shot *shot, int r) {
        bool ok = true;

        if (shot->place == PLACE_OPEN)
                for (size_t i = 0; ok && i < 64; i++)
                        ok = CHECK(shot->at[shot->size + i] == CANARY);
        if (r < 0 && (shot->place == PLACE_OPEN || shot->place == PLACE_EDGE || shot->place == PLACE_READ_ONLY))
                ok &= CHECK(memcmp(shot->at, f->before, shot->size) == 0);
        return ok;
}

/* Of its first version: two structures have grown since. */
static unsigned least_size(const Command *c) {
        if (c->number == MEMUNPLUG_BALLOON_IOC_STATE)
                return offsetof(struct memunplug_balloon_state, needs);
        if (c->number == MEMUNPLUG_BALLOON_IOC_PAGES)
                return offsetof(struct memunplug_balloon_pages, flags);
        return _IOC_SIZE(c->number);
}

/* The results that the contract allows for it. */
static bool fuzz_result_right(const Shot *shot, int r) {
        const Command *c = shot->command;
        int allowed[ERRORS_MAX + 4] = { 0, -EINVAL };
        bool in = c && _IOC_DIR(c->number) & _IOC_WRITE, out = c && _IOC_DIR(c->number) & _IOC_READ;
        bool reads = shot->place <= PLACE_EDGE || shot->place == PLACE_READ_ONLY;
        size_t n = 2;

        if (!c)
                return CHECK(r == -ENOTTY);
        if (shot->size < least_size(c))
                return CHECK(r == -EINVAL);
        if (in && !reads)                       /* a tail may be seen before the hole is met */
                return CHECK(r == -EFAULT || (shot->tail && r == -E2BIG));
        if (in && shot->tail)
                return CHECK(r == -E2BIG);
        if (out && shot->place > PLACE_EDGE) {
                if (!CHECK(r != 0))
                        return false;
                allowed[n++] = -EFAULT;
        }
        if (shot->odd_list)
                allowed[n++] = -EFAULT;
        for (size_t i = 0; i < ERRORS_MAX && c->errors[i]; i++)
                allowed[n++] = c->errors[i];
        return errno_allowed(r, allowed, n);
}

static bool fuzz_once(Fuzzer *f, CallTally *tally) {
        Shot shot = fuzz_aim(f);
        const Command *c = shot.command ? shot.command : &commands[0];
        int fd = f->fds[c->balloon], r;
        uint64_t begin;

        if (fd < 0)
                return true;
        if (!shot.command && roll(&f->dice, 2) && f->fds[1] >= 0)
                fd = f->fds[1];
        begin = now_usec();
        r = call(fd, shot.number, shot.at);
        tally[c - commands].usec += now_usec() - begin;
        tally[c - commands].done += r == 0;
        tally[c - commands].refused += r != 0;
        if (fuzz_result_right(&shot, r) & fuzz_memory_right(f, &shot, r))
                return true;
        note("%s, number %#lx of %u bytes, place %d, tail %d, odd list %d: %s", shot.command ? c->name : "no command",
             shot.number, shot.size, (int) shot.place, shot.tail, shot.odd_list, strerror(-r));
        return false;
}

/* Now and then files are closed with whatever they hold. */
bool random_calls(const Machine *m, uint64_t seed, unsigned long calls, CallTally *tally) {
        static Fuzzer f;

        if (!CHECK(fuzzer_init(&f, m, seed)))
                return false;
        if (!fuzzer_open(&f))
                return CHECK(is_gone());
        for (unsigned long i = 0; i < calls; i++) {
                if (roll(&f.dice, 256) == 0) {
                        fuzzer_close(&f);
                        if (!fuzzer_open(&f))
                                return CHECK(is_gone());
                }
                if (!fuzz_once(&f, tally)) {
                        note("call %lu of seed %"PRIu64, i, seed);
                        return false;
                }
        }
        fuzzer_close(&f);
        for (size_t i = 0; i < PAGE_BYTES; i++) /* of the list, no more than it was said to be long */
                if (!CHECK(f.list[(LIST_PAGES - 1) * PAGE_BYTES + i] == CANARY))
                        return false;
        return true;
}

