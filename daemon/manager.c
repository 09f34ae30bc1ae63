/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start-up as a list, signals, and the way down. Every object is made here and freed in the opposite
 * order; what they do with each other is theirs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "config.h"
#include "drain.h"
#include "engine/engine.h"
#include "engine/owners.h"
#include "front/dbus.h"
#include "front/serial.h"
#include "front/varlink.h"
#include "manager.h"
#include "memory/doctor.h"
#include "policy.h"
#include "request/onlining.h"
#include "request/queue.h"
#include "sockets.h"
#include "sources.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/start-code.h"
#include "util/sysfs.h"
#include "util/uevent.h"

/* Without a bus the service is ready all the same, after this long. */
#define READY_WITHOUT_BUS_USEC (3ULL * 1000000ULL)
#define HEALTH_MAX 8U

struct Manager {
        ManagerOptions options;
        int root_fd, state_fd;
        sd_event *event;
        Config config;
        Engine *engine;
        Journal *journal;
        Hooks *hooks;
        Queue *queue;
        Onlining *onlining;
        QueueSlot *slot;
        Sources *sources;
        VarlinkServer *varlink;
        SerialFront *serial;
        DBusFront *dbus;
        UeventMonitor *uevents;
        sd_event_source *ready_timer;
        Drain *drain;
        bool ready, stopping;
        char hypervisor[64];
        char *health[HEALTH_MAX + 1]; /* NULL-terminated */
        OperationContext context;
};

DEFINE_CLEANUP(Manager *, manager_free)

__attribute__((format(printf, 2, 3)))
static void add_health(Manager *manager, const char *format, ...) {
        va_list args;

        for (size_t i = 0; i < HEALTH_MAX; i++) {
                if (manager->health[i])
                        continue;
                va_start(args, format);
                if (vasprintf(&manager->health[i], format, args) < 0)
                        manager->health[i] = NULL;
                va_end(args);
                return;
        }
}

static void notify_ready(Manager *manager) {
        manager->ready = true;
        (void) sd_notify(/* unset_environment= */ 0, "READY=1\nSTATUS=Waiting for requests.");
        start_code_release();
}

static void on_bus_ready(void *userdata) {
        Manager *manager = userdata;

        manager->ready_timer = sd_event_source_disable_unref(manager->ready_timer);
        if (!manager->ready)
                notify_ready(manager);
}

static int on_no_bus(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;

        manager->ready_timer = sd_event_source_disable_unref(manager->ready_timer);
        log_notice("The system bus is not there; serving Varlink meanwhile.");
        notify_ready(manager);
        return 0;
}

static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        Manager *manager = userdata;

        if (manager->stopping || !manager->ready || !job || event == QUEUE_BLOCK_CHANGED)
                return;
        if (event == QUEUE_JOB_ENDED)
                (void) sd_notifyf(0, "STATUS=Job %" PRIu32 " ended: %s.", job->id,
                                  job_state_to_string(job->state));
        else
                (void) sd_notifyf(0, "STATUS=Job %" PRIu32 " is %s, %" PRIu32 "/%" PRIu32 " blocks.",
                                  job->id, job_state_to_string(job->state), job->removed_blocks,
                                  job->total_blocks);
}

static void look_for_port(Manager *manager) {
        if (manager->serial)
                serial_front_look(manager->serial);
        manager->context.hypervisor_channel = serial_front_device(manager->serial);
}

/* The kernel tells of each block that changes, whoever changed it; and of ports. */
static void on_uevent(const Uevent *event, void *userdata) {
        static const char prefix[] = "/devices/system/memory/memory";
        Manager *manager = userdata;
        uint64_t block;

        if (!event || strcmp(event->subsystem, "virtio-ports") == 0)
                look_for_port(manager);
        sources_uevent(manager->sources, event);
        if (event && strcmp(event->subsystem, "memory") != 0)
                return;
        if (event && strncmp(event->devpath, prefix, strlen(prefix)) == 0 &&
            parse_u64(event->devpath + strlen(prefix), 10, &block) >= 0 && block <= UINT32_MAX) {
                queue_block_changed(manager->queue, (uint32_t) block);
                if (strcmp(event->action, "add") == 0)
                        onlining_added(manager->onlining, (uint32_t) block);
        } else
                queue_invalidate_table(manager->queue);
}

