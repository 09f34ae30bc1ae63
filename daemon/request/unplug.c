/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of an unplug: evacuate, take offline, eject, and what to do when an attempt does not get
 * through. How blocks are emptied and taken is engine/'s; the way back is restore.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/pause.h"
#include "request/report.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define RETRY_DOUBLINGS_MAX 20U /* of ten minutes: far beyond any maximum, and no number that wraps */
/* How long one block may take to go offline. Behind an evacuation that is milliseconds, and a longer attempt
 * holds the kernel's hotplug lock against everybody; without the module the kernel migrates meanwhile. */
#define OFFLINE_STALL_KMOD_USEC (10ULL * USEC_PER_SEC)
#define OFFLINE_STALL_SYSFS_USEC (60ULL * USEC_PER_SEC)

/* What a plan knows of blocks being empty is worth this long. */
#define AHEAD_FRESH_USEC USEC_PER_SEC

static void step_offline(Request *request);

static void set_eta(Request *request, uint64_t bytes_left) {
        uint64_t elapsed = clock_now_usec(CLOCK_MONOTONIC) - request->step_started;
        uint64_t moved;

        if (request->step_first_left == BLOCK_USAGE_UNKNOWN)
                request->step_first_left = bytes_left;
        moved = request->step_first_left > bytes_left ? request->step_first_left - bytes_left : 0;
        request->job.eta_usec =
                        moved > 0 ? (uint64_t) ((double) bytes_left / (double) moved * (double) elapsed)
                                  : UINT64_MAX;
}

static void note_progress(Request *request, uint64_t bytes_left) {
        Job *job = &request->job;
        uint64_t evacuated;

        if (bytes_left == BLOCK_USAGE_UNKNOWN)
                return;
        if (bytes_left > job->move_bytes)
                job->move_bytes = bytes_left; /* it grew between plan and start */
        evacuated = job->move_bytes - bytes_left;
        if (evacuated > job->evacuated_bytes)
                job->evacuated_bytes = evacuated; /* progress never goes back */
        set_eta(request, bytes_left);
        request_notify(request, REQUEST_PROGRESS, 0);
}

static void note_removed(Request *request, uint32_t block) {
        restore_forget(request, block, /* taken= */ true);
        request->job.removed_blocks++;
        request->job.removed_bytes += request->plan->block_size;
        request->job.current_block = request->n_todo > 0 ? (int64_t) request->todo[0].block : -1;
        request_notify(request, REQUEST_BLOCK, block);
}

/* All blocks to do are through. Less than asked for is done in part, if that was allowed. */
static void finish_unplug(Request *request) {
        Job *job = &request->job;

        if (request->dropped == 0 && job->removed_bytes >= job->requested_bytes) {
                request_end(request, JOB_DONE);
                return;
        }
        if (!job->reason && request->plan->reason)
                job->reason = strdup(request->plan->reason); /* short of memory: without */
        request_end(request, job->removed_blocks > 0 ? JOB_PARTIAL : JOB_FAILED);
}

static void eject_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Request *request = userdata;

        if (event->type != ENGINE_EVENT_END)
                return;
        request->op = engine_op_free(op);
        if (event->result == STEP_OK) {
                request->n_taken = 0; /* they are gone, there is nothing to bring back */
                request_end(request, JOB_DONE);
                return;
        }
        request_decide(request, JOB_FAILED, event->result == STEP_BUSY ? CAUSE_BUSY : CAUSE_SYSTEM,
                       "the platform did not take device '%s' away: %s", request->plan->device,
                       request_outcome_text(event));
        restore_unwind(request);
}

/* Changes: the device leaves the machine. */
void unplug_eject(Request *request) {
        int r;

        if (!request_enter(request, JOB_EJECTING))
                return;
        r = engine_eject(request->context.engine, request->plan->device, eject_event, request, &request->op);
        if (r < 0)
                request_fail_to_start(request, "the eject", r);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        Request *request = userdata;

        request->stall = sd_event_source_disable_unref(request->stall);
        if (request->op)
                engine_op_cancel(request->op, ENGINE_PATIENCE_LONG_USEC); /* its end, with no verdict yet, is
                                                                             an attempt that failed */
        return 0;
}

