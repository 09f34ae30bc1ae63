/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs as they change: each new state at once, progress as often as somebody can read it and as the peer
 * takes it. Unplug and Replug follow one job to its end; Monitor, next door, all of them. */
#include <errno.h>
#include <stdlib.h>

#include "front/json.h"
#include "front/operation-stream.h"
#include "util/json.h"

uint64_t operation_now(const OperationCall *call) {
        uint64_t now = 0;

        (void) sd_event_now(call->context->event, CLOCK_MONOTONIC, &now); /* fails only on a bad clock */
        return now;
}

void operation_timer_arm(OperationCall *call, uint64_t when) {
        bool on = when != UINT64_MAX;

        /* Neither fails but on bad arguments. */
        if (on)
                (void) sd_event_source_set_time(call->timer, when);
        (void) sd_event_source_set_enabled(call->timer, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

JobWatch *operation_watch(OperationCall *call, const Job *job) {
        JobWatch *watches = reallocarray(call->watches, call->n_watches + 1, sizeof(*watches));

        if (!watches)
                return NULL;
        call->watches = watches;
        watches += call->n_watches++;
        *watches = (JobWatch) { .id = job->id, .state = job->state, .told_at = operation_now(call) };
        return watches;
}

uint64_t operation_watches_next(const OperationCall *call) {
        uint64_t next = UINT64_MAX;

        for (size_t i = 0; i < call->n_watches; i++)
                if (call->watches[i].dirty && call->watches[i].told_at + OPERATION_PROGRESS_USEC < next)
                        next = call->watches[i].told_at + OPERATION_PROGRESS_USEC;
        return next;
}

void operation_watch_changed(OperationCall *call, JobWatch *watch, const Job *job, JobTeller tell) {
        uint64_t now = operation_now(call);
        bool early = now < watch->told_at + OPERATION_PROGRESS_USEC;

        if (watch->state == job->state && (early || operation_sink_is_full(call))) {
                watch->dirty = true;
                return;
        }
        watch->state = job->state;
        watch->told_at = now;
        watch->dirty = false;
        (void) tell(call, job); /* a sink that takes no more closes its connection */
}

void operation_watches_flush(OperationCall *call, JobTeller tell) {
        for (size_t i = 0; i < call->n_watches && !call->over; i++) {
                JobWatch *watch = &call->watches[i];
                const Job *job = watch->dirty ? queue_find(call->context->queue, watch->id) : NULL;

                if (job)
                        operation_watch_changed(call, watch, job, tell);
        }
}

static int tell_job(OperationCall *call, const Job *job) {
        json_object *o = operation_wrap("job", json_from_job(job));

        if (!o)
                return -ENOMEM; /* there will be another one */
        return operation_answer_part(call, o);
}

/* The next look at what was held back; none while the peer has not taken what it got. */
static void follow_arm(OperationCall *call) {
        uint64_t when = operation_watches_next(call);

        if (!call->over)
                operation_timer_arm(call, operation_sink_is_full(call) ? UINT64_MAX : when);
}

static void follow_flush(OperationCall *call) {
        operation_watches_flush(call, tell_job);
        follow_arm(call);
}

static int on_follow_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        OperationCall *call = userdata;

        if (!call->over)
                follow_flush(call);
        return 0;
}

static void on_follow(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        OperationCall *call = userdata;

        if (call->over || !job || job->id != call->watches[0].id)
                return;
        switch (event) {
        case QUEUE_JOB_ENDED:
                /* After it the call may be gone. */
                (void) operation_answer(call, operation_wrap("job", json_from_job(job)));
                return;
        case QUEUE_JOB_CHANGED:
                operation_watch_changed(call, &call->watches[0], job, tell_job);
                follow_arm(call);
                return;
        case QUEUE_JOB_NEW:
        case QUEUE_BLOCK_CHANGED:
        case QUEUE_HEALTH_CHANGED:
                return;
        }
}

int operation_follow(OperationCall *call, const Job *job) {
        int r;

        call->resume = follow_flush;
        r = queue_observe(call->context->queue, on_follow, call, &call->observer);
        if (r >= 0)
                r = sd_event_add_time(call->context->event, &call->timer, CLOCK_MONOTONIC, UINT64_MAX,
                                      /* accuracy= */ 10000, on_follow_timer, call);
        if (r >= 0)
                r = sd_event_source_set_enabled(call->timer, SD_EVENT_OFF);
        if (r < 0 || !operation_watch(call, job)) /* it is accepted all the same */
                return operation_answer(call, operation_wrap("job", json_from_job(job)));
        return operation_answer_part(call, operation_wrap("job", json_from_job(job)));
}
