/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the system bus: opens it, asks for our name, and does so again when the bus went
 * away or did not give the name. What is on the bus is for the other dbus-*.c. */
#include <errno.h>
#include <stdlib.h>

#include "front/dbus-internal.h"
#include "util/log.h"

#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#define RETRY_MIN_USEC 250000ULL
#define RETRY_MAX_USEC (30ULL * 1000000ULL)

static int bus_connect(DBusFront *front);

static void bus_disconnect(DBusFront *front) {
        while (!LIST_EMPTY(&front->calls))
                (void) dbus_call_free(LIST_FIRST(&front->calls));
        front->name_owned = false;
        front->logind = logind_free(front->logind);
        if (!front->bus)
                return;
        (void) sd_bus_detach_event(front->bus);
        front->bus = sd_bus_close_unref(front->bus);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        DBusFront *front = userdata;

        front->retry = sd_event_source_disable_unref(front->retry);
        bus_disconnect(front);
        (void) bus_connect(front); /* failing, it has set the next retry */
        return 0;
}

/* The old connection is taken apart by the timer, because this may be called from within it. */
static int retry_later(DBusFront *front) {
        uint64_t delay = front->retry_usec;
        int r;

        front->name_owned = false;
        if (front->retry)
                return 0;
        r = sd_event_add_time_relative(front->context->event, &front->retry, CLOCK_MONOTONIC, delay,
                                       /* accuracy= */ 0, on_retry, front);
        if (r < 0)
                return log_error_errno(r, "Cannot wait for the system bus: %m");
        front->retry_usec = delay * 2 < RETRY_MAX_USEC ? delay * 2 : RETRY_MAX_USEC;
        return 0;
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        log_notice("The system bus is gone, connecting again");
        return retry_later(userdata);
}

static int on_name(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        DBusFront *front = userdata;
        uint32_t answer;
        int r;

        if (sd_bus_message_is_method_error(message, /* name= */ NULL)) {
                log_warning("The system bus does not give us the name '%s', trying again: %s", DBUS_NAME,
                            sd_bus_message_get_error(message)->message);
                return retry_later(front);
        }
        r = sd_bus_message_read(message, "u", &answer);
        if (r < 0 ||
            (answer != 1 && answer != 4)) { /* neither primary nor already owner: somebody else has it */
                log_warning("The name '%s' is taken on the system bus, trying again", DBUS_NAME);
                return retry_later(front);
        }
        front->name_owned = true;
        front->retry_usec = RETRY_MIN_USEC;
        if (front->ready)
                front->ready(front->userdata);
        return 0;
}

/* As sd_bus_open_system() does it; but a bus whose socket is not there yet is waited for, not looked for. */
static int bus_start(sd_bus **ret) {
        sd_bus *bus;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        *ret = bus;
        r = sd_bus_set_address(bus, secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: SYSTEM_BUS_ADDRESS);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_set_description(bus, "front");
        if (r >= 0)
                r = sd_bus_set_watch_bind(bus, true);
        return r < 0 ? r : sd_bus_start(bus);
}

static int bus_open(DBusFront *front) {
        int r;

        r = bus_start(&front->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(front->bus, front->context->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(front->bus, /* slot= */ NULL, "org.freedesktop.DBus.Local",
                                "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
                                on_disconnected, front);
        if (r < 0)
                return r;
        r = dbus_manager_attach(front);
        if (r < 0)
                return r;
        r = dbus_job_attach(front);
        if (r < 0)
                return r;
        r = dbus_log_attach(front);
        if (r < 0)
                return r;
        r = logind_new(&front->logind, front->bus, front->context->queue);
        if (r < 0)
                return r;
        return sd_bus_request_name_async(front->bus, /* slot= */ NULL, DBUS_NAME, /* flags= */ 0, on_name,
                                         front);
}

static int bus_connect(DBusFront *front) {
        int r;

        r = bus_open(front);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                (void) log_error_errno(r, "Cannot use the system bus, trying again: %m");
        else
                (void) log_debug_errno(r, "Cannot connect to the system bus, trying again: %m");
        return retry_later(front);
}

DBusFront *dbus_front_free(DBusFront *front) {
        if (!front)
                return NULL;
        front->observer = queue_slot_free(front->observer);
        bus_disconnect(front); /* see dbus_front_is_drained() */
        (void) sd_event_source_disable_unref(front->retry);
        (void) sd_event_source_disable_unref(front->memory_timer);
        while (!LIST_EMPTY(&front->jobs))
                (void) dbus_job_free(LIST_FIRST(&front->jobs));
        json_object_put(front->status);
        free(front);
        return NULL;
}

bool dbus_front_is_drained(const DBusFront *front) {
        uint64_t n;

        return !front->name_owned || sd_bus_get_n_queued_write(front->bus, &n) < 0 || n == 0;
}

DEFINE_CLEANUP(DBusFront *, dbus_front_free)

int dbus_front_new(DBusFront **ret, const OperationContext *context, void (*ready)(void *userdata),
                   void *userdata) {
        CLEANUP(dbus_front_freep) DBusFront *front = calloc(1, sizeof(*front));
        int r;

        if (!front)
                return -ENOMEM;
        front->context = context;
        front->ready = ready;
        front->userdata = userdata;
        front->retry_usec = RETRY_MIN_USEC;
        LIST_INIT(&front->jobs);
        LIST_INIT(&front->calls);

        r = queue_observe(context->queue, dbus_job_observe, front, &front->observer);
        if (r < 0)
                return r;
        r = bus_connect(front);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(front);
        return 0;
}