static int arm_stall(Request *request) {
        uint64_t usec = engine_kind(request->context.engine) == ENGINE_KMOD ? OFFLINE_STALL_KMOD_USEC
                                                                            : OFFLINE_STALL_SYSFS_USEC;

        request->stall = sd_event_source_disable_unref(request->stall);
        return sd_event_add_time_relative(request->context.event, &request->stall, CLOCK_MONOTONIC, usec, 0,
                                          on_stall, request);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Request *request = userdata;

        request->retry = sd_event_source_disable_unref(request->retry);
        unplug_evacuate(request);
        return 0;
}

static bool arm_retry(Request *request) {
        const RequestContext *context = &request->context;
        uint32_t doublings = request->job.attempts - 1;
        uint64_t usec = context->retry_delay_usec
                        << (doublings < RETRY_DOUBLINGS_MAX ? doublings : RETRY_DOUBLINGS_MAX);

        if (request->job.attempts > context->retries)
                return false;
        if (usec > context->retry_max_delay_usec)
                usec = context->retry_max_delay_usec;
        return sd_event_add_time_relative(request->context.event, &request->retry, CLOCK_MONOTONIC, usec, 0,
                                          on_retry, request) >= 0;
}

/* Gives up the blocks that have something in the way. */
static void drop_blocks(Request *request, const bool *keep) {
        size_t kept = 0;

        for (size_t i = 0; i < request->n_todo; i++)
                if (keep[i])
                        request->todo[kept++] = request->todo[i];
        request->dropped += (uint32_t) (request->n_todo - kept);
        request->n_todo = kept;
}

/* May the job go on without some of its blocks? A device goes whole or not at all. */
static bool may_drop(const Request *request) {
        return request->demand.allow_partial && !request->plan->eject;
}

void unplug_note_blockers(Request *request, Obstacle *obstacle) {
        Job *job = &request->job;

        blockers_keep_names(job->blockers, job->n_blockers, obstacle->blockers, obstacle->n_blockers);
        free(job->blockers);
        job->blockers = STEAL_PTR(obstacle->blockers);
        job->n_blockers = obstacle->n_blockers;
        culprit_ask(request);
}

/* An attempt did not get through: try again, go on with less, or give up. refused: the kernel will not
 * change its mind. */
static void attempt_failed(Request *request, bool refused, const char *sentence) {
        CLEANUP(freep) bool *keep = calloc(request->n_todo + 1, sizeof(*keep));
        CLEANUP(obstacle_clear) Obstacle obstacle = {};
        CLEANUP(freep) char *text = NULL;
        const BlockTable *table;
        int r;

        if (!keep) {
                request_fail_to_start(request, "a survey", -ENOMEM);
                return;
        }
        r = request->context.table(&table, request->context.userdata);
        if (r >= 0)
                r = obstacle_look(request->context.engine, table, request->todo, request->n_todo, keep,
                                  &obstacle);
        if (r >= 0 && request->job.state == JOB_EVACUATING && obstacle_is_passable(&obstacle)) {
                step_offline(request);
                return;
        }
        text = obstacle_sentence(&obstacle, request->n_todo);
        unplug_note_blockers(request,
                             &obstacle); /* in the midst of it, too: then their names are known early */
        if (!refused && arm_retry(request))
                return;
        if (may_drop(request) && obstacle.known && obstacle.n_blocks > 0) {
                if (!request->job.reason)
                        request->job.reason = STEAL_PTR(text);
                request->job.cause = obstacle_cause(&obstacle);
                drop_blocks(request, keep);
                if (request->n_todo > 0)
                        step_offline(request);
                else
                        finish_unplug(request);
                return;
        }
        request_decide(request, JOB_FAILED, refused ? CAUSE_REFUSED : obstacle_cause(&obstacle), "%s%s%s",
               sentence ? sentence : "", sentence ? ": " : "", text ? text : "short of memory");
        restore_unwind(request);
}

