/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls as verbs make them. It owns the sentences for all that can go wrong between here and the service;
 * what a job came to is told by the verbs. */
#include "ctl/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/what.h"
#include "util/cleanup.h"
#include "util/json.h"

#define LIST_MAX (1U << 20)                 /* replies of one list */
#define LIST_BYTES_MAX (256U * 1024U * 1024U) /* all of them together */
#define INTERFACE "org.memunplug."
#define SERVICE "org.varlink.service."

const char *full_stop(const char *text) {
        size_t n = strlen(text);

        return n > 0 && strchr(".!?", text[n - 1]) ? "" : ".";
}

/* How the service answers when what was asked for does not exist. */
static int error_missing(const char *name, json_object *parameters) {
        const char *device = field_string(parameters, "device");
        uint64_t n;

        if (strcmp(name, "NoSuchBlock") == 0 && field_uint(parameters, "block", &n))
                say(stderr, "There is no memory block %" PRIu64 "; see 'memunplugctl blocks'.", n);
        else if (strcmp(name, "NoSuchBlock") == 0)
                say(stderr, "There is no such memory block; see 'memunplugctl blocks'.");
        else if (strcmp(name, "NoSuchDevice") == 0)
                say(stderr, "There is no memory device '%s'; see 'memunplugctl devices'.", device ?: "-");
        else if (strcmp(name, "NoSuchNode") == 0 && field_uint(parameters, "node", &n))
                say(stderr, "There is no memory on a node %" PRIu64 "; see 'memunplugctl blocks'.", n);
        else if (strcmp(name, "NoSuchNode") == 0)
                say(stderr, "There is no memory on such a node; see 'memunplugctl blocks'.");
        else if (strcmp(name, "NoSuchJob") == 0 && field_uint(parameters, "id", &n))
                say(stderr, "There is no job %" PRIu64 ", or it has ended; see 'memunplugctl jobs'.", n);
        else if (strcmp(name, "NoSuchJob") == 0)
                say(stderr, "There is no such job, or it has ended; see 'memunplugctl jobs'.");
        else
                return CTL_DONE;
        return CTL_FAILED;
}

/* Errors of our own interface. CTL_DONE: not one of them. */
static int error_own(const char *name, json_object *parameters) {
        static const struct {
                const char *name, *says, *next;
                int code;
        } errors[] = {
                { "NothingRemovable", "Not possible now", "'memunplugctl blocks' shows what is",
                  CTL_FAILED },
                { "Refused", "Refused", "'memunplugctl plan' and memunplugd.conf(5) tell more",
                  CTL_REFUSED },
                { "Busy", "Busy", "Try again when the jobs under way have ended; see 'memunplugctl jobs'",
                  CTL_FAILED },
                { "Cancelled", "The job was cancelled", "'memunplugctl jobs' shows what became of it",
                  CTL_FAILED },
                { "Failed", "It failed", "'journalctl -u memunplugd' may tell more", CTL_FAILED },
        };
        const char *reason = field_string(parameters, "reason");

        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                if (strcmp(name, errors[i].name) != 0)
                        continue;
                say(stderr, "%s%s%s%s %s.", errors[i].says, reason ? ": " : "", reason ?: "",
                    reason ? full_stop(reason) : ".", errors[i].next);
                return errors[i].code;
        }
        return error_missing(name, parameters);
}

/* Errors of every Varlink service. */
static int error_service(const char *name, json_object *parameters) {
        const char *parameter = field_string(parameters, "parameter");

        if (strcmp(name, "PermissionDenied") == 0) {
                say(stderr, "Permission denied: only root may do this. "
                    "Try again as root, for example with sudo.");
                return CTL_REFUSED;
        }
        if (strcmp(name, "InvalidParameter") == 0) {
                say(stderr, "The service does not accept the value of '%s'; see memunplugctl(1).",
                    parameter ?: "-");
                return CTL_FAILED;
        }
        if (strcmp(name, "MethodNotFound") != 0 && strcmp(name, "MethodNotImplemented") != 0 &&
            strcmp(name, "InterfaceNotFound") != 0 && strcmp(name, "ExpectedMore") != 0)
                return CTL_DONE;
        say(stderr, "The service does not know this request (%s). Are memunplugctl and memunplugd of the "
            "same version? 'memunplugctl --version' and 'memunplugctl status' tell.", name);
        return CTL_FAILED;
}

/* With --json the error is a document too. */
static void error_json(const Ctl *ctl, const Reply *reply) {
        CLEANUP(json_putp) json_object *document = json_object_new_object();

        if (!document || json_add_string(document, "error", reply->error) < 0 ||
            json_add(document, "parameters", json_object_get(reply->parameters)) < 0)
                (void) output_oom();
        else
                (void) output_json(ctl, document);
}

int talk_error(const Ctl *ctl, const Reply *reply) {
        int code = CTL_DONE;

        if (ctl->json != CTL_JSON_OFF)
                error_json(ctl, reply);
        if (strncmp(reply->error, INTERFACE, strlen(INTERFACE)) == 0)
                code = error_own(reply->error + strlen(INTERFACE), reply->parameters);
        else if (strncmp(reply->error, SERVICE, strlen(SERVICE)) == 0)
                code = error_service(reply->error + strlen(SERVICE), reply->parameters);
        if (code != CTL_DONE)
                return code;
        say(stderr, "The service answered with the error '%s'.", reply->error);
        return CTL_FAILED;
}

