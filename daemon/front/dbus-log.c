/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.freedesktop.LogControl1: how much is logged, to be changed while the service runs, by root only
 * ("systemctl service-log-level memunplugd.service debug"). Where it goes is for the unit to say. */
#include <errno.h>
#include <stdlib.h>

#include "front/dbus-internal.h"
#include "util/log.h"

static int get_level(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", log_level_to_string(log_get_max_level()));
}

/* The bus lets root through only, and sd-bus asks once more: the property is not marked unprivileged. */
static int set_level(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *value, void *userdata, sd_bus_error *error) {
        const char *text;
        int r;

        r = sd_bus_message_read(value, "s", &text);
        if (r < 0)
                return r;
        r = log_level_from_string(text);
        if (r < 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "No such log level.");
        log_set_max_level(r);
        return 0;
}

static int get_target(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", getenv("JOURNAL_STREAM") ? "journal" : "console");
}

static int get_identifier(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", "memunplugd");
}

static const sd_bus_vtable log_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0, 0),
        SD_BUS_PROPERTY("LogTarget", "s", get_target, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int dbus_log_attach(DBusFront *front) {
        return sd_bus_add_object_vtable(front->bus, /* slot= */ NULL, "/org/freedesktop/LogControl1",
                                        "org.freedesktop.LogControl1", log_vtable, front);
}
