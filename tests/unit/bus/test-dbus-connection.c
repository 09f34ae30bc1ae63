/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection: a bus that comes late, goes and comes back, a name that is taken; and LogControl1. */
#include "bus.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"

#define PATH "/org/memunplug1"

static void test_bus_comes_late(void **state) {
        Bus *bus = *state;
        sd_bus *client;

        bus_start_front(bus);
        bus_run_for(bus, 300000);
        assert_int_equal(bus->n_ready, 0);
        bus_start_daemon(bus);
        bus_run_until(bus, &bus->n_ready);
        client = client_new(bus, geteuid());
        assert_property(bus, client, PATH, MANAGER, "Version", "s", "1.2.3");
        sd_bus_close_unref(client);
}

/* A bus that goes takes its clients along, but no job: it is there again with the bus. */
static void test_bus_restarts(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        Job *job = fake_job_new(bus->fake);
        Call call;

        fake_hold(bus->fake);
        call_start(client, &call, PATH, MANAGER, "Explain", "u", 3);
        while (!fake_is_held(bus->fake))
                assert_true(sd_event_run(bus->event, UINT64_MAX) >= 0);

        for (unsigned i = 0; i < 2; i++) {
                bus->n_ready = 0;
                bus_stop_daemon(bus);
                bus_run_for(bus, 100000);
                job->state = JOB_EVACUATING;
                job->evacuated_bytes += 4096;
                fake_tell(bus->fake, QUEUE_JOB_CHANGED, job);
                bus_start_daemon(bus);
                bus_run_until(bus, &bus->n_ready);
                assert_false(fake_is_held(bus->fake)); /* whoever called is gone */
        }
        fake_job_new(bus->fake);
        call_clear(&call);
        sd_bus_close_unref(client);

        client = client_new(bus, geteuid());
        assert_property(bus, client, "/org/memunplug1/job/_1", JOB, "EvacuatedBytes", "t", (uint64_t) 8192);
        assert_property(bus, client, "/org/memunplug1/job/_2", JOB, "State", "s", "queued");
        sd_bus_close_unref(client);
}

/* The bus goes while a caller is being authorized. */
static void test_bus_goes_in_check(void **state) {
        Bus *bus = *state;
        sd_bus *client = client_new(bus, NOBODY);
        Call call;

        bus_start_polkit(bus, POLKIT_WAIT);
        call_start(client, &call, PATH, MANAGER, "Cancel", "u", 1);
        bus_run_until(bus, &bus->polkit.n_asked);
        bus->n_ready = 0;
        bus_stop_daemon(bus);
        bus_run_for(bus, 100000);
        bus_stop_polkit(bus);
        bus_start_daemon(bus);
        bus_run_until(bus, &bus->n_ready);
        assert_int_equal(fake_runs(bus->fake), 0);
        call_clear(&call);
        sd_bus_close_unref(client);
}

static void test_name_is_taken(void **state) {
        Bus *bus = *state;
        sd_bus *thief;

        bus_start_daemon(bus);
        thief = client_new(bus, geteuid());
        assert_true(sd_bus_request_name(thief, "org.memunplug1", 0) >= 0);
        bus_start_front(bus);
        bus_run_for(bus, 200000);
        assert_int_equal(bus->n_ready, 0);
        sd_bus_close_unref(thief);
        bus_run_until(bus, &bus->n_ready);
}

static void test_log_control(void **state) {
        const char *path = "/org/freedesktop/LogControl1", *interface = "org.freedesktop.LogControl1";
        const char *properties = "org.freedesktop.DBus.Properties";
        int before = log_get_max_level();
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());
        sd_bus_message *reply;

        assert_property(bus, client, path, interface, "SyslogIdentifier", "s", "memunplugd");
        assert_property(bus, client, path, interface, "LogLevel", "s", log_level_to_string(before));
        reply = call_wait(bus, client, path, properties, "Set", "ssv", interface, "LogLevel", "s", "crit");
        assert_false(sd_bus_message_is_method_error(reply, NULL));
        sd_bus_message_unref(reply);
        assert_int_equal(log_get_max_level(), LOG_CRIT);
        assert_property(bus, client, path, interface, "LogLevel", "s", "crit");
        assert_error(
                call_wait(bus, client, path, properties, "Set", "ssv", interface, "LogLevel", "s", "loud"),
                "org.freedesktop.DBus.Error.InvalidArgs");
        assert_error(
                call_wait(bus, client, path, properties, "Set", "ssv", interface, "LogTarget", "s", "kmsg"),
                "org.freedesktop.DBus.Error.PropertyReadOnly");
        log_set_max_level(before);
        sd_bus_close_unref(client);
}

