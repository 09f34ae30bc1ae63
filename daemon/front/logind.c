/* SPDX-License-Identifier: GPL-2.0-or-later */
/* While jobs are under way the service holds a delay lock of logind, so that the system waits (a few seconds
 * at most, by logind's own limit) until what they took is back. Without it what is under way would be frozen
 * in the middle of it. */
#include "front/logind.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/log.h"

#define LOGIND_NAME "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_INTERFACE "org.freedesktop.login1.Manager"

typedef enum Leaving { LEAVING_SHUTDOWN, LEAVING_SLEEP, _LEAVING_MAX } Leaving;

struct Logind {
        sd_bus *bus;
        Queue *queue;
        QueueSlot *observer;
        sd_bus_slot *matches[_LEAVING_MAX];
        sd_bus_slot *asking; /* for the lock */
        int lock_fd;
        bool refused;        /* the lock; no use to ask again for these jobs */
        bool leaving[_LEAVING_MAX];
};

DEFINE_CLEANUP(Logind *, logind_free)

static bool is_leaving(const Logind *logind) {
        return logind->leaving[LEAVING_SHUTDOWN] || logind->leaving[LEAVING_SLEEP];
}

static int on_lock(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Logind *logind = userdata;
        int fd = -1, r;

        logind->asking = sd_bus_slot_unref(logind->asking);
        r = sd_bus_message_is_method_error(message, NULL) ? -sd_bus_message_get_errno(message)
                                                           : sd_bus_message_read(message, "h", &fd);
        if (r < 0) {
                logind->refused = true;
                (void) log_debug_errno(r, "No delay lock of logind, going on without: %m");
                return 0;
        }
        if (queue_is_working(logind->queue))
                logind->lock_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return 0;
}

static int ask_for_lock(Logind *logind) {
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(logind->bus, &message, LOGIND_NAME, LOGIND_PATH, LOGIND_INTERFACE,
                                           "Inhibit");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r >= 0)
                r = sd_bus_message_append(message, "ssss", "shutdown:sleep", "memunplug",
                                          "Memory is being removed", "delay");
        if (r >= 0)
                r = sd_bus_call_async(logind->bus, &logind->asking, message, on_lock, logind, 0);
        return r;
}

/* The lock is held while something is under way, and not a moment longer. */
static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        Logind *logind = userdata;
        int r;

        if (!queue_is_working(logind->queue)) {
                logind->lock_fd = close_fd(logind->lock_fd);
                logind->refused = false;
                return;
        }
        if (logind->lock_fd >= 0 || logind->asking || logind->refused || is_leaving(logind))
                return;
        r = ask_for_lock(logind);
        if (r < 0)
                (void) log_debug_errno(r, "Cannot ask logind for a delay lock, ignoring: %m");
}

static void tell_queue(Logind *logind) {
        const char *why = NULL;

        if (logind->leaving[LEAVING_SLEEP])
                why = "the system is about to be suspended";
        if (logind->leaving[LEAVING_SHUTDOWN])
                why = "the system is about to be shut down";
        queue_hold_all(logind->queue, why);
        if (!queue_is_working(logind->queue))
                logind->lock_fd = close_fd(logind->lock_fd);
}

static int on_leaving(Logind *logind, Leaving leaving, sd_bus_message *message) {
        int begins, r;

        r = sd_bus_message_read(message, "b", &begins);
        if (r < 0) {
                (void) log_warning_errno(r, "Cannot understand a signal of logind, ignoring: %m");
                return 0;
        }
        logind->leaving[leaving] = begins;
        tell_queue(logind);
        return 0;
}

static int on_shutdown(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return on_leaving(userdata, LEAVING_SHUTDOWN, message);
}

static int on_sleep(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return on_leaving(userdata, LEAVING_SLEEP, message);
}

int logind_new(Logind **ret, sd_bus *bus, Queue *queue) {
        CLEANUP(logind_freep) Logind *logind = calloc(1, sizeof(*logind));
        int r;

        if (!logind)
                return -ENOMEM;
        logind->lock_fd = -1;
        logind->bus = sd_bus_ref(bus);
        logind->queue = queue;
        /* By the name of the sender: nobody else's signals get here. */
        r = sd_bus_match_signal_async(bus, &logind->matches[LEAVING_SHUTDOWN], LOGIND_NAME, LOGIND_PATH,
                                      LOGIND_INTERFACE, "PrepareForShutdown", on_shutdown, NULL, logind);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus, &logind->matches[LEAVING_SLEEP], LOGIND_NAME, LOGIND_PATH,
                                              LOGIND_INTERFACE, "PrepareForSleep", on_sleep, NULL, logind);
        if (r >= 0)
                r = queue_observe(queue, on_job, logind, &logind->observer);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(logind);
        return 0;
}

/* Without the bus nobody would tell that it is over. */
Logind *logind_free(Logind *logind) {
        if (!logind)
                return NULL;
        if (is_leaving(logind))
                queue_hold_all(logind->queue, NULL);
        (void) queue_slot_free(logind->observer);
        for (size_t i = 0; i < _LEAVING_MAX; i++)
                (void) sd_bus_slot_unref(logind->matches[i]);
        (void) sd_bus_slot_unref(logind->asking);
        (void) close_fd(logind->lock_fd);
        (void) sd_bus_unref(logind->bus);
        free(logind);
        return NULL;
}
