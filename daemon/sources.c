/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts and ends the sources by the configuration. What each does is source/'s. */
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source/acpi.h"
#include "source/balloon.h"
#include "source/virtio-mem.h"
#include "util/cleanup.h"
#include "util/log.h"

/* When the last block of a device has come, the kernel is done with it soon; while it is not, we would have
 * to wait for it. */
#define LOOK_DELAY_USEC (1ULL * 1000000ULL)
#define BALLOON_PATH "dev/memunplug-balloon"

struct Sources {
        OperationContext *context;
        AcpiSource *acpi;
        bool acpi_may_come;     /* there was no device yet, or the gate has become free */
        sd_event_source *gate;  /* somebody else holds it */
        sd_event_source *look;
        VirtioMemSource *virtio_mem;
        BalloonSource *balloon;
        bool lead_balloon; /* the configuration wants it */
};

DEFINE_CLEANUP(Sources *, sources_free)

static const char switched_off[] = "switched off by configuration";

static const char *acpi_reason(int error) {
        switch (-error) {
        case EOPNOTSUPP:
                return "the kernel module is not there: the kernel tries eject requests by itself";
        case ENODEV:
                return "this machine has no ACPI memory devices";
        case EBUSY:
                return "another process holds the gate of the kernel module";
        }
        return strerror(-error);
}

static void await_gate(Sources *sources);

/* Without the module or ACPI memory devices there is nothing to listen to: noted, not fatal. */
static int listen_to_acpi(Sources *sources) {
        OperationContext *context = sources->context;
        OperationSource *state = &context->sources[SOURCE_ACPI];
        int r;

        r = acpi_source_new(&sources->acpi, context->event, context->engine, context->queue);
        if (r == -ENOMEM)
                return r;
        state->active = r >= 0;
        state->reason = r < 0 ? acpi_reason(r) : NULL;
        sources->acpi_may_come = r == -ENODEV;
        if (r < 0)
                log_notice("Not listening to ACPI eject requests: %s", state->reason);
        if (r == -EBUSY)
                await_gate(sources);
        return 0;
}

static int start_acpi(Sources *sources, const Config *config) {
        if (config->source_acpi)
                return listen_to_acpi(sources);
        sources->context->sources[SOURCE_ACPI].reason = switched_off;
        return 0;
}

static bool is_busy(const Sources *sources) {
        const Job *job = queue_current(sources->context->queue);

        return job && !job->unconfirmed;
}

static void look_later(Sources *sources);

static int on_look(sd_event_source *timer, uint64_t usec, void *userdata) {
        Sources *sources = userdata;

        sources->look = sd_event_source_disable_unref(sources->look);
        if (is_busy(sources)) /* it may eject a device: later */
                look_later(sources);
        else if (sources->acpi)
                acpi_source_look(sources->acpi);
        else if (sources->acpi_may_come)
                (void) listen_to_acpi(sources); /* short of memory: with the next device again */
        return 0;
}

/* For a device that nobody listens to yet. Its blocks come one by one; one look will do. */
static void look_later(Sources *sources) {
        sources->look = sd_event_source_disable_unref(sources->look);
        (void) sd_event_add_time_relative(sources->context->event, &sources->look, CLOCK_MONOTONIC,
                                          LOOK_DELAY_USEC, 0, on_look, sources); /* or with the next */
}

static int on_gate_free(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        Sources *sources = userdata;

        sources->gate = sd_event_source_disable_unref(sources->gate); /* the file is the source's now */
        sources->acpi_may_come = true;
        if (is_busy(sources))
                look_later(sources);
        else if (listen_to_acpi(sources) < 0)
                look_later(sources);
        else if (sources->acpi)
                log_notice("The gate is free: listening to ACPI eject requests.");
        return 0;
}

/* A worker of a service that was killed has the gate until the kernel lets go of it. */
static void await_gate(Sources *sources) {
        int r = sd_event_add_io(sources->context->event, &sources->gate,
                                engine_device_fd(sources->context->engine), EPOLLOUT, on_gate_free, sources);

        if (r < 0)
                (void) log_warning_errno(r, "Failed to wait for the gate, ignoring: %s", strerror(-r));
}

static char *device_note(const char *device, void *userdata) {
        const Sources *sources = userdata;

        return sources->virtio_mem ? virtio_mem_source_note(sources->virtio_mem, device) : NULL;
}

