/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request: its record, the table of transitions, the one function that sets the state, and what can be
 * asked of it from outside. What each state does is unplug.c's and restore.c's; when a request starts is the
 * queue's. */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/ahead.h"
#include "request/pause.h"
#include "request/report.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* How long before the deadline to ask who is in the way: a search takes up to two seconds. */
#define SCOUT_USEC (2500ULL * 1000ULL)

/* To each state: where it may come from. */
#define FROM(state) (1U << (state))
static const unsigned transitions[_JOB_STATE_MAX] = {
        [JOB_QUEUED] = 0,
        [JOB_PLANNING] = FROM(JOB_QUEUED),
        [JOB_EVACUATING] = FROM(JOB_PLANNING) | FROM(JOB_OFFLINING),
        [JOB_OFFLINING] = FROM(JOB_PLANNING) | FROM(JOB_EVACUATING),
        [JOB_EJECTING] = FROM(JOB_PLANNING) | FROM(JOB_OFFLINING),
        [JOB_RESTORING] = FROM(JOB_PLANNING) | FROM(JOB_EVACUATING) | FROM(JOB_OFFLINING) |
                                  FROM(JOB_EJECTING),
        [JOB_DONE] = FROM(JOB_PLANNING) | FROM(JOB_OFFLINING) | FROM(JOB_EJECTING) |
                             FROM(JOB_RESTORING),
        [JOB_PARTIAL] = FROM(JOB_EVACUATING) | FROM(JOB_OFFLINING) | FROM(JOB_RESTORING),
        [JOB_FAILED] = FROM(JOB_QUEUED) | FROM(JOB_PLANNING) | FROM(JOB_EVACUATING) |
                               FROM(JOB_OFFLINING) | FROM(JOB_EJECTING) | FROM(JOB_RESTORING),
        [JOB_CANCELLED] = FROM(JOB_QUEUED) | FROM(JOB_PLANNING) | FROM(JOB_EVACUATING) |
                                  FROM(JOB_OFFLINING) | FROM(JOB_RESTORING),
};

DEFINE_CLEANUP(Request *, request_free)

void request_notify(Request *request, RequestChange change, uint32_t block) {
        request->context.changed(request, change, block, request->context.userdata);
}

static int journal_state(Request *request) {
        return request->context.journal ? journal_write_job(request->context.journal, &request->job) : 0;
}

/* The only place that changes a job's state: checks the table, writes the journal, acts (timers), tells
 * observers. A state that cannot be journalled is not entered, except final ones, which are true anyway. */
int request_set_state(Request *request, JobState state) {
        Job *job = &request->job;
        JobState before = job->state;
        bool final = job_state_is_final(state);
        int r;

        assert(transitions[state] & FROM(before));
        job->state = state;
        job->unconfirmed = false;
        if (job->started_at == 0 && state == JOB_PLANNING)
                job->started_at = clock_now_usec(CLOCK_REALTIME);
        if (final) {
                job->finished_at = clock_now_usec(CLOCK_REALTIME);
                job->current_block = -1;
                job->eta_usec = UINT64_MAX;
        }
        r = journal_state(request);
        if (r < 0 && !final) {
                job->state = before;
                return r;
        }
        request->step_started = clock_now_usec(CLOCK_MONOTONIC);
        request->step_first_left = BLOCK_USAGE_UNKNOWN;
        if (final) {
                request->deadline = sd_event_source_disable_unref(request->deadline);
                request->scout = sd_event_source_disable_unref(request->scout);
        }
        report_state(job, before, r);
        if (final)
                consent_end(request);
        request_notify(request, REQUEST_STATE, 0);
        return 0;
}

/* Notes why the job will not end in done. The first reason is the true one: what follows follows from it. */
__attribute__((format(printf, 4, 5)))
void request_decide(Request *request, JobState verdict, JobCause cause, const char *format, ...) {
        va_list args;

        if (request_is_decided(request))
                return;
        request->verdict = verdict;
        request->job.cause = cause;
        pause_forget(request);
        free(request->job.reason);
        va_start(args, format);
        if (vasprintf(&request->job.reason, format, args) < 0)
                request->job.reason = NULL; /* short of memory: the cause must do */
        va_end(args);
}

