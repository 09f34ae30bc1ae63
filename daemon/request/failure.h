/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks that did not go, remembered for a while: the planner takes others first. */
#pragma once

#include "memory/guard.h"
#include "request/job.h"

#define FAILURES_MAX 256U

typedef struct Failure {
        uint32_t block;
        unsigned weight;   /* at first */
        JobCause cause;
        uint64_t at;       /* usec, CLOCK_MONOTONIC */
} Failure;

typedef struct Failures {
        Failure items[FAILURES_MAX]; /* sorted by block */
        size_t n;
        GuardFailure now[FAILURES_MAX];
        size_t n_now;
} Failures;

/* Notes the blocks that a job failed on: those of its blockers, or the one it was at. */
void failures_note(Failures *failures, const Job *job, uint64_t block_size, uint64_t now);
void failures_forget(Failures *failures, uint32_t block);
/* What they still count at this time: fills failures->now. */
void failures_age(Failures *failures, uint64_t now);
