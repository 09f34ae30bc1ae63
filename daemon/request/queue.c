/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of requests: acceptance with the verdict first, order, limits, history. One is request.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/queue-internal.h"
#include "request/report.h"
#include "util/cleanup.h"

/* At the end workers that are stuck get this long to come back. */
#define SHUTDOWN_PATIENCE_USEC (5ULL * 1000000ULL)
#define GIB (1024ULL * 1024ULL * 1024ULL)

DEFINE_CLEANUP(Queue *, queue_free)
DEFINE_CLEANUP(Plan *, plan_free)

int queue_observe(Queue *queue, QueueObserver observer, void *userdata, QueueSlot **ret) {
        return observers_add(&queue->observers, observer, userdata, ret);
}

void queue_invalidate_table(Queue *queue) {
        inventory_invalidate(queue->inventory);
}

void queue_block_changed(Queue *queue, uint32_t block) {
        queue_invalidate_table(queue);
        observers_tell(&queue->observers, QUEUE_BLOCK_CHANGED, /* job= */ NULL, block);
}

static int guard(Queue *queue, const GuardPolicy **ret) {
        return inventory_guard(queue->inventory, &queue->policy.guard, queue->requests.items,
                               queue->requests.n, ret);
}

void queue_health_changed(Queue *queue) {
        observers_tell(&queue->observers, QUEUE_HEALTH_CHANGED, /* job= */ NULL, 0);
}

int queue_blocks(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy) {
        int r = inventory_blocks(queue->inventory, ret_table);

        return r < 0 || !ret_policy ? r : guard(queue, ret_policy);
}

int queue_table(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy) {
        int r = inventory_table(queue->inventory, ret_table);

        return r < 0 ? r : guard(queue, ret_policy);
}

static int fresh_table(const BlockTable **ret, void *userdata) {
        return queue_blocks(userdata, ret, /* ret_policy= */ NULL);
}

static int make_plan(Queue *queue, const BlockTable *table, const GuardPolicy *policy,
                     const Demand *demand, Plan **ret) {
        CLEANUP(memory_room_clear) MemoryRoom room = {};
        int r = inventory_room(queue->inventory, queue->requests.items, queue->requests.n,
                               /* but= */ NULL, &room);

        return r < 0 ? r : plan_make(table, demand, policy, &room, ret);
}

int queue_plan(Queue *queue, const Demand *demand, Plan **ret) {
        const BlockTable *table;
        const GuardPolicy *policy;
        CLEANUP(plan_freep) Plan *plan = NULL;
        int r;

        queue_note_lent(queue, demand);
        r = queue_table(queue, &table, &policy);
        if (r >= 0)
                r = make_plan(queue, table, policy, demand, &plan);
        if (r >= 0)
                r = queue_note_loan(queue, plan);
        if (r >= 0)
                *ret = STEAL_PTR(plan);
        return r;
}

/* A job needs no other device's price: only what it could take is looked into. */
int queue_plan_job(Queue *queue, const Demand *demand, Plan **ret) {
        const BlockTable *table;
        const GuardPolicy *policy;
        int r;

        queue_note_lent(queue, demand);
        r = guard(queue, &policy);
        if (r >= 0)
                r = inventory_table_for(queue->inventory, demand, policy, &table);
        return r < 0 ? r : make_plan(queue, table, policy, demand, ret);
}

/* Ended requests beyond the history are forgotten, oldest first. Never from within a request's callback. */
static void trim_history(Queue *queue) {
        request_list_trim(&queue->requests, QUEUE_HISTORY_MAX);
        if (queue->journal && request_list_count(&queue->requests, request_is_under_way) == 0 &&
            journal_is_large(queue->journal))
                (void) journal_rewrite(queue->journal, QUEUE_HISTORY_MAX); /* the old file stays good */
}

/* A refusal must not rest on what was so a second ago, nor on pages that are held for a moment: it is looked
 * at twice, unless the demand is for what happens to be cheap. */
static int plan_demand(Queue *queue, const Demand *demand, Plan **ret) {
        Plan *plan;
        int r;

        r = queue_plan_job(queue, demand, &plan);
        if (r >= 0 && plan->outcome != PLAN_FEASIBLE && demand->most_used_bytes == 0) {
                (void) plan_free(plan);
                queue_invalidate_table(queue);
                r = queue_plan_job(queue, demand, &plan);
        }
        if (r >= 0)
                *ret = plan;
        return r;
}

