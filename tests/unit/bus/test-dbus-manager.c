/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every method and property of the manager object: what reaches the operation table, and what comes back. */
#include "bus.h"

#include <string.h>
#include <unistd.h>

#include "memory/demand.h"

#define PATH "/org/memunplug1"
#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

static sd_bus_message *manager(Bus *bus, sd_bus *client, const char *member) {
        return call_wait(bus, client, PATH, MANAGER, member, NULL);
}

static void test_reading(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid()); /* reading is for all */

        assert_text(manager(bus, client, "Describe"),
                    "{\"version\":\"1.2.3\",\"engine\":\"sysfs\",\"blockSizeBytes\":134217728,"
                    "\"onlineBytes\":1073741824,\"removableBytes\":268435456,"
                    "\"health\":[\"one\",\"two\"]}");
        assert_string_equal(fake_operation(bus->fake), "GetStatus");
        assert_text(manager(bus, client, "Diagnose"), "{\"findings\":[]}");
        assert_text(manager(bus, client, "ListBlocks"), "[{\"index\":1},{\"index\":2}]");
        assert_text(manager(bus, client, "ListDevices"), "[{\"name\":\"boot\"}]");
        assert_text(call_wait(bus, client, PATH, MANAGER, "Explain", "u", 40), "{\"verdict\":\"free\"}");
        assert_string_equal(fake_parameters(bus->fake), "{\"block\":40}");
        assert_text(call_wait(bus, client, PATH, MANAGER, "Plan", "tatsa{sv}", (uint64_t) 4096, 0, "", 0),
                    "{\"feasible\":true}");
        assert_string_equal(fake_operation(bus->fake), "Plan");
        assert_string_equal(fake_parameters(bus->fake), "{\"sizeBytes\":4096}");
        assert_int_equal(bus->polkit.n_asked, 0);
        sd_bus_close_unref(client);
}

static void test_jobs(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        sd_bus_message *reply = manager(bus, client, "ListJobs");
        const char *source, *status, *path;
        uint32_t id;

        assert_true(sd_bus_message_enter_container(reply, 'a', "(usso)") >= 0);
        assert_int_equal(sd_bus_message_at_end(reply, false), 1);
        sd_bus_message_unref(reply);

        fake_job_end(bus->fake, fake_job_new(bus->fake), JOB_DONE);
        fake_job_new(bus->fake);
        reply = manager(bus, client, "ListJobs");
        assert_true(sd_bus_message_enter_container(reply, 'a', "(usso)") > 0);
        assert_true(sd_bus_message_read(reply, "(usso)", &id, &source, &status, &path) > 0);
        assert_int_equal(id, 1);
        assert_string_equal(source, "operator");
        assert_string_equal(status, "done");
        assert_string_equal(path, "/"); /* no object any more */
        assert_true(sd_bus_message_read(reply, "(usso)", &id, &source, &status, &path) > 0);
        assert_string_equal(status, "queued");
        assert_string_equal(path, "/org/memunplug1/job/_2");
        assert_int_equal(sd_bus_message_read(reply, "(usso)", &id, &source, &status, &path), 0);
        sd_bus_message_unref(reply);

        assert_text(call_wait(bus, client, PATH, MANAGER, "DescribeJob", "u", 1),
                    "{\"id\":1,\"source\":\"operator\",\"state\":\"done\"}");
        assert_error(call_wait(bus, client, PATH, MANAGER, "DescribeJob", "u", 9),
                     "org.memunplug1.NoSuchJob");
        sd_bus_close_unref(client);
}

