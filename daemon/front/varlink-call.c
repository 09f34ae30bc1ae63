/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One method call from its message to its last answer: finds the interface, keeps the rules
 * of who may answer how often. Bytes and turns are the connection's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/varlink-internal.h"
#include "util/json.h"

static VarlinkCall *call_free(VarlinkCall *call) {
        call->connection->call = NULL;
        varlink_message_clear(&call->message);
        free(call);
        return NULL;
}

VarlinkCall *varlink_call_abandon(VarlinkCall *call) {
        if (!call)
                return NULL;
        if (call->gone && !call->answered)
                call->gone(call, call->gone_userdata);
        return call_free(call);
}

#define ERROR_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define ERROR_METHOD_NOT_FOUND "org.varlink.service.MethodNotFound"

static int call_dispatch(VarlinkCall *call) {
        const char *method = call->message.method, *dot = strrchr(method, '.');
        const VarlinkInterface *interface = NULL;

        if (dot)
                interface = varlink_server_find(call->connection->server, method, (size_t) (dot - method));
        if (!interface)
                return varlink_call_error_not_found(call);
        /* There is no other protocol to go on with. */
        if (call->message.upgrade)
                return varlink_call_error_with(call, ERROR_INVALID_PARAMETER, "parameter", "upgrade");
        return interface->handler(call, dot + 1, call->message.parameters, interface->userdata);
}

int varlink_call_begin(VarlinkConnection *connection, VarlinkMessage *message) {
        VarlinkCall *call = calloc(1, sizeof(*call));
        int r;

        if (!call) {
                varlink_message_clear(message);
                return -ENOMEM;
        }
        call->connection = connection;
        call->message = *message;
        *message = (VarlinkMessage) {};
        connection->call = call;

        call->in_handler = true;
        r = call_dispatch(call);
        call->in_handler = false;
        if (call->answered)
                (void) call_free(call);
        return r;
}

static int call_answer(VarlinkCall *call, const char *error, json_object *parameters, bool continues) {
        VarlinkConnection *connection = call->connection;
        int r = 0;

        if (call->answered || (continues && !call->message.more))
                return -EINVAL; /* the handler's mistake: the peer must not see it */
        if (connection->broken)
                r = -ECONNRESET;
        else if (!call->message.oneway && !connection->deaf) {
                size_t before = varlink_buffer_length(&connection->out);

                r = varlink_message_write(&connection->out, error, parameters, continues);
                /* One answer is as large as the machine; a heap of them is a peer that does not read. */
                if (r >= 0 && before > 0 && varlink_buffer_length(&connection->out) > VARLINK_QUEUE_MAX) {
                        varlink_server_log(connection->server, connection, 0, "does not read its replies");
                        r = -ENOBUFS;
                }
                if (r < 0)
                        connection->broken = true;
        }
        call->answered = !continues;
        if (call->in_handler)
                return r;
        if (call->answered)
                (void) call_free(call);
        varlink_connection_wake(connection);
        return r;
}

int varlink_call_reply(VarlinkCall *call, json_object *parameters, bool continues) {
        return call_answer(call, /* error= */ NULL, parameters, continues);
}

int varlink_call_error(VarlinkCall *call, const char *name, json_object *parameters) {
        return call_answer(call, name, parameters, /* continues= */ false);
}

int varlink_call_error_with(VarlinkCall *call, const char *name, const char *key, const char *value) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();

        if (!parameters || json_add_string(parameters, key, value) < 0)
                return -ENOMEM; /* from a handler this closes the connection */
        return varlink_call_error(call, name, parameters);
}

int varlink_call_error_not_found(VarlinkCall *call) {
        return varlink_call_error_with(call, ERROR_METHOD_NOT_FOUND, "method", call->message.method);
}

bool varlink_call_peer_is_hypervisor(const VarlinkCall *call) {
        return call->connection->peer.hypervisor;
}

uid_t varlink_call_peer_uid(const VarlinkCall *call) {
        return call->connection->peer.uid;
}

pid_t varlink_call_peer_pid(const VarlinkCall *call) {
        return call->connection->peer.pid;
}

bool varlink_call_wants_more(const VarlinkCall *call) {
        return call->message.more;
}

size_t varlink_call_uid_streams(const VarlinkCall *call) {
        const VarlinkConnection *other;
        size_t n = 0;

        LIST_FOREACH(other, &call->connection->server->connections, list)
                if (other->peer.uid == call->connection->peer.uid && other->call &&
                    other->call->message.more)
                        n++;
        return n;
}

bool varlink_call_is_full(const VarlinkCall *call) {
        return varlink_buffer_length(&call->connection->out) > VARLINK_QUEUE_FULL;
}

void varlink_call_on_drained(VarlinkCall *call, void (*drained)(VarlinkCall *call, void *userdata),
                             void *userdata) {
        call->drained = drained;
        call->drained_userdata = userdata;
}

void varlink_call_on_disconnect(VarlinkCall *call, void (*gone)(VarlinkCall *call, void *userdata),
                                void *userdata) {
        call->gone = gone;
        call->gone_userdata = userdata;
}