/* Starts one queued request, if its blocks are not another's. Returns whether it left the queue. */
static bool start_request(Queue *queue, Request *request) {
        CLEANUP(plan_freep) Plan *plan = NULL;
        int r;

        if (queue_must_wait(queue, request))
                return false;
        r = plan_demand(queue, request_demand(request), &plan);
        if (r >= 0)
                r = queue_borrow(queue, request_demand(request), &plan);
        if (r > 0)
                return false;
        if (r < 0) {
                request_refuse(request, CAUSE_SYSTEM, strerror(-r));
                return true;
        }
        if (plan->outcome == PLAN_BUSY && request_list_count(&queue->requests, request_is_active) > 0)
                return false;
        if (plan->outcome != PLAN_FEASIBLE)
                request_refuse(request, job_cause_from_outcome(plan->outcome), plan->reason);
        else {
                queue_make_way(queue, request, plan);
                request_start(request, STEAL_PTR(plan));
        }
        return true;
}

/* Does something that outlives jobs still go on, and is it worth waiting for? */
static bool is_idle(const Queue *queue) {
        size_t n_stuck;

        (void) engine_stuck_blocks(queue->engine, &n_stuck);
        return request_list_count(&queue->requests, request_is_under_way) == 0 &&
                        ((n_stuck == 0 && !aftercare_is_busy(queue->aftercare)) || !queue->patience);
}

/* What one source asked for, oldest first. */
static void start_requests_of(Queue *queue, Source source) {
        for (size_t i = 0; !queue->held_why && i < queue->requests.n; i++) {
                Request *request = queue->requests.items[i];

                if (request_list_count(&queue->requests, request_is_active) >= QUEUE_ACTIVE_MAX)
                        break;
                if (request_job(request)->source == source && request_may_start(request) &&
                    !queue_pressure_holds(queue, request))
                        (void) start_request(queue, request);
        }
}

static int on_wake(sd_event_source *source, void *userdata) {
        Queue *queue = userdata;

        for (size_t i = 0; i < _SOURCE_MAX; i++)
                start_requests_of(queue, queue_precedence[i]);
        trim_history(queue);
        if (request_list_count(&queue->requests, request_is_under_way) == 0)
                queue_pressure_attend(queue, false);
        if (queue->shutting_down && queue->idle && is_idle(queue)) {
                void (*idle)(void *) = queue->idle;

                queue->idle = NULL;
                idle(queue->idle_userdata);
        }
        return 0;
}

void queue_wake(Queue *queue) {
        (void) sd_event_source_set_enabled(queue->wake, SD_EVENT_ONESHOT); /* fails only on a bad argument */
}

static void request_changed(Request *request, RequestChange change, uint32_t block, void *userdata) {
        const Job *job = request_job(request);
        Queue *queue = userdata;

        switch (change) {
        case REQUEST_BLOCK:
                inventory_block_changed(queue->inventory, job, block);
                observers_tell(&queue->observers, QUEUE_BLOCK_CHANGED, job, block);
                observers_tell(&queue->observers, QUEUE_JOB_CHANGED, job, block);
                return;
        case REQUEST_PROGRESS:
                queue_pressure_progress(queue, request);
                observers_tell(&queue->observers, QUEUE_JOB_CHANGED, job, block);
                return;
        case REQUEST_STATE:
                inventory_job_changed(queue->inventory, job);
                if (job_state_is_final(job->state)) {
                        observers_tell(&queue->observers, QUEUE_JOB_ENDED, job, 0);
                        queue_wake(queue);
                        return;
                }
                observers_tell(&queue->observers, QUEUE_JOB_CHANGED, job, 0);
                return;
        }
}

static RequestContext request_context(Queue *queue) {
        return (RequestContext) {
                .event = queue->event,
                .engine = queue->engine,
                .journal = queue->journal,
                .retries = queue->policy.retries,
                .retry_delay_usec = queue->policy.retry_delay_usec,
                .retry_max_delay_usec = queue->policy.retry_max_delay_usec,
                .keep_cache = queue->policy.keep_cache,
                .owners_socket = queue->policy.owners_socket,
                .hooks = queue->policy.hooks,
                .pause_usec = queue->policy.pause_usec,
                .table = fresh_table,
                .changed = request_changed,
                .userdata = queue,
        };
}

static uint64_t requested_bytes(const Demand *demand, const Plan *plan) {
        if (demand->size_bytes > 0)
                return demand->size_bytes;
        return plan->n_steps * plan->block_size;
}

static uint64_t deadline_of(const Queue *queue, const Demand *demand, uint64_t bytes) {
        if (demand->deadline_usec > 0)
                return demand->deadline_usec;
        return queue->policy.deadline_usec + queue->policy.deadline_per_gib_usec * ((bytes + GIB - 1) / GIB);
}

