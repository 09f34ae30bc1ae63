/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks after each event whether all is sent: the fronts send by themselves as long as the loop turns. */
#include "drain.h"

#include <stdlib.h>

#include "util/cleanup.h"

struct Drain {
        sd_event *event;
        const VarlinkServer *varlink;
        const DBusFront *dbus;
        sd_event_source *look;
        sd_event_source *patience;
};

DEFINE_CLEANUP(Drain *, drain_free)

static bool is_drained(const Drain *drain) {
        return (!drain->varlink || varlink_server_is_drained(drain->varlink)) &&
               (!drain->dbus || dbus_front_is_drained(drain->dbus));
}

static int on_look(sd_event_source *source, void *userdata) {
        const Drain *drain = userdata;

        return is_drained(drain) ? sd_event_exit(drain->event, EXIT_SUCCESS) : 0;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        const Drain *drain = userdata;

        return sd_event_exit(drain->event, EXIT_SUCCESS);
}

int drain_new(Drain **ret, sd_event *event, const VarlinkServer *varlink, const DBusFront *dbus) {
        CLEANUP(drain_freep) Drain *drain = calloc(1, sizeof(*drain));
        int r;

        if (!drain)
                return -ENOMEM;
        drain->event = sd_event_ref(event);
        drain->varlink = varlink;
        drain->dbus = dbus;
        r = is_drained(drain) ? sd_event_exit(event, EXIT_SUCCESS)
                              : sd_event_add_post(event, &drain->look, on_look, drain);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &drain->patience, CLOCK_MONOTONIC, DRAIN_USEC,
                                               /* accuracy= */ 0, on_patience, drain);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(drain);
        return 0;
}

Drain *drain_free(Drain *drain) {
        if (!drain)
                return NULL;
        (void) sd_event_source_disable_unref(drain->look);
        (void) sd_event_source_disable_unref(drain->patience);
        (void) sd_event_unref(drain->event);
        free(drain);
        return NULL;
}
