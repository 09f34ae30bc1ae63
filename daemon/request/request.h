/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request under way: the state machine from an accepted demand to a final state. The queue
 * owns requests and decides when they start. */
#pragma once

#include <systemd/sd-event.h>

#include "engine/engine.h"
#include "memory/plan.h"
#include "request/hooks.h"
#include "request/job.h"
#include "request/journal.h"

typedef struct Request Request;

typedef enum RequestChange {
        REQUEST_STATE,    /* the job's state; perhaps a final one */
        REQUEST_PROGRESS, /* numbers only */
        REQUEST_BLOCK,    /* a block changed by our hand */
} RequestChange;

/* What a request works with; borrowed, must outlive it. */
typedef struct RequestContext {
        sd_event *event;
        Engine *engine;
        Journal *journal; /* or NULL */
        uint32_t retries;
        uint64_t retry_delay_usec, retry_max_delay_usec;
        bool keep_cache;           /* clean page cache moves, and is not given up */
        const char *owners_socket; /* where to ask who owns a page, or NULL */
        Hooks *hooks;              /* who has a say, or NULL */
        uint64_t pause_usec;       /* how long it may be held */
        /* A fresh table of blocks, valid until the next event. */
        int (*table)(const BlockTable **ret, void *userdata);
        /* The request must not be freed from within. */
        void (*changed)(Request *request, RequestChange change, uint32_t block, void *userdata);
        void *userdata;
} RequestContext;

/* Accepts: journals the job as queued. The deadline is armed from now on. */
int request_new(Request **ret, const RequestContext *context, uint32_t id, const Demand *demand,
                uint64_t requested_bytes, uint64_t deadline_usec);
/* Takes up a job that a former daemon left unfinished: brings back what it took, then ends it as
 * interrupted. */
int request_new_interrupted(Request **ret, const RequestContext *context, const JournalJob *record);
/* An ended job out of the journal, for the history. */
int request_new_ended(Request **ret, const RequestContext *context, const Job *job);
Request *request_free(Request *request);

const Job *request_job(const Request *request);
const Demand *request_demand(const Request *request);
bool request_may_start(const Request *request); /* queued, and nobody is waited for */
bool request_is_under_way(const Request *request); /* queued or active */
bool request_is_unconfirmed(const Request *request); /* queued, and waits for an operator */
bool request_is_active(const Request *request); /* started and not ended */
/* The plan it follows, NULL before the start. */
const Plan *request_plan(const Request *request);

/* Keeps a queued request from starting until an operator confirms it; its record has the numbers of the plan
 * meanwhile. -ENOMEM */
int request_hold(Request *request, const Plan *plan);
/* It may start now. */
void request_confirm(Request *request);
/* Starts a queued request along a feasible plan (taken over). Changes: state, then the machine's memory. */
void request_start(Request *request, Plan *plan);
/* Ends a queued request without trying. */
void request_refuse(Request *request, JobCause cause, const char *reason);
/* Starts bringing back what an interrupted job took. */
void request_restore(Request *request);
/* Holds it still for the reason, or with NULL lets it go on. urgent: what it took is needed now. */
void request_pause(Request *request, const char *why, bool urgent);
bool request_can_pause(const Request *request);
bool request_is_paused(const Request *request);
/* Of its plan's blocks, those that it has yet to take; in the plan's order. */
size_t request_n_left(const Request *request);
/* false: it is ejecting or ended. */
bool request_cancel(Request *request, const char *reason);
