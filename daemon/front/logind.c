/* SPDX-License-Identifier: GPL-2.0-or-later */
/* While jobs are under way the service holds delay locks of logind, so that the system waits (for a few
 * seconds at most, by logind's own limit) until what they took is back. Without them what is under way would
 * be frozen in the middle of it. One lock for each way to leave: of a service that is not root's, logind
 * takes no lock for several at once, as it asks polkit for another action then. */
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

typedef struct Lock {
        Logind *logind;
        sd_bus_slot *asking;
        int fd;
        bool refused; /* no use to ask again for these jobs */
} Lock;

struct Logind {
        sd_bus *bus;
        Queue *queue;
        QueueSlot *observer;
        sd_bus_slot *matches[_LEAVING_MAX];
        Lock locks[_LEAVING_MAX];
        bool leaving[_LEAVING_MAX];
};

DEFINE_CLEANUP(Logind *, logind_free)

static bool is_leaving(const Logind *logind) {
        return logind->leaving[LEAVING_SHUTDOWN] || logind->leaving[LEAVING_SLEEP];
}

static int on_lock(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Lock *lock = userdata;
        int fd = -1, r;

        lock->asking = sd_bus_slot_unref(lock->asking);
        r = sd_bus_message_is_method_error(message, NULL) ? -sd_bus_message_get_errno(message)
                                                           : sd_bus_message_read(message, "h", &fd);
        if (r < 0) {
                lock->refused = true;
                (void) log_debug_errno(r, "No delay lock of logind, going on without: %m");
                return 0;
        }
        if (queue_is_working(lock->logind->queue))
                lock->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return 0;
}

static int ask_for_lock(Lock *lock, const char *what) {
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(lock->logind->bus, &message, LOGIND_NAME, LOGIND_PATH,
                                           LOGIND_INTERFACE, "Inhibit");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r >= 0)
                r = sd_bus_message_append(message, "ssss", what, "memunplug", "Memory is being removed",
                                          "delay");
        if (r >= 0)
                r = sd_bus_call_async(lock->logind->bus, &lock->asking, message, on_lock, lock, 0);
        return r;
}

static void let_go(Logind *logind) {
        for (size_t i = 0; i < _LEAVING_MAX; i++)
                logind->locks[i].fd = close_fd(logind->locks[i].fd);
}

/* The locks are held while something is under way, and not a moment longer. */
static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        static const char *const what[] = { [LEAVING_SHUTDOWN] = "shutdown", [LEAVING_SLEEP] = "sleep" };
        Logind *logind = userdata;
        int r;

        if (!queue_is_working(logind->queue)) {
                let_go(logind);
                for (size_t i = 0; i < _LEAVING_MAX; i++)
                        logind->locks[i].refused = false;
                return;
        }
        for (size_t i = 0; i < _LEAVING_MAX && !is_leaving(logind); i++) {
                Lock *lock = &logind->locks[i];

                if (lock->fd >= 0 || lock->asking || lock->refused)
                        continue;
                r = ask_for_lock(lock, what[i]);
                if (r < 0)
                        (void) log_debug_errno(r, "Cannot ask logind for a delay lock, ignoring: %m");
        }
}

static void tell_queue(Logind *logind) {
        const char *why = NULL;

        if (logind->leaving[LEAVING_SLEEP])
                why = "the system is about to be suspended";
        if (logind->leaving[LEAVING_SHUTDOWN])
                why = "the system is about to be shut down";
        queue_hold_all(logind->queue, why);
        if (!queue_is_working(logind->queue))
                let_go(logind);
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
        for (size_t i = 0; i < _LEAVING_MAX; i++)
                logind->locks[i] = (Lock) { .logind = logind, .fd = -1 };
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
        for (size_t i = 0; i < _LEAVING_MAX; i++) {
                (void) sd_bus_slot_unref(logind->matches[i]);
                (void) sd_bus_slot_unref(logind->locks[i].asking);
        }
        let_go(logind);
        (void) sd_bus_unref(logind->bus);
        free(logind);
        return NULL;
}