/* A bus that does not take what it is sent for a while: who wants to leave sees it, and loses nothing. */
static void test_bus_stands_still(void **state) {
        static char words[100000];
        Bus *bus = *state;
        Job *job = fake_job_new(bus->fake);

        assert_true(dbus_front_is_drained(bus->front));
        memset(words, 'a', sizeof(words) - 1);
        job->reason = words;
        assert_int_equal(kill(bus->daemon, SIGSTOP), 0);
        for (unsigned i = 0; i < 10000 && dbus_front_is_drained(bus->front); i++) {
                words[0] = i % 2 == 0 ? 'b' : 'c';
                job->state = i % 2 == 0 ? JOB_EVACUATING : JOB_OFFLINING; /* told at once */
                fake_tell(bus->fake, QUEUE_JOB_CHANGED, job);
        }
        assert_false(dbus_front_is_drained(bus->front));
        bus_run_for(bus, 10000);
        assert_false(dbus_front_is_drained(bus->front));
        assert_int_equal(kill(bus->daemon, SIGCONT), 0);
        for (unsigned i = 0; i < 1000 && !dbus_front_is_drained(bus->front); i++)
                bus_run_for(bus, 10000);
        assert_true(dbus_front_is_drained(bus->front));
        job->reason = NULL;
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        *(unsigned *) userdata = 1;
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* A program that people use, by its own output. */
static void run_busctl(Bus *bus, char *output, size_t n, char *const *arguments) {
        sd_event_source *source = NULL;
        unsigned ended = 0;
        size_t used = 0;
        ssize_t got;
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) dup2(fds[1], STDOUT_FILENO);
                (void) close(fds[0]);
                (void) close(fds[1]);
                execvp("busctl", arguments);
                _exit(127);
        }
        (void) close(fds[1]);
        for (;;) {
                ended = 0;
                assert_true(sd_event_add_io(bus->event, &source, fds[0], 1 /* EPOLLIN */, on_end, &ended) >=
                            0);
                bus_run_until(bus, &ended);
                source = sd_event_source_disable_unref(source);
                got = read(fds[0], output + used, n - 1 - used);
                if (got <= 0)
                        break;
                used += (size_t) got;
        }
        output[used] = '\0';
        (void) close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 127)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_busctl(void **state) {
        static char output[65536];
        Bus *bus = *state;
        char address[128];

        (void) snprintf(address, sizeof(address), "--address=%s", bus->address);
        fake_job_new(bus->fake);
        run_busctl(bus, output, sizeof(output),
                   (char *[]){ (char *) "busctl", address, (char *) "call", (char *) "org.memunplug1",
                               (char *) PATH, (char *) MANAGER, (char *) "Unplug", (char *) "tatsa{sv}",
                               (char *) "0", (char *) "2", (char *) "40", (char *) "41", (char *) "",
                               (char *) "1", (char *) "allow_partial", (char *) "b", (char *) "true",
                               NULL });
        assert_string_equal(output, "uo 2 \"/org/memunplug1/job/_2\"\n");
        assert_string_equal(fake_parameters(bus->fake), "{\"blocks\":[40,41],\"allowPartial\":true}");

        run_busctl(bus, output, sizeof(output),
                   (char *[]) { (char *) "busctl", address, (char *) "tree", (char *) "--list",
                                (char *) "org.memunplug1", NULL });
        assert_non_null(strstr(output, "/org/memunplug1/job/_1\n"));
        assert_non_null(strstr(output, "/org/memunplug1/job/_2\n"));

        run_busctl(bus, output, sizeof(output),
                   (char *[]){ (char *) "busctl", address, (char *) "get-property",
                               (char *) "org.memunplug1", (char *) "/org/memunplug1/job/_1", (char *) JOB,
                               (char *) "State", (char *) "MoveBytes", NULL });
        assert_string_equal(output, "s \"queued\"\nt 1048576\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_bus_comes_late, bus_setup_bare, bus_teardown),
                cmocka_unit_test_setup_teardown(test_bus_restarts, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_bus_goes_in_check, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_name_is_taken, bus_setup_bare, bus_teardown),
                cmocka_unit_test_setup_teardown(test_bus_stands_still, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_log_control, bus_setup, bus_teardown),
                cmocka_unit_test_setup_teardown(test_busctl, bus_setup, bus_teardown),
        };

        return cmocka_run_group_tests_name("dbus-connection", tests, NULL, NULL);
}