static void on_hooks_idle(void *userdata) {
        Manager *manager = userdata;

        if (drain_new(&manager->drain, manager->event, manager->varlink, manager->dbus) < 0)
                (void) sd_event_exit(manager->event, EXIT_SUCCESS);
}

static void on_idle(void *userdata) {
        Manager *manager = userdata;

        hooks_when_idle(manager->hooks, on_hooks_idle, manager);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        if (manager->stopping)
                return 0;
        manager->stopping = true;
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Bringing back what jobs under way took.");
        queue_shutdown(manager->queue, on_idle, manager);
        return 0;
}

/* Makes the port be what the configuration wants. That it cannot be served is no reason not to start. */
static void apply_virtio_serial(Manager *manager) {
        bool wanted = manager->config.virtio_serial && manager->options.port;
        ConfigSource unplug = manager->config.virtio_serial_unplug;
        int r = 0;

        manager->context.hypervisor_may_change = unplug != CONFIG_SOURCE_NO;
        manager->context.hypervisor_is_asked_back = unplug == CONFIG_SOURCE_ASK;
        if (!wanted)
                manager->serial = serial_front_free(manager->serial);
        else if (!manager->serial)
                r = serial_front_new(&manager->serial, manager->event, manager->varlink, manager->root_fd,
                                     manager->options.port);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to serve the hypervisor's port, ignoring: %s",
                                         strerror(-r));
        manager->context.hypervisor_channel = serial_front_device(manager->serial);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;
        Config config = {};
        int r;

        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                          clock_now_usec(CLOCK_MONOTONIC));
        r = config_load(manager->root_fd, &config);
        if (r < 0)
                (void) log_error_errno(r, "Failed to read the configuration again, keeping the old one: %s",
                                       strerror(-r));
        else {
                Config old = manager->config;

                manager->config = config;
                policy_apply(&manager->config, manager->hooks, manager->queue, manager->onlining);
                apply_virtio_serial(manager);
                r = sources_apply(manager->sources, &manager->config);
                if (r < 0)
                        (void) log_warning_errno(r, "Not all sources could be started, ignoring: %s",
                                                 strerror(-r));
                config_clear(&old);
        }
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int open_state(Manager *manager) {
        const char *path = manager->options.state;

        /* The path's parents are the system's or systemd's business; ours is the last component. */
        if (mkdirat(manager->root_fd, path, 0700) < 0 && errno != EEXIST)
                return log_error_errno(-errno, "Failed to make '%s': %m", path);
        manager->state_fd = openat(manager->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (manager->state_fd < 0)
                return log_error_errno(-errno, "Failed to open '%s': %m", path);
        if (flock(manager->state_fd, LOCK_EX | LOCK_NB) < 0)
                return log_error_errno(-errno,
                                       errno == EWOULDBLOCK ? "Another memunplugd is running on '%s'."
                                                            : "Failed to lock '%s'.",
                                       path);
        return 0;
}

static int open_journal(Manager *manager) {
        size_t skipped;
        int r;

        r = open_state(manager);
        if (r < 0)
                return r;
        r = journal_open(&manager->journal, manager->state_fd, manager->root_fd, QUEUE_HISTORY_MAX,
                         &skipped);
        if (r < 0)
                return log_error_errno(r, "Failed to open the journal of jobs: %s", strerror(-r));
        if (skipped > 0) {
                log_warning("%zu lines of the journal of jobs could not be understood, ignoring. "
                            "They are kept in journal.damaged beside it.",
                            skipped);
                add_health(manager, "%zu lines of the journal of jobs could not be understood at start",
                           skipped);
        }
        return 0;
}

/* What the doctor would say of the kernel belongs to the state, too. */
static int look_at_kernel(Manager *manager) {
        CLEANUP(findings_clear) Findings findings = {};
        int r = doctor_version(&findings, manager->root_fd);

        for (size_t i = 0; r >= 0 && i < findings.n; i++) {
                add_health(manager, "%s: Linux %s", findings.items[i].message, findings.items[i].value);
                log_warning("%s: Linux %s", findings.items[i].message, findings.items[i].value);
        }
        return r;
}

static int start_engine(Manager *manager) {
        static const char *const fields[] = { "MESSAGE_ID=" MEMUNPLUG_MESSAGE_ENGINE_SYSFS, NULL };
        int r;

        r = engine_new(&manager->engine, manager->event, manager->root_fd, manager->options.device);
        if (r < 0)
                return log_error_errno(r, "Failed to start the engine: %s", strerror(-r));
        if (!engine_reason(manager->engine))
                return 0;
        add_health(manager, "%s", engine_reason(manager->engine));
        (void) log_full(LOG_NOTICE, 0, fields, "Working without evacuation: %s",
                        engine_reason(manager->engine));
        return 0;
}

static int start_queue(Manager *manager) {
        QueuePolicy policy;
        int r;

        r = hooks_new(&manager->hooks, manager->event, manager->root_fd, /* owner= */ 0);
        if (r < 0)
                return log_error_errno(r, "Failed to prepare for hooks: %s", strerror(-r));
        policy = policy_from_config(&manager->config, manager->hooks);
        r = queue_new(&manager->queue, manager->event, manager->root_fd, manager->engine, manager->journal,
                      &policy);
        if (r >= 0)
                r = queue_watch_pressure(manager->queue, manager->root_fd,
                                         steal_fd(&manager->options.pressure_fd));
        if (r >= 0)
                r = queue_observe(manager->queue, on_job, manager, &manager->slot);
        if (r >= 0)
                r = onlining_new(&manager->onlining, manager->event, manager->engine, manager->queue);
        if (r < 0)
                return log_error_errno(r, "Failed to start the queue: %s", strerror(-r));
        policy_apply(&manager->config, manager->hooks, manager->queue, manager->onlining);
        return 0;
}

static int start_varlink(Manager *manager) {
        static const VarlinkInfo info = {
                .vendor = "memunplug",
                .product = "memunplugd",
                .version = MEMUNPLUG_VERSION,
                .url = "https://memunplug.org/",
        };
        int r;

        r = varlink_server_new(&manager->varlink, manager->event, &info);
        if (r >= 0)
                r = varlink_server_add_memunplug(manager->varlink, &manager->context);
        if (r >= 0)
                r = sockets_listen(manager->varlink, manager->options.listen);
        if (r < 0)
                return log_error_errno(r, "Failed to serve Varlink on '%s': %s", manager->options.listen,
                                       strerror(-r));
        apply_virtio_serial(manager);
        return 0;
}

static int start_dbus(Manager *manager) {
        int r;

        r = sd_event_add_time_relative(manager->event, &manager->ready_timer, CLOCK_MONOTONIC,
                                       READY_WITHOUT_BUS_USEC, 0, on_no_bus, manager);
        if (r >= 0)
                r = dbus_front_new(&manager->dbus, &manager->context, on_bus_ready, manager);
        if (r < 0)
                return log_error_errno(r, "Failed to start the D-Bus interface: %s", strerror(-r));
        return 0;
}

static int start_uevents(Manager *manager) {
        int r;

        r = uevent_monitor_new(&manager->uevents, manager->event, /* subsystem= */ NULL, on_uevent,
                               manager);
        if (r < 0)
                return log_error_errno(r, "Failed to listen to device events: %s", strerror(-r));
        return 0;
}

static int start_event_loop(Manager *manager) {
        int r;

        r = sd_event_default(&manager->event);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGTERM, on_stop, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT, on_stop, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGHUP, on_reload, manager);
        if (r < 0)
                return log_error_errno(r, "Failed to start the event loop: %s", strerror(-r));
        return 0;
}

