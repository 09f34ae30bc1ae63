/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The balloon while others take memory: it takes nothing, leaves the blocks that are to go, and gives back
 * what they are short of, pages first. What the hypervisor wants of it comes afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/balloon-internal.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/saturate.h"

/* More than is asked for: not all that is free can be used for all. */
#define SPARE_BYTES (UINT64_C(8) << 20)

/* From the driver, what is held of a range and besides: bytes that came back. It takes none from then on. */
static uint64_t release(BalloonSource *source, uint64_t start, uint64_t size, uint64_t bytes) {
        int r = source->device->release(source->fd, start, size, &bytes);

        if (r < 0 && r != -ENODEV)
                (void) log_warning_errno(r, "The balloon gives back nothing: %s", strerror(-r));
        return r < 0 ? 0 : bytes;
}

static uint64_t leave_blocks(BalloonSource *source, const Plan *plan) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < plan->n_steps; i++)
                bytes += release(source, plan->steps[i].block * plan->block_size, plan->block_size, 0);
        return bytes;
}

static void make_way(const Plan *plan, void *userdata) {
        (void) leave_blocks(userdata, plan);
}

static int lent_blocks(uint32_t **ret, uint32_t *ret_n, void *userdata) {
        return balloon_given_blocks(userdata, /* but= */ NULL, ret, ret_n);
}

static uint64_t can_lend(const Plan *plan, void *userdata) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        BalloonSource *source = userdata;
        uint32_t n = 0;

        balloon_look_soon(source); /* what is seen now is not announced any more */
        if (balloon_read_state(source) < 0)
                return 0;
        if (!source->no_more && source->state.blocks > 0)
                (void) balloon_given_blocks(source, plan->device, &blocks, &n); /* or none */
        return source->state.held - source->state.blocks + n * source->block_size;
}

static LendResult lend(const Plan *plan, uint64_t bytes, void *userdata) {
        BalloonSource *source = userdata;

        /* What is on its way back is held no more, and not there yet. */
        if (source->busy && source->job_kind == DEMAND_REPLUG)
                return LEND_LATER;
        if (can_lend(plan, source) == 0)
                return LEND_NOTHING;
        bytes = plus(bytes, SPARE_BYTES);
        if (source->state.held > source->state.blocks &&
            leave_blocks(source, plan) + release(source, 0, 0, bytes) > 0)
                return LEND_NOW;
        if (source->busy && source->job_kind == DEMAND_UNPLUG) /* it waits for an operator */
                (void) queue_cancel(source->queue, source->job);
        if (source->busy)
                return LEND_LATER;
        if (source->no_more || balloon_submit_return(source, plan->device, bytes) < 0)
                return LEND_NOTHING;
        return source->busy ? LEND_LATER : LEND_NOTHING;
}

void balloon_lend_begin(BalloonSource *source) {
        source->lender = (QueueLender) {
                .source = SOURCE_BALLOON,
                .can_lend = can_lend,
                .lend = lend,
                .make_way = make_way,
                .lent_blocks = lent_blocks,
                .userdata = source,
        };
        queue_set_lender(source->queue, &source->lender);
        balloon_lend_look(source);
}

void balloon_lend_look(BalloonSource *source) {
        bool yields = queue_others_take(source->queue, SOURCE_BALLOON);

        if (yields == source->yields)
                return;
        source->yields = yields;
        (void) release(source, 0, 0, 0); /* at the end, too: blocks may have left the machine */
        if (!yields) {
                source->tried = (BalloonTried) { .needs = source->tried.needs };
                source->no_more = false;
                balloon_set_why(source, NULL);
        }
        balloon_look_soon(source);
}
