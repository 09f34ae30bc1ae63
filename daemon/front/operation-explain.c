/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in one block, which pages stand in the way, and whose they are. */
#include <assert.h>
#include <errno.h>

#include "engine/owners.h"
#include "front/json.h"
#include "front/operation-internal.h"
#include "util/json.h"

static_assert(OPERATION_BLOCKERS_MAX <= OWNERS_PAGES_MAX, "all pages fit into one question");

/* Names are for those who can act on them; that there are none is no error. Jobs ask first: an answer to
 * them is due, and few may ask at once. One that waits for an operator asks nothing. */
static bool wants_names(const OperationCall *call, const EngineSurvey *survey) {
        const Job *job = queue_current(call->context->queue);

        return survey->n_blockers > 0 && call->context->owners_socket && (!job || job->unconfirmed);
}

/* Pages come back in the order in which they were asked for. */
static int add_owners(json_object *answer, const OwnersReply *reply) {
        json_object *blockers = json_object_object_get(answer, "blockers");
        int r = 0;

        for (size_t i = 0; r >= 0 && i < reply->n_pages && i < json_object_array_length(blockers); i++) {
                const OwnersPage *page = &reply->pages[i];

                r = json_blocker_add_owner(json_object_array_get_idx(blockers, i), page->comm, page->pids,
                                           page->n_pids);
        }
        return r;
}

static void on_owners(int error, const OwnersReply *reply, void *userdata) {
        OperationCall *call = userdata;
        int r = 0;

        if (error == 0)
                r = add_owners(call->held, reply);
        call->naming = owners_query_free(call->naming); /* the reply was part of it */
        (void) operation_answer(call, r < 0 ? NULL : STEAL_PTR(call->held));
}

/* Takes the answer; it is given when the names are known, or without them after a while. */
static int ask_owners(OperationCall *call, const EngineSurvey *survey, json_object *answer) {
        uint64_t addresses[OWNERS_PAGES_MAX];
        size_t n = survey->n_blockers < OWNERS_PAGES_MAX ? survey->n_blockers : OWNERS_PAGES_MAX;
        int r;

        call->held = answer;
        for (size_t i = 0; i < n; i++)
                addresses[i] = survey->blockers[i].address;
        r = owners_query(call->context->event, call->context->owners_socket, addresses, n,
                         OWNERS_TIMEOUT_USEC, on_owners, call, &call->naming);
        return r < 0 ? operation_answer(call, STEAL_PTR(call->held)) : 0;
}

/* Why others are taken before it. */
static int add_failure(json_object *answer, const GuardFailure *failure) {
        json_object *o;

        if (!failure)
                return 0;
        o = json_object_new_object();
        if (json_add(answer, "failure", o) < 0 || json_add_string(o, "cause", failure->cause) < 0 ||
            json_add_int(o, "agoUsec", (int64_t) failure->age_usec) < 0 ||
            json_add_int(o, "forgottenInUsec", (int64_t) failure->left_usec) < 0)
                return -ENOMEM;
        return 0;
}

int operation_explain(OperationCall *call, const OperationArguments *arguments) {
        CLEANUP(engine_survey_clear) EngineSurvey survey = {};
        CLEANUP(json_putp) json_object *answer = NULL;
        CLEANUP(freep) char *reason = NULL;
        const GuardPolicy *policy;
        const BlockTable *table;
        const Block *block;
        Verdict verdict;
        int r;

        r = queue_table(call->context->queue, &table, &policy);
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot read the memory blocks");
        block = block_table_find(table, arguments->block);
        if (!block)
                return operation_answer_error_number(call, ERROR_NO_SUCH_BLOCK, "block", arguments->block);
        r = guard_block(table, block, policy, &verdict, &reason);
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot judge the block");
        /* Only what is online has pages, and only the module can look at them. */
        if (block->state == BLOCK_ONLINE) {
                r = engine_survey_block(call->context->engine, table, block->index, OPERATION_BLOCKERS_MAX,
                                        &survey);
                if (r < 0 && r != -EOPNOTSUPP)
                        return operation_answer_failure(call, r, "Cannot look into the block");
        }
        answer = json_from_survey(&survey, verdict, reason);
        if (answer && add_failure(answer, guard_find_failure(policy, arguments->block)) < 0)
                json_putp(&answer);
        if (answer && wants_names(call, &survey))
                return ask_owners(call, &survey, STEAL_PTR(answer));
        return operation_answer(call, STEAL_PTR(answer));
}