static void test_changing(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        sd_bus_message *reply;
        const char *path;
        uint32_t id;

        reply = call_wait(bus, client, PATH, MANAGER, "Unplug", "tatsa{sv}", (uint64_t) 1 << 31, 0, "", 2,
                          "deadline_usec", "t", (uint64_t) 5000000, "allow_partial", "b", 1);
        assert_true(sd_bus_message_read(reply, "uo", &id, &path) > 0);
        assert_int_equal(id, 1);
        assert_string_equal(path, "/org/memunplug1/job/_1");
        sd_bus_message_unref(reply);
        assert_string_equal(fake_operation(bus->fake), "Unplug");
        assert_string_equal(fake_parameters(bus->fake),
                            "{\"sizeBytes\":2147483648,\"deadlineUsec\":5000000,\"allowPartial\":true}");

        reply = call_wait(bus, client, PATH, MANAGER, "Unplug", "tatsa{sv}", (uint64_t) 0, 0, "PNP0C80:00",
                          0);
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_string_equal(fake_parameters(bus->fake), "{\"device\":\"PNP0C80:00\"}");

        reply = call_wait(bus, client, PATH, MANAGER, "Replug", "tatsa{sv}", (uint64_t) 0, 3, (uint64_t) 40,
                          (uint64_t) 41, (uint64_t) UINT32_MAX, "", 0);
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_string_equal(fake_operation(bus->fake), "Replug");
        assert_string_equal(fake_parameters(bus->fake), "{\"blocks\":[40,41,4294967295]}");

        reply = call_wait(bus, client, PATH, MANAGER, "Cancel", "u", 1);
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_string_equal(fake_operation(bus->fake), "Cancel");
        assert_string_equal(fake_parameters(bus->fake), "{\"id\":1}");
        reply = call_wait(bus, client, PATH, MANAGER, "Confirm", "u", 1);
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_string_equal(fake_operation(bus->fake), "Confirm");

        for (size_t i = 0; i < 3; i++) {
                static const char *const members[] = { "Plan", "Replug", "Unplug" };

                reply = call_wait(bus, client, PATH, MANAGER, members[i], "tatsa{sv}", (uint64_t) 0, 0, "", 1,
                                  "node", "u", 1);
                assert_false(sd_bus_message_is_method_error(reply, NULL));
                sd_bus_message_unref(reply);
                assert_string_equal(fake_operation(bus->fake), members[i]);
                assert_string_equal(fake_parameters(bus->fake), "{\"node\":1}");
        }
        sd_bus_close_unref(client);
}

static sd_bus_message *with_option(Bus *bus, sd_bus *client, const char *member, const char *key,
                                   const char *type, uint64_t value) {
        return call_wait(bus, client, PATH, MANAGER, member, "tatsa{sv}", (uint64_t) 4096, 0, "", 1, key,
                         type, value);
}

static sd_bus_message *with_blocks(Bus *bus, sd_bus *client, size_t n, uint64_t value) {
        static const uint64_t zero = 0;
        sd_bus_message *message = NULL, *reply;

        assert_true(sd_bus_message_new_method_call(client, &message, "org.memunplug1", PATH, MANAGER,
                                                   "Unplug") >= 0);
        assert_true(sd_bus_message_append(message, "t", zero) >= 0);
        assert_true(sd_bus_message_open_container(message, 'a', "t") >= 0);
        for (size_t i = 0; i < n; i++)
                assert_true(sd_bus_message_append(message, "t", value) >= 0);
        assert_true(sd_bus_message_close_container(message) >= 0);
        assert_true(sd_bus_message_append(message, "sa{sv}", "", 0) >= 0);
        reply = call_message(bus, client, message);
        sd_bus_message_unref(message);
        return reply;
}

static void test_bad_arguments(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        char name[DEMAND_NAME_SIZE + 1];

        (void) memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_error(call_wait(bus, client, PATH, MANAGER, "Unplug", "tatsa{sv}", UINT64_MAX, 0, "", 0),
                     INVALID_ARGS);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Plan", "tatsa{sv}", (uint64_t) 0, 0, name, 0),
                     INVALID_ARGS);
        assert_error(with_blocks(bus, client, DEMAND_BLOCKS_MAX + 1, 1), INVALID_ARGS);
        assert_error(with_blocks(bus, client, 1, (uint64_t) UINT32_MAX + 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Unplug", "frobnicate", "t", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Unplug", "deadline_usec", "x", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Unplug", "deadline_usec", "t", 0), INVALID_ARGS);
        assert_error(with_option(bus, client, "Unplug", "deadline_usec", "t", UINT64_MAX), INVALID_ARGS);
        assert_error(with_option(bus, client, "Unplug", "allow_partial", "t", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Replug", "deadline_usec", "t", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Plan", "allow_partial", "b", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Plan", "node", "t", 1), INVALID_ARGS);
        assert_error(with_option(bus, client, "Plan", "node", "u", UINT32_MAX), INVALID_ARGS);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Unplug", "tatsa{sv}", (uint64_t) 1, 0, "", 2,
                               "deadline_usec", "t", (uint64_t) 1, "deadline_usec", "t", (uint64_t) 2),
                     INVALID_ARGS);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Unplug", "s", "1G"), INVALID_ARGS);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Cancel", "t", (uint64_t) 1), INVALID_ARGS);
        assert_error(call_wait(bus, client, PATH, MANAGER, "Frobnicate", NULL),
                     "org.freedesktop.DBus.Error.UnknownMethod");
        assert_int_equal(fake_runs(bus->fake), 0);

        sd_bus_message_unref(with_blocks(bus, client, DEMAND_BLOCKS_MAX, 7));
        assert_int_equal(fake_runs(bus->fake), 1);
        sd_bus_close_unref(client);
}