static bool needs_confirmation(const Queue *queue, const Demand *demand) {
        return demand->ask || queue->policy.ask[demand->source];
}

static int accept_demand(Queue *queue, const Demand *demand, const Plan *plan, const Job **ret) {
        RequestContext context = request_context(queue);
        uint64_t bytes = requested_bytes(demand, plan);
        Request *request;
        int r;

        r = request_new(&request, &context, queue->last_id + 1, demand, bytes,
                        deadline_of(queue, demand, bytes));
        if (r < 0)
                return r;
        r = needs_confirmation(queue, demand) ? request_hold(request, plan) : 0;
        if (r >= 0)
                r = request_list_append(&queue->requests, request);
        if (r < 0) {
                (void) request_free(request);
                return r;
        }
        queue->last_id++;
        report_accepted(request_job(request));
        *ret = request_job(request);
        observers_tell(&queue->observers, QUEUE_JOB_NEW, *ret, 0);
        queue_pressure_attend(queue, true);
        queue_wake(queue);
        return 0;
}

/* A refusal; takes reason. */
static int refuse_demand(const Demand *demand, JobCause cause, char *reason, QueueAnswer *ret) {
        report_refusal(demand, cause, reason);
        *ret = (QueueAnswer) { .cause = cause, .reason = reason };
        return 0;
}

int queue_submit(Queue *queue, const Demand *demand, QueueAnswer *ret) {
        CLEANUP(plan_freep) Plan *plan = NULL;
        const Job *job;
        int r;

        if (queue->shutting_down)
                return -ESHUTDOWN;
        if (request_list_count(&queue->requests, request_is_under_way) >= QUEUE_PENDING_MAX)
                return refuse_demand(demand, CAUSE_BUSY, strdup("too many jobs are under way already"), ret);
        if (queue->held_why)
                return refuse_demand(demand, CAUSE_BUSY, strdup(queue->held_why), ret);
        if (needs_confirmation(queue, demand) &&
            request_list_count(&queue->requests, request_is_unconfirmed) >= QUEUE_UNCONFIRMED_MAX)
                return refuse_demand(demand, CAUSE_BUSY,
                                     strdup("too many requests wait for an operator already"), ret);
        r = plan_demand(queue, demand, &plan);
        if (r < 0)
                return r;
        if (plan->outcome != PLAN_FEASIBLE && !queue_could_later(queue, demand, plan)) {
                r = refuse_demand(demand, job_cause_from_outcome(plan->outcome), STEAL_PTR(plan->reason),
                                  ret);
                ret->missing_block = plan->missing_block;
                return r;
        }
        r = accept_demand(queue, demand, plan, &job);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                char *reason = NULL;

                if (asprintf(&reason, "the job cannot be recorded on disk: %s", strerror(-r)) < 0)
                        reason = NULL;
                return refuse_demand(demand, CAUSE_SYSTEM, reason, ret);
        }
        *ret = (QueueAnswer) { .job = job };
        return 0;
}

JobCause queue_cancel(Queue *queue, uint32_t id) {
        Request *request = request_list_find(&queue->requests, id);

        if (!request || !request_is_under_way(request))
                return CAUSE_REFUSED;
        return request_cancel(request, "cancelled on request") ? CAUSE_NONE : CAUSE_BUSY;
}

JobCause queue_confirm(Queue *queue, uint32_t id) {
        Request *request = request_list_find(&queue->requests, id);

        if (!request || !request_is_under_way(request))
                return CAUSE_REFUSED;
        if (!request_is_unconfirmed(request))
                return CAUSE_BUSY;
        request_confirm(request);
        queue_wake(queue);
        return CAUSE_NONE;
}

const Job *queue_find(const Queue *queue, uint32_t id) {
        const Request *request = request_list_find(&queue->requests, id);

        return request ? request_job(request) : NULL;
}

size_t queue_n_jobs(const Queue *queue) {
        return queue->requests.n;
}

const Job *queue_job_at(const Queue *queue, size_t index) {
        return index < queue->requests.n ? request_job(queue->requests.items[index]) : NULL;
}

const Job *queue_current(const Queue *queue) {
        const Request *request = request_list_current(&queue->requests);

        return request ? request_job(request) : NULL;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Queue *queue = userdata;

        queue->patience = sd_event_source_disable_unref(queue->patience);
        queue_wake(queue);
        return 0;
}