/* Enters a state; on failure the job ends as a failure of the system. */
bool request_enter(Request *request, JobState state) {
        int r = request_set_state(request, state);

        if (r >= 0)
                return true;
        request_decide(request, JOB_FAILED, CAUSE_SYSTEM, "the job cannot be recorded on disk: %s",
                       strerror(-r));
        restore_unwind(request);
        return false;
}

void request_drop_timers(Request *request) {
        request->retry = sd_event_source_disable_unref(request->retry);
        request->stall = sd_event_source_disable_unref(request->stall);
}

/* What was in the way of an attempt was not in the way of the next. */
static void forget_blockers(Request *request) {
        request->naming = owners_query_free(request->naming);
        free(request->job.blockers);
        request->job.blockers = NULL;
        request->job.n_blockers = 0;
}

/* Ends the job, once it is known who stood in the way. */
void request_end(Request *request, JobState state) {
        request_drop_timers(request);
        if (state == JOB_DONE)
                forget_blockers(request);
        if (request->naming) {
                request->waiting_end = state;
                return;
        }
        (void) request_set_state(request, state); /* final states are always entered */
}

const char *request_outcome_text(const EngineEvent *event) {
        return event->error < 0 ? strerror(-event->error) : step_result_to_string(event->result);
}

/* Ends an engine call that could not even begin. */
void request_fail_to_start(Request *request, const char *what, int error) {
        request_decide(request, JOB_FAILED, CAUSE_SYSTEM, "%s could not be started: %s", what,
                       strerror(-error));
        restore_unwind(request);
}

void request_stop(Request *request, uint64_t patience_usec) {
        request_drop_timers(request);
        if (request->op && request->job.state != JOB_RESTORING)
                engine_op_cancel(request->op, patience_usec);
        else if (!request->op)
                restore_unwind(request);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        CLEANUP(obstacle_clear) Obstacle obstacle = {};
        CLEANUP(freep) char *text = NULL;
        Request *request = userdata;
        const BlockTable *table;

        request->deadline = sd_event_source_disable_unref(request->deadline);
        if (request->job.state == JOB_EJECTING || request->job.state == JOB_RESTORING ||
            request_is_decided(request) || request_is_waiting(request))
                return 0;
        if (request->job.unconfirmed) {
                request_decide(request, JOB_FAILED, CAUSE_REFUSED, "no operator confirmed it in time");
                request_stop(request, ENGINE_PATIENCE_USEC);
                return 0;
        }
        if (request_is_paused(request)) {
                pause_end_by_deadline(request);
                return 0;
        }
        if (consent_awaited(request)) {
                request_decide(request, JOB_FAILED, CAUSE_DEADLINE,
                               "the deadline passed while hook '%s' was being asked",
                               consent_awaited(request));
                request_stop(request, ENGINE_PATIENCE_USEC);
                return 0;
        }
        if (request->n_todo > 0 && request->context.table(&table, request->context.userdata) >= 0 &&
            obstacle_look(request->context.engine, table, request->todo, request->n_todo, NULL, &obstacle) >=
                            0)
                text = obstacle_sentence(&obstacle, request->n_todo);
        unplug_note_blockers(request, &obstacle);
        request_decide(request, JOB_FAILED, obstacle.unmovable_bytes > 0 ? CAUSE_IN_USE : CAUSE_DEADLINE,
               "the deadline passed%s%s", text ? ": " : "", text ? text : "");
        request_stop(request, ENGINE_PATIENCE_USEC); /* an answer is due */
        return 0;
}

/* Shortly before the deadline: whoever is in the way by now is asked for, so that the answer can name him.
 */
static int on_scout(sd_event_source *source, uint64_t usec, void *userdata) {
        CLEANUP(obstacle_clear) Obstacle obstacle = {};
        Request *request = userdata;
        const BlockTable *table;

        request->scout = sd_event_source_disable_unref(request->scout);
        if (request->n_todo == 0 || request_is_decided(request) || request_is_waiting(request))
                return 0;
        if (request->context.table(&table, request->context.userdata) >= 0 &&
            obstacle_look(request->context.engine, table, request->todo, request->n_todo, NULL, &obstacle) >=
                    0)
                unplug_note_blockers(request, &obstacle);
        return 0;
}

