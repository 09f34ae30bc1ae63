/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: what an unplug took comes online again in its zone, when the rest cannot go; and replug,
 * which is the same thing wanted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/report.h"
#include "request/request-internal.h"
#include "util/cleanup.h"

/* Bringing blocks back takes milliseconds. Behind a worker that is stuck with the kernel's hotplug lock it
 * may take for ever, and the answer does not wait for that. */
#define RESTORE_LIMIT_USEC (10ULL * USEC_PER_SEC)
#define RESTORE_LIMIT_STUCK_USEC (300ULL * 1000ULL)

void restore_forget(Request *request, uint32_t block, bool taken) {
        for (size_t i = 0; i < request->n_todo; i++) {
                if (request->todo[i].block != block)
                        continue;
                if (taken)
                        request->taken[request->n_taken++] = request->todo[i];
                memmove(request->todo + i, request->todo + i + 1,
                        (request->n_todo - i - 1) * sizeof(*request->todo));
                request->n_todo--;
                return;
        }
}

static void restored(Request *request, const EngineEvent *event) {
        request_drop_timers(request);
        if (event->result != STEP_OK) {
                CLEANUP(freep) char *before = STEAL_PTR(request->job.reason);

                if (asprintf(&request->job.reason, "%s; %zu blocks could not be brought back (%s)",
                             before ? before : "failed", request->n_taken,
                             request_outcome_text(event)) < 0)
                        request->job.reason = NULL;
        }
        request_end(request, request->verdict);
}

static void restore_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Request *request = userdata;

        switch (event->type) {
        case ENGINE_EVENT_PROGRESS:
                return;
        case ENGINE_EVENT_BLOCK:
                if (event->result != STEP_OK)
                        return;
                for (size_t i = 0; i < request->n_taken; i++)
                        if (request->taken[i].block == event->block)
                                request->taken[i] = request->taken[--request->n_taken];
                if (request->job.removed_blocks > 0 && request->plan) {
                        request->job.removed_blocks--;
                        request->job.removed_bytes -= request->plan->block_size;
                }
                request_notify(request, REQUEST_BLOCK, event->block);
                return;
        case ENGINE_EVENT_END:
                request->op = engine_op_free(op);
                restored(request, event);
                return;
        }
}

static int on_restore_limit(sd_event_source *source, uint64_t usec, void *userdata) {
        Request *request = userdata;

        request->stall = sd_event_source_disable_unref(request->stall);
        if (request->op)
                engine_op_cancel(request->op, ENGINE_PATIENCE_USEC);
        return 0;
}

/* A worker that was killed may have taken the block it was at without a word of it. Blocks that are online
 * already come to no harm. */
static void suspect_first_block(Request *request) {
        if (request->job.state == JOB_OFFLINING && request->n_todo > 0)
                restore_forget(request, request->todo[0].block, /* taken= */ true);
}

/* Brings back what was taken, then ends with the verdict. Changes: blocks go online. */
void restore_unwind(Request *request) {
        int r;

        request_drop_timers(request);
        suspect_first_block(request);
        if (request->n_taken == 0) {
                request_end(request, request->verdict);
                return;
        }
        r = request->job.state == JOB_RESTORING ? 0 : request_set_state(request, JOB_RESTORING);
        if (r < 0) {
                /* The journal still says what was taken, and the memory matters more than the record. */
                report_journal_failure(&request->job, r);
                request->job.state = JOB_RESTORING;
        }
        r = engine_online(request->context.engine, request->taken, request->n_taken, restore_event, request,
                          &request->op);
        if (r >= 0)
                r = sd_event_add_time_relative(request->context.event, &request->stall, CLOCK_MONOTONIC,
                                               request->stuck ? RESTORE_LIMIT_STUCK_USEC
                                                              : RESTORE_LIMIT_USEC,
                                               0, on_restore_limit, request);
        if (r < 0 && !request->op)
                request_end(request, request->verdict);
}

static void replug_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Request *request = userdata;

        if (event->type == ENGINE_EVENT_BLOCK && event->result == STEP_OK) {
                restore_forget(request, event->block, /* taken= */ false);
                request->job.removed_blocks++;
                request->job.removed_bytes += request->plan->block_size;
                request_notify(request, REQUEST_BLOCK, event->block);
        }
        if (event->type != ENGINE_EVENT_END)
                return;
        request->op = engine_op_free(op);
        if (event->result == STEP_OK) {
                request_end(request, JOB_DONE);
                return;
        }
        request_decide(request, request->job.removed_blocks > 0 ? JOB_PARTIAL : JOB_FAILED, CAUSE_SYSTEM,
               "%zu blocks could not be brought online (%s)", request->n_todo,
               request_outcome_text(event));
        request_end(request, request->verdict);
}

/* Changes: the blocks to do go online. */
void restore_replug(Request *request) {
        int r;

        if (!request_enter(request, JOB_RESTORING))
                return;
        r = engine_online(request->context.engine, request->todo, request->n_todo, replug_event, request,
                          &request->op);
        if (r < 0)
                request_fail_to_start(request, "bringing blocks online", r);
}
