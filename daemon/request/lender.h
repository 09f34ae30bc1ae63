/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source that holds memory for the hypervisor which can come back when others need room: the balloon. */
#pragma once

#include "request/queue.h"

typedef enum LendResult {
        LEND_NOTHING, /* there is no more */
        LEND_NOW,     /* some came back: plan again */
        LEND_LATER,   /* a job of its own brings some back: plan again when that has ended */
} LendResult;

/* plan: of somebody else's device that is to leave, as far as it is known. */
typedef struct QueueLender {
        Source source; /* its own demands for memory to go give way to all others' */
        /* What could come back in all. Bytes. Changes nothing. */
        uint64_t (*can_lend)(const Plan *plan, void *userdata);
        /* So many more bytes are needed, and what is held in the plan's blocks. Takes nothing meanwhile. */
        LendResult (*lend)(const Plan *plan, uint64_t bytes, void *userdata);
        /* The blocks that it has, sorted, to be freed: nobody brings them back who does not name them. */
        int (*lent_blocks)(uint32_t **ret, uint32_t *ret_n, void *userdata);
        /* A job begins along this plan: nothing is to be held in its blocks. */
        void (*make_way)(const Plan *plan, void *userdata);
        void *userdata;
} QueueLender;

/* The job does, or will as soon as it can. */
static inline bool job_takes_memory(const Job *job) {
        return job->kind == DEMAND_UNPLUG && !job->unconfirmed && !job_state_is_final(job->state);
}

/* Has another source than this one a job that does? */
static inline bool queue_others_take(const Queue *queue, Source source) {
        for (size_t i = 0; i < queue_n_jobs(queue); i++) {
                const Job *job = queue_job_at(queue, i);

                if (job_takes_memory(job) && job->source != source)
                        return true;
        }
        return false;
}

/* Borrowed; NULL: there is none. */
void queue_set_lender(Queue *queue, const QueueLender *lender);
