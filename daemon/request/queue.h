/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All requests: accepts demands, starts them in order, keeps limit and history, tells of every change. */
#pragma once

#include <systemd/sd-event.h>

#include "engine/engine.h"
#include "memory/plan.h"
#include "request/hooks.h"
#include "request/job.h"
#include "request/journal.h"

#define QUEUE_PENDING_MAX 64U   /* jobs accepted and not ended */
#define QUEUE_HISTORY_MAX 64U   /* ended jobs remembered */
#define QUEUE_UNCONFIRMED_MAX 16U /* of those pending, the ones that wait for an operator */
#define QUEUE_ACTIVE_MAX 4U     /* jobs under way at the same time, on disjoint blocks */

typedef struct Queue Queue;
typedef struct QueueSlot QueueSlot;

typedef enum QueueEvent {
        QUEUE_JOB_NEW,
        QUEUE_JOB_CHANGED,   /* state or progress */
        QUEUE_JOB_ENDED,     /* final; the job stays in the history */
        QUEUE_BLOCK_CHANGED, /* block went offline or online, came or went; job is NULL if not by our hand */
        QUEUE_HEALTH_CHANGED, /* what a source has to say of what it has not got; job is NULL */
} QueueEvent;

typedef void (*QueueObserver)(QueueEvent event, const Job *job, uint32_t block, void *userdata);

typedef struct QueuePolicy {
        GuardPolicy guard;             /* busy_blocks is filled in by the queue */
        uint64_t deadline_usec;        /* default for demands without one: base ... */
        uint64_t deadline_per_gib_usec; /* ... plus this for each GiB to remove */
        uint32_t retries;              /* evacuation attempts after the first */
        uint64_t retry_delay_usec;     /* before the first of these; doubles each time ... */
        uint64_t retry_max_delay_usec; /* ... up to this */
        uint32_t pressure_limit;       /* percent of time that some task waits for memory; 0: none */
        uint64_t pause_usec;           /* how long a job may be held because of it */
        bool keep_cache;               /* clean page cache moves, and is not given up */
        bool ask[_SOURCE_MAX];         /* what this source demands waits for an operator */
        const char *owners_socket;     /* where to ask who owns a page, or NULL: do not ask */
        Hooks *hooks;                  /* programs that have a say (borrowed), or NULL */
} QueuePolicy;

/* What became of a demand. If cause is not CAUSE_NONE no job was made, and reason (owned by the caller) and
 * missing_block tell more. */
typedef struct QueueAnswer {
        JobCause cause;
        char *reason;
        uint32_t missing_block;
        const Job *job;
} QueueAnswer;

/* All pointers are borrowed and must outlive the queue. journal may be NULL (tests). Jobs that the journal
 * holds as unfinished are taken up: what they took is brought back, then they end as interrupted. */
int queue_new(Queue **ret, sd_event *event, int root_fd, Engine *engine, Journal *journal,
              const QueuePolicy *policy);
Queue *queue_free(Queue *queue);
void queue_set_policy(Queue *queue, const QueuePolicy *policy); /* for demands from now on */

/* From now on jobs are held while the machine has no memory to spare. fd: see pressure_new(). */
int queue_watch_pressure(Queue *queue, int root_fd, int fd);

/* 0 with *ret filled (also for a refusal), or a negative errno: -ENOMEM, -ESHUTDOWN. */
int queue_submit(Queue *queue, const Demand *demand, QueueAnswer *ret);
/* What submit would do now, and what it would cost elsewhere: a look into all memory. Changes nothing. */
int queue_plan(Queue *queue, const Demand *demand, Plan **ret);
/* CAUSE_NONE: under way; CAUSE_BUSY: it is ejecting; CAUSE_REFUSED: no such job or ended. */
JobCause queue_cancel(Queue *queue, uint32_t id);

/* An operator agrees to a job that waits for that. CAUSE_NONE: it goes on; CAUSE_BUSY: nobody is waited for;
 * CAUSE_REFUSED: no such job or ended. */
JobCause queue_confirm(Queue *queue, uint32_t id);

const Job *queue_find(const Queue *queue, uint32_t id);
/* All jobs, oldest first: index 0 .. queue_n_jobs() - 1. */
size_t queue_n_jobs(const Queue *queue);
const Job *queue_job_at(const Queue *queue, size_t index);
const Job *queue_current(const Queue *queue); /* the oldest one under way, or NULL */

/* A fresh table of blocks without a look into them, and unless it is NULL the policy with all busy blocks;
 * both valid until the next call into the queue or the next event. */
int queue_blocks(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy);
/* The same with usage where the engine can tell: a look into all memory. */
int queue_table(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy);
void queue_invalidate_table(Queue *queue); /* the machine's memory changed: it is read again */
void queue_block_changed(Queue *queue, uint32_t block); /* the same, and observers are told of the block */
void queue_health_changed(Queue *queue); /* observers are told, and nothing else */

int queue_observe(Queue *queue, QueueObserver observer, void *userdata, QueueSlot **ret);
QueueSlot *queue_slot_free(QueueSlot *slot);

/* No job starts any more and none stays under way, for this reason (a constant); NULL: they may again. */
void queue_hold_all(Queue *queue, const char *why);
bool queue_is_working(const Queue *queue); /* on a job that has been started */

/* No new demands from now on (-ESHUTDOWN); jobs under way are cancelled unless ejecting. idle(userdata) is
 * called once, when nothing is under way any more (perhaps at once). */
void queue_shutdown(Queue *queue, void (*idle)(void *userdata), void *userdata);
