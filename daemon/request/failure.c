/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pin mostly stays, a busy page mostly does not: the former counts more, and both count less with time.
 * What a weight means is for memory/plan-cost.c. */
#include "request/failure.h"

#include <string.h>

#define STEP_USEC (UINT64_C(10) * 60 * 1000000) /* after which one weight less counts */

/* Does the cause say something of the blocks, rather than of the machine or of who asked? */
static unsigned cause_weight(JobCause cause) {
        switch (cause) {
        case CAUSE_IN_USE:
        case CAUSE_STUCK:
                return 4;
        case CAUSE_BUSY:
        case CAUSE_DEADLINE:
                return 2;
        case CAUSE_NONE:
        case CAUSE_REFUSED:
        case CAUSE_NOTHING_REMOVABLE:
        case CAUSE_NO_ROOM:
        case CAUSE_CANCELLED:
        case CAUSE_INTERRUPTED:
        case CAUSE_SYSTEM:
        case CAUSE_NO_SUCH_BLOCK:
        case CAUSE_NO_SUCH_DEVICE:
        case CAUSE_NO_SUCH_NODE:
        case _CAUSE_MAX:
        case _CAUSE_INVALID:
                break;
        }
        return 0;
}

static unsigned weight_at(const Failure *failure, uint64_t now) {
        uint64_t steps = now > failure->at ? (now - failure->at) / STEP_USEC : 0;

        return steps < failure->weight ? failure->weight - (unsigned) steps : 0;
}

static void forget_old(Failures *failures, uint64_t now) {
        size_t kept = 0;

        for (size_t i = 0; i < failures->n; i++)
                if (weight_at(&failures->items[i], now) > 0)
                        failures->items[kept++] = failures->items[i];
        failures->n = kept;
}

static size_t place_of(const Failures *failures, uint32_t block) {
        size_t i = 0;

        while (i < failures->n && failures->items[i].block < block)
                i++;
        return i;
}

static void note(Failures *failures, uint64_t block, JobCause cause, uint64_t now) {
        size_t i = place_of(failures, (uint32_t) block);

        if (block >= UINT32_MAX)
                return;
        if (i == failures->n || failures->items[i].block != block) {
                if (failures->n >= FAILURES_MAX) /* enough to steer by */
                        return;
                memmove(failures->items + i + 1, failures->items + i,
                        (failures->n - i) * sizeof(*failures->items));
                failures->n++;
        }
        failures->items[i] = (Failure) {
                .block = (uint32_t) block, .weight = cause_weight(cause), .cause = cause, .at = now,
        };
}

void failures_note(Failures *failures, const Job *job, uint64_t block_size, uint64_t now) {
        unsigned weight = job->kind == DEMAND_UNPLUG ? cause_weight(job->cause) : 0;

        forget_old(failures, now);
        if (weight == 0)
                return;
        for (size_t i = 0; block_size > 0 && i < job->n_blockers; i++)
                note(failures, job->blockers[i].address / block_size, job->cause, now);
        if (job->n_blockers == 0 && job->current_block >= 0) /* nobody knows better */
                note(failures, (uint64_t) job->current_block, job->cause, now);
}

void failures_forget(Failures *failures, uint32_t block) {
        size_t i = place_of(failures, block);

        if (i == failures->n || failures->items[i].block != block)
                return;
        failures->n--;
        memmove(failures->items + i, failures->items + i + 1,
                (failures->n - i) * sizeof(*failures->items));
}

void failures_age(Failures *failures, uint64_t now) {
        forget_old(failures, now);
        failures->n_now = failures->n;
        for (size_t i = 0; i < failures->n; i++) {
                const Failure *failure = &failures->items[i];
                uint64_t age = now > failure->at ? now - failure->at : 0;

                failures->now[i] = (GuardFailure) {
                        .block = failure->block,
                        .weight = weight_at(failure, now),
                        .cause = job_cause_to_string(failure->cause),
                        .age_usec = age,
                        .left_usec = failure->weight * STEP_USEC - age,
                };
        }
}
