/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the queue share. Nobody else includes it. */
#pragma once

#include "request/aftercare.h"
#include "request/inventory.h"
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
