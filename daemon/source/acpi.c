/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The platform as a requester: reads eject requests from the module's gate, submits them as demands, and
 * gives the platform's status code for what became of each. It decides nothing about memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/memunplug.h>

#include "source/acpi.h"
#include "source/acpi-event.h"
#include "util/cleanup.h"
#include "util/log.h"

#define ACPI_REQUESTS_MAX 256U /* devices with an open request; the kernel keeps one per device */
/* How often a request under way is confirmed to the platform. */
#define ACPI_CONFIRM_USEC (5ULL * 1000000ULL)

typedef struct AcpiRequest {
        char name[MEMUNPLUG_NAME_SIZE];
        uint32_t job;
} AcpiRequest;

struct AcpiSource {
        int fd;                 /* the engine's file, which holds the gate */
        Queue *queue;
        QueueSlot *slot;
        sd_event_source *io, *confirm;
        AcpiRequest requests[ACPI_REQUESTS_MAX];
        size_t n_requests;
};

DEFINE_CLEANUP(AcpiSource *, acpi_source_free)

static int hold_gate(int fd, bool hold) {
        struct memunplug_gate gate = { .hold = hold };

        return ioctl(fd, MEMUNPLUG_IOC_GATE, &gate) < 0 ? -errno : 0;
}

static void answer(const AcpiSource *source, const char *name, uint32_t status) {
        struct memunplug_answer answer = { .status = status };

        memcpy(answer.name, name, sizeof(answer.name));
        log_debug("Telling the platform about '%s': 0x%02x", name, status);
        /* After an eject the device is gone, and the platform knows. */
        if (ioctl(source->fd, MEMUNPLUG_IOC_ANSWER, &answer) < 0 && errno != ENODEV && errno != ENOENT)
                (void) log_warning_errno(-errno, "Failed to tell the platform about '%s', ignoring: %m",
                                         name);
}

/* The one place that turns what became of a request into the platform's code. */
static uint32_t cause_to_status(JobCause cause) {
        switch (cause) {
        case CAUSE_NONE:
                return MEMUNPLUG_OST_SUCCESS;
        case CAUSE_REFUSED:
                return MEMUNPLUG_OST_NOT_SUPPORTED;
        case CAUSE_NOTHING_REMOVABLE:
        case CAUSE_IN_USE:
                return MEMUNPLUG_OST_IN_USE;
        case CAUSE_BUSY:
        case CAUSE_DEADLINE:
        case CAUSE_CANCELLED:
        case CAUSE_INTERRUPTED:
        case CAUSE_STUCK:
                return MEMUNPLUG_OST_BUSY;
        case CAUSE_NO_ROOM:
                return MEMUNPLUG_OST_DEPENDENCY; /* memory elsewhere must become free first */
        case CAUSE_SYSTEM:
        case CAUSE_NO_SUCH_BLOCK:
        case CAUSE_NO_SUCH_DEVICE:
        case CAUSE_NO_SUCH_NODE:
        case _CAUSE_MAX:
        case _CAUSE_INVALID:
                break;
        }
        return MEMUNPLUG_OST_FAILURE;
}

static AcpiRequest *find_request(AcpiSource *source, const char *name) {
        for (size_t i = 0; i < source->n_requests; i++)
                if (strcmp(source->requests[i].name, name) == 0)
                        return &source->requests[i];
        return NULL;
}

static void set_confirming(AcpiSource *source, bool on) {
        int r = on ? sd_event_source_set_time_relative(source->confirm, ACPI_CONFIRM_USEC) : 0;

        if (r >= 0)
                r = sd_event_source_set_enabled(source->confirm, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to set the confirmation timer, ignoring: %s",
                                         strerror(-r));
}

static int on_confirm(sd_event_source *timer, uint64_t usec, void *userdata) {
        AcpiSource *source = userdata;

        for (size_t i = 0; i < source->n_requests; i++)
                answer(source, source->requests[i].name, MEMUNPLUG_OST_IN_PROGRESS);
        set_confirming(source, source->n_requests > 0);
        return 0;
}

static void note_request(AcpiSource *source, const char *name, uint32_t job) {
        AcpiRequest *request = &source->requests[source->n_requests++];

        memcpy(request->name, name, sizeof(request->name));
        request->job = job;
        set_confirming(source, true);
}

