/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may do what: the bus policy, polkit's answers, callers that leave, and limits. */
#include "bus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "front/authz.h"

#define PATH "/org/memunplug1"
#define ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"
#define INTERACTIVE "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

/* Every call that changes something. */
static const struct {
        const char *path, *interface, *member, *types, *action, *target;
} changing[] = {
        { PATH, MANAGER, "Unplug", "demand", "org.memunplug1.unplug", "2G" },
        { PATH, MANAGER, "Replug", "demand", "org.memunplug1.replug", "2G" },
        { PATH, MANAGER, "Cancel", "u", "org.memunplug1.cancel", "job 1" },
        { PATH, MANAGER, "Confirm", "u", "org.memunplug1.unplug", "job 1" },
        { "/org/memunplug1/job/_1", JOB, "Confirm", NULL, "org.memunplug1.unplug", "job 1" },
        { "/org/memunplug1/job/_1", JOB, "Cancel", NULL, "org.memunplug1.cancel", "job 1" },
};
#define CHANGING_MAX (sizeof(changing) / sizeof(changing[0]))

static sd_bus_message *make(sd_bus *client, size_t i, bool interactive) {
        sd_bus_message *message = NULL;

        assert_true(sd_bus_message_new_method_call(client, &message, "org.memunplug1", changing[i].path,
                                                   changing[i].interface, changing[i].member) >= 0);
        assert_true(sd_bus_message_set_allow_interactive_authorization(message, interactive) >= 0);
        if (changing[i].types && strcmp(changing[i].types, "demand") == 0)
                assert_true(sd_bus_message_append(message, "tatsa{sv}", (uint64_t) 1 << 31, 0, "", 0) >= 0);
        else if (changing[i].types)
                assert_true(sd_bus_message_append(message, "u", 1) >= 0);
        return message;
}

static sd_bus_message *change(Bus *bus, sd_bus *client, size_t i, bool interactive) {
        sd_bus_message *message = make(client, i, interactive), *reply;

        reply = call_message(bus, client, message);
        sd_bus_message_unref(message);
        return reply;
}

static void test_root_is_not_asked(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());

        bus_start_polkit(bus, POLKIT_NO);
        fake_job_new(bus->fake);
        for (size_t i = 0; i < CHANGING_MAX; i++) {
                sd_bus_message *reply = change(bus, client, i, false);

                assert_false(sd_bus_message_is_method_error(reply, NULL));
                sd_bus_message_unref(reply);
                assert_string_equal(fake_operation(bus->fake), changing[i].member);
        }
        assert_int_equal(bus->polkit.n_asked, 0);
        assert_int_equal(fake_runs(bus->fake), CHANGING_MAX);
        sd_bus_close_unref(client);
}

static void test_polkit_answers(void **state) {
        static const struct {
                PolkitAnswer answer;
                const char *error;
        } answers[] = {
                { POLKIT_NO, ACCESS_DENIED },
                { POLKIT_CHALLENGE, INTERACTIVE },
                { POLKIT_ERROR, ACCESS_DENIED },
        };
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY);
        const char *name;
        unsigned n = 0;

        bus_start_polkit(bus, POLKIT_YES);
        fake_job_new(bus->fake);
        assert_true(sd_bus_get_unique_name(client, &name) >= 0);
        for (size_t i = 0; i < CHANGING_MAX; i++) {
                for (size_t a = 0; a < sizeof(answers) / sizeof(answers[0]); a++) {
                        bus->polkit.answer = answers[a].answer;
                        assert_error(change(bus, client, i, a % 2), answers[a].error);
                        assert_int_equal(bus->polkit.n_asked, ++n);
                        assert_string_equal(bus->polkit.action, changing[i].action);
                        assert_string_equal(bus->polkit.target, changing[i].target);
                        assert_string_equal(bus->polkit.subject, name);
                        assert_int_equal(bus->polkit.flags, a % 2);
                        assert_int_equal(fake_runs(bus->fake), i);
                }
                bus->polkit.answer = POLKIT_YES;
                sd_bus_message_unref(change(bus, client, i, false));
                assert_int_equal(bus->polkit.n_asked, ++n);
                assert_int_equal(fake_runs(bus->fake), i + 1);
                assert_string_equal(fake_operation(bus->fake), changing[i].member);
                assert_string_equal(fake_caller(bus->fake), "uid 65534");
        }
        assert_int_equal(bus->polkit.n_cancelled, 0);
        sd_bus_close_unref(client);
}

static void test_no_polkit(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY);

        fake_job_new(bus->fake);
        for (size_t i = 0; i < CHANGING_MAX; i++)
                assert_error(change(bus, client, i, true), ACCESS_DENIED);
        assert_int_equal(fake_runs(bus->fake), 0);
        sd_bus_close_unref(client);
}

/* polkit goes while it is asked: an answer that does not come is no. */
static void test_polkit_dies(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY);
        sd_bus_message *message = make(client, 0, false);
        Call call;

        bus_start_polkit(bus, POLKIT_WAIT);
        call_send(client, &call, message);
        bus_run_until(bus, &bus->polkit.n_asked);
        bus_stop_polkit(bus);
        bus_run_until(bus, &call.done);
        assert_error(sd_bus_message_ref(call.reply), ACCESS_DENIED);
        call_clear(&call);
        sd_bus_message_unref(message);
        sd_bus_close_unref(client);
}

