/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A polkit that answers as the test says, and notes what it was asked. */
#include <stdio.h>
#include <string.h>

#include "bus.h"

static int answer(sd_bus_message *message, PolkitAnswer answer) {
        return sd_bus_reply_method_return(message, "(bba{ss})", answer == POLKIT_YES,
                                          answer == POLKIT_CHALLENGE, 0);
}

static int method_check(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *kind, *name, *subject, *action, *key, *value, *id;
        Polkit *polkit = userdata;

        polkit->n_asked++;
        assert_true(sd_bus_message_enter_container(message, 'r', "sa{sv}") > 0);
        assert_true(sd_bus_message_read(message, "s", &kind) > 0);
        assert_string_equal(kind, "system-bus-name");
        assert_true(sd_bus_message_read(message, "a{sv}", 1, &name, "s", &subject) > 0);
        assert_string_equal(name, "name");
        assert_true(sd_bus_message_exit_container(message) > 0);
        assert_true(sd_bus_message_read(message, "s", &action) > 0);
        assert_true(sd_bus_message_enter_container(message, 'a', "{ss}") > 0);
        while (sd_bus_message_read(message, "{ss}", &key, &value) > 0)
                if (strcmp(key, "target") == 0)
                        (void) snprintf(polkit->target, sizeof(polkit->target), "%s", value);
        assert_true(sd_bus_message_exit_container(message) >= 0);
        assert_true(sd_bus_message_read(message, "us", &polkit->flags, &id) > 0);
        assert_true(strlen(id) > 0);
        (void) snprintf(polkit->subject, sizeof(polkit->subject), "%s", subject);
        (void) snprintf(polkit->action, sizeof(polkit->action), "%s", action);

        if (polkit->answer == POLKIT_ERROR)
                return sd_bus_reply_method_errorf(message, "org.freedesktop.PolicyKit1.Error.Failed", "No.");
        if (polkit->answer != POLKIT_WAIT)
                return answer(message, polkit->answer);
        assert_true(polkit->n_waiting < 64);
        polkit->waiting[polkit->n_waiting++] = sd_bus_message_ref(message);
        return 1;
}

static int method_cancel(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Polkit *polkit = userdata;

        polkit->n_cancelled++;
        return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", method_check,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelCheckAuthorization", "s", "", method_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void polkit_answer(Polkit *polkit, bool yes) {
        while (polkit->n_waiting > 0) {
                sd_bus_message *message = polkit->waiting[--polkit->n_waiting];

                assert_true(answer(message, yes ? POLKIT_YES : POLKIT_NO) >= 0);
                sd_bus_message_unref(message);
        }
}

void bus_start_polkit(Bus *bus, PolkitAnswer polkit_answers) {
        Polkit *polkit = &bus->polkit;

        polkit->answer = polkit_answers;
        polkit->bus = client_new(bus, geteuid());
        assert_true(sd_bus_add_object_vtable(polkit->bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                             "org.freedesktop.PolicyKit1.Authority", vtable, polkit) >= 0);
        assert_true(sd_bus_request_name(polkit->bus, "org.freedesktop.PolicyKit1", 0) >= 0);
}

void bus_stop_polkit(Bus *bus) {
        Polkit *polkit = &bus->polkit;

        while (polkit->n_waiting > 0)
                sd_bus_message_unref(polkit->waiting[--polkit->n_waiting]);
        polkit->bus = sd_bus_close_unref(polkit->bus);
}
