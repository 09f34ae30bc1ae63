/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Job objects: their coming and going, their properties and how changes are told. */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH "/org/memunplug1"
#define EVENTS_MAX 64U

/* What a client hears, in order: "JobNew", "PropertiesChanged State=s:done ...". */
typedef struct Listener {
        char events[EVENTS_MAX][512];
        unsigned n;
        unsigned removed;
} Listener;

static void add_value(char *text, size_t n, sd_bus_message *message) {
        const char *type, *s;
        uint64_t t;
        int64_t x;
        uint32_t u;

        assert_true(sd_bus_message_peek_type(message, NULL, &type) > 0);
        switch (*type) {
        case 's':
                assert_true(sd_bus_message_read(message, "v", "s", &s) > 0);
                (void) snprintf(text, n, "%s", s);
                break;
        case 't':
                assert_true(sd_bus_message_read(message, "v", "t", &t) > 0);
                (void) snprintf(text, n, "%lu", (unsigned long) t);
                break;
        case 'u':
                assert_true(sd_bus_message_read(message, "v", "u", &u) > 0);
                (void) snprintf(text, n, "%u", u);
                break;
        case 'x':
                assert_true(sd_bus_message_read(message, "v", "x", &x) > 0);
                (void) snprintf(text, n, "%ld", (long) x);
                break;
        default:
                fail();
        }
}

static void add_properties(char *text, size_t n, sd_bus_message *message) {
        const char *interface, *name;
        size_t used = 0;

        assert_true(sd_bus_message_read(message, "s", &interface) > 0);
        assert_true(sd_bus_message_enter_container(message, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
                assert_true(sd_bus_message_read(message, "s", &name) > 0);
                used += (size_t) snprintf(text + used, n - used, " %s=", name);
                add_value(text + used, n - used, message);
                used += strlen(text + used);
                assert_true(sd_bus_message_exit_container(message) > 0);
        }
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *member = sd_bus_message_get_member(message), *path, *result;
        Listener *listener = userdata;
        uint32_t id;
        char *event;

        if (strcmp(sd_bus_message_get_sender(message), "org.freedesktop.DBus") == 0 ||
            (strcmp(member, "PropertiesChanged") == 0 &&
             strcmp(sd_bus_message_get_path(message), PATH) == 0))
                return 0;
        assert_true(listener->n < EVENTS_MAX);
        event = listener->events[listener->n++];
        (void) snprintf(event, 512, "%s", member);
        if (strcmp(member, "PropertiesChanged") == 0)
                add_properties(event + strlen(event), 512 - strlen(event), message);
        if (strcmp(member, "JobRemoved") == 0) {
                assert_true(sd_bus_message_read(message, "uos", &id, &path, &result) > 0);
                (void) snprintf(event, 512, "%s %u %s %s", member, id, path, result);
        }
        if (strcmp(member, "InterfacesRemoved") == 0)
                listener->removed++;
        return 0;
}

static sd_bus *listener_new(Bus *bus, Listener *listener) {
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid());

        assert_true(sd_bus_match_signal(client, NULL, "org.memunplug1", NULL, NULL, NULL, on_signal,
                                        listener) >= 0);
        return client;
}

static void test_life(void **state) {
        Bus *bus = *state;
        Listener listener = {};
        sd_bus *client = listener_new(bus, &listener);
        Job *job = fake_job_new(bus->fake);

        job->state = JOB_EVACUATING;
        job->started_at = 1500;
        fake_tell(bus->fake, QUEUE_JOB_CHANGED, job);
        job->evacuated_bytes = 4096;
        fake_tell(bus->fake, QUEUE_JOB_CHANGED, job);
        fake_job_end(bus->fake, job, JOB_FAILED);
        bus_run_until(bus, &listener.removed);

        assert_int_equal(listener.n, 6);
        assert_string_equal(listener.events[0], "InterfacesAdded");
        assert_string_equal(listener.events[1], "JobNew");
        assert_string_equal(listener.events[2], "PropertiesChanged State=evacuating StartedAt=1500");
        assert_string_equal(listener.events[3],
                            "PropertiesChanged State=failed Cause=in_use EvacuatedBytes=4096 "
                            "FinishedAt=3000 Reason=A page is pinned.");
        assert_string_equal(listener.events[4], "JobRemoved 1 /org/memunplug1/job/_1 failed");
        assert_string_equal(listener.events[5], "InterfacesRemoved");
        sd_bus_close_unref(client);
}