static void note_stuck(Request *request) {
        request->stuck = true;
        report_stuck(&request->job);
}

/* All that was to be taken is. */
static void all_taken(Request *request) {
        if (request->plan->eject)
                unplug_eject(request);
        else
                finish_unplug(request);
}

/* A worker that was killed may have taken the block it was at without a word of it. */
static int adopt_offline(Request *request) {
        const BlockTable *table;
        int r;

        r = request->context.table(&table, request->context.userdata);
        for (size_t i = request->n_todo; r >= 0 && i-- > 0;) {
                const Block *block = block_table_find(table, request->todo[i].block);

                if (block && block->state == BLOCK_OFFLINE)
                        note_removed(request, block->index);
        }
        return r;
}

void unplug_resume(Request *request) {
        int r = request->job.state == JOB_OFFLINING ? adopt_offline(request) : 0;

        if (r < 0) {
                request_fail_to_start(request, "going on", r);
                return;
        }
        if (request->n_todo == 0) {
                all_taken(request);
                return;
        }
        if (request->job.attempts > 0)
                request->job.attempts--; /* that one did not fail */
        unplug_evacuate(request);
}

/* Those without evacuation are through, or one of them was not as empty as it seemed: now the others. */
static void ahead_ended(Request *request) {
        if (request->n_todo > 0)
                unplug_evacuate(request);
        else
                all_taken(request);
}

static void offline_ended(Request *request, const EngineEvent *event) {
        CLEANUP(freep) char *sentence = NULL;
        bool ahead = request->n_ahead > 0;

        request->n_ahead = 0;
        request->stall = sd_event_source_disable_unref(request->stall);
        if (pause_took_over(request, event))
                return;
        if (request_is_decided(request)) {
                if (event->result == STEP_STUCK)
                        note_stuck(request);
                restore_unwind(request);
                return;
        }
        if (ahead && event->result != STEP_STUCK) {
                ahead_ended(request);
                return;
        }
        switch (event->result) {
        case STEP_OK:
                all_taken(request);
                return;
        case STEP_STUCK:
                note_stuck(request);
                request_decide(request, JOB_FAILED, CAUSE_STUCK,
                               "the kernel does not come back from taking block %" PRIi64 " offline",
                               request->job.current_block);
                restore_unwind(request);
                return;
        case STEP_LEFT:
        case STEP_BUSY:
        case STEP_KILLED:
        case STEP_REFUSED:
        case STEP_NO_MEMORY:
        case STEP_FAILED:
        case _STEP_RESULT_MAX:
                break;
        }
        if (asprintf(&sentence, "block %" PRIi64 " did not go offline (%s)", request->job.current_block,
                     request_outcome_text(event)) < 0)
                sentence = NULL;
        attempt_failed(request, event->result == STEP_REFUSED || event->result == STEP_FAILED, sentence);
}

static void offline_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Request *request = userdata;

        switch (event->type) {
        case ENGINE_EVENT_PROGRESS:
                return;
        case ENGINE_EVENT_BLOCK:
                if (event->result == STEP_OK) {
                        note_removed(request, event->block);
                        (void) arm_stall(request); /* no timer: the deadline still holds */
                }
                return;
        case ENGINE_EVENT_END:
                request->op = engine_op_free(op);
                offline_ended(request, event);
                return;
        }
}

/* The last record counts: what is offline already by our hand is in it, too. */
static int record_taking(Request *request) {
        CLEANUP(freep) EngineBlock *blocks = NULL;

        if (!request->context.journal)
                return 0;
        blocks = calloc(request->n_taken + request->n_todo + 1, sizeof(*blocks));
        if (!blocks)
                return -ENOMEM;
        memcpy(blocks, request->taken, request->n_taken * sizeof(*blocks));
        memcpy(blocks + request->n_taken, request->todo, request->n_todo * sizeof(*blocks));
        return journal_write_taking(request->context.journal, request->job.id, blocks,
                                    request->n_taken + request->n_todo);
}

