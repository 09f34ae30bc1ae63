/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one table of what can be asked, the one validator of arguments and the one place that
 * turns outcomes into error names. Fronts decode their wire into a JSON object and call here. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "engine/engine.h"
#include "request/queue.h"

typedef enum OperationId {
        OPERATION_GET_STATUS,
        OPERATION_LIST_BLOCKS,
        OPERATION_LIST_DEVICES,
        OPERATION_PLAN,
        OPERATION_UNPLUG,
        OPERATION_REPLUG,
        OPERATION_CANCEL,
        OPERATION_LIST_JOBS,
        OPERATION_EXPLAIN,
        OPERATION_MONITOR,
        OPERATION_DIAGNOSE,
        OPERATION_CONFIRM,
        _OPERATION_MAX,
} OperationId;

typedef enum OperationStream {
        STREAM_NEVER,
        STREAM_SUPPORTED,
        STREAM_REQUIRED,
        STREAM_REQUIRED_WITHOUT_ID,
} OperationStream;

typedef struct Operation {
        OperationId id;
        const char *name;             /* "Unplug", as in the IDL */
        const char *polkit_action;    /* NULL: reading, free for all */
        OperationStream stream;
} Operation;

const Operation *operation_find(const char *name); /* NULL: no such */
const Operation *operation_get(OperationId id);

/* A platform that asks by itself. What is neither active nor has a reason is not shown. */
typedef struct OperationSource {
        bool active;                  /* its requests are listened to */
        bool asks;                    /* what it asks for waits for an operator */
        const char *reason;           /* why not, or what of it is not met; or NULL */
} OperationSource;

/* What operations work on; all borrowed. */
typedef struct OperationContext {
        sd_event *event;
        Queue *queue;
        Engine *engine;
        Hooks *hooks;                 /* or NULL */
        int root_fd;
        const char *owners_socket;    /* where to ask who has a page, or NULL: do not ask */
        const char *version;
        const char *hypervisor;       /* or NULL */
        OperationSource sources[_SOURCE_MAX]; /* but the operator, who is always heard */
        /* What a source says of a device: why it gives back less than was asked. Owned by the caller. */
        char *(*device_note)(const char *device, void *userdata); /* or NULL */
        void *device_note_userdata;
        const char *const *health;    /* NULL-terminated notes, or NULL */
        bool hypervisor_may_change;   /* by its own channel, if it has one */
        bool hypervisor_is_asked_back; /* what it asks for there waits for an operator */
        const char *hypervisor_channel; /* the port that is served; or NULL */
} OperationContext;

/* How a front takes replies of one call. continues is true for all but the last reply of a
 * stream. reply and error own nothing: parameters is borrowed. A negative return ends the call.
 * error_name is "org.memunplug.NoSuchBlock" or "org.varlink.service.InvalidParameter" and so on. parameters
 * is NULL if there are none, as in the only reply of an empty list. is_full may be NULL; while it says true,
 * lists wait and progress is left out, until operation_call_resume(). */
typedef struct OperationSink {
        int (*reply)(void *userdata, json_object *parameters, bool continues);
        int (*error)(void *userdata, const char *error_name, json_object *parameters);
        void *userdata;
        bool (*is_full)(void *userdata);
} OperationSink;

typedef struct OperationCaller {
        const char *name;             /* for the record: "uid 1000" */
        bool is_hypervisor;
} OperationCaller;

typedef struct OperationCall OperationCall; /* a stream that is still open */

/* Runs one call. parameters: object or NULL. more: the caller wants a stream. Everything is answered through
 * the sink exactly once (a stream: until its last reply). If the call goes on after return, *ret is set and
 * the front must free it when the peer goes away; the sink's last reply or error tells that it is over (then
 * free it too; may be done from within). Otherwise *ret is NULL. */
int operation_run(const OperationContext *context, const Operation *operation, json_object *parameters,
                  bool more, const OperationCaller *caller, const OperationSink *sink, OperationCall **ret);
void operation_call_resume(OperationCall *call); /* the sink is not full any more; may end the call */
/* The lines of what is not well; table NULL: it cannot be read, because of the negative errno. */
json_object *operation_health(const OperationContext *context, const BlockTable *table, int error);
OperationCall *operation_call_free(OperationCall *call);
