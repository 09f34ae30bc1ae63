/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is shown, as JSON: pure functions from plain data to the objects of the interface
 * description. Fields that do not apply are left out. All return NULL when memory is short. */
#pragma once

#include <json-c/json.h>

#include "engine/engine.h"
#include "memory/plan.h"
#include "request/job.h"

json_object *json_from_job(const Job *job);
json_object *json_from_block(const BlockTable *table, const Block *block, const GuardPolicy *policy);
json_object *json_from_device(const BlockTable *table, const Device *device, const GuardPolicy *policy);
json_object *json_from_plan(const BlockTable *table, const Plan *plan);
json_object *json_from_blocker(const JobBlocker *blocker);
/* What was found out later: the first process's name, if known, and all. */
int json_blocker_add_owner(json_object *blocker, const char *owner, const int32_t *pids, size_t n_pids);
json_object *json_from_survey(const EngineSurvey *survey, Verdict verdict, const char *reason);

const char *page_class_to_string(unsigned class); /* "pinned"; never NULL */
