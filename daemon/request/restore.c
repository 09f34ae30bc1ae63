/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: what an unplug took comes online again in its zone, when the rest cannot go; and replug,
 * which is the same thing wanted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/report.h"
#include "request/request-internal.h"
#include "util/cleanup.h"

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
        if (event->result != STEP_OK && event->result != STEP_KILLED) {
                CLEANUP(freep) char *before = STEAL_PTR(request->job.reason);

                if (asprintf(&request->job.reason, "%s; %zu blocks could not be brought back (%s)",
                             before ? before : "failed", request->n_taken, strerror(-event->error)) < 0)
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

/* Brings back what was taken, then ends with the verdict. Changes: blocks go online. */
void restore_unwind(Request *request) {
        int r;

        request_drop_timers(request);
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
        if (r < 0)
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
               "%zu blocks could not be brought online (%s)", request->n_todo, strerror(-event->error));
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
