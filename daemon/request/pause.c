/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request that holds still because the machine has no memory to spare. An evacuated range is free memory
 * like any other until it is offline, so to hold still is to give that back. What is offline by then is held
 * for as long as it may take, and brought back at once if the machine needs it. When it is time is for
 * queue-pressure.c to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/pause.h"
#include "request/report.h"
#include "util/cleanup.h"
#include "util/text.h"

bool request_is_paused(const Request *request) {
        return request->held != NULL;
}

bool request_can_pause(const Request *request) {
        switch (request->job.state) {
        case JOB_QUEUED:
        case JOB_PLANNING:
        case JOB_EVACUATING:
        case JOB_OFFLINING:
                return request->job.kind == DEMAND_UNPLUG && !request->job.unconfirmed &&
                       !request_is_decided(request) && !request_is_waiting(request);
        case JOB_EJECTING:
        case JOB_RESTORING:
        case JOB_DONE:
        case JOB_PARTIAL:
        case JOB_FAILED:
        case JOB_CANCELLED:
        case _JOB_STATE_MAX:
        case _JOB_STATE_INVALID:
                break;
        }
        return false;
}

const char *pause_word(const Request *request) {
        return request->job.state == JOB_QUEUED ? "waiting" : "paused";
}

/* Also makes the job say it. */
static void set_why(Request *request, const char *why) {
        char *text = NULL;

        free(request->held);
        request->held = strdup(why) ?: strdup("");
        if (asprintf(&text, "%s: %s", pause_word(request), why) < 0)
                text = NULL;
        free(request->job.reason);
        request->job.reason = text;
        request_notify(request, REQUEST_PROGRESS, 0);
}

void pause_forget(Request *request) {
        request->patience = sd_event_source_disable_unref(request->patience);
        free(STEAL_PTR(request->held));
        free(STEAL_PTR(request->reason_before));
}

static void give_up(Request *request, const char *how) {
        CLEANUP(freep) char *why = strdup(request->held);

        request_decide(request, JOB_FAILED, CAUSE_NO_ROOM, "%s %s: %s", pause_word(request), how,
                       why ? why : "short of memory");
        request_stop(request, ENGINE_PATIENCE_USEC);
}

void pause_end_by_deadline(Request *request) {
        give_up(request, "until the deadline passed");
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        char length[FORMAT_SIZE_MAX], how[FORMAT_SIZE_MAX + 32];
        Request *request = userdata;

        (void) snprintf(how, sizeof(how), "for %s, then given up",
                        format_duration(request->context.pause_usec, length));
        give_up(request, how);
        return 0;
}

static void begin(Request *request, const char *why) {
        int r;

        request->reason_before = STEAL_PTR(request->job.reason);
        set_why(request, why);
        report_paused(&request->job);
        request_drop_timers(request);
        if (request->op) {
                request->interrupted = true;
                engine_op_cancel(request->op, ENGINE_PATIENCE_LONG_USEC);
        }
        r = sd_event_add_time_relative(request->context.event, &request->patience, CLOCK_MONOTONIC,
                                       request->context.pause_usec, 1000, on_patience, request);
        if (r < 0)
                give_up(request, "not even for a while"); /* nothing would end it */
}

/* From where it was. */
static void go_on(Request *request) {
        if (request->op || request->job.state == JOB_QUEUED) /* its end, or the queue, comes back to it */
                return;
        if (request->job.state != JOB_PLANNING)
                unplug_resume(request);
        else if (!consent_awaited(request))
                request_proceed(request);
}

static void end(Request *request) {
        char *before = STEAL_PTR(request->reason_before);

        pause_forget(request);
        free(request->job.reason);
        request->job.reason = before;
        report_released(&request->job);
        request_notify(request, REQUEST_PROGRESS, 0);
        go_on(request);
}

void request_pause(Request *request, const char *why, bool urgent) {
        if (!why) {
                if (request_is_paused(request))
                        end(request);
                return;
        }
        if (!request_is_paused(request))
                begin(request, why);
        else if (strcmp(request->held, why) != 0)
                set_why(request, why);
        if (urgent && request->n_taken > 0 && request_is_paused(request))
                give_up(request, "and given up at once");
}

bool pause_took_over(Request *request, const EngineEvent *event) {
        if (!request->interrupted)
                return false;
        request->interrupted = false;
        if (request_is_decided(request) || event->result == STEP_STUCK)
                return false;
        if (!request_is_paused(request)) /* it was over before the worker was gone */
                go_on(request);
        return true;
}
