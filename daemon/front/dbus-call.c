/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One method call on its way: limits, authorization, the operation, the reply or the error. What the
 * bytes mean is dbus-codec.c's, what the operation does is operation.c's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/authz.h"
#include "front/dbus-internal.h"
#include "util/json.h"
#include "util/log.h"
#include "util/text.h"

#define TARGET_BLOCKS_SHOWN 8U

struct DBusCall {
        LIST_ENTRY(DBusCall) calls;
        DBusFront *front;
        sd_bus_message *message;
        const Operation *operation;
        DBusEncoder encoder;
        json_object *parameters;
        json_object *collected; /* replies of an operation that streams */
        AuthzCheck *check;
        OperationCall *running;
        bool in_operation;      /* operation_run() is on the stack: it must not lose us */
        bool answered;
};

DBusCall *dbus_call_free(DBusCall *call) {
        if (!call)
                return NULL;
        LIST_REMOVE(call, calls);
        call->front->n_calls--;
        if (call->running)
                (void) operation_call_free(call->running);
        (void) authz_check_free(call->check);
        json_object_put(call->collected);
        json_object_put(call->parameters);
        (void) sd_bus_message_unref(call->message);
        free(call);
        return NULL;
}

/* The caller may be gone: no way of failing to answer is worth more than a debug line. */
static void note_answer(int r) {
        if (r < 0)
                (void) log_debug_errno(r, "Cannot answer a D-Bus call, ignoring: %m");
}

static int answer_over(DBusCall *call) {
        call->answered = true;
        if (!call->in_operation)
                (void) dbus_call_free(call);
        return 0;
}

static int answer_errno(DBusCall *call, int r) {
        if (r == -EACCES || r == -EPERM)
                note_answer(sd_bus_reply_method_errorf(call->message, SD_BUS_ERROR_ACCESS_DENIED,
                                                       "Not allowed."));
        else if (r == -EINPROGRESS)
                note_answer(sd_bus_reply_method_errorf(call->message,
                                                       SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                                       "Interactive authorization is required."));
        else
                note_answer(sd_bus_reply_method_errno(call->message, r, /* error= */ NULL));
        return answer_over(call);
}

static int on_reply(void *userdata, json_object *parameters, bool continues) {
        DBusCall *call = userdata;
        int r;

        if (call->answered)
                return -EALREADY;
        if (call->collected) {
                if (parameters && json_object_array_add(call->collected, json_object_get(parameters)) < 0) {
                        json_object_put(parameters);
                        return answer_errno(call, -ENOMEM);
                }
                if (continues)
                        return 0;
        }
        r = call->encoder(call->message, call->collected ?: parameters);
        if (r < 0)
                return answer_errno(call, r);
        return answer_over(call);
}

static int on_error(void *userdata, const char *error_name, json_object *parameters) {
        DBusCall *call = userdata;

        if (call->answered)
                return -EALREADY;
        note_answer(dbus_encode_error(call->message, error_name, parameters));
        return answer_over(call);
}

static int run(DBusCall *call) {
        const OperationSink sink = { .reply = on_reply, .error = on_error, .userdata = call };
        char name[DEMAND_CALLER_SIZE] = "bus";
        const OperationCaller caller = { .name = name };
        int r;

        if (call->check)
                (void) snprintf(name, sizeof(name), "uid %u", (unsigned) authz_check_uid(call->check));
        call->in_operation = true;
        r = operation_run(call->front->context, call->operation, call->parameters, call->collected, &caller,
                          &sink, &call->running);
        call->in_operation = false;

        if (call->answered)
                (void) dbus_call_free(call);
        else if (r < 0)
                return answer_errno(call, r);
        else if (!call->running)
                return answer_errno(call, -EIO);
        return 0;
}

static void on_authorized(sd_bus_message *message, int result, void *userdata) {
        DBusCall *call = userdata;

        (void) (result < 0 ? answer_errno(call, result) : run(call));
}

static uid_t call_uid(const DBusCall *call) {
        return authz_check_uid(call->check);
}

/* Everything is full, of calls that wait. The oldest call of the user who has most of them makes room, so
 * that nobody can lock others out, root least of all. */