static void submit(AcpiSource *source, const char *name) {
        Demand demand = { .kind = DEMAND_UNPLUG, .source = SOURCE_ACPI, .caller = "platform" };
        CLEANUP(freep) char *reason = NULL;
        QueueAnswer result;
        int r;

        memcpy(demand.device, name, MEMUNPLUG_NAME_SIZE);
        r = queue_submit(source->queue, &demand, &result);
        if (r < 0) {
                (void) log_warning_errno(r, "Failed to submit the eject request for '%s', ignoring: %s",
                                         name, strerror(-r));
                answer(source, name, r == -ESHUTDOWN ? MEMUNPLUG_OST_BUSY : MEMUNPLUG_OST_FAILURE);
                return;
        }
        reason = result.reason;
        if (result.cause != CAUSE_NONE)
                answer(source, name, cause_to_status(result.cause));
        else
                note_request(source, name, result.job->id);
}

static void on_eject_request(AcpiSource *source, const char *name) {
        answer(source, name, MEMUNPLUG_OST_IN_PROGRESS);
        if (find_request(source, name))
                return; /* asked again while it is under way */
        if (source->n_requests >= ACPI_REQUESTS_MAX) {
                answer(source, name, MEMUNPLUG_OST_BUSY);
                return;
        }
        submit(source, name);
}

static int on_readable(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        struct memunplug_event events[16];
        AcpiSource *source = userdata;
        ssize_t n;

        n = read(fd, events, sizeof(events));
        if (n < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return 0;
                (void) log_error_errno(-errno, "Failed to read eject requests, no longer listening: %m");
                (void) sd_event_source_set_enabled(source->io, SD_EVENT_OFF);
                return 0;
        }
        for (size_t offset = 0; offset < (size_t) n;) {
                struct memunplug_event event;
                int r = acpi_event_parse((const char *) events + offset, (size_t) n - offset, &event);

                if (r < 0) {
                        (void) log_warning_errno(r, "Got an event that cannot be understood, ignoring.");
                        break;
                }
                offset += event.size;
                if (event.type == MEMUNPLUG_EVENT_EJECT)
                        on_eject_request(source, event.name);
                else if (event.type == MEMUNPLUG_EVENT_OVERRUN)
                        log_warning("%u eject requests were lost, ignoring.", event.count);
        }
        return 0;
}

static void forget_request(AcpiSource *source, AcpiRequest *request) {
        *request = source->requests[--source->n_requests];
        if (source->n_requests == 0)
                set_confirming(source, false);
}

static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        AcpiSource *source = userdata;
        AcpiRequest *request;

        if (event != QUEUE_JOB_ENDED || job->device[0] == '\0')
                return;
        request = find_request(source, job->device);
        if (!request || request->job != job->id)
                return;
        answer(source, request->name,
               job->state == JOB_DONE ? MEMUNPLUG_OST_SUCCESS : cause_to_status(job->cause));
        forget_request(source, request);
}

static int set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int acpi_source_new(AcpiSource **ret, sd_event *event, Engine *engine, Queue *queue) {
        CLEANUP(acpi_source_freep) AcpiSource *source = NULL;
        int fd = engine_device_fd(engine), r;

        if (fd < 0)
                return -EOPNOTSUPP;
        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;
        source->fd = -1;
        source->queue = queue;
        r = set_nonblocking(fd);
        if (r >= 0)
                r = hold_gate(fd, true);
        if (r < 0)
                return r;
        source->fd = fd;
        r = queue_observe(queue, on_job, source, &source->slot);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &source->confirm, CLOCK_MONOTONIC, ACPI_CONFIRM_USEC,
                                               0, on_confirm, source);
        if (r >= 0)
                r = sd_event_source_set_enabled(source->confirm, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(event, &source->io, fd, EPOLLIN, on_readable, source);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(source);
        return 0;
}

void acpi_source_look(AcpiSource *source) {
        int r = hold_gate(source->fd, true);

        if (r < 0)
                (void) log_warning_errno(r, "Failed to look for new memory devices, ignoring: %s",
                                         strerror(-r));
}

AcpiSource *acpi_source_free(AcpiSource *source) {
        if (!source)
                return NULL;
        (void) sd_event_source_disable_unref(source->io);
        (void) sd_event_source_disable_unref(source->confirm);
        (void) queue_slot_free(source->slot);
        if (source->fd >= 0)
                (void) hold_gate(source->fd, false); /* the kernel answers what is open */
        free(source);
        return NULL;
}
