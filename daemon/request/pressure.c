/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The measure is the share of time in which some task waits for memory, over the last half second or, as the
 * kernel averages it, over the last ten: whichever is more. It counts as fallen when both are well below the
 * limit for a while, so that jobs do not stop and go. */
#include "request/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/vfs.h>

#include "memory/pressure.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/sysfs.h"

#define LOOK_USEC UINT64_C(500000)
#define RATE_LEAST_USEC (LOOK_USEC / 2) /* over less a share means nothing, */
#define RATE_MOST_USEC (10 * LOOK_USEC) /* and over more it is no news */
#define CALM_LOOKS 2U                   /* so often below three quarters of the limit: it has fallen */
/* Who may not take up resources gets triggers only of whole multiples of two seconds (since Linux 6.5). */
#define WINDOW_USEC 1000000U
#define WINDOW_PLAIN_USEC 2000000U

struct Pressure {
        sd_event *event;
        int root_fd, fd;
        PressureLook look;
        void *userdata;
        uint32_t limit;
        sd_event_source *trigger, *timer, *soon;
        bool watching, high;
        uint32_t percent;
        unsigned calm;
        uint64_t last_at, last_total; /* CLOCK_MONOTONIC */
};

DEFINE_CLEANUP(Pressure *, pressure_free)

bool pressure_is_high(const Pressure *pressure) {
        return pressure->high;
}

bool pressure_has_trigger(const Pressure *pressure) {
        return pressure->trigger != NULL;
}

const char *pressure_text(const Pressure *pressure, char ret[PRESSURE_TEXT_MAX]) {
        if (pressure->percent > pressure->limit)
                (void) snprintf(ret, PRESSURE_TEXT_MAX, "memory pressure %u %% above %u %%",
                                pressure->percent, pressure->limit);
        else
                (void) snprintf(ret, PRESSURE_TEXT_MAX, "memory pressure %u %% after it was above %u %%",
                                pressure->percent, pressure->limit);
        return ret;
}

/* The share of time since the last look, in percent; 0 if that tells nothing. */
static uint32_t recent_share(Pressure *pressure, uint64_t total) {
        uint64_t now = clock_now_usec(CLOCK_MONOTONIC), elapsed = now - pressure->last_at, waited;

        if (pressure->last_at > 0 && elapsed < RATE_LEAST_USEC)
                return pressure->percent;
        waited = total > pressure->last_total ? total - pressure->last_total : 0;
        if (pressure->last_at == 0 || elapsed > RATE_MOST_USEC)
                waited = 0;
        pressure->last_at = now;
        pressure->last_total = total;
        return waited >= elapsed ? 100 : (uint32_t) (waited * 100 / elapsed);
}

static void judge(Pressure *pressure, bool triggered) {
        if (triggered || pressure->percent > pressure->limit) {
                pressure->high = true;
                pressure->calm = 0;
        } else if (pressure->percent * 4 > pressure->limit * 3)
                pressure->calm = 0;
        else if (pressure->high && ++pressure->calm >= CALM_LOOKS)
                pressure->high = false;
}

/* What cannot be read is no pressure: a kernel without it. */
static void sample(Pressure *pressure, bool triggered) {
        char text[256];
        PressureText found;
        uint32_t average;

        if (pressure->limit == 0 ||
            sysfs_read(pressure->root_fd, PRESSURE_PATH, text, sizeof(text)) < 0 ||
            pressure_parse(text, &found) < 0) {
                pressure->high = false;
                return;
        }
        average = found.avg10 / 100;
        pressure->percent = recent_share(pressure, found.total_usec);
        if (average > pressure->percent)
                pressure->percent = average;
        judge(pressure, triggered);
}