static int arm_scout(Request *request, uint64_t deadline_usec) {
        if (!request->context.owners_socket || deadline_usec <= SCOUT_USEC)
                return 0;
        return sd_event_add_time_relative(request->context.event, &request->scout, CLOCK_MONOTONIC,
                                          deadline_usec - SCOUT_USEC, 1000, on_scout, request);
}

static int arm_deadline(Request *request, uint64_t usec) {
        uint64_t now = clock_now_usec(CLOCK_REALTIME);
        int r;

        if (usec == 0 || usec > UINT64_MAX - now)
                return 0; /* none */
        request->job.deadline_at = now + usec;
        r = arm_scout(request, usec);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(request->context.event, &request->deadline, CLOCK_MONOTONIC, usec,
                                          1000, on_deadline, request);
}

static Request *request_alloc(const RequestContext *context) {
        Request *request = calloc(1, sizeof(*request));

        if (!request)
                return NULL;
        request->context = *context;
        request->verdict = _JOB_STATE_INVALID;
        request->waiting_end = _JOB_STATE_INVALID;
        request->step_first_left = BLOCK_USAGE_UNKNOWN;
        request->job.current_block = -1;
        request->job.eta_usec = UINT64_MAX;
        return request;
}

int request_new(Request **ret, const RequestContext *context, uint32_t id, const Demand *demand,
                uint64_t requested_bytes, uint64_t deadline_usec) {
        CLEANUP(request_freep) Request *request = request_alloc(context);
        int r;

        if (!request)
                return -ENOMEM;
        r = demand_copy(demand, &request->demand);
        if (r < 0)
                return r;
        request->job.id = id;
        request->job.kind = demand->kind;
        request->job.source = demand->source;
        request->job.requested_bytes = requested_bytes;
        request->job.created_at = clock_now_usec(CLOCK_REALTIME);
        memcpy(request->job.caller, demand->caller, sizeof(request->job.caller));
        memcpy(request->job.device, demand->device, sizeof(request->job.device));
        r = arm_deadline(request, deadline_usec);
        if (r >= 0)
                r = journal_state(request);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(request);
        return 0;
}

static int request_new_recorded(Request **ret, const RequestContext *context, const Job *job) {
        CLEANUP(request_freep) Request *request = request_alloc(context);

        if (!request)
                return -ENOMEM;
        request->job = *job;
        request->job.reason = NULL;
        request->job.blockers = NULL;
        request->job.n_blockers = 0;
        if (job->reason) {
                request->job.reason = strdup(job->reason);
                if (!request->job.reason)
                        return -ENOMEM;
        }
        *ret = STEAL_PTR(request);
        return 0;
}

int request_new_ended(Request **ret, const RequestContext *context, const Job *job) {
        return request_new_recorded(ret, context, job);
}

int request_new_interrupted(Request **ret, const RequestContext *context, const JournalJob *record) {
        CLEANUP(request_freep) Request *request = NULL;
        int r;

        r = request_new_recorded(&request, context, &record->job);
        if (r < 0)
                return r;
        free(request->job.reason);
        request->job.reason = NULL;
        request_decide(request, JOB_FAILED, CAUSE_INTERRUPTED, "the service ended while the job was %s",
               job_state_to_string(record->job.state));
        if (record->this_boot && record->n_taken > 0) {
                request->taken = calloc(record->n_taken, sizeof(*request->taken));
                if (!request->taken)
                        return -ENOMEM;
                memcpy(request->taken, record->taken, record->n_taken * sizeof(*request->taken));
                request->n_taken = record->n_taken;
        }
        if (record->this_boot && record->job.state != JOB_QUEUED)
                consent_take_up(request);
        report_interrupted(&request->job, request->n_taken);
        *ret = STEAL_PTR(request);
        return 0;
}