/* Changes: the blocks to do, or those of them that go ahead, go offline in their order. */
static void step_offline(Request *request) {
        size_t n = request->n_ahead > 0 ? request->n_ahead : request->n_todo;
        int r = record_taking(request);

        if (r < 0) {
                request_decide(request, JOB_FAILED, CAUSE_SYSTEM,
                               "the blocks to take cannot be recorded on disk: %s", strerror(-r));
                restore_unwind(request);
                return;
        }
        if (!request_enter(request, JOB_OFFLINING))
                return;
        request->job.current_block = request->n_todo > 0 ? (int64_t) request->todo[0].block : -1;
        r = engine_offline(request->context.engine, request->todo, n, offline_event, request, &request->op);
        if (r >= 0)
                r = arm_stall(request);
        if (r < 0 && !request->op)
                request_fail_to_start(request, "taking blocks offline", r);
}

static void evacuation_ended(Request *request, const EngineEvent *event) {
        if (pause_took_over(request, event))
                return;
        if (request_is_decided(request)) {
                if (event->result == STEP_STUCK)
                        note_stuck(request);
                restore_unwind(request);
                return;
        }
        switch (event->result) {
        case STEP_OK:
                if (event->bytes_left != BLOCK_USAGE_UNKNOWN)
                        request->job.evacuated_bytes = request->job.move_bytes;
                request_notify(request, REQUEST_PROGRESS, 0);
                step_offline(request);
                return;
        case STEP_LEFT:
        case STEP_BUSY:
        case STEP_KILLED:
                attempt_failed(request, /* refused= */ false, NULL);
                return;
        case STEP_NO_MEMORY:
                request_decide(request, JOB_FAILED, CAUSE_NO_ROOM,
                               "the kernel ran out of memory while it moved pages");
                break;
        case STEP_STUCK:
                note_stuck(request);
                request_decide(request, JOB_FAILED, CAUSE_STUCK,
                               "the kernel does not come back from moving pages");
                break;
        case STEP_REFUSED:
                step_offline(request); /* not a range for the module: the kernel's plain way is left */
                return;
        case STEP_FAILED:
        case _STEP_RESULT_MAX:
                request_decide(request, JOB_FAILED, CAUSE_SYSTEM, "moving pages failed: %s",
                               request_outcome_text(event));
                break;
        }
        restore_unwind(request);
}

static void evacuation_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Request *request = userdata;

        switch (event->type) {
        case ENGINE_EVENT_PROGRESS:
                note_progress(request, event->bytes_left);
                return;
        case ENGINE_EVENT_BLOCK:
                return;
        case ENGINE_EVENT_END:
                request->op = engine_op_free(op);
                evacuation_ended(request, event);
                return;
        }
}

/* Changes: what is in the blocks to do moves elsewhere. */
void unplug_evacuate(Request *request) {
        int r;

        if (request->job.state != JOB_EVACUATING && !request_enter(request, JOB_EVACUATING))
                return;
        request->job.attempts++;
        r = engine_evacuate(request->context.engine, request->todo, request->n_todo,
                            request->plan->block_size, request->context.keep_cache, evacuation_event,
                            request, &request->op);
        if (r < 0)
                request_fail_to_start(request, "the evacuation", r);
}

/* With a survey that is not a second old, what is as good as empty goes offline first: there is nothing to
 * evacuate, and nothing moves into it then. */
void unplug_begin(Request *request) {
        uint64_t waited = clock_now_usec(CLOCK_MONOTONIC) - request->step_started;

        if (request->n_ahead > 0 && waited < AHEAD_FRESH_USEC &&
            engine_can_evacuate(request->context.engine)) {
                step_offline(request);
                return;
        }
        request->n_ahead = 0;
        unplug_evacuate(request);
}
