/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodes the job and the plan for hooks. */
#include "request/hook-plan.h"

#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json-text.h"
#include "util/json.h"

static int add_bytes(json_object *o, const char *key, uint64_t bytes) {
        return json_add_int(o, key, bytes <= INT64_MAX ? (int64_t) bytes : INT64_MAX);
}

static int add_words(json_object *o, const char *key, const char *text) {
        return text && text[0] ? json_add(o, key, json_text_new(text)) : 0;
}

static json_object *step_new(const PlanStep *step) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || json_add_int(o, "block", step->block) < 0 ||
            json_add_string(o, "zone", zone_to_string(step->zone)) < 0 ||
            (step->node >= 0 && json_add_int(o, "node", step->node) < 0) ||
            (step->move_bytes != BLOCK_USAGE_UNKNOWN && add_bytes(o, "moveBytes", step->move_bytes) < 0))
                return NULL;
        return STEAL_PTR(o);
}

static int add_plan(json_object *o, const Plan *plan) {
        json_object *steps = json_object_new_array();

        if (json_add(o, "steps", steps) < 0)
                return -ENOMEM;
        if (!plan)
                return 0;
        if (add_bytes(o, "blockSizeBytes", plan->block_size) < 0 ||
            add_bytes(o, "removableBytes", plan->removable_bytes) < 0 ||
            add_bytes(o, "freeBytes", plan->free_bytes) < 0 ||
            add_bytes(o, "reserveBytes", plan->reserve_bytes) < 0 ||
            json_add_bool(o, "eject", plan->eject) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_steps; i++) {
                json_object *step = step_new(&plan->steps[i]);

                if (!step || json_object_array_add(steps, step) < 0) {
                        (void) json_object_put(step);
                        return -ENOMEM;
                }
        }
        return 0;
}

char *hook_plan_text(const Job *job, const Plan *plan) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        const char *text;
        char *line;

        if (!o || json_add_int(o, "job", job->id) < 0 ||
            json_add_string(o, "source", source_to_string(job->source)) < 0 ||
            add_words(o, "caller", job->caller) < 0 || add_words(o, "device", job->device) < 0 ||
            json_add_string(o, "state", job_state_to_string(job->state)) < 0 ||
            json_add_string(o, "cause", job_cause_to_string(job->cause)) < 0 ||
            add_words(o, "reason", job->reason) < 0 ||
            add_bytes(o, "requestedBytes", job->requested_bytes) < 0 ||
            add_bytes(o, "removedBytes", job->removed_bytes) < 0 ||
            add_bytes(o, "moveBytes", job->move_bytes) < 0 || add_plan(o, plan) < 0)
                return NULL;
        text = json_text(o);
        return text && asprintf(&line, "%s\n", text) >= 0 ? line : NULL;
}
