/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of job states and causes, the cause that a plan is, and the end of a job record. */
#include <stdlib.h>
#include <string.h>

#include "request/job.h"

static const char *const state_names[_JOB_STATE_MAX] = {
        [JOB_QUEUED] = "queued",         [JOB_PLANNING] = "planning", [JOB_EVACUATING] = "evacuating",
        [JOB_OFFLINING] = "offlining",   [JOB_EJECTING] = "ejecting", [JOB_RESTORING] = "restoring",
        [JOB_DONE] = "done",             [JOB_PARTIAL] = "partial",   [JOB_FAILED] = "failed",
        [JOB_CANCELLED] = "cancelled",
};

/* CAUSE_NONE has no name. The "no such" causes never reach a job: they are answers to demands. */
static const char *const cause_names[_CAUSE_MAX] = {
        [CAUSE_REFUSED] = "refused",         [CAUSE_NOTHING_REMOVABLE] = "nothing_removable",
        [CAUSE_IN_USE] = "in_use",           [CAUSE_BUSY] = "busy",
        [CAUSE_NO_ROOM] = "no_room",         [CAUSE_DEADLINE] = "deadline",
        [CAUSE_CANCELLED] = "cancelled",     [CAUSE_INTERRUPTED] = "interrupted",
        [CAUSE_STUCK] = "stuck",             [CAUSE_SYSTEM] = "system",
        [CAUSE_NO_SUCH_BLOCK] = "no_such_block", [CAUSE_NO_SUCH_DEVICE] = "no_such_device",
        [CAUSE_NO_SUCH_NODE] = "no_such_node",
};

static int name_to_index(const char *const *names, int max, const char *s) {
        for (int i = 0; s && i < max; i++)
                if (names[i] && strcmp(names[i], s) == 0)
                        return i;
        return -EINVAL;
}

const char *job_state_to_string(JobState state) {
        return state >= 0 && state < _JOB_STATE_MAX ? state_names[state] : NULL;
}

JobState job_state_from_string(const char *s) {
        return (JobState) name_to_index(state_names, _JOB_STATE_MAX, s);
}

const char *job_cause_to_string(JobCause cause) {
        return cause >= 0 && cause < _CAUSE_MAX ? cause_names[cause] : NULL;
}

JobCause job_cause_from_string(const char *s) {
        return (JobCause) name_to_index(cause_names, _CAUSE_MAX, s);
}

JobCause job_cause_from_outcome(PlanOutcome outcome) {
        switch (outcome) {
        case PLAN_FEASIBLE:
                return CAUSE_NONE;
        case PLAN_NO_SUCH_BLOCK:
                return CAUSE_NO_SUCH_BLOCK;
        case PLAN_NO_SUCH_DEVICE:
                return CAUSE_NO_SUCH_DEVICE;
        case PLAN_NO_SUCH_NODE:
                return CAUSE_NO_SUCH_NODE;
        case PLAN_NOTHING_REMOVABLE:
        case PLAN_TOO_LITTLE:
                return CAUSE_NOTHING_REMOVABLE;
        case PLAN_NO_ROOM:
                return CAUSE_NO_ROOM;
        case PLAN_BUSY:
                return CAUSE_BUSY;
        case PLAN_REFUSED:
        case _PLAN_OUTCOME_MAX:
        case _PLAN_OUTCOME_INVALID:
                break;
        }
        return CAUSE_REFUSED;
}

void job_clear(Job *job) {
        free(job->reason);
        job->reason = NULL;
        free(job->blockers);
        job->blockers = NULL;
        job->n_blockers = 0;
}
