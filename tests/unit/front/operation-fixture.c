/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See operation-fixture.h. */
#include "operation-fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/json.h"

static void write_down(Test *t, const char *what, const char *name, json_object *parameters) {
        int n = snprintf(t->log + t->n, sizeof(t->log) - t->n, "%s%s%s %s\n", what, name ? " " : "",
                         name ?: "",
                         parameters ? json_text(parameters) : "-");

        assert_true(n > 0 && (size_t) n < sizeof(t->log) - t->n);
        t->n += (size_t) n;
}

static void last_one(Test *t) {
        if (t->call)
                t->call = operation_call_free(t->call);
}

static int on_reply(void *userdata, json_object *parameters, bool continues) {
        Test *t = userdata;

        write_down(t, continues ? "part" : "last", NULL, parameters);
        if (!continues)
                last_one(t);
        return t->refuse;
}

static int on_error(void *userdata, const char *error_name, json_object *parameters) {
        Test *t = userdata;

        write_down(t, "error", error_name, parameters);
        last_one(t);
        return t->refuse;
}

static bool is_full(void *userdata) {
        return ((Test *) userdata)->full;
}

int run(Test *t, const char *name, const char *text, bool more) {
        const OperationSink sink = { .reply = on_reply, .error = on_error, .is_full = is_full,
                                     .userdata = t };
        CLEANUP(json_putp) json_object *o = NULL;

        assert_null(t->call);
        if (text)
                assert_int_equal(json_parse(text, strlen(text), &o), 0);
        return operation_run(&t->context, operation_find(name), o, more, &t->caller, &sink, &t->call);
}

void forget_log(Test *t) {
        t->n = 0;
        t->log[0] = '\0';
}

void expect_start(const Test *t, const char *text) {
        assert_int_equal(strncmp(t->log, text, strlen(text)), 0);
}

void expect_log(Test *t, const char *log) {
        assert_string_equal(t->log, log);
        forget_log(t);
}

void expect(Test *t, const char *name, const char *text, bool more, const char *log) {
        assert_int_equal(run(t, name, text, more), 0);
        expect_log(t, log);
}

bool log_has(Test *t, const char *text) {
        return strstr(t->log, text) != NULL;
}

void let_pass(Test *t, uint64_t usec) {
        uint64_t now, end;

        assert_true(sd_event_now(t->context.event, CLOCK_MONOTONIC, &now) >= 0);
        for (end = now + usec; now < end;) {
                assert_true(sd_event_run(t->context.event, end - now) >= 0);
                assert_true(sd_event_now(t->context.event, CLOCK_MONOTONIC, &now) >= 0);
        }
}

void expect_job(Test *t, const char *kind, const char *state) {
        char start[32], part[64];

        (void) snprintf(start, sizeof(start), "%s {", kind);
        (void) snprintf(part, sizeof(part), "\"state\":\"%s\"", state);
        expect_start(t, start);
        assert_true(log_has(t, part));
        assert_ptr_equal(strchr(t->log, '\n') + 1, t->log + t->n); /* one only */
        forget_log(t);
}

int operation_setup(void **state) {
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        fake_queue_init(&t->queue);
        t->context = (OperationContext) {
                .queue = &t->queue,
                .engine = &t->engine,
                .version = "1.2",
                .sources = { [SOURCE_ACPI] = { .reason = "no gate" } },
                .root_fd = -1,
        };
        t->caller = (OperationCaller) { .name = "uid 1000" };
        assert_true(sd_event_new(&t->context.event) >= 0);
        *state = t;
        return 0;
}

int operation_teardown(void **state) {
        Test *t = *state;

        assert_null(t->call);
        fake_queue_tell(&t->queue, QUEUE_JOB_CHANGED, NULL, 0); /* frees what is dead */
        assert_int_equal(t->queue.n_slots, 0);
        (void) sd_event_unref(t->context.event);
        fake_queue_clear(&t->queue);
        free(t);
        return 0;
}
