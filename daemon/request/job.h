/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of one accepted request: plain data that the journal writes, that fronts
 * show and that nobody but request/ changes. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/plan.h"

#define JOB_BLOCKERS_MAX 32U
#define JOB_BLOCKER_PIDS_MAX 8U
#define JOB_OWNER_SIZE 64U

typedef enum JobState {
        JOB_QUEUED,
        JOB_PLANNING,
        JOB_EVACUATING,
        JOB_OFFLINING,
        JOB_EJECTING,
        JOB_RESTORING,
        JOB_DONE,
        JOB_PARTIAL,
        JOB_FAILED,
        JOB_CANCELLED,
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;

/* Why a job did not end in JOB_DONE, or why a demand was not accepted. */
typedef enum JobCause {
        CAUSE_NONE,
        CAUSE_REFUSED,           /* guarded by policy, or not possible on this system */
        CAUSE_NOTHING_REMOVABLE,
        CAUSE_IN_USE,            /* pages in the way that do not move */
        CAUSE_BUSY,              /* may go another time */
        CAUSE_NO_ROOM,
        CAUSE_DEADLINE,
        CAUSE_CANCELLED,
        CAUSE_INTERRUPTED,       /* the daemon died meanwhile */
        CAUSE_STUCK,             /* a worker does not come back from the kernel */
        CAUSE_SYSTEM,            /* an error of the system */
        CAUSE_NO_SUCH_BLOCK,     /* demands only */
        CAUSE_NO_SUCH_DEVICE,    /* demands only */
        CAUSE_NO_SUCH_NODE,      /* demands only */
        _CAUSE_MAX,
        _CAUSE_INVALID = -EINVAL,
} JobCause;

/* One page in the way; class is a MEMUNPLUG_CLASS_* number of the uapi header. */
typedef struct JobBlocker {
        uint64_t address;
        uint32_t class;
        int32_t ref_count;
        int32_t map_count;
        char owner[JOB_OWNER_SIZE]; /* "" if not known */
        int32_t pids[JOB_BLOCKER_PIDS_MAX];
        size_t n_pids;
} JobBlocker;

typedef struct Job {
        uint32_t id;
        DemandKind kind;
        Source source;
        char caller[DEMAND_CALLER_SIZE];
        char device[DEMAND_NAME_SIZE]; /* "" unless the demand was for one */
        JobState state;
        JobCause cause;
        char *reason;              /* a sentence, NULL while all is well; owned */
        bool unconfirmed;          /* queued until an operator confirms it; reason says so */
        uint64_t requested_bytes;
        uint64_t removed_bytes;    /* replug: brought back */
        uint64_t evacuated_bytes;  /* of move_bytes */
        uint64_t move_bytes;
        uint32_t total_blocks;
        uint32_t removed_blocks;
        int64_t current_block;     /* -1: none */
        uint32_t attempts;
        JobBlocker *blockers;      /* owned */
        size_t n_blockers;
        uint64_t created_at;       /* usec, CLOCK_REALTIME; 0: not yet */
        uint64_t started_at;
        uint64_t finished_at;
        uint64_t deadline_at;
        uint64_t eta_usec;         /* UINT64_MAX: not known */
} Job;

static inline bool job_state_is_final(JobState state) {
        return state >= JOB_DONE;
}

const char *job_state_to_string(JobState state);
JobState job_state_from_string(const char *s);
const char *job_cause_to_string(JobCause cause); /* NULL for CAUSE_NONE */
JobCause job_cause_from_string(const char *s);
JobCause job_cause_from_outcome(PlanOutcome outcome);

void job_clear(Job *job);