static void test_errors(void **state) {
        static const struct {
                const char *name, *key, *value, *expected, *text;
        } cases[] = {
                { "org.memunplug.NoSuchBlock", "block", "9", "org.memunplug1.NoSuchBlock",
                  "No memory block has the number 9." },
                { "org.memunplug.NoSuchDevice", "device", "X", "org.memunplug1.NoSuchDevice",
                  "No memory device has the name X." },
                { "org.memunplug.NoSuchNode", "node", "7", "org.memunplug1.NoSuchNode",
                  "There is no memory on a node 7." },
                { "org.memunplug.Refused", "reason", "Because.", "org.memunplug1.Refused", "Because." },
                { "org.memunplug.Busy", "reason", "Full.", "org.memunplug1.Busy", "Full." },
                { "org.memunplug.NothingRemovable", "reason", "100% used %s%n.",
                  "org.memunplug1.NothingRemovable", "100% used %s%n." },
                { "org.varlink.service.InvalidParameter", "parameter", "sizeBytes", INVALID_ARGS,
                  "The argument 'size_bytes' is missing, not valid, or one too many." },
                { "org.varlink.service.PermissionDenied", NULL, NULL,
                  "org.freedesktop.DBus.Error.AccessDenied", "The operation did not succeed." },
                { "org.varlink.service.ExpectedMore", NULL, NULL, "org.freedesktop.DBus.Error.Failed",
                  "The operation did not succeed." },
        };
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        sd_bus_message *reply;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                fake_fail(bus->fake, cases[i].name, cases[i].key, cases[i].value);
                reply = call_wait(bus, client, PATH, MANAGER, "Explain", "u", 9);
                assert_true(sd_bus_message_is_method_error(reply, cases[i].expected));
                assert_string_equal(sd_bus_message_get_error(reply)->message, cases[i].text);
                sd_bus_message_unref(reply);
                assert_error(manager(bus, client, "ListBlocks"), cases[i].expected);
        }
        sd_bus_close_unref(client);
}

static void test_properties(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid());

        assert_property(bus, client, PATH, MANAGER, "Version", "s", "1.2.3");
        assert_property(bus, client, PATH, MANAGER, "Engine", "s", "sysfs");
        assert_property(bus, client, PATH, MANAGER, "BlockSizeBytes", "t", (uint64_t) 134217728);
        assert_property(bus, client, PATH, MANAGER, "OnlineBytes", "t", (uint64_t) 1073741824);
        assert_property(bus, client, PATH, MANAGER, "RemovableBytes", "t", (uint64_t) 268435456);
        sd_bus_close_unref(client);
}

static int on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface, *name;
        unsigned *n = userdata;
        uint64_t value;

        (*n)++;
        assert_true(sd_bus_message_read(message, "s", &interface) > 0);
        assert_string_equal(interface, MANAGER);
        assert_true(sd_bus_message_read(message, "a{sv}", 1, &name, "t", &value) > 0);
        assert_string_equal(name, "OnlineBytes");
        assert_int_equal(value, 1073741824);
        assert_true(sd_bus_message_read(message, "as", 1, &name) > 0);
        assert_string_equal(name, "RemovableBytes");
        return 0;
}

