/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See bus.h. */
#include "bus.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(r) assert_true((r) >= 0)
#define PATIENCE_USEC (10ULL * 1000000ULL)

/* As the system bus of a machine, but for the address; root is polkit here. */
static void write_configuration(const Bus *bus, const char *path) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        fprintf(f,
                "<busconfig><listen>%s</listen><auth>EXTERNAL</auth>"
                "<policy context='default'><allow user='*'/><deny own='*'/><deny send_type='method_call'/>"
                "<allow send_type='signal'/><allow send_requested_reply='true' send_type='method_return'/>"
                "<allow send_requested_reply='true' send_type='error'/><allow receive_type='method_call'/>"
                "<allow receive_type='method_return'/><allow receive_type='error'/>"
                "<allow receive_type='signal'/><allow send_destination='org.freedesktop.DBus'/></policy>"
                "<policy user='%u'><allow own='org.freedesktop.PolicyKit1'/>"
                "<allow send_destination='org.freedesktop.PolicyKit1'/></policy>"
                "<include>" POLICY_FILE "</include>"
                "<policy user='%u'><allow own='org.memunplug1'/><allow send_destination='org.memunplug1'/>"
                "</policy></busconfig>",
                bus->address, (unsigned) geteuid(), (unsigned) geteuid());
        assert_int_equal(fclose(f), 0);
}

