/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The balloon as its driver offers it to the one that leads it, and the decision what comes next. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/memunplug_balloon.h>

/* So much can be back before a process is killed. By the time that it is used up a block is back, too. */
#define BALLOON_CUSHION (UINT64_C(128) << 20)

/* What one demand asks for at most, in blocks: between two of them a new target is looked at. */
#define BALLOON_STEP_BLOCKS 8U

typedef enum BalloonStepKind {
        BALLOON_STEP_REST,   /* nothing to do, or nothing that has not been tried for this target */
        BALLOON_STEP_TAKE,   /* blocks go offline, then to the host: bytes, and most_used in each */
        BALLOON_STEP_RETURN, /* so many bytes of blocks come back; need: a process lacks memory */
        BALLOON_STEP_PIECES, /* the driver takes what is free in pieces of 2 MiB */
        BALLOON_STEP_PAGES,  /* the driver does the rest */
} BalloonStepKind;

typedef struct BalloonStep {
        BalloonStepKind kind;
        uint64_t bytes, most_used; /* as in Demand; 0: anything */
        bool need;
} BalloonStep;

/* What was tried for which target, by the sequence number of it; 0: for none. */
typedef struct BalloonTried {
        uint64_t empty, pieces, take, give_back, pages; /* empty: blocks with next to nothing in use */
        uint64_t needs; /* of these the last has been seen to */
} BalloonTried;

/* A pure function. To move pages out of a block costs much more than to take pieces that are free, and they
 * serve the host as well: first blocks that are all but empty, then free pieces, then blocks in use, then
 * the rest. Pages that are too many the driver gives back by itself. Where it may have to give back some in
 * need, which it cannot do with blocks, BALLOON_CUSHION of the target is left to pages, and when so much is
 * not there any more in need, a block comes back. */
BalloonStep balloon_next_step(const struct memunplug_balloon_state *state, uint64_t block_size,
                              const BalloonTried *tried);

/* The calls of the driver's device: 0 or a negative errno. */
typedef struct BalloonDevice {
        int (*state)(int fd, struct memunplug_balloon_state *ret);
        int (*give)(int fd, uint64_t start, uint64_t size);
        int (*blocks)(int fd, uint64_t *addresses, uint32_t max, uint32_t *ret_n);
        int (*pages)(int fd, uint64_t sequence, bool pieces); /* pieces: of 2 MiB only */
        /* bytes: wanted besides, and what came back in all. */
        int (*release)(int fd, uint64_t start, uint64_t size, uint64_t *bytes);
        int (*floor)(int fd, uint64_t bytes); /* what must stay available; 0: the driver knows */
} BalloonDevice;

extern const BalloonDevice balloon_device;