static void test_health(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        const char *one, *two;
        Call call;

        call_start(client, &call, PATH, "org.freedesktop.DBus.Properties", "Get", "ss", MANAGER, "Health");
        bus_run_until(bus, &call.done);
        assert_false(sd_bus_message_is_method_error(call.reply, NULL));
        assert_true(sd_bus_message_read(call.reply, "v", "as", 2, &one, &two) > 0);
        assert_string_equal(one, "one");
        assert_string_equal(two, "two");
        call_clear(&call);
        sd_bus_close_unref(client);
}

static int on_invalidated(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface, *name, *first, *second;
        unsigned *n = userdata;
        uint64_t value;

        (*n)++;
        assert_true(sd_bus_message_read(message, "s", &interface) > 0);
        assert_true(sd_bus_message_read(message, "a{sv}", 1, &name, "t", &value) > 0);
        assert_true(sd_bus_message_read(message, "as", 2, &first, &second) > 0);
        assert_string_equal(second, "Health");
        return 0;
}

static void tell_often(Bus *bus, QueueEvent event) {
        for (unsigned i = 0; i < 100; i++)
                fake_tell(bus->fake, event, NULL);
}

/* A client that counts changed properties, when many events at once have told it of some. */
static sd_bus *client_told(Bus *bus, QueueEvent event, sd_bus_message_handler_t handler, unsigned *n) {
        sd_bus *client = client_new(bus, geteuid());

        assert_true(sd_bus_match_signal(client, NULL, "org.memunplug1", PATH,
                                        "org.freedesktop.DBus.Properties", "PropertiesChanged", handler,
                                        n) >= 0);
        tell_often(bus, event);
        bus_run_until(bus, n);
        return client;
}

static void test_health_changes(void **state) {
        Bus *bus = *state;
        unsigned n = 0;
        sd_bus *client = client_told(bus, QUEUE_HEALTH_CHANGED, on_invalidated, &n);

        bus_run_for(bus, 600000);
        assert_int_equal(n, 1);
        sd_bus_close_unref(client);
}

static void test_memory_changes(void **state) {
        Bus *bus = *state;
        unsigned n = 0;
        sd_bus *client = client_told(bus, QUEUE_BLOCK_CHANGED, on_changed, &n);

        tell_often(bus, QUEUE_BLOCK_CHANGED);
        bus_run_for(bus, 600000);
        assert_int_equal(n, 2);
        sd_bus_close_unref(client);
}

/* An operation that takes its time: others are served meanwhile, and the caller may go. */
static void test_slow_operation(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid()), *other = client_new(bus, geteuid());
        Call call, gone;

        fake_hold(bus->fake);
        call_start(client, &call, PATH, MANAGER, "Explain", "u", 3);
        while (!fake_is_held(bus->fake))
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
        assert_property(bus, other, PATH, MANAGER, "Version", "s", "1.2.3");
        assert_int_equal(call.done, 0);
        fake_release(bus->fake);
        bus_run_until(bus, &call.done);
        assert_text(sd_bus_message_ref(call.reply), "{\"verdict\":\"free\"}");
        call_clear(&call);

        fake_hold(bus->fake);
        call_start(other, &gone, PATH, MANAGER, "Explain", "u", 3);
        while (!fake_is_held(bus->fake))
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
        call_clear(&gone);
        sd_bus_close_unref(other);
        fake_release(bus->fake);
        assert_false(fake_is_held(bus->fake));
        assert_text(manager(bus, client, "ListDevices"), "[{\"name\":\"boot\"}]");

        fake_hold(bus->fake); /* and the front may go: the teardown finds no call left over */
        call_start(client, &gone, PATH, MANAGER, "Explain", "u", 3);
        while (!fake_is_held(bus->fake))
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
        bus->front = dbus_front_free(bus->front);
        assert_false(fake_is_held(bus->fake));
        call_clear(&gone);
        sd_bus_close_unref(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_reading, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_jobs, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_changing, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_bad_arguments, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_errors, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_properties, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_memory_changes, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_health, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_health_changes, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_slow_operation, bus_setup, bus_teardown),
        };

        return cmocka_run_group_tests_name("dbus-manager", tests, NULL, NULL);
}
