/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operations that ask for something: plan, unplug, replug, cancel, confirm. Here is the one place where
 * the outcome of a demand becomes the name of an error. */
#include <errno.h>
#include <stdlib.h>

#include "front/json.h"
#include "front/operation-internal.h"
#include "util/json.h"

static void plan_freep(Plan **plan) {
        if (*plan)
                (void) plan_free(*plan);
}

/* NULL: the reply says it, or there is nothing wrong. */
static const char *cause_to_error(JobCause cause) {
        switch (cause) {
        case CAUSE_NONE:
        case _CAUSE_MAX:
        case _CAUSE_INVALID:
                break;
        case CAUSE_NO_SUCH_BLOCK:
                return ERROR_NO_SUCH_BLOCK;
        case CAUSE_NO_SUCH_DEVICE:
                return ERROR_NO_SUCH_DEVICE;
        case CAUSE_NO_SUCH_NODE:
                return ERROR_NO_SUCH_NODE;
        case CAUSE_NOTHING_REMOVABLE:
        case CAUSE_IN_USE:
                return ERROR_NOTHING_REMOVABLE;
        case CAUSE_REFUSED:
        case CAUSE_NO_ROOM:
                return ERROR_REFUSED;
        case CAUSE_BUSY:
                return ERROR_BUSY;
        case CAUSE_DEADLINE:
        case CAUSE_CANCELLED:
        case CAUSE_INTERRUPTED:
        case CAUSE_STUCK:
        case CAUSE_SYSTEM:
                return ERROR_FAILED;
        }
        return NULL;
}

static JobCause outcome_to_cause(PlanOutcome outcome) {
        switch (outcome) {
        case PLAN_NO_SUCH_BLOCK:
                return CAUSE_NO_SUCH_BLOCK;
        case PLAN_NO_SUCH_DEVICE:
                return CAUSE_NO_SUCH_DEVICE;
        case PLAN_NO_SUCH_NODE:
                return CAUSE_NO_SUCH_NODE;
        case PLAN_FEASIBLE:
        case PLAN_NOTHING_REMOVABLE:
        case PLAN_TOO_LITTLE:
        case PLAN_NO_ROOM:
        case PLAN_BUSY:
        case PLAN_REFUSED:
        case _PLAN_OUTCOME_MAX:
        case _PLAN_OUTCOME_INVALID:
                break;
        }
        return CAUSE_NONE; /* the plan itself is the answer, feasible or not */
}

static int answer_cause(OperationCall *call, JobCause cause, const Demand *demand, uint32_t missing_block,
                        const char *reason) {
        const char *name = cause_to_error(cause) ?: ERROR_FAILED;

        if (cause == CAUSE_NO_SUCH_BLOCK)
                return operation_answer_error_number(call, name, "block", missing_block);
        if (cause == CAUSE_NO_SUCH_DEVICE)
                return operation_answer_error_text(call, name, "device", demand->device);
        if (cause == CAUSE_NO_SUCH_NODE)
                return operation_answer_error_number(call, name, "node", demand->node);
        return operation_answer_error_text(call, name, "reason", reason ?: job_cause_to_string(cause));
}

int operation_plan(OperationCall *call, const OperationArguments *arguments) {
        CLEANUP(plan_freep) Plan *plan = NULL;
        const BlockTable *table;
        JobCause cause;
        int r;

        r = queue_plan(call->context->queue, &arguments->demand, &plan);
        if (r >= 0) /* names the devices of the steps */
                r = queue_blocks(call->context->queue, &table, /* ret_policy= */ NULL);
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot make a plan");
        cause = outcome_to_cause(plan->outcome);
        if (cause != CAUSE_NONE)
                return answer_cause(call, cause, &arguments->demand, plan->missing_block, plan->reason);
        return operation_answer(call, json_from_plan(table, plan));
}

int operation_submit(OperationCall *call, const OperationArguments *arguments, bool more) {
        CLEANUP(freep) char *reason = NULL;
        QueueAnswer answer = {};
        int r;

        r = queue_submit(call->context->queue, &arguments->demand, &answer);
        if (r == -ESHUTDOWN)
                return operation_answer_error_text(call, ERROR_BUSY, "reason",
                                                   "the service is being stopped");
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot accept the request");
        reason = answer.reason;
        if (answer.cause != CAUSE_NONE || !answer.job)
                return answer_cause(call, answer.cause, &arguments->demand, answer.missing_block, reason);
        if (more && !job_state_is_final(answer.job->state))
                return operation_follow(call, answer.job);
        return operation_answer(call, operation_wrap("job", json_from_job(answer.job)));
}

/* What became of a call about the job of an id; busy: what is said of one to which it cannot be done now. */
static int answer_job(OperationCall *call, JobCause cause, uint32_t id, const char *busy) {
        const Job *job = cause == CAUSE_NONE ? queue_find(call->context->queue, id) : NULL;

        if (cause == CAUSE_BUSY)
                return operation_answer_error_text(call, ERROR_BUSY, "reason", busy);
        if (!job)
                return operation_answer_error_number(call, ERROR_NO_SUCH_JOB, "id", id);
        return operation_answer(call, operation_wrap("job", json_from_job(job)));
}

int operation_cancel(OperationCall *call, const OperationArguments *arguments) {
        return answer_job(call, queue_cancel(call->context->queue, arguments->id), arguments->id,
                          "the device is being ejected, which cannot be stopped");
}

int operation_confirm(OperationCall *call, const OperationArguments *arguments) {
        return answer_job(call, queue_confirm(call->context->queue, arguments->id), arguments->id,
                          "the job does not wait for an operator");
}