static void make_room(DBusFront *front) {
        DBusCall *call, *other, *victim = NULL;
        size_t most = 0;

        LIST_FOREACH(call, &front->calls, calls) {
                size_t n = 0;

                LIST_FOREACH(other, &front->calls, calls)
                        n += call_uid(other) == call_uid(call);
                if (n >= most) { /* newest first: the last of the same user is its oldest */
                        most = n;
                        victim = call;
                }
        }
        if (!victim)
                return;
        note_answer(sd_bus_reply_method_errorf(victim->message, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                               "Too many calls wait for authorization."));
        (void) dbus_call_free(victim);
}

static bool sender_is_at_limit(DBusFront *front, sd_bus_message *message) {
        const char *sender = sd_bus_message_get_sender(message) ?: "";
        DBusCall *call;
        size_t n = 0;

        LIST_FOREACH(call, &front->calls, calls)
                n += strcmp(sd_bus_message_get_sender(call->message) ?: "", sender) == 0;
        return n >= DBUS_CALLS_PER_SENDER_MAX;
}

/* What the dialog calls the thing that is to go. */
static void describe_target(json_object *parameters, char *ret, size_t n) {
        char size[FORMAT_SIZE_MAX] = "memory";
        json_object *blocks;
        uint64_t number, node;
        const char *device;
        size_t used, i;

        if (json_get_uint(parameters, "sizeBytes", INT64_MAX, &number) >= 0)
                (void) format_size(number, size);
        if (json_get_uint(parameters, "node", INT32_MAX, &node) >= 0)
                (void) snprintf(ret, n, "%s of node %" PRIu64, size, node);
        else if (json_get_uint(parameters, "sizeBytes", INT64_MAX, &number) >= 0)
                (void) snprintf(ret, n, "%s", size);
        else if (json_get_string(parameters, "device", &device) >= 0)
                (void) snprintf(ret, n, "device %s", device);
        else if (json_get_uint(parameters, "id", UINT32_MAX, &number) >= 0)
                (void) snprintf(ret, n, "job %" PRIu64, number);
        else if (json_get_array(parameters, "blocks", &blocks) >= 0) {
                used = (size_t) snprintf(ret, n, "%zu blocks:", json_object_array_length(blocks));
                for (i = 0; i < json_object_array_length(blocks) && i < TARGET_BLOCKS_SHOWN && used < n; i++)
                        used += (size_t) snprintf(
                                ret + used, n - used, " %" PRId64,
                                json_object_get_int64(json_object_array_get_idx(blocks, i)));
                if (i < json_object_array_length(blocks) && used < n)
                        (void) snprintf(ret + used, n - used, " …");
        } else
                (void) snprintf(ret, n, "nothing");
}

static DBusCall *call_new(DBusFront *front, sd_bus_message *message, const Operation *operation,
                          json_object *parameters, DBusEncoder encoder) {
        DBusCall *call = calloc(1, sizeof(*call));

        if (!call)
                return NULL;
        call->front = front;
        call->message = sd_bus_message_ref(message);
        call->operation = operation;
        call->encoder = encoder;
        call->parameters = json_object_get(parameters);
        LIST_INSERT_HEAD(&front->calls, call, calls);
        front->n_calls++;
        return call;
}

int dbus_call_start(DBusFront *front, sd_bus_message *message, OperationId id, json_object *given,
                    DBusEncoder encoder, bool many) {
        CLEANUP(json_putp) json_object *parameters = given;
        char target[256];
        const char *const details[] = { "target", target, NULL };
        AuthzCheck *check = NULL;
        DBusCall *call;
        int r;

        if (!parameters)
                return -ENOMEM;
        if (sender_is_at_limit(front, message))
                return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                  "Too many calls of yours are not answered yet.");
        if (front->n_calls >= DBUS_CALLS_MAX)
                make_room(front);

        call = call_new(front, message, operation_get(id), parameters, encoder);
        if (!call)
                return -ENOMEM;
        if (many) {
                call->collected = json_object_new_array();
                if (!call->collected) {
                        (void) dbus_call_free(call);
                        return -ENOMEM;
                }
        }

        describe_target(parameters, target, sizeof(target));
        r = authz_check_bus(message, call->operation, details, on_authorized, call, &check);
        if (r < 0) {
                (void) dbus_call_free(call);
                return r;
        }
        if (check)
                call->check = check; /* otherwise it was answered at once, and the call may be gone */
        return 1;
}
