/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixture of the server's tests. */
#include "test-interface.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/json.h"

static void on_gone(VarlinkCall *call, void *userdata) {
        TestServer *s = userdata;

        if (s->held == call)
                s->held = NULL;
        s->n_gone++;
}

static int count(VarlinkCall *call, json_object *parameters) {
        uint64_t n = 1;

        if (parameters)
                (void) json_get_uint(parameters, "n", 1000000, &n);
        for (uint64_t i = 1; i <= n; i++) {
                json_object *o = json_object_new_object();
                int r;

                assert_int_equal(json_add_int(o, "i", (int64_t) i), 0);
                r = varlink_call_reply(call, o, i < n);
                (void) json_object_put(o);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int handle(VarlinkCall *call, const char *method, json_object *parameters, void *userdata) {
        TestServer *s = userdata;

        s->n_calls++;
        if (strcmp(method, "Echo") == 0)
                return varlink_call_reply(call, parameters, /* continues= */ false);
        if (strcmp(method, "Count") == 0)
                return count(call, parameters);
        if (strcmp(method, "Break") == 0)
                return -EIO;
        if (strcmp(method, "Hold") == 0) {
                s->held = call;
                varlink_call_on_disconnect(call, on_gone, s);
                return 0;
        }
        return varlink_call_error_not_found(call);
}

int test_server_setup(void **state) {
        const VarlinkInfo info = { .vendor = "v", .product = "p", .version = "1", .url = "u" };
        TestServer *s = calloc(1, sizeof(*s));
        const VarlinkInterface interface = {
                .name = "org.example",
                .description = "interface org.example\n",
                .handler = handle,
                .userdata = s,
        };

        assert_non_null(s);
        assert_true(sd_event_new(&s->event) >= 0);
        assert_int_equal(varlink_server_new(&s->server, s->event, &info), 0);
        assert_int_equal(varlink_server_add_interface(s->server, &interface), 0);
        assert_int_equal(varlink_server_add_interface(s->server, &interface), -EEXIST);
        peer_open(&s->peer, s->event, s->server);
        *state = s;
        return 0;
}

int test_server_teardown(void **state) {
        TestServer *s = *state;

        s->server = varlink_server_free(s->server);
        peer_close(&s->peer);
        (void) sd_event_unref(s->event);
        free(s);
        return 0;
}
