/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of operations and the way of each call: arguments, the operation, one answer. Who may call is
 * the fronts' to ask authz.c; what an operation does is in the file of its group. */
#include "front/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/operation-internal.h"
#include "util/json-text.h"
#include "util/json.h"

static const Operation operations[_OPERATION_MAX] = {
        [OPERATION_GET_STATUS] = { OPERATION_GET_STATUS, "GetStatus", NULL, STREAM_NEVER },
        [OPERATION_LIST_BLOCKS] = { OPERATION_LIST_BLOCKS, "ListBlocks", NULL, STREAM_REQUIRED },
        [OPERATION_LIST_DEVICES] = { OPERATION_LIST_DEVICES, "ListDevices", NULL, STREAM_REQUIRED },
        [OPERATION_PLAN] = { OPERATION_PLAN, "Plan", NULL, STREAM_NEVER },
        [OPERATION_UNPLUG] = { OPERATION_UNPLUG, "Unplug", "org.memunplug1.unplug", STREAM_SUPPORTED },
        [OPERATION_REPLUG] = { OPERATION_REPLUG, "Replug", "org.memunplug1.replug", STREAM_SUPPORTED },
        [OPERATION_CANCEL] = { OPERATION_CANCEL, "Cancel", "org.memunplug1.cancel", STREAM_NEVER },
        [OPERATION_LIST_JOBS] = { OPERATION_LIST_JOBS, "ListJobs", NULL, STREAM_REQUIRED_WITHOUT_ID },
        [OPERATION_EXPLAIN] = { OPERATION_EXPLAIN, "Explain", NULL, STREAM_NEVER },
        [OPERATION_MONITOR] = { OPERATION_MONITOR, "Monitor", NULL, STREAM_REQUIRED },
        [OPERATION_DIAGNOSE] = { OPERATION_DIAGNOSE, "Diagnose", NULL, STREAM_NEVER },
        [OPERATION_CONFIRM] = { OPERATION_CONFIRM, "Confirm", "org.memunplug1.unplug", STREAM_NEVER },
};

const Operation *operation_get(OperationId id) {
        return &operations[id];
}

const Operation *operation_find(const char *name) {
        for (size_t i = 0; i < _OPERATION_MAX; i++)
                if (strcmp(operations[i].name, name) == 0)
                        return &operations[i];
        return NULL;
}

bool operation_sink_is_full(const OperationCall *call) {
        return call->sink.is_full && call->sink.is_full(call->sink.userdata);
}

json_object *operation_wrap(const char *key, json_object *value) {
        CLEANUP(json_putp) json_object *o = value ? json_object_new_object() : NULL;

        if (!o) {
                (void) json_object_put(value);
                return NULL;
        }
        return json_add(o, key, value) < 0 ? NULL : STEAL_PTR(o);
}

/* Last answers: the front may free the call from within, so it is not touched afterwards. */
int operation_answer_error(OperationCall *call, const char *name, json_object *parameters) {
        CLEANUP(json_putp) json_object *owned = parameters;

        call->over = true;
        return call->sink.error(call->sink.userdata, name, owned);
}

int operation_answer_error_text(OperationCall *call, const char *name, const char *key, const char *value) {
        return operation_answer_error(call, name, operation_wrap(key, json_text_new(value)));
}

int operation_answer_error_number(OperationCall *call, const char *name, const char *key, uint32_t value) {
        return operation_answer_error(call, name, operation_wrap(key, json_object_new_int64(value)));
}

int operation_answer_failure(OperationCall *call, int error, const char *what) {
        CLEANUP(freep) char *reason = NULL;

        if (error == -ENOMEM || asprintf(&reason, "%s: %s", what, strerror(-error)) < 0)
                reason = NULL;
        return operation_answer_error_text(call, ERROR_FAILED, "reason", reason ?: "out of memory");
}

int operation_answer(OperationCall *call, json_object *parameters) {
        CLEANUP(json_putp) json_object *owned = parameters;

        if (!owned)
                return operation_answer_failure(call, -ENOMEM, "");
        call->over = true;
        return call->sink.reply(call->sink.userdata, owned, /* continues= */ false);
}

