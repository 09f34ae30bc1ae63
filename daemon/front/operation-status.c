/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the service. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/json.h"
#include "front/operation-internal.h"
#include "util/json-text.h"
#include "util/json.h"

static uint64_t removable_bytes(const BlockTable *table, const GuardPolicy *policy) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < table->n_blocks; i++) {
                Verdict verdict = guard_verdict(&table->blocks[i], policy);

                if (verdict == VERDICT_FREE || verdict == VERDICT_MOVABLE)
                        bytes += table->block_size;
        }
        return bytes;
}

static int add_memory(json_object *o, const BlockTable *table, const GuardPolicy *policy) {
        if (json_add_int(o, "blockSizeBytes", table ? (int64_t) table->block_size : 0) < 0 ||
            json_add_int(o, "onlineBytes", table ? (int64_t) table->online_bytes : 0) < 0 ||
            json_add_int(o, "removableBytes", table ? (int64_t) removable_bytes(table, policy) : 0) < 0)
                return -ENOMEM;
        return 0;
}

/* Takes item. */
static int append(json_object *array, json_object *item) {
        if (!item || json_object_array_add(array, item) < 0) {
                (void) json_object_put(item);
                return -ENOMEM;
        }
        return 0;
}

static json_object *source_status(Source source, const OperationSource *state) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || json_add_string(o, "source", source_to_string(source)) < 0 ||
            json_add_bool(o, "active", state->active) < 0 ||
            (state->active && state->asks && json_add_bool(o, "asks", true) < 0) ||
            (state->reason && json_add(o, "reason", json_text_new(state->reason)) < 0))
                return NULL;
        return STEAL_PTR(o);
}

static int add_sources(json_object *o, const OperationContext *context) {
        const OperationSource operator = { .active = true };
        json_object *sources = json_object_new_array();
        int r;

        r = json_add(o, "sources", sources);
        for (Source source = 0; r >= 0 && source < _SOURCE_MAX; source++) {
                const OperationSource *state = &context->sources[source];

                if (state->active || state->reason)
                        r = append(sources, source_status(source, state));
        }
        if (r >= 0)
                r = append(sources, source_status(SOURCE_OPERATOR, &operator));
        return r;
}

/* A line for each device of which a source has something to say. */
static int add_device_notes(json_object *health, const OperationContext *context, const BlockTable *table) {
        int r = 0;

        for (size_t i = 0; r >= 0 && context->device_note && i < table->n_devices; i++) {
                CLEANUP(freep) char *note = NULL, *text = NULL;
                const char *name = table->devices[i].name;

                note = context->device_note(name, context->device_note_userdata);
                if (!note)
                        continue;
                if (asprintf(&text, "%s: %s", name, note) < 0) {
                        text = NULL;
                        return -ENOMEM;
                }
                r = append(health, json_text_new(text));
        }
        return r;
}

json_object *operation_health(const OperationContext *context, const BlockTable *table, int error) {
        CLEANUP(json_putp) json_object *health = json_object_new_array();
        int r = health ? 0 : -ENOMEM;

        for (const char *const *note = context->health; r >= 0 && note && *note; note++)
                r = append(health, json_text_new(*note));
        if (r >= 0 && table)
                r = add_device_notes(health, context, table);
        for (Source source = 0; r >= 0 && source < _SOURCE_MAX; source++)
                if (context->sources[source].active && context->sources[source].reason)
                        r = append(health, json_text_new(context->sources[source].reason));
        if (r >= 0 && !table) {
                CLEANUP(freep) char *text = NULL;

                if (asprintf(&text, "cannot read the memory blocks: %s", strerror(-error)) < 0) {
                        text = NULL;
                        return NULL;
                }
                r = append(health, json_text_new(text));
        }
        return r < 0 ? NULL : STEAL_PTR(health);
}

static int add_engine(json_object *o, const OperationContext *context) {
        const char *reason = engine_reason(context->engine);

        if (json_add_string(o, "version", context->version) < 0 ||
            json_add_string(o, "engine", engine_kind_to_string(engine_kind(context->engine))) < 0 ||
            (reason && json_add(o, "engineReason", json_text_new(reason)) < 0) ||
            (context->hypervisor && json_add(o, "hypervisor", json_text_new(context->hypervisor)) < 0) ||
            (context->hypervisor_channel &&
             json_add(o, "hypervisorChannel", json_text_new(context->hypervisor_channel)) < 0))
                return -ENOMEM;
        return 0;
}

/* Also when the memory cannot be read: that is part of the state then. */
int operation_get_status(OperationCall *call) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        const OperationContext *context = call->context;
        const BlockTable *table = NULL;
        const GuardPolicy *policy = NULL;
        const Job *job;
        int error, r;

        if (!o)
                return operation_answer(call, NULL);
        error = queue_table(context->queue, &table, &policy);
        r = add_engine(o, context);
        if (r >= 0)
                r = add_memory(o, error < 0 ? NULL : table, policy);
        if (r >= 0)
                r = add_sources(o, context);
        job = queue_current(context->queue);
        if (r >= 0 && job)
                r = json_add(o, "job", json_from_job(job));
        if (r >= 0)
                r = json_add(o, "health", operation_health(context, error < 0 ? NULL : table, error));
        return operation_answer(call, r < 0 ? NULL : STEAL_PTR(o));
}
