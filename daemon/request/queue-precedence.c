/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who goes first, and who gives way: what the hypervisor or an operator wants to have done now comes before
 * the balloon, which takes what is left. Its own job under way makes room for theirs, and a device for which
 * there is no room waits until the balloon has given back enough. */
#include <stdio.h>
#include <stdlib.h>

#include "request/queue-internal.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/text.h"

/* Each loan makes the machine larger, and so the reserve that it keeps: less is missing each time. */
#define LOANS_MAX 12U

const Source queue_precedence[_SOURCE_MAX] = { SOURCE_ACPI, SOURCE_OPERATOR, SOURCE_VIRTIO_MEM,
                                               SOURCE_BALLOON };

void queue_set_lender(Queue *queue, const QueueLender *lender) {
        queue->lender = lender;
}

static bool is_of_lender(const Queue *queue, Source source) {
        return queue->lender && source == queue->lender->source;
}

/* The lender's own job that takes memory, or NULL. */
static Request *lenders_job(const Queue *queue) {
        for (size_t i = 0; i < queue->requests.n; i++) {
                const Job *job = request_job(queue->requests.items[i]);

                if (job_takes_memory(job) && is_of_lender(queue, job->source))
                        return queue->requests.items[i];
        }
        return NULL;
}

/* What is on its way offline already is there in a moment. */
static void interrupt(Request *request) {
        JobState state = request_job(request)->state;

        if (state == JOB_QUEUED || state == JOB_PLANNING || state == JOB_EVACUATING)
                (void) request_cancel(request, "a request of more weight goes first");
}

bool queue_must_wait(Queue *queue, const Request *request) {
        const Job *job = request_job(request);
        Request *before;

        if (!job_takes_memory(job))
                return false;
        if (is_of_lender(queue, job->source))
                return queue_others_take(queue, job->source);
        before = lenders_job(queue);
        if (before)
                interrupt(before);
        return before;
}

/* Only for what leaves the machine as a whole: the hypervisor gets more than it lends. */
static bool may_borrow(const Queue *queue, const Plan *plan) {
        return queue->lender && plan->outcome == PLAN_NO_ROOM && plan->eject;
}

static bool can_borrow(const Queue *queue, const Plan *plan) {
        return may_borrow(queue, plan) &&
               queue->lender->can_lend(plan, queue->lender->userdata) >= plan->missing_bytes;
}

bool queue_could_later(const Queue *queue, const Demand *demand, const Plan *plan) {
        const bool room = plan->outcome == PLAN_NO_ROOM, busy = plan->outcome == PLAN_BUSY;

        if (demand->kind != DEMAND_UNPLUG || is_of_lender(queue, demand->source))
                return false;
        return can_borrow(queue, plan) || ((room || busy) && lenders_job(queue));
}

int queue_note_loan(const Queue *queue, Plan *plan) {
        char size[FORMAT_SIZE_MAX], *text;

        if (!can_borrow(queue, plan))
                return 0;
        if (asprintf(&text, "the balloon gives back %s for it", format_size(plan->missing_bytes, size)) < 0)
                return -ENOMEM;
        free(plan->reason);
        plan->reason = text;
        plan->outcome = PLAN_FEASIBLE;
        return 0;
}

int queue_borrow(Queue *queue, const Demand *demand, Plan **plan) {
        for (unsigned i = 0; i < LOANS_MAX && may_borrow(queue, *plan); i++) {
                char size[FORMAT_SIZE_MAX];
                Plan *again;
                int r;

                log_debug("%s waits for %s of the balloon's", (*plan)->device,
                          format_size((*plan)->missing_bytes, size));
                switch (queue->lender->lend(*plan, (*plan)->missing_bytes, queue->lender->userdata)) {
                case LEND_NOTHING:
                        return 0;
                case LEND_LATER:
                        return 1;
                case LEND_NOW:
                        break;
                }
                r = queue_plan_job(queue, demand, &again);
                if (r < 0)
                        return r;
                (void) plan_free(*plan);
                *plan = again;
        }
        return 0;
}

void queue_note_lent(Queue *queue, const Demand *demand) {
        GuardPolicy *policy = &queue->policy.guard;
        uint32_t *blocks = NULL, n = 0;

        if (queue->lender && demand->kind == DEMAND_REPLUG)
                (void) queue->lender->lent_blocks(&blocks, &n, queue->lender->userdata); /* or none */
        free(queue->lent_blocks);
        policy->lent_blocks = queue->lent_blocks = blocks;
        policy->n_lent = n;
}

void queue_make_way(const Queue *queue, const Request *request, const Plan *plan) {
        const Job *job = request_job(request);

        if (queue->lender && job_takes_memory(job) && !is_of_lender(queue, job->source))
                queue->lender->make_way(plan, queue->lender->userdata);
}