/* A worker whose job has ended without it came back: what that job should not have taken goes back. */
static void on_released(const EngineBlock *blocks, size_t n, void *userdata) {
        Queue *queue = userdata;

        for (size_t i = 0; i < n; i++) {
                const Request *request = request_list_last_with_block(&queue->requests, blocks[i].block);
                JobState state = request ? request_job(request)->state : JOB_DONE;

                if (state == JOB_FAILED || state == JOB_CANCELLED)
                        aftercare_add(queue->aftercare, &blocks[i], 1);
        }
        queue_invalidate_table(queue);
        queue_wake(queue);
}

static void on_aftercare_changed(uint32_t block, void *userdata) {
        queue_block_changed(userdata, block);
}

static void on_aftercare_idle(void *userdata) {
        queue_wake(userdata);
}

static int take_up(Queue *queue, const JournalJob *record) {
        RequestContext context = request_context(queue);
        Request *request;
        int r;

        if (job_state_is_final(record->job.state))
                r = request_new_ended(&request, &context, &record->job);
        else
                r = request_new_interrupted(&request, &context, record);
        if (r < 0)
                return r;
        r = request_list_append(&queue->requests, request);
        if (r < 0)
                (void) request_free(request);
        return r;
}

/* History first, then the unfinished ones are brought to their end: observers are not there yet. */
static int replay_journal(Queue *queue) {
        const JournalJob *records;
        size_t n;
        int r = 0;

        records = journal_jobs(queue->journal, &n);
        queue->last_id = journal_last_id(queue->journal);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = take_up(queue, &records[i]);
        journal_forget(queue->journal);
        for (size_t i = 0; r >= 0 && i < queue->requests.n; i++)
                if (request_is_under_way(queue->requests.items[i]))
                        request_restore(queue->requests.items[i]);
        return r;
}

void queue_set_policy(Queue *queue, const QueuePolicy *policy) {
        queue->policy = *policy;
        queue_pressure_policy(queue);
}

int queue_new(Queue **ret, sd_event *event, int root_fd, Engine *engine, Journal *journal,
              const QueuePolicy *policy) {
        CLEANUP(queue_freep) Queue *queue = calloc(1, sizeof(*queue));
        int r;

        if (!queue)
                return -ENOMEM;
        queue->event = sd_event_ref(event);
        queue->engine = engine;
        queue->journal = journal;
        queue->policy = *policy;
        r = inventory_new(&queue->inventory, root_fd, engine);
        if (r >= 0)
                r = aftercare_new(&queue->aftercare, engine,
                                  &(AftercareWatch) { on_aftercare_changed, on_aftercare_idle, queue });
        if (r >= 0)
                r = sd_event_add_defer(event, &queue->wake, on_wake, queue);
        if (r >= 0)
                r = sd_event_source_set_enabled(queue->wake, SD_EVENT_OFF);
        if (r >= 0 && journal)
                r = replay_journal(queue);
        if (r < 0)
                return r;
        engine_on_released(engine, on_released, queue);
        *ret = STEAL_PTR(queue);
        return 0;
}

Queue *queue_free(Queue *queue) {
        if (!queue)
                return NULL;
        request_list_clear(&queue->requests);
        observers_clear(&queue->observers);
        (void) sd_event_source_disable_unref(queue->wake);
        if (queue->aftercare)
                engine_on_released(queue->engine, NULL, NULL);
        (void) pressure_free(queue->pressure);
        (void) aftercare_free(queue->aftercare);
        (void) sd_event_source_disable_unref(queue->patience);
        (void) inventory_free(queue->inventory);
        free(queue->lent_blocks);
        (void) sd_event_unref(queue->event);
        free(queue);
        return NULL;
}

void queue_hold_all(Queue *queue, const char *why) {
        queue->held_why = why;
        for (size_t i = 0; why && i < queue->requests.n; i++)
                if (request_is_active(queue->requests.items[i]))
                        (void) request_cancel(queue->requests.items[i], why);
        queue_wake(queue);
}

bool queue_is_working(const Queue *queue) {
        return request_list_count(&queue->requests, request_is_active) > 0;
}

void queue_shutdown(Queue *queue, void (*idle)(void *userdata), void *userdata) {
        queue->shutting_down = true;
        queue->idle = idle;
        queue->idle_userdata = userdata;
        (void) sd_event_add_time_relative(queue->event, &queue->patience, CLOCK_MONOTONIC,
                                          SHUTDOWN_PATIENCE_USEC, 0, on_patience,
                                          queue); /* without it nothing is waited for */
        for (size_t i = 0; i < queue->requests.n; i++)
                if (request_is_under_way(queue->requests.items[i]))
                        (void) request_cancel(queue->requests.items[i], "the service is being stopped");
        queue_wake(queue);
}