int talk_failure(const Ctl *ctl, int error) {
        switch (error) {
        case -ENOMEM:
                return output_oom();
        case -ECONNRESET:
                say(stderr, "The service closed the connection. See 'systemctl status memunplugd'.");
                return CTL_UNAVAILABLE;
        case -ETIMEDOUT:
                say(stderr, "The service does not answer. See 'systemctl status memunplugd'.");
                return CTL_UNAVAILABLE;
        case -EBADMSG:
        case -E2BIG:
        case -EMSGSIZE:
                say(stderr, "What answers at '%s' does not speak as memunplugd does; is the address right?",
                    ctl->address);
                return CTL_FAILED;
        default:
                say(stderr, "Cannot talk to the service at '%s': %s.", ctl->address, strerror(-error));
                return CTL_FAILED;
        }
}

int talk_connect(const Ctl *ctl, Client **ret) {
        int r = client_connect(ret, ctl->address);

        if (r >= 0)
                return CTL_DONE;
        switch (r) {
        case -EINVAL:
                say(stderr, "'%s' is not an address: give --address=PATH or --address=unix:PATH.",
                    ctl->address);
                return CTL_FAILED;
        case -EACCES:
        case -EPERM:
                say(stderr, "No permission to connect to '%s': %s. "
                    "Try again as root, for example with sudo.", ctl->address, strerror(-r));
                return CTL_REFUSED;
        case -ENOMEM:
                return output_oom();
        case -ETIMEDOUT:
                return talk_failure(ctl, r);
        default:
                say(stderr, "memunplugd is not there: cannot connect to '%s': %s. "
                    "Start it with 'systemctl start memunplugd'.", ctl->address, strerror(-r));
                return CTL_UNAVAILABLE;
        }
}

int talk_call(const Ctl *ctl, const char *method, json_object *parameters, Reply *ret) {
        CLEANUP(client_freep) Client *client = NULL;
        CLEANUP(reply_clear) Reply reply = {};
        int r;

        r = talk_connect(ctl, &client);
        if (r != CTL_DONE)
                return r;
        r = client_send(client, method, parameters, /* more= */ false);
        if (r >= 0)
                r = client_wait(client, CLIENT_TIMEOUT_USEC, &reply);
        if (r < 0)
                return talk_failure(ctl, r);
        if (reply.error)
                return talk_error(ctl, &reply);
        *ret = reply;
        reply = (Reply) {};
        return CTL_DONE;
}

/* A reply without the member is no item: the last reply of an empty list is such a one. */
static int collect(json_object *array, const Client *client, const Reply *reply, const char *member) {
        json_object *item = field_object(reply->parameters, member);

        if (!item)
                return 0;
        if (json_object_array_length(array) >= LIST_MAX || client_received(client) > LIST_BYTES_MAX)
                return -EMSGSIZE;
        if (json_object_array_add(array, json_object_get(item)) < 0) {
                (void) json_object_put(item);
                return -ENOMEM;
        }
        return 0;
}

int talk_list(const Ctl *ctl, const char *method, const char *member, json_object **ret) {
        CLEANUP(json_putp) json_object *array = json_object_new_array();
        CLEANUP(client_freep) Client *client = NULL;
        bool continues;
        int r;

        if (!array)
                return output_oom();
        r = talk_connect(ctl, &client);
        if (r != CTL_DONE)
                return r;
        r = client_send(client, method, NULL, /* more= */ true);
        if (r < 0)
                return talk_failure(ctl, r);
        do {
                CLEANUP(reply_clear) Reply reply = {};

                r = client_wait(client, CLIENT_TIMEOUT_USEC, &reply);
                if (r < 0)
                        return talk_failure(ctl, r);
                if (reply.error)
                        return talk_error(ctl, &reply);
                r = collect(array, client, &reply, member);
                if (r < 0)
                        return talk_failure(ctl, r);
                continues = reply.continues;
        } while (continues);
        *ret = STEAL_PTR(array);
        return CTL_DONE;
}

int talk_job(const Ctl *ctl, const char *method, const char *text, uint64_t *ret_id, Reply *ret_reply,
             json_object **ret_job) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        json_object *job;
        uint64_t id;
        int code;

        if (number_parse(text, &id) < 0) {
                say(stderr, "'%s' is not the number of a job; 'memunplugctl jobs' lists them.", text);
                return CTL_FAILED;
        }
        if (!parameters || json_add_int(parameters, "id", (int64_t) id) < 0)
                return output_oom();
        code = talk_call(ctl, method, parameters, ret_reply);
        if (code != CTL_DONE)
                return code;
        job = field_object(ret_reply->parameters, "job");
        if (!job)
                return talk_failure(ctl, -EBADMSG);
        *ret_id = id;
        *ret_job = job;
        return CTL_DONE;
}
