/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue that does what a test says, and an operation table on top of it that records what it
 * was asked. Stands in for request/, front/operation.c and front/logind.c, nothing else. */
#pragma once

#include <json-c/json.h>

#include "front/operation.h"

#define FAKE_JOBS_MAX 100U

typedef struct Fake Fake;

Fake *fake_new(sd_event *event);
void fake_free(Fake *fake);
const OperationContext *fake_context(const Fake *fake);

/* The queue. A job made here is told to observers; change it, then tell. */
Job *fake_job_new(Fake *fake);
Job *fake_job(Fake *fake, uint32_t id);
void fake_tell(Fake *fake, QueueEvent event, const Job *job);
void fake_job_end(Fake *fake, Job *job, JobState state);

/* The operation table: what was run last ("Unplug"), with what (JSON text), for whom ("uid 0"), and how
 * often. */
const char *fake_operation(const Fake *fake);
const char *fake_parameters(const Fake *fake);
const char *fake_caller(const Fake *fake);
unsigned fake_runs(const Fake *fake);
/* The next operations fail with this error (NULL: no longer), whose parameters are one member. */
void fake_fail(Fake *fake, const char *name, const char *key, const char *value);
/* The next operation answers only when told to. */
void fake_hold(Fake *fake);
bool fake_is_held(const Fake *fake);
void fake_release(Fake *fake);
