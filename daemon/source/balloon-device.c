/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls of /dev/memunplug-balloon, and which of them the balloon needs next. */
#include "source/balloon-device.h"

#include <errno.h>
#include <sys/ioctl.h>

/* To move that costs a fifth of what the kernel's own driver would spend on the pages of the block. */
#define EMPTY_FRACTION 32U

/* Bytes that are missing and may be given in blocks. */
static uint64_t for_blocks(const struct memunplug_balloon_state *state) {
        uint64_t missing = state->target - state->held, pages = state->target - state->blocks, room;

        if (!(state->flags & MEMUNPLUG_BALLOON_DEFLATE_ON_OOM))
                return missing;
        room = pages > BALLOON_CUSHION ? pages - BALLOON_CUSHION : 0;
        return missing < room ? missing : room;
}

/* At least a block is missing. REST: the driver is at it; PAGES: all of this has been tried. */
static BalloonStep take_much(const struct memunplug_balloon_state *state, uint64_t block_size,
                             const BalloonTried *tried) {
        uint64_t n = for_blocks(state) / block_size;
        BalloonStep step = { .kind = BALLOON_STEP_TAKE };

        step.bytes = (n > BALLOON_STEP_BLOCKS ? BALLOON_STEP_BLOCKS : n) * block_size;
        step.most_used = tried->empty == state->sequence ? 0 : block_size / EMPTY_FRACTION;
        if (tried->take == state->sequence)
                return (BalloonStep) { .kind = BALLOON_STEP_PAGES };
        if (tried->empty != state->sequence)
                return step;
        if (tried->pieces != state->sequence)
                return (BalloonStep) { .kind = BALLOON_STEP_PIECES };
        if (state->shortage == MEMUNPLUG_BALLOON_SHORT_NONE ||
            state->shortage == MEMUNPLUG_BALLOON_SHORT_NEED)
                return (BalloonStep) { .kind = BALLOON_STEP_REST };
        return step;
}

BalloonStep balloon_next_step(const struct memunplug_balloon_state *state, uint64_t block_size,
                              const BalloonTried *tried) {
        if (state->needs != tried->needs && state->blocks > 0 &&
            state->held - state->blocks < BALLOON_CUSHION)
                return (BalloonStep) { .kind = BALLOON_STEP_RETURN, .bytes = block_size, .need = true };
        if (state->target < state->blocks) {
                uint64_t n = (state->blocks - state->target + block_size - 1) / block_size;

                if (tried->give_back == state->sequence)
                        return (BalloonStep) { .kind = BALLOON_STEP_REST };
                return (BalloonStep) { .kind = BALLOON_STEP_RETURN, .bytes = n * block_size };
        }
        if (state->target <= state->held)
                return (BalloonStep) { .kind = BALLOON_STEP_REST };
        if (state->shortage == MEMUNPLUG_BALLOON_SHORT_NEED &&
            (state->flags & MEMUNPLUG_BALLOON_DEFLATE_ON_OOM))
                return (BalloonStep) { .kind = BALLOON_STEP_REST }; /* it says when there is none any more */
        if (for_blocks(state) >= block_size) {
                BalloonStep step = take_much(state, block_size, tried);

                if (step.kind != BALLOON_STEP_PAGES)
                        return step;
        }
        return (BalloonStep) {
                .kind = tried->pages == state->sequence ? BALLOON_STEP_REST : BALLOON_STEP_PAGES,
        };
}

static int get_state(int fd, struct memunplug_balloon_state *ret) {
        *ret = (struct memunplug_balloon_state) {};
        return ioctl(fd, MEMUNPLUG_BALLOON_IOC_STATE, ret) < 0 ? -errno : 0;
}

static int give(int fd, uint64_t start, uint64_t size) {
        struct memunplug_balloon_range range = { .start = start, .size = size };

        return ioctl(fd, MEMUNPLUG_BALLOON_IOC_GIVE, &range) < 0 ? -errno : 0;
}

static int get_blocks(int fd, uint64_t *addresses, uint32_t max, uint32_t *ret_n) {
        struct memunplug_balloon_blocks blocks = { .addresses = (uintptr_t) addresses, .max = max };

        if (ioctl(fd, MEMUNPLUG_BALLOON_IOC_BLOCKS, &blocks) < 0)
                return -errno;
        *ret_n = blocks.n;
        return 0;
}

static int allow_pages(int fd, uint64_t sequence, bool pieces) {
        struct memunplug_balloon_pages pages = {
                .sequence = sequence,
                .flags = pieces ? MEMUNPLUG_BALLOON_PAGES_PIECES : 0,
        };

        return ioctl(fd, MEMUNPLUG_BALLOON_IOC_PAGES, &pages) < 0 ? -errno : 0;
}

static int release_pages(int fd, uint64_t start, uint64_t size, uint64_t *bytes) {
        struct memunplug_balloon_release release = { .start = start, .size = size, .bytes = *bytes };

        if (ioctl(fd, MEMUNPLUG_BALLOON_IOC_RELEASE, &release) < 0)
                return -errno;
        *bytes = release.bytes;
        return 0;
}

static int set_floor(int fd, uint64_t bytes) {
        struct memunplug_balloon_floor floor = { .bytes = bytes };

        return ioctl(fd, MEMUNPLUG_BALLOON_IOC_FLOOR, &floor) < 0 ? -errno : 0;
}

const BalloonDevice balloon_device = {
        .state = get_state,
        .give = give,
        .blocks = get_blocks,
        .pages = allow_pages,
        .release = release_pages,
        .floor = set_floor,
};
