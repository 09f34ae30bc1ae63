/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue and an engine that do as the test says: a machine of four blocks and two devices. */
#pragma once

#include "request/lender.h"

#define FAKE_BLOCKS 4U
#define FAKE_JOBS 8U
#define MIB (1024ULL * 1024ULL)

struct Queue {
        Block blocks[FAKE_BLOCKS];
        Device devices[2];
        BlockTable table;
        GuardPolicy policy;
        int table_error;
        unsigned n_table_reads;

        Job jobs[FAKE_JOBS];
        size_t n_jobs;

        QueueSlot *slots;
        unsigned n_slots;

        /* What submit and cancel say; the demand that came. */
        int submit_error;
        JobCause submit_cause;
        const char *submit_reason;
        JobState submit_state;
        JobCause cancel_cause; /* and of confirm */
        Demand demand;
        unsigned n_submitted;
        PlanOutcome plan_outcome;
        const QueueLender *lender;
        unsigned n_health;
};

struct Engine {
        EngineKind kind;
        const char *reason;
        int survey_error;
};

void fake_queue_init(Queue *queue);
void fake_queue_clear(Queue *queue);
Job *fake_queue_add_job(Queue *queue, JobState state);
void fake_queue_tell(Queue *queue, QueueEvent event, const Job *job, uint32_t block);