void bus_start_daemon(Bus *bus) {
        char config[96], byte[256];
        int fds[2], r;

        (void) snprintf(config, sizeof(config), "%s/bus.conf", bus->directory);
        write_configuration(bus, config);
        CHECK(pipe2(fds, 0));
        bus->daemon = fork();
        CHECK(bus->daemon);
        if (bus->daemon == 0) {
                char argument[128], print[64];

                (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
                (void) close(fds[0]);
                (void) dup2(open("/dev/null", O_WRONLY),
                            STDERR_FILENO); /* users of the policy may not exist here */
                (void) snprintf(argument, sizeof(argument), "--config-file=%s", config);
                (void) snprintf(print, sizeof(print), "--print-address=%d", fds[1]);
                execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", argument, print, NULL);
                _exit(127);
        }
        (void) close(fds[1]);
        r = (int) read(fds[0], byte, sizeof(byte)); /* it prints its address when it listens */
        (void) close(fds[0]);
        assert_true(r > 0);
}

void bus_stop_daemon(Bus *bus) {
        char path[96];

        if (bus->daemon <= 0)
                return;
        CHECK(kill(bus->daemon, SIGKILL));
        assert_int_equal(waitpid(bus->daemon, NULL, 0), bus->daemon);
        bus->daemon = 0;
        (void) snprintf(path, sizeof(path), "%s/socket", bus->directory);
        (void) unlink(path);
}

static void on_ready(void *userdata) {
        ((Bus *) userdata)->n_ready++;
}

void bus_start_front(Bus *bus) {
        CHECK(dbus_front_new(&bus->front, fake_context(bus->fake), on_ready, bus));
}

int bus_setup_bare(void **state) {
        Bus *bus = calloc(1, sizeof(*bus));

        assert_non_null(bus);
        (void) strcpy(bus->directory, "/tmp/memunplug-bus-XXXXXX");
        assert_non_null(mkdtemp(bus->directory));
        CHECK(chmod(bus->directory, 0755)); /* clients of other users come in, too */
        (void) snprintf(bus->address, sizeof(bus->address), "unix:path=%s/socket", bus->directory);
        CHECK(setenv("DBUS_SYSTEM_BUS_ADDRESS", bus->address, 1));
        CHECK(sd_event_new(&bus->event));
        bus->fake = fake_new(bus->event);
        *state = bus;
        return 0;
}

int bus_setup(void **state) {
        Bus *bus;

        (void) bus_setup_bare(state);
        bus = *state;
        bus_start_daemon(bus);
        bus_start_front(bus);
        bus_run_until(bus, &bus->n_ready);
        return 0;
}

int bus_teardown(void **state) {
        Bus *bus = *state;
        char path[96];

        bus->front = dbus_front_free(bus->front);
        bus_stop_polkit(bus);
        fake_free(bus->fake);
        bus_stop_daemon(bus);
        (void) snprintf(path, sizeof(path), "%s/bus.conf", bus->directory);
        (void) unlink(path);
        (void) rmdir(bus->directory);
        (void) sd_event_unref(bus->event);
        free(bus);
        return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        *(bool *) userdata = true;
        return 0;
}

static bool run(Bus *bus, const unsigned *flag, uint64_t usec) {
        sd_event_source *timer = NULL;
        bool late = false;

        CHECK(sd_event_add_time_relative(bus->event, &timer, CLOCK_MONOTONIC, usec, 1000, on_late, &late));
        while (!late && !(flag && *flag))
                CHECK(sd_event_run(bus->event, UINT64_MAX));
        (void) sd_event_source_disable_unref(timer);
        return !late;
}

void bus_run_until(Bus *bus, const unsigned *flag) {
        assert_true(run(bus, flag, PATIENCE_USEC));
}

void bus_run_for(Bus *bus, uint64_t usec) {
        (void) run(bus, NULL, usec);
}

/* The kernel notes who we are when the socket connects, and the bus goes by that. */
sd_bus *client_new(Bus *bus, uid_t uid) {
        sd_bus *client = NULL;

        if (geteuid() != 0 && (uid != geteuid() || uid == NOBODY)) /* nobody must be somebody else */
                skip();
        CHECK(sd_bus_new(&client));
        CHECK(sd_bus_set_address(client, bus->address));
        CHECK(sd_bus_set_bus_client(client, true));
        CHECK(seteuid(uid));
        CHECK(sd_bus_start(client));
        CHECK(seteuid(getuid()));
        CHECK(sd_bus_attach_event(client, bus->event, SD_EVENT_PRIORITY_NORMAL));
        return client;
}

static int on_call(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Call *call = userdata;

        call->reply = sd_bus_message_ref(message);
        call->done = 1;
        return 0;
}

void call_send(sd_bus *client, Call *call, sd_bus_message *message) {
        *call = (Call) {};
        CHECK(sd_bus_call_async(client, &call->slot, message, on_call, call, UINT64_MAX));
}

static sd_bus_message *make_message(sd_bus *client, const char *path, const char *interface,
                                    const char *member, const char *types, va_list arguments) {
        sd_bus_message *message = NULL;

        CHECK(sd_bus_message_new_method_call(client, &message, "org.memunplug1", path, interface, member));
        if (types)
                CHECK(sd_bus_message_appendv(message, types, arguments));
        return message;
}

void call_start(sd_bus *client, Call *call, const char *path, const char *interface, const char *member,
                const char *types, ...) {
        sd_bus_message *message;
        va_list arguments;

        va_start(arguments, types);
        message = make_message(client, path, interface, member, types, arguments);
        va_end(arguments);
        call_send(client, call, message);
        sd_bus_message_unref(message);
}

void call_clear(Call *call) {
        call->slot = sd_bus_slot_unref(call->slot);
        call->reply = sd_bus_message_unref(call->reply);
}

sd_bus_message *call_message(Bus *bus, sd_bus *client, sd_bus_message *message) {
        Call call;

        call_send(client, &call, message);
        bus_run_until(bus, &call.done);
        sd_bus_slot_unref(call.slot);
        return call.reply;
}

sd_bus_message *call_wait(Bus *bus, sd_bus *client, const char *path, const char *interface,
                          const char *member, const char *types, ...) {
        sd_bus_message *message, *reply;
        va_list arguments;

        va_start(arguments, types);
        message = make_message(client, path, interface, member, types, arguments);
        va_end(arguments);
        reply = call_message(bus, client, message);
        sd_bus_message_unref(message);
        return reply;
}

void assert_error(sd_bus_message *reply, const char *name) {
        assert_true(sd_bus_message_is_method_error(reply, NULL));
        assert_string_equal(sd_bus_message_get_error(reply)->name, name);
        sd_bus_message_unref(reply);
}

void assert_text(sd_bus_message *reply, const char *text) {
        const char *found;

        assert_false(sd_bus_message_is_method_error(reply, NULL));
        assert_true(sd_bus_message_read(reply, "s", &found) > 0);
        assert_string_equal(found, text);
        sd_bus_message_unref(reply);
}

void assert_property(Bus *bus, sd_bus *client, const char *path, const char *interface, const char *property,
                     const char *type, ...) {
        sd_bus_message *reply = call_wait(bus, client, path, "org.freedesktop.DBus.Properties", "Get", "ss",
                                          interface, property);
        va_list arguments;
        uint64_t number = 0;
        uint32_t number32 = 0;
        const char *text;

        assert_false(sd_bus_message_is_method_error(reply, NULL));
        va_start(arguments, type);
        if (*type == 's' || *type == 'o') {
                assert_true(sd_bus_message_read(reply, "v", type, &text) > 0);
                assert_string_equal(text, va_arg(arguments, const char *));
        } else {
                void *where = *type == 'u' ? (void *) &number32 : (void *) &number;

                assert_true(sd_bus_message_read(reply, "v", type, where) > 0);
                assert_int_equal(number + number32, va_arg(arguments, uint64_t));
        }
        va_end(arguments);
        sd_bus_message_unref(reply);
}