typedef struct Progress {
        Bus *bus;
        Job *job;
        unsigned n;
        unsigned done;
} Progress;

static int on_progress(sd_event_source *source, uint64_t usec, void *userdata) {
        Progress *progress = userdata;

        progress->job->evacuated_bytes += 4096;
        fake_tell(progress->bus->fake, QUEUE_JOB_CHANGED, progress->job);
        if (++progress->n == 200) {
                progress->done = 1;
                return 0;
        }
        assert_true(sd_event_source_set_time_relative(source, 5000) >= 0);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* 200 changes in at least a second, and one of the state in the middle of it. */
static void test_pace(void **state) {
        Bus *bus = *state;
        Listener listener = {};
        sd_bus *client = listener_new(bus, &listener);
        Progress progress = { .bus = bus, .job = fake_job_new(bus->fake) };
        sd_event_source *timer = NULL;
        uint64_t begin, end;
        unsigned n_state = 0, n_last = 0;

        assert_true(sd_event_now(bus->event, CLOCK_MONOTONIC, &begin) >= 0);
        assert_true(sd_event_add_time_relative(bus->event, &timer, CLOCK_MONOTONIC, 5000, /* accuracy= */ 1,
                                               on_progress, &progress) >= 0);
        while (progress.n < 50)
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);
        progress.job->state = JOB_OFFLINING;
        fake_tell(bus->fake, QUEUE_JOB_CHANGED, progress.job);
        bus_run_until(bus, &progress.done);
        bus_run_for(bus, 300000); /* the last value comes without another change */
        assert_true(sd_event_now(bus->event, CLOCK_MONOTONIC, &end) >= 0);

        assert_true(listener.n >= 5);
        assert_true(listener.n <= (end - begin) / 250000 + 1 /* state */ + 1 /* first */ + 2 /* JobNew */);
        for (unsigned i = 2; i < listener.n; i++) {
                n_state += strstr(listener.events[i], "State=offlining") != NULL;
                assert_non_null(strstr(listener.events[i], "EvacuatedBytes="));
                assert_null(strstr(listener.events[i], "Total"));
                n_last = strcmp(listener.events[i], "PropertiesChanged EvacuatedBytes=819200") == 0;
        }
        assert_int_equal(n_state, 1);
        assert_int_equal(n_last, 1);
        (void) sd_event_source_disable_unref(timer);
        sd_bus_close_unref(client);
}

static void test_properties(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid());
        const char *path = "/org/memunplug1/job/_1";
        Job *job = fake_job_new(bus->fake);

        job->removed_bytes = 111;
        job->attempts = 2;
        job->current_block = 44;
        assert_property(bus, client, path, JOB, "Id", "u", (uint64_t) 1);
        assert_property(bus, client, path, JOB, "Operation", "s", "unplug");
        assert_property(bus, client, path, JOB, "Source", "s", "operator");
        assert_property(bus, client, path, JOB, "State", "s", "queued");
        assert_property(bus, client, path, JOB, "Cause", "s", "");
        assert_property(bus, client, path, JOB, "Caller", "s", "uid 7");
        assert_property(bus, client, path, JOB, "Device", "s", "PNP0C80:01");
        assert_property(bus, client, path, JOB, "Reason", "s", "");
        assert_property(bus, client, path, JOB, "RequestedBytes", "t", (uint64_t) 1 << 30);
        assert_property(bus, client, path, JOB, "RemovedBytes", "t", (uint64_t) 111);
        assert_property(bus, client, path, JOB, "EvacuatedBytes", "t", (uint64_t) 0);
        assert_property(bus, client, path, JOB, "MoveBytes", "t", (uint64_t) 1 << 20);
        assert_property(bus, client, path, JOB, "TotalBlocks", "u", (uint64_t) 8);
        assert_property(bus, client, path, JOB, "RemovedBlocks", "u", (uint64_t) 0);
        assert_property(bus, client, path, JOB, "CurrentBlock", "x", (uint64_t) 44);
        assert_property(bus, client, path, JOB, "Attempts", "u", (uint64_t) 2);
        assert_property(bus, client, path, JOB, "CreatedAt", "t", (uint64_t) 1000);
        assert_property(bus, client, path, JOB, "StartedAt", "t", (uint64_t) 0);
        assert_property(bus, client, path, JOB, "FinishedAt", "t", (uint64_t) 0);
        assert_property(bus, client, path, JOB, "DeadlineAt", "t", (uint64_t) 2000);
        assert_property(bus, client, path, JOB, "EtaUsec", "t", UINT64_MAX);
        sd_bus_close_unref(client);
}

