/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the queue share. Nobody else includes it. */
#pragma once

#include "request/aftercare.h"
#include "request/inventory.h"
#include "request/lender.h"
#include "request/observers.h"
#include "request/pressure.h"
#include "request/queue.h"
#include "request/request-list.h"

struct Queue {
        sd_event *event;
        Engine *engine;
        Journal *journal;
        QueuePolicy policy;
        RequestList requests;  /* queued, active and ended */
        uint32_t last_id;
        sd_event_source *wake; /* deferred: start what can start, forget old history */
        Inventory *inventory;
        Aftercare *aftercare;
        Pressure *pressure;        /* or NULL: nobody watches it */
        sd_event_source *patience; /* at shutdown: for stuck workers */
        Observers observers;
        const QueueLender *lender; /* or NULL */
        uint32_t *lent_blocks;     /* of the policy; see queue_note_lent() */
        bool shutting_down;
        const char *held_why;      /* nothing is done, because of that; or NULL */
        void (*idle)(void *userdata);
        void *idle_userdata;
};

/* Starts what can start, from the event loop. */
void queue_wake(Queue *queue);

/* queue-pressure.c */
void queue_pressure_attend(Queue *queue, bool jobs); /* there are jobs under way, or none */
void queue_pressure_progress(Queue *queue, const Request *request); /* of one of them */
void queue_pressure_policy(Queue *queue);                           /* it changed */
bool queue_pressure_holds(Queue *queue, Request *request);          /* it may not start now */

/* queue.c: a plan for a job, from what there is now. */
int queue_plan_job(Queue *queue, const Demand *demand, Plan **ret);

/* queue-precedence.c */
extern const Source queue_precedence[_SOURCE_MAX]; /* who starts first */
/* Not now: it gives way to others, or others have been asked to give way to it and are not out yet. */
bool queue_must_wait(Queue *queue, const Request *request);
/* What this plan is short of somebody is going to give up, or is able to. */
bool queue_could_later(const Queue *queue, const Demand *demand, const Plan *plan);
/* The plan is feasible if the lender gives back what is missing: it says so. -ENOMEM. */
int queue_note_loan(const Queue *queue, Plan *plan);
/* Has the lender give back what a plan is short of, and makes the plan anew. 1: that takes a while, and the
 * queue is woken; 0: it has what it can have; or a negative errno. */
int queue_borrow(Queue *queue, const Demand *demand, Plan **plan);
/* Whichever block will do for this demand: the policy learns which ones the lender has. */
void queue_note_lent(Queue *queue, const Demand *demand);
/* A request begins along its plan. */
void queue_make_way(const Queue *queue, const Request *request, const Plan *plan);