/* What firmware says of the machine's maker, as the hypervisor writes it there. Unknown: empty. */
static void read_hypervisor(Manager *manager) {
        char *s = manager->hypervisor;

        if (sysfs_read(manager->root_fd, "sys/class/dmi/id/sys_vendor", s, sizeof(manager->hypervisor)) < 0)
                *s = '\0';
        for (; *s; s++)
                if (*s < ' ' || *s > '~')
                        *s = '?';
}

static void fill_context(Manager *manager) {
        manager->context.event = manager->event;
        manager->context.queue = manager->queue;
        manager->context.engine = manager->engine;
        manager->context.hooks = manager->hooks;
        manager->context.root_fd = manager->root_fd;
        manager->context.owners_socket = OWNERS_SOCKET;
        manager->context.version = MEMUNPLUG_VERSION;
        manager->context.hypervisor = manager->hypervisor[0] ? manager->hypervisor : NULL;
        manager->context.health = (const char *const *) manager->health;
}

static int manager_start(Manager *manager) {
        int r;

        r = config_load(manager->root_fd, &manager->config);
        if (r < 0)
                return log_error_errno(r, "Failed to read the configuration: %s", strerror(-r));
        read_hypervisor(manager);
        r = start_event_loop(manager);
        if (r >= 0)
                r = open_journal(manager);
        if (r >= 0)
                r = look_at_kernel(manager);
        if (r >= 0)
                r = start_engine(manager);
        if (r >= 0)
                r = start_queue(manager);
        if (r >= 0)
                r = start_uevents(manager);
        if (r < 0)
                return r;
        fill_context(manager);
        r = sources_new(&manager->sources, &manager->config, &manager->context);
        if (r >= 0)
                r = start_varlink(manager);
        return r < 0 ? r : start_dbus(manager);
}

