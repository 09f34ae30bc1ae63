/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job as a reply tells it, read tolerantly, and what people are told about it. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/ctl.h"

#define JOB_UNKNOWN UINT64_MAX

typedef struct JobView {
        json_object *json;   /* borrowed: all strings are in it */
        const char *state, *operation, *device, *reason, *cause; /* state is never NULL */
        uint64_t id;         /* JOB_UNKNOWN when absent, as all numbers */
        uint64_t requested, removed, evacuated, move;
        uint64_t total_blocks, removed_blocks;
        uint64_t started, finished, eta_usec;
} JobView;

void job_view(JobView *ret, json_object *json);
bool job_is_final(const JobView *job);
bool job_is_replug(const JobView *job);

/* How far it is, 0..100, over moving pages and taking blocks offline; -1 when that says nothing. */
int job_percent(const JobView *job);

/* Bytes done and to do of what takes its time in this state. False: not known. */
bool job_bytes(const JobView *job, uint64_t *ret_done, uint64_t *ret_total);

int job_exit_code(const JobView *job); /* of one that has ended */

/* How it ended: success on standard output, all else with reason and blockers on standard error. */
int job_tell_end(const Ctl *ctl, const JobView *job);
int job_tell_blockers(const Ctl *ctl, FILE *stream, json_object *blockers); /* array or NULL */