static void test_methods(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        const char *path = "/org/memunplug1/job/_2";
        sd_bus_message *reply;

        fake_job_new(bus->fake);
        fake_job_new(bus->fake);
        assert_text(call_wait(bus, client, path, JOB, "Describe", NULL),
                    "{\"id\":2,\"source\":\"operator\",\"state\":\"queued\"}");
        reply = call_wait(bus, client, path, JOB, "Cancel", NULL);
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_string_equal(fake_operation(bus->fake), "Cancel");
        assert_string_equal(fake_parameters(bus->fake), "{\"id\":2}");
        assert_string_equal(fake_caller(bus->fake), geteuid() == 0 ? "uid 0" : fake_caller(bus->fake));
        sd_bus_close_unref(client);
}

static void test_no_such_object(void **state) {
        static const char *const paths[] = {
                "/org/memunplug1/job/_1",          "/org/memunplug1/job/_02",
                "/org/memunplug1/job/2",           "/org/memunplug1/job/_",
                "/org/memunplug1/job/_4294967298", "/org/memunplug1/job/_2/x",
                "/org/memunplug1/job/__2",         "/org/memunplug1/job/_99999999999999999999999999",
        };
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());

        fake_job_end(bus->fake, fake_job_new(bus->fake), JOB_DONE);
        fake_job_new(bus->fake);
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                assert_error(call_wait(bus, client, paths[i], JOB, "Cancel", NULL),
                             "org.freedesktop.DBus.Error.UnknownObject");
        assert_int_equal(fake_runs(bus->fake), 0);
        sd_bus_close_unref(client);
}

static void test_managed_objects(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid());
        sd_bus_message *reply;
        const char *path;
        unsigned n = 0;

        fake_job_end(bus->fake, fake_job_new(bus->fake), JOB_DONE);
        fake_job_new(bus->fake);
        fake_job_new(bus->fake);
        reply = call_wait(bus, client, PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                          NULL);
        assert_true(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}") > 0);
        while (sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}") > 0) {
                assert_true(sd_bus_message_read(reply, "o", &path) > 0);
                if (strstr(path, "/job/_")) {
                        assert_true(strcmp(path, "/org/memunplug1/job/_2") == 0 ||
                                    strcmp(path, "/org/memunplug1/job/_3") == 0);
                        n++;
                }
                assert_true(sd_bus_message_skip(reply, "a{sa{sv}}") > 0);
                assert_true(sd_bus_message_exit_container(reply) > 0);
        }
        assert_int_equal(n, 2);
        sd_bus_message_unref(reply);
        sd_bus_close_unref(client);
}

/* The text from <interface name="..."> to </interface>, to be freed. */
static char *interface_of(const char *text, const char *name) {
        char tag[128], *begin, *end;

        (void) snprintf(tag, sizeof(tag), "<interface name=\"%s\">", name);
        begin = strstr(text, tag);
        assert_non_null(begin);
        end = strstr(begin, "</interface>");
        assert_non_null(end);
        return strndup(begin, (size_t) (end - begin));
}

static void compare_interface(Bus *bus, sd_bus *client, const char *path, const char *name) {
        sd_bus_message *reply =
                call_wait(bus, client, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
        char file[256], *text = calloc(1, 65536), *expected, *found;
        const char *xml;
        FILE *f;

        assert_true(sd_bus_message_read(reply, "s", &xml) > 0);
        (void) snprintf(file, sizeof(file), INTERFACES "/%s.xml", name);
        f = fopen(file, "re");
        assert_non_null(f);
        assert_true(fread(text, 1, 65535, f) > 0);
        (void) fclose(f);
        expected = interface_of(text, name);
        found = interface_of(xml, name);
        assert_string_equal(found, expected);
        free(expected);
        free(found);
        free(text);
        sd_bus_message_unref(reply);
}

static void test_introspection(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid() == 0 ? NOBODY : geteuid());

        fake_job_new(bus->fake);
        compare_interface(bus, client, PATH, MANAGER);
        compare_interface(bus, client, "/org/memunplug1/job/_1", JOB);
        sd_bus_close_unref(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_life, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_pace, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_properties, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_methods, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_no_such_object, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_managed_objects, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_introspection, bus_setup, bus_teardown),
        };

        return cmocka_run_group_tests_name("dbus-job", tests, NULL, NULL);
}