int manager_new(Manager **ret, const ManagerOptions *options) {
        CLEANUP(manager_freep) Manager *manager = calloc(1, sizeof(*manager));
        int r;

        if (!manager)
                return -ENOMEM;
        manager->options = *options;
        manager->state_fd = -1;
        manager->root_fd = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (manager->root_fd < 0)
                return log_error_errno(-errno, "Failed to open '%s': %m", options->root);
        r = manager_start(manager);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        (void) drain_free(manager->drain);
        (void) dbus_front_free(manager->dbus);
        (void) serial_front_free(manager->serial);
        (void) varlink_server_free(manager->varlink);
        (void) sd_event_source_disable_unref(manager->ready_timer);
        (void) sources_free(manager->sources);
        (void) uevent_monitor_free(manager->uevents);
        (void) queue_slot_free(manager->slot);
        (void) onlining_free(manager->onlining);
        (void) queue_free(manager->queue);
        (void) hooks_free(manager->hooks);
        (void) engine_free(manager->engine);
        (void) journal_free(manager->journal);
        (void) sd_event_unref(manager->event);
        (void) close_fd(manager->state_fd);
        (void) close_fd(manager->root_fd);
        (void) close_fd(manager->options.pressure_fd);
        config_clear(&manager->config);
        for (size_t i = 0; i < HEALTH_MAX; i++)
                free(manager->health[i]);
        free(manager);
        return NULL;
}

int manager_run(Manager *manager) {
        int r;

        r = sd_event_loop(manager->event);
        if (r < 0) {
                (void) sd_notifyf(0, "ERRNO=%i", -r);
                return log_error_errno(r, "The event loop failed: %s", strerror(-r));
        }
        return r;
}
