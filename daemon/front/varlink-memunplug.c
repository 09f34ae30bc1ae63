/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.memunplug on the Varlink server: asks whether the peer may, and hands calls to the operation table
 * and its answers back. Decides nothing else. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "front/authz.h"
#include "front/operation.h"
#include "front/varlink.h"
#include "util/cleanup.h"

extern const char varlink_idl_memunplug[];

/* A call on its way; lives until its last answer or until the peer is gone. */
typedef struct MemunplugCall {
        VarlinkCall *call;
        OperationCall *operation; /* if it is a stream that stays open */
        bool running;             /* operation_run() is on the stack */
        bool answered;
} MemunplugCall;

static MemunplugCall *memunplug_call_free(MemunplugCall *m) {
        if (!m)
                return NULL;
        (void) operation_call_free(m->operation);
        free(m);
        return NULL;
}

DEFINE_CLEANUP(MemunplugCall *, memunplug_call_free)

static void on_drained(VarlinkCall *call, void *userdata) {
        MemunplugCall *m = userdata;

        operation_call_resume(m->operation); /* may be the end of us */
}

static void on_gone(VarlinkCall *call, void *userdata) {
        (void) memunplug_call_free(userdata);
}

static bool sink_is_full(void *userdata) {
        MemunplugCall *m = userdata;

        if (!varlink_call_is_full(m->call))
                return false;
        /* Who was told so waits to be resumed. */
        varlink_call_on_drained(m->call, on_drained, m);
        return true;
}

/* The call has had its last answer and is not there any more. */
static void finish(MemunplugCall *m) {
        m->answered = true;
        if (!m->running)
                (void) memunplug_call_free(m);
}

static int sink_reply(void *userdata, json_object *parameters, bool continues) {
        MemunplugCall *m = userdata;
        int r = varlink_call_reply(m->call, parameters, continues);

        if (!continues)
                finish(m);
        return r;
}

static int sink_error(void *userdata, const char *error_name, json_object *parameters) {
        MemunplugCall *m = userdata;
        int r = varlink_call_error(m->call, error_name, parameters);

        finish(m);
        return r;
}

static int run(VarlinkCall *call, const Operation *operation, json_object *parameters,
               const OperationContext *context) {
        CLEANUP(memunplug_call_freep) MemunplugCall *m = calloc(1, sizeof(*m));
        OperationSink sink = {
                .reply = sink_reply,
                .error = sink_error,
                .is_full = sink_is_full,
                .userdata = m,
        };
        char name[DEMAND_CALLER_SIZE];
        OperationCaller caller = { name, varlink_call_peer_is_hypervisor(call) };
        int r;

        if (!m)
                return -ENOMEM;
        m->call = call;
        m->running = true;
        if (caller.is_hypervisor)
                (void) snprintf(name, sizeof(name), "hypervisor");
        else
                (void) snprintf(name, sizeof(name), "uid %u", (unsigned) varlink_call_peer_uid(call));
        r = operation_run(context, operation, parameters, varlink_call_wants_more(call), &caller, &sink,
                          &m->operation);
        m->running = false;
        if (r < 0 || m->answered)
                return r;
        if (!m->operation)
                return -EIO; /* no answer and none to come */
        varlink_call_on_disconnect(call, on_gone, STEAL_PTR(m));
        return 0;
}

static bool allowed(VarlinkCall *call, const Operation *operation, const OperationContext *context) {
        if (varlink_call_peer_is_hypervisor(call))
                return authz_hypervisor_allowed(operation, context->hypervisor_may_change);
        return authz_peer_allowed(operation, varlink_call_peer_uid(call), geteuid());
}

static int handle(VarlinkCall *call, const char *method, json_object *parameters, void *userdata) {
        const Operation *operation = operation_find(method);

        if (!operation)
                return varlink_call_error_not_found(call);
        if (!allowed(call, operation, userdata))
                return varlink_call_error(call, "org.varlink.service.PermissionDenied",
                                          /* parameters= */ NULL);
        if (varlink_call_wants_more(call) && varlink_call_uid_streams(call) > VARLINK_STREAMS_PER_UID_MAX)
                return varlink_call_error_with(call, "org.memunplug.Busy", "reason",
                                               "this user has too many streams open already");
        return run(call, operation, parameters, userdata);
}

int varlink_server_add_memunplug(VarlinkServer *server, const OperationContext *context) {
        const VarlinkInterface interface = {
                .name = "org.memunplug",
                .description = varlink_idl_memunplug,
                .handler = handle,
                .userdata = (void *) context, /* given back to handle() only */
        };

        return varlink_server_add_interface(server, &interface);
}