Request *request_free(Request *request) {
        if (!request)
                return NULL;
        request_drop_timers(request);
        (void) sd_event_source_disable_unref(request->deadline);
        (void) sd_event_source_disable_unref(request->scout);
        pause_forget(request);
        (void) engine_op_free(request->op);
        (void) owners_query_free(request->naming);
        (void) hook_session_free(request->session);
        (void) plan_free(request->plan);
        free(request->todo);
        free(request->taken);
        job_clear(&request->job);
        demand_clear(&request->demand);
        free(request);
        return NULL;
}

const Job *request_job(const Request *request) {
        return &request->job;
}

const Demand *request_demand(const Request *request) {
        return &request->demand;
}

bool request_may_start(const Request *request) {
        return request->job.state == JOB_QUEUED && !request->job.unconfirmed;
}

bool request_is_under_way(const Request *request) {
        return !job_state_is_final(request->job.state);
}

bool request_is_unconfirmed(const Request *request) {
        return request->job.unconfirmed;
}

bool request_is_active(const Request *request) {
        return request->job.state != JOB_QUEUED && request_is_under_way(request);
}

const Plan *request_plan(const Request *request) {
        return request->plan;
}

size_t request_n_left(const Request *request) {
        return request->n_todo;
}

static int take_plan(Request *request, Plan *plan) {
        request->plan = plan;
        request->todo = calloc(plan->n_steps + 1, sizeof(*request->todo));
        request->taken = calloc(plan->n_steps + 1, sizeof(*request->taken));
        if (!request->todo || !request->taken)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_steps; i++)
                request->todo[i] = (EngineBlock) { plan->steps[i].block, plan->steps[i].zone };
        request->n_todo = plan->n_steps;
        request->job.total_blocks = (uint32_t) plan->n_steps;
        request->job.move_bytes = plan->move_bytes;
        return 0;
}

void request_proceed(Request *request) {
        if (request_is_paused(request)) /* this is called again */
                return;
        if (request->n_todo > 0)
                unplug_begin(request);
        else if (request->plan->eject)
                unplug_eject(request);
        else
                request_end(request, JOB_DONE);
}

void request_start(Request *request, Plan *plan) {
        int r;

        if (request->demand.kind == DEMAND_UNPLUG)
                request->n_ahead = ahead_take(plan);
        r = take_plan(request, plan);
        if (r < 0) {
                request_decide(request, JOB_FAILED, CAUSE_SYSTEM, "short of memory");
                request_end(request, JOB_FAILED);
                return;
        }
        if (!request_enter(request, JOB_PLANNING))
                return;
        if (request->demand.kind == DEMAND_REPLUG)
                restore_replug(request);
        else if (!consent_ask(request))
                request_proceed(request);
}

int request_hold(Request *request, const Plan *plan) {
        Job *job = &request->job;
        char *reason;

        if (asprintf(&reason, "waits for an operator: memunplugctl confirm %" PRIu32, job->id) < 0)
                return -ENOMEM;
        free(job->reason);
        job->reason = reason;
        job->unconfirmed = true;
        job->total_blocks = (uint32_t) plan->n_steps;
        job->move_bytes = plan->move_bytes;
        return 0;
}

void request_confirm(Request *request) {
        request->job.unconfirmed = false;
        free(request->job.reason);
        request->job.reason = NULL;
        report_confirmed(&request->job);
        request_notify(request, REQUEST_PROGRESS, 0);
}

void request_refuse(Request *request, JobCause cause, const char *reason) {
        request_decide(request, JOB_FAILED, cause, "%s", reason ? reason : "refused");
        request_end(request, JOB_FAILED);
}

void request_restore(Request *request) {
        restore_unwind(request);
}

bool request_cancel(Request *request, const char *reason) {
        JobState state = request->job.state;

        if (state == JOB_EJECTING || job_state_is_final(state))
                return false;
        if (request_is_decided(request) || request_is_waiting(request) || state == JOB_RESTORING)
                return true; /* it is on its way out already */
        request_decide(request, JOB_CANCELLED, CAUSE_CANCELLED, "%s", reason);
        request_stop(request, ENGINE_PATIENCE_LONG_USEC);
        return true;
}