static void arm(Pressure *pressure, bool wanted) {
        int r = sd_event_source_set_time_relative(pressure->timer, LOOK_USEC);

        if (r >= 0)
                r = sd_event_source_set_enabled(pressure->timer, wanted ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to look at memory pressure again, ignoring: %m");
}

/* The timer runs only where something waits for the pressure to fall, or where there is no trigger. */
static void look(Pressure *pressure, bool triggered) {
        bool waiting;

        sample(pressure, triggered);
        waiting = pressure->look(pressure->userdata);
        arm(pressure, pressure->watching &&
                              (waiting || pressure->high || (pressure->limit > 0 && !pressure->trigger)));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        look(userdata, /* triggered= */ false);
        return 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        look(userdata, /* triggered= */ false);
        return 0;
}

static void close_trigger(Pressure *pressure) {
        pressure->trigger = sd_event_source_disable_unref(pressure->trigger);
        pressure->fd = close_fd(pressure->fd);
}

static int on_trigger(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Pressure *pressure = userdata;

        if (events & EPOLLERR) /* it is gone for good */
                close_trigger(pressure);
        look(pressure, events & EPOLLPRI);
        return 0;
}

static int write_trigger(int fd, uint32_t limit, uint32_t window) {
        char text[64];
        int n = snprintf(text, sizeof(text), "some %u %u", window / 100 * limit, window);

        return write(fd, text, (size_t) n + 1) < 0 ? -errno : 0;
}

/* A made-up tree has a plain file there, which is not to be written to. */
static int open_trigger(Pressure *pressure) {
        struct statfs fs;
        int r;

        if (pressure->fd < 0)
                pressure->fd = openat(pressure->root_fd, PRESSURE_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (pressure->fd < 0 || fstatfs(pressure->fd, &fs) < 0)
                return -errno;
        if ((unsigned long) fs.f_type != PROC_SUPER_MAGIC)
                return -EOPNOTSUPP;
        r = write_trigger(pressure->fd, pressure->limit, WINDOW_USEC);
        if (r < 0)
                r = write_trigger(pressure->fd, pressure->limit, WINDOW_PLAIN_USEC);
        if (r >= 0)
                r = sd_event_add_io(pressure->event, &pressure->trigger, pressure->fd, EPOLLPRI, on_trigger,
                                    pressure);
        if (r >= 0)
                r = sd_event_source_set_enabled(pressure->trigger, pressure->watching ? SD_EVENT_ON
                                                                                      : SD_EVENT_OFF);
        return r;
}

void pressure_set_limit(Pressure *pressure, uint32_t percent) {
        int r;

        if (percent == pressure->limit)
                return;
        if (pressure->trigger) /* one of another limit */
                close_trigger(pressure);
        pressure->limit = percent;
        r = percent > 0 ? open_trigger(pressure) : 0;
        if (r < 0) {
                close_trigger(pressure);
                log_info("No trigger for memory pressure (%s): looking while jobs are under way.",
                         strerror(-r));
        }
        if (pressure->watching)
                pressure_poke(pressure);
}

void pressure_watch(Pressure *pressure, bool wanted) {
        if (wanted == pressure->watching)
                return;
        pressure->watching = wanted;
        if (pressure->trigger)
                (void) sd_event_source_set_enabled(pressure->trigger, wanted ? SD_EVENT_ON : SD_EVENT_OFF);
        pressure->last_at = 0;
        pressure->high = false;
        if (wanted)
                look(pressure, /* triggered= */ false);
        else
                arm(pressure, false);
}

void pressure_poke(Pressure *pressure) {
        /* Fails only on a bad argument. */
        (void) sd_event_source_set_enabled(pressure->soon, SD_EVENT_ONESHOT);
}

int pressure_new(Pressure **ret, sd_event *event, int root_fd, int fd, PressureLook look_at,
                 void *userdata) {
        CLEANUP(pressure_freep) Pressure *pressure = calloc(1, sizeof(*pressure));
        int r;

        if (!pressure) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        pressure->event = sd_event_ref(event);
        pressure->root_fd = root_fd;
        pressure->fd = fd;
        pressure->look = look_at;
        pressure->userdata = userdata;
        r = sd_event_add_time_relative(event, &pressure->timer, CLOCK_MONOTONIC, 0, 1, on_timer, pressure);
        if (r >= 0)
                r = sd_event_source_set_enabled(pressure->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &pressure->soon, on_soon, pressure);
        if (r >= 0)
                r = sd_event_source_set_enabled(pressure->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(pressure);
        return 0;
}

Pressure *pressure_free(Pressure *pressure) {
        if (!pressure)
                return NULL;
        close_trigger(pressure);
        (void) sd_event_source_disable_unref(pressure->timer);
        (void) sd_event_source_disable_unref(pressure->soon);
        (void) sd_event_unref(pressure->event);
        free(pressure);
        return NULL;
}
