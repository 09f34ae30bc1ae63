/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server of org.varlink.certification on our Varlink code, for clients of others to be run against:
 * each call must bring what the one before it returned. Writes "ready" when it listens; ends with
 * SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front/varlink.h"
#include "util/cleanup.h"
#include "util/json.h"

#define CLIENT_ID "certified-1"
#define N_STREAM 10

extern const char certification_idl[];

typedef struct Step {
        const char *method;
        const char *wants; /* the parameters besides client_id */
        const char *reply;
} Step;

#define STRUCT                                                                                              \
        "{\"bool\":true,\"int\":-7,\"float\":2.718281828459045,"                                            \
        "\"string\":\"\xc3\xa9t\xc3\xa9 \\\"x\\\" \\\\\"}"
#define MAP "{\"left\":\"Right\",\"\":\"empty\"}"
#define SET "{\"a\":{},\"b\":{}}"
#define MYTYPE                                                                                              \
        "{\"object\":{\"deep\":[1,{\"er\":[true]}]},\"enum\":\"three\",\"struct\":{\"first\":1,"            \
        "\"second\":\"2\"},\"array\":[\"x\",\"\"],\"dictionary\":{\"k\":\"v\"},\"stringset\":{\"m\":{}},"   \
        "\"interface\":{\"foo\":[{\"a\":\"bar\"}],\"anon\":{\"foo\":true,\"bar\":false}}}"
#define STREAMED(n) "\"Reply number " #n "\""

static const Step steps[] = {
        { "Start", NULL, "{\"client_id\":\"" CLIENT_ID "\"}" },
        { "Test01", "{}", "{\"bool\":true}" },
        { "Test02", "{\"bool\":true}", "{\"int\":9007199254740991}" },
        { "Test03", "{\"int\":9007199254740991}", "{\"float\":-0.25}" },
        { "Test04", "{\"float\":-0.25}", "{\"string\":\"ping\"}" },
        { "Test05", "{\"string\":\"ping\"}", STRUCT },
        { "Test06", STRUCT, "{\"struct\":" STRUCT "}" },
        { "Test07", "{\"struct\":" STRUCT "}", "{\"map\":" MAP "}" },
        { "Test08", "{\"map\":" MAP "}", "{\"set\":" SET "}" },
        { "Test09", "{\"set\":" SET "}", "{\"mytype\":" MYTYPE "}" },
        { "Test10", "{\"mytype\":" MYTYPE "}", NULL }, /* a stream */
        { "Test11", "{\"last_more_replies\":[" STREAMED(1) "," STREAMED(2) "," STREAMED(3) "," STREAMED(4)
                    "," STREAMED(5) "," STREAMED(6) "," STREAMED(7) "," STREAMED(8) "," STREAMED(9)
                    "," STREAMED(10) "]}", NULL },
        { "End", "{}", "{\"all_ok\":true}" },
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

typedef struct Certification {
        size_t next; /* the step that must come */
} Certification;

static json_object *parse(const char *text) {
        json_object *o;

        if (json_parse(text, strlen(text), &o) < 0)
                abort();
        return o;
}

/* What the client brings, without the nulls that it may as well leave out. */
static json_object *without_nulls(json_object *value) {
        json_object *copy;

        if (!json_object_is_type(value, json_type_object))
                return json_object_get(value);
        copy = json_object_new_object();
        json_object_object_foreach(value, key, member) {
                if (member)
                        (void) json_add(copy, key, without_nulls(member));
        }
        return copy;
}

static int certification_error(VarlinkCall *call, json_object *wants, json_object *got) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        (void) json_add(o, "wants", wants ? json_object_get(wants) : json_object_new_object());
        (void) json_add(o, "got", got ? json_object_get(got) : json_object_new_object());
        fprintf(stderr, "not what is wanted: %s\n", json_text(o));
        return varlink_call_error(call, "org.varlink.certification.CertificationError", o);
}

static int stream(VarlinkCall *call) {
        for (int i = 1; i <= N_STREAM; i++) {
                CLEANUP(json_putp) json_object *o = NULL;
                char text[64];
                int r;

                (void) snprintf(text, sizeof(text), "Reply number %d", i);
                o = json_object_new_object();
                (void) json_add_string(o, "string", text);
                r = varlink_call_reply(call, o, i < N_STREAM);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int handle(VarlinkCall *call, const char *method, json_object *parameters, void *userdata) {
        CLEANUP(json_putp) json_object *wants = NULL, *got = NULL, *reply = NULL;
        Certification *c = userdata;
        const Step *step = NULL;
        const char *id;

        for (size_t i = 0; i < N_STEPS; i++)
                if (strcmp(steps[i].method, method) == 0)
                        step = &steps[i];
        if (!step)
                return varlink_call_error_not_found(call);
        if (step->wants) {
                if (!parameters || json_get_string(parameters, "client_id", &id) < 0 ||
                    strcmp(id, CLIENT_ID) != 0)
                        return varlink_call_error(call, "org.varlink.certification.ClientIdError", NULL);
                got = without_nulls(parameters);
                json_object_object_del(got, "client_id");
                wants = parse(step->wants);
                if (!json_object_equal(wants, got) || step != &steps[c->next])
                        return certification_error(call, wants, got);
        }
        c->next = (size_t) (step - steps) + 1;
        if (strcmp(method, "Test10") == 0)
                return varlink_call_wants_more(call) ?
                               stream(call) :
                               varlink_call_error(call, "org.varlink.service.ExpectedMore", NULL);
        if (step->reply)
                reply = parse(step->reply);
        return varlink_call_reply(call, reply, /* continues= */ false);
}

static int serve(sd_event *event, const char *path) {
        const VarlinkInfo info = {
                .vendor = "memunplug",
                .product = "certification",
                .version = MEMUNPLUG_VERSION,
                .url = "https://varlink.org",
        };
        Certification certification = {};
        const VarlinkInterface interface = {
                .name = "org.varlink.certification",
                .description = certification_idl,
                .handler = handle,
                .userdata = &certification,
        };
        VarlinkServer *server = NULL;
        int r;

        r = varlink_server_new(&server, event, &info);
        if (r >= 0)
                r = varlink_server_add_interface(server, &interface);
        if (r >= 0)
                r = varlink_server_listen_path(server, path, 0600);
        if (r >= 0) {
                printf("ready\n");
                (void) fflush(stdout);
                r = sd_event_loop(event);
        }
        (void) varlink_server_free(server);
        return r;
}

int main(int argc, char **argv) {
        sd_event *event = NULL;
        sigset_t mask;
        int r;

        if (argc != 2)
                return EXIT_FAILURE;
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL); /* ends the loop */
        if (r >= 0)
                r = serve(event, argv[1]);
        (void) sd_event_unref(event);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