int operation_answer_empty(OperationCall *call) {
        call->over = true;
        return call->sink.reply(call->sink.userdata, /* parameters= */ NULL, /* continues= */ false);
}

int operation_answer_part(OperationCall *call, json_object *parameters) {
        CLEANUP(json_putp) json_object *owned = parameters;
        int r;

        if (!owned)
                return operation_answer_failure(call, -ENOMEM, "");
        r = call->sink.reply(call->sink.userdata, owned, /* continues= */ true);
        if (r < 0)
                call->over = true; /* nobody takes more; the front frees us */
        return r;
}

void operation_call_resume(OperationCall *call) {
        if (!call->over && call->resume)
                call->resume(call);
}

OperationCall *operation_call_free(OperationCall *call) {
        if (!call)
                return NULL;
        (void) queue_slot_free(call->observer);
        (void) sd_event_source_disable_unref(call->timer);
        (void) owners_query_free(call->naming);
        json_putp(&call->held);
        free(call->watches);
        free(call->blocks);
        free(call->devices);
        free(call);
        return NULL;
}

DEFINE_CLEANUP(OperationCall *, operation_call_free)

static bool stream_is_missing(const Operation *operation, const OperationArguments *arguments) {
        switch (operation->stream) {
        case STREAM_REQUIRED:
                return true;
        case STREAM_REQUIRED_WITHOUT_ID:
                return !arguments->has_id;
        case STREAM_NEVER:
        case STREAM_SUPPORTED:
                break;
        }
        return false;
}

static int dispatch(OperationCall *call, OperationId id, const OperationArguments *arguments, bool more) {
        switch (id) {
        case OPERATION_GET_STATUS:
                return operation_get_status(call);
        case OPERATION_LIST_BLOCKS:
        case OPERATION_LIST_DEVICES:
                return operation_list(call, id);
        case OPERATION_LIST_JOBS:
                return arguments->has_id ? operation_list_job(call, arguments) : operation_list(call, id);
        case OPERATION_PLAN:
                return operation_plan(call, arguments);
        case OPERATION_UNPLUG:
        case OPERATION_REPLUG:
                return operation_submit(call, arguments, more);
        case OPERATION_CANCEL:
                return operation_cancel(call, arguments);
        case OPERATION_EXPLAIN:
                return operation_explain(call, arguments);
        case OPERATION_MONITOR:
                return operation_monitor(call);
        case OPERATION_DIAGNOSE:
                return operation_diagnose(call);
        case OPERATION_CONFIRM:
                return operation_confirm(call, arguments);
        case _OPERATION_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

int operation_run(const OperationContext *context, const Operation *operation, json_object *parameters,
                  bool more, const OperationCaller *caller, const OperationSink *sink, OperationCall **ret) {
        CLEANUP(operation_arguments_clear) OperationArguments arguments = {};
        CLEANUP(operation_call_freep) OperationCall *call = calloc(1, sizeof(*call));
        const char *parameter;
        int r;

        if (!call)
                return -ENOMEM;
        call->context = context;
        call->sink = *sink;
        *ret = NULL;

        r = operation_arguments_parse(operation->id, parameters, &arguments, &parameter);
        if (r == -EINVAL)
                return operation_answer_error_text(call, ERROR_INVALID_PARAMETER, "parameter", parameter);
        if (r < 0)
                return r;
        if (!more && stream_is_missing(operation, &arguments))
                return operation_answer_error(call, ERROR_EXPECTED_MORE, /* parameters= */ NULL);
        arguments.demand.source = SOURCE_OPERATOR;
        (void) snprintf(arguments.demand.caller, sizeof(arguments.demand.caller), "%s", caller->name);
        arguments.demand.ask = caller->is_hypervisor && context->hypervisor_is_asked_back;

        r = dispatch(call, operation->id, &arguments, more);
        if (r < 0)
                return r;
        if (!call->over)
                *ret = STEAL_PTR(call);
        return 0;
}