/* The caller leaves while polkit thinks, and polkit says yes afterwards. */
static void test_caller_vanishes(void **state) {
        Bus *bus = *state;

        bus_start_polkit(bus, POLKIT_WAIT);
        for (unsigned i = 0; i < 20; i++) {
                sd_bus *client = client_new(bus, NOBODY);
                sd_bus_message *message = make(client, i % 2, true);
                Call call;

                bus->polkit.n_asked = 0;
                bus->polkit.n_cancelled = 0;
                call_send(client, &call, message);
                if (i >= 10)
                        bus_run_until(bus, &bus->polkit.n_asked);
                else
                        (void) sd_bus_flush(client); /* before the front has even seen it */
                call_clear(&call);
                sd_bus_message_unref(message);
                sd_bus_close_unref(client);
                if (i >= 15) { /* at the same moment: yes is sent when the caller is gone */
                        polkit_answer(&bus->polkit, true);
                        bus_run_for(bus, 20000);
                } else {
                        if (i >= 10)
                                bus_run_until(bus, &bus->polkit.n_cancelled);
                        bus_run_for(bus, 20000);
                        polkit_answer(&bus->polkit, true);
                        bus_run_for(bus, 20000);
                }
                assert_int_equal(fake_runs(bus->fake), 0);
        }
}

static void test_limit_of_sender(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY);
        sd_bus_message *message = make(client, 0, false);
        Call calls[9];

        bus_start_polkit(bus, POLKIT_WAIT);
        for (size_t i = 0; i < 9; i++) {
                sd_bus_message *m = make(client, 0, false);

                call_send(client, &calls[i], m);
                sd_bus_message_unref(m);
        }
        bus_run_until(bus, &calls[8].done);
        assert_error(sd_bus_message_ref(calls[8].reply), LIMITS_EXCEEDED);
        while (bus->polkit.n_waiting < 8)
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
        polkit_answer(&bus->polkit, true);
        for (size_t i = 0; i < 8; i++) {
                bus_run_until(bus, &calls[i].done);
                assert_false(sd_bus_message_is_method_error(calls[i].reply, NULL));
        }
        assert_int_equal(fake_runs(bus->fake), 8);
        for (size_t i = 0; i < 9; i++)
                call_clear(&calls[i]);
        sd_bus_message_unref(message);
        sd_bus_close_unref(client);
}

/* A user takes all places, by many connections: his own oldest calls make room, and root is served. */
static void test_limit_of_all(void **state) {
        Bus *bus = *state;
        sd_bus *clients[10], *root = client_new(bus, geteuid());
        unsigned n_done = 0;
        Call calls[80];

        bus_start_polkit(bus, POLKIT_WAIT);
        for (size_t c = 0; c < 10; c++) {
                clients[c] = client_new(bus, NOBODY);
                for (size_t i = 0; i < 8; i++) {
                        sd_bus_message *m = make(clients[c], 0, false);

                        call_send(clients[c], &calls[c * 8 + i], m);
                        sd_bus_message_unref(m);
                }
                while (bus->polkit.n_asked < (c + 1) * 8) {
                        assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
                        if (bus->polkit.n_waiting >= 60)
                                while (bus->polkit.n_waiting > 0) /* never answered */
                                        sd_bus_message_unref(bus->polkit.waiting[--bus->polkit.n_waiting]);
                }
        }
        sd_bus_message_unref(change(bus, root, 0, false));
        assert_int_equal(fake_runs(bus->fake), 1);
        bus_run_for(bus, 50000);
        for (size_t i = 0; i < 80; i++) {
                if (calls[i].done) {
                        assert_error(sd_bus_message_ref(calls[i].reply), LIMITS_EXCEEDED);
                        n_done++;
                }
                call_clear(&calls[i]);
        }
        assert_true(n_done >= 16 && n_done <= 17);
        assert_true(bus->polkit.n_cancelled >= 16);
        for (size_t c = 0; c < 10; c++)
                sd_bus_close_unref(clients[c]);
        sd_bus_close_unref(root);
}

/* What the policy of the bus keeps out does not even reach us. */
static void test_bus_policy(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY), *root = client_new(bus, geteuid());

        assert_error(call_wait(bus, client, "/org/freedesktop/LogControl1",
                               "org.freedesktop.DBus.Properties", "Set", "ssv",
                               "org.freedesktop.LogControl1", "LogLevel", "s", "debug"),
                     ACCESS_DENIED);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Frobnicate", NULL), ACCESS_DENIED);
        assert_error(call_wait(bus, client, PATH, "org.freedesktop.DBus.Properties", "Set", "ssv", MANAGER,
                               "Version", "s", "2"), ACCESS_DENIED);
        assert_error(call_wait(bus, root, PATH, "org.freedesktop.DBus.Properties", "Set", "ssv", MANAGER,
                               "Version", "s", "2"),
                     "org.freedesktop.DBus.Error.PropertyReadOnly");
        assert_int_equal(sd_bus_request_name(client, "org.memunplug1", SD_BUS_NAME_REPLACE_EXISTING),
                         -EACCES);
        assert_int_equal(fake_runs(bus->fake), 0);
        sd_bus_close_unref(client);
        sd_bus_close_unref(root);
}

static void test_peers(void **state) {
        assert_true(authz_peer_allowed(operation_get(OPERATION_LIST_BLOCKS), NOBODY, 995));
        assert_false(authz_peer_allowed(operation_get(OPERATION_UNPLUG), NOBODY, 995));
        assert_true(authz_peer_allowed(operation_get(OPERATION_UNPLUG), 0, 995));
        assert_true(authz_peer_allowed(operation_get(OPERATION_CANCEL), 995, 995));
        assert_false(authz_peer_allowed(operation_get(OPERATION_REPLUG), (uid_t) -1, 995));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_root_is_not_asked, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_polkit_answers, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_no_polkit, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_polkit_dies, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_caller_vanishes, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_limit_of_sender, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_limit_of_all, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_bus_policy, bus_setup, bus_teardown),
                cmocka_unit_test(test_peers),
        };

        return cmocka_run_group_tests_name("dbus-authz", tests, NULL, NULL);
}
