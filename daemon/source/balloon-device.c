/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls of /dev/memunplug-balloon, and which of them the balloon needs next. */
#include "source/balloon-device.h"

#include <errno.h>
#include <sys/ioctl.h>

BalloonStep balloon_next_step(const struct memunplug_balloon_state *state, uint64_t block_size,
                              const BalloonTried *tried) {
        if (state->target < state->blocks) {
                uint64_t n = (state->blocks - state->target + block_size - 1) / block_size;

                if (tried->give_back == state->sequence)
                        return (BalloonStep) { .kind = BALLOON_STEP_REST };
                return (BalloonStep) { .kind = BALLOON_STEP_RETURN, .bytes = n * block_size };
        }
        if (state->target <= state->held)
                return (BalloonStep) { .kind = BALLOON_STEP_REST };
        if (state->target - state->held >= block_size && tried->take != state->sequence) {
                uint64_t n = (state->target - state->held) / block_size;

                if (n > BALLOON_STEP_BLOCKS)
                        n = BALLOON_STEP_BLOCKS;
                return (BalloonStep) { .kind = BALLOON_STEP_TAKE, .bytes = n * block_size };
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

static int allow_pages(int fd, uint64_t sequence) {
        struct memunplug_balloon_pages pages = { .sequence = sequence };

        return ioctl(fd, MEMUNPLUG_BALLOON_IOC_PAGES, &pages) < 0 ? -errno : 0;
}

static int release_pages(int fd, uint64_t start, uint64_t size, uint64_t *bytes) {
        struct memunplug_balloon_release release = { .start = start, .size = size, .bytes = *bytes };

        if (ioctl(fd, MEMUNPLUG_BALLOON_IOC_RELEASE, &release) < 0)
                return -errno;
        *bytes = release.bytes;
        return 0;
}

const BalloonDevice balloon_device = {
        .state = get_state,
        .give = give,
        .blocks = get_blocks,
        .pages = allow_pages,
        .release = release_pages,
};