/* Without the module nobody knows what such devices are to give back. */
static int start_virtio_mem(Sources *sources) {
        OperationContext *context = sources->context;
        OperationSource *state = &context->sources[SOURCE_VIRTIO_MEM];
        int r;

        r = virtio_mem_source_new(&sources->virtio_mem, context->event, context->engine, context->queue,
                                  context->owners_socket);
        if (r == -ENOMEM)
                return r;
        state->active = r >= 0;
        state->reason = r == -EOPNOTSUPP ? "the kernel module is not there: drivers are left to themselves"
                        : r < 0          ? strerror(-r)
                                         : NULL;
        return 0;
}

static void on_balloon(void *userdata) {
        Sources *sources = userdata;
        OperationSource *state = &sources->context->sources[SOURCE_BALLOON];

        state->active = sources->balloon && balloon_source_active(sources->balloon);
        state->reason = sources->balloon ? balloon_source_reason(sources->balloon) : NULL;
}

/* Most machines have no such driver: then nothing is said. */
static int start_balloon(Sources *sources) {
        OperationContext *context = sources->context;
        OperationSource *state = &context->sources[SOURCE_BALLOON];
        int fd, r;

        fd = openat(context->root_fd, BALLOON_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
                return 0;
        if (fd < 0)
                r = -errno;
        else if (!sources->lead_balloon) {
                (void) close_fd(fd);
                state->reason = switched_off;
                return 0;
        } else
                r = balloon_source_new(&sources->balloon, context->event, context->queue, &balloon_device,
                                       fd, on_balloon, sources);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                state->reason = r == -EBUSY ? "another process leads the balloon" : strerror(-r);
                log_notice("Not leading the balloon: %s", state->reason);
                return 0;
        }
        on_balloon(sources);
        return 0;
}

static void look_for_balloon(Sources *sources) {
        if (!sources->balloon && start_balloon(sources) < 0)
                log_warning("Failed to look for a balloon, ignoring: there is no memory for that.");
}

int sources_apply(Sources *sources, const Config *config) {
        OperationSource *state = &sources->context->sources[SOURCE_VIRTIO_MEM];

        sources->context->sources[SOURCE_ACPI].asks = config->source_acpi == CONFIG_SOURCE_ASK;
        sources->context->sources[SOURCE_BALLOON].asks = config->source_balloon == CONFIG_SOURCE_ASK;
        if (sources->balloon)
                balloon_source_policy_changed(sources->balloon);
        if (config->source_virtio_mem)
                return sources->virtio_mem ? 0 : start_virtio_mem(sources);
        sources->virtio_mem = virtio_mem_source_free(sources->virtio_mem);
        *state = (OperationSource) { .reason = switched_off };
        return 0;
}

void sources_uevent(Sources *sources, const Uevent *event) {
        static const char module[] = "/devices/virtual/misc/memunplug";

        if (!event || strcmp(event->subsystem, "misc") == 0)
                look_for_balloon(sources);
        if (event && strcmp(event->subsystem, "memory") == 0 && strcmp(event->action, "add") == 0)
                look_later(sources);
        if (!sources->virtio_mem)
                return;
        if (!event || strcmp(event->subsystem, "virtio") == 0 ||
            (strcmp(event->action, "change") == 0 && strcmp(event->devpath, module) == 0))
                virtio_mem_source_notified(sources->virtio_mem);
        else if (strcmp(event->subsystem, "memory") == 0)
                virtio_mem_source_blocks_changed(sources->virtio_mem);
}

int sources_new(Sources **ret, const Config *config, OperationContext *context) {
        CLEANUP(sources_freep) Sources *sources = calloc(1, sizeof(*sources));
        int r;

        if (!sources)
                return -ENOMEM;
        sources->context = context;
        context->device_note = device_note;
        context->device_note_userdata = sources;
        sources->lead_balloon = config->source_balloon != CONFIG_SOURCE_NO;
        r = start_acpi(sources, config);
        if (r >= 0)
                r = sources_apply(sources, config);
        if (r >= 0)
                r = start_balloon(sources);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(sources);
        return 0;
}

Sources *sources_free(Sources *sources) {
        if (!sources)
                return NULL;
        (void) sd_event_source_disable_unref(sources->look);
        (void) sd_event_source_disable_unref(sources->gate);
        (void) balloon_source_free(sources->balloon);
        (void) virtio_mem_source_free(sources->virtio_mem);
        (void) acpi_source_free(sources->acpi);
        sources->context->device_note = NULL;
        free(sources);
        return NULL;
}
