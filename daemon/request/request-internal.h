/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of one request share: its record, and the steps that one file hands to another.
 * Nobody else includes it. */
#pragma once

#include <time.h>

#include "engine/owners.h"
#include "request/obstacle.h"
#include "request/request.h"

#define USEC_PER_SEC 1000000ULL

struct Request {
        RequestContext context;
        Job job;
        Demand demand;
        Plan *plan;
        EngineBlock *todo;         /* still to be taken (replug: brought back), in order */
        size_t n_todo;
        EngineBlock *taken;        /* offline by our hand */
        size_t n_taken;
        size_t n_ahead;            /* the first of todo: as good as empty, they go without evacuation */
        uint32_t dropped;          /* blocks given up, where a part is enough */
        EngineOp *op;
        HookSession *session;      /* hooks that have a say in it, or NULL */
        OwnersQuery *naming;       /* on the way; the end waits for it */
        JobState waiting_end;      /* the final state that waits for it, or _JOB_STATE_INVALID */
        sd_event_source *deadline, *scout, *retry, *stall;
        char *held;                /* why it holds still, or NULL */
        char *reason_before;       /* the job's, meanwhile */
        sd_event_source *patience; /* it is held no longer than that */
        bool interrupted;          /* the engine call under way was cancelled to hold still */
        bool stuck;                /* a worker was left behind in the kernel */
        JobState verdict;          /* the final state that is decided already, or _JOB_STATE_INVALID */
        uint64_t step_started;     /* usec, CLOCK_MONOTONIC */
        uint64_t step_first_left;  /* bytes to move when the first progress came */
};

/* request.c: the state, and the end */

/* The only place that changes a job's state. Final states are always entered. */
int request_set_state(Request *request, JobState state);
/* Enters a state; false: it could not be recorded, and the request is on its way to failure. */
bool request_enter(Request *request, JobState state);
/* Notes why the job will not end in done. The first reason is the true one: what follows follows from it. */
void request_decide(Request *request, JobState verdict, JobCause cause, const char *format, ...)
                __attribute__((format(printf, 4, 5)));
void request_end(Request *request, JobState state);
/* Ends an engine call that could not even begin. */
void request_fail_to_start(Request *request, const char *what, int error);
void request_notify(Request *request, RequestChange change, uint32_t block);
void request_drop_timers(Request *request);
/* Stops whatever is under way and unwinds, when the worker is gone. */
void request_stop(Request *request, uint64_t patience_usec);
/* Words for how an engine call ended. */
const char *request_outcome_text(const EngineEvent *event);
static inline bool request_is_decided(const Request *request) {
        return (int) request->verdict >= 0;
}
/* It has ended but for the names of those in the way. */
static inline bool request_is_waiting(const Request *request) {
        return (int) request->waiting_end >= 0;
}

/* Goes on to the first step, once all agree. */
void request_proceed(Request *request);

/* consent.c: hooks */

/* true: the request goes on, or ends, when they have answered. */
bool consent_ask(Request *request);
/* A former daemon has asked them about this job. */
void consent_take_up(Request *request);
/* The hook whose answer is waited for, or NULL. */
const char *consent_awaited(const Request *request);
/* Tells them of the final state. */
void consent_end(Request *request);

/* unplug.c: evacuate, take offline, eject */
void unplug_begin(Request *request);
void unplug_evacuate(Request *request);
void unplug_eject(Request *request);
void unplug_resume(Request *request); /* after an engine call was cancelled */
void unplug_note_blockers(Request *request, Obstacle *obstacle);

/* culprit.c: ask who owns the pages in the way */
void culprit_ask(Request *request);

/* restore.c: bring back */

/* Brings back what was taken, then ends with the verdict. */
void restore_unwind(Request *request);
void restore_replug(Request *request);
void restore_forget(Request *request, uint32_t block, bool taken);
