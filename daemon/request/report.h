/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the log says of jobs: one line per transition, with fields. */
#pragma once

#include "request/job.h"

/* journal_error: the negative errno with which recording a final state failed, or 0. */
void report_state(const Job *job, JobState before, int journal_error);
void report_paused(const Job *job); /* with the reason why */
void report_released(const Job *job);
void report_accepted(const Job *job);
void report_confirmed(const Job *job);
void report_refusal(const Demand *demand, JobCause cause, const char *reason);
void report_interrupted(const Job *job, size_t n_taken);
void report_stuck(const Job *job);
void report_journal_failure(const Job *job, int error);
