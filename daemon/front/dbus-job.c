/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects /org/memunplug1/job/_N: one for each job from its acceptance to its end, with the fields of
 * the record as properties. Owns what was last told of each, so that only changes are sent, at most
 * four times a second; a change of state goes out at once. An ended job has no object: JobRemoved
 * carries the result, and Manager.DescribeJob the record as long as it is remembered. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "front/dbus-internal.h"
#include "util/json.h"
#include "util/log.h"
#include "util/sysfs.h"

struct DBusJob {
        LIST_ENTRY(DBusJob) jobs;
        DBusFront *front;
        uint32_t id;
        Job told;               /* the numbers as they were last sent; its pointers are not ours to follow */
        char *told_reason;
        uint64_t told_at;
        sd_event_source *timer; /* there is a change to tell */
};

char *dbus_job_path(uint32_t id, char buffer[static DBUS_JOB_PATH_SIZE]) {
        (void) snprintf(buffer, DBUS_JOB_PATH_SIZE, DBUS_JOB_PREFIX "/_%" PRIu32, id);
        return buffer;
}

static DBusJob *find_object(DBusFront *front, uint32_t id) {
        DBusJob *object;

        LIST_FOREACH(object, &front->jobs, jobs)
                if (object->id == id)
                        return object;
        return NULL;
}

/* Properties and methods get the record itself, as it is now. */
static int find_job(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                    sd_bus_error *error) {
        const char *prefix = DBUS_JOB_PREFIX "/_";
        char canonical[DBUS_JOB_PATH_SIZE];
        DBusFront *front = userdata;
        const Job *job;
        uint64_t id;

        if (strncmp(path, prefix, strlen(prefix)) != 0 || parse_u64(path + strlen(prefix), 10, &id) < 0 ||
            id > UINT32_MAX || strcmp(dbus_job_path((uint32_t) id, canonical), path) != 0)
                return 0;
        if (!find_object(front, (uint32_t) id))
                return 0;
        job = queue_find(front->context->queue, (uint32_t) id);
        if (!job)
                return 0;
        *ret_found = (void *) job; /* sd-bus passes it on to getters and methods, which only read */
        return 1;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Job *job = userdata;
        const char *text = "";

        if (strcmp(property, "Operation") == 0)
                text = demand_kind_to_string(job->kind);
        else if (strcmp(property, "Source") == 0)
                text = source_to_string(job->source);
        else if (strcmp(property, "State") == 0)
                text = job_state_to_string(job->state);
        else if (strcmp(property, "Cause") == 0)
                text = job_cause_to_string(job->cause);
        else if (strcmp(property, "Caller") == 0)
                text = job->caller;
        else if (strcmp(property, "Device") == 0)
                text = job->device;
        return sd_bus_message_append(reply, "s", text ?: "");
}

/* Methods get the record; the front is what the table was registered with. */
static DBusFront *method_front(sd_bus_message *message) {
        return sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(message)));
}

static int with_own_id(sd_bus_message *message, const Job *job, OperationId id, DBusEncoder encoder) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        int r;

        r = parameters ? json_add_int(parameters, "id", job->id) : -ENOMEM;
        if (r < 0)
                return r;
        return dbus_call_start(method_front(message), message, id, STEAL_PTR(parameters), encoder,
                               /* many= */ false);
}

static int method_cancel(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return with_own_id(message, userdata, OPERATION_CANCEL, dbus_encode_nothing);
}

static int method_confirm(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return with_own_id(message, userdata, OPERATION_CONFIRM, dbus_encode_nothing);
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return with_own_id(message, userdata, OPERATION_LIST_JOBS, dbus_encode_job_text);
}

#define FIXED(name, type, getter, member) \
        SD_BUS_PROPERTY(name, type, getter, offsetof(Job, member), SD_BUS_VTABLE_PROPERTY_CONST)
#define CHANGING(name, type, getter, member) \
        SD_BUS_PROPERTY(name, type, getter, offsetof(Job, member), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

/* Numbers and Reason are read from the record by sd-bus itself; getters get all of it: offset 0. */
static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        FIXED("Id", "u", NULL, id),
        SD_BUS_PROPERTY("Operation", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Source", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Caller", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Device", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Cause", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        CHANGING("Reason", "s", NULL, reason),
        CHANGING("RequestedBytes", "t", NULL, requested_bytes),
        CHANGING("RemovedBytes", "t", NULL, removed_bytes),
        CHANGING("EvacuatedBytes", "t", NULL, evacuated_bytes),
        CHANGING("MoveBytes", "t", NULL, move_bytes),
        CHANGING("TotalBlocks", "u", NULL, total_blocks),
        CHANGING("RemovedBlocks", "u", NULL, removed_blocks),
        CHANGING("CurrentBlock", "x", NULL, current_block),
        CHANGING("Attempts", "u", NULL, attempts),
        FIXED("CreatedAt", "t", NULL, created_at),
        CHANGING("StartedAt", "t", NULL, started_at),
        CHANGING("FinishedAt", "t", NULL, finished_at),
        CHANGING("DeadlineAt", "t", NULL, deadline_at),
        CHANGING("EtaUsec", "t", NULL, eta_usec),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Confirm", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_confirm,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* The same fields once more, for telling what changed. */
#define WATCHED(name, member) { name, offsetof(Job, member), sizeof(((Job *) NULL)->member) }
static const struct {
        const char *name;
        size_t offset, size;
} watched[] = {
        WATCHED("State", state), WATCHED("Cause", cause), WATCHED("RequestedBytes", requested_bytes),
        WATCHED("RemovedBytes", removed_bytes), WATCHED("EvacuatedBytes", evacuated_bytes),
        WATCHED("MoveBytes", move_bytes), WATCHED("TotalBlocks", total_blocks),
        WATCHED("RemovedBlocks", removed_blocks), WATCHED("CurrentBlock", current_block),
        WATCHED("Attempts", attempts), WATCHED("StartedAt", started_at), WATCHED("FinishedAt", finished_at),
        WATCHED("DeadlineAt", deadline_at), WATCHED("EtaUsec", eta_usec),
};
#define WATCHED_MAX (sizeof(watched) / sizeof(watched[0]))

/* Remembers the record as told. Returns the names of what is new, NULL-terminated, in names. */
static size_t note_changes(DBusJob *object, const Job *job, char *names[static WATCHED_MAX + 2]) {
        size_t i, n = 0;

        for (i = 0; i < WATCHED_MAX; i++)
                if (memcmp((const char *) &object->told + watched[i].offset,
                           (const char *) job + watched[i].offset, watched[i].size) != 0)
                        names[n++] = (char *) watched[i].name;
        if (strcmp(object->told_reason ?: "", job->reason ?: "") != 0) {
                char *reason = job->reason ? strdup(job->reason) : NULL;

                names[n++] = (char *) "Reason";
                free(object->told_reason);
                object->told_reason = reason; /* without memory it is told again next time */
        }
        names[n] = NULL;
        object->told = *job;
        return n;
}

static void tell_changes(DBusJob *object, const Job *job) {
        char *names[WATCHED_MAX + 2], path[DBUS_JOB_PATH_SIZE];
        DBusFront *front = object->front;
        int r;

        object->timer = sd_event_source_disable_unref(object->timer);
        (void) sd_event_now(front->context->event, CLOCK_MONOTONIC, &object->told_at);
        if (note_changes(object, job, names) == 0 || !front->name_owned)
                return;
        r = sd_bus_emit_properties_changed_strv(front->bus, dbus_job_path(object->id, path),
                                                DBUS_JOB_INTERFACE, names);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the bus of job %" PRIu32 ", ignoring: %m",
                                         object->id);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        DBusJob *object = userdata;
        const Job *job = queue_find(object->front->context->queue, object->id);

        if (job)
                tell_changes(object, job);
        return 0;
}

DBusJob *dbus_job_free(DBusJob *object) {
        if (!object)
                return NULL;
        LIST_REMOVE(object, jobs);
        (void) sd_event_source_disable_unref(object->timer);
        free(object->told_reason);
        free(object);
        return NULL;
}

static DBusJob *add_object(DBusFront *front, const Job *job) {
        char *names[WATCHED_MAX + 2];
        DBusJob *object = calloc(1, sizeof(*object));

        if (!object)
                return NULL;
        object->front = front;
        object->id = job->id;
        LIST_INSERT_HEAD(&front->jobs, object, jobs);
        (void) note_changes(object, job, names);
        return object;
}

static void job_new(DBusFront *front, const Job *job) {
        char path[DBUS_JOB_PATH_SIZE];
        int r;

        if (!add_object(front, job)) {
                (void) log_warning_errno(-ENOMEM, "Cannot show job %" PRIu32 " on the bus, ignoring: %m",
                                         job->id);
                return;
        }
        if (!front->name_owned)
                return;
        (void) dbus_job_path(job->id, path);
        r = sd_bus_emit_object_added(front->bus, path);
        if (r >= 0)
                r = sd_bus_emit_signal(front->bus, DBUS_PATH, DBUS_MANAGER_INTERFACE, "JobNew", "uo",
                                       job->id, path);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the bus of job %" PRIu32 ", ignoring: %m", job->id);
}

static void job_changed(DBusFront *front, const Job *job) {
        DBusJob *object = find_object(front, job->id);
        uint64_t now = 0;
        int r;

        if (!object || (object->timer && object->told.state == job->state))
                return;
        (void) sd_event_now(front->context->event, CLOCK_MONOTONIC, &now);
        if (object->told.state != job->state || now >= object->told_at + DBUS_CHANGES_USEC) {
                tell_changes(object, job);
                return;
        }
        r = sd_event_add_time(front->context->event, &object->timer, CLOCK_MONOTONIC,
                              object->told_at + DBUS_CHANGES_USEC, /* accuracy= */ 1000, on_timer, object);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the bus of job %" PRIu32 ", ignoring: %m", job->id);
}

/* The last values first, then the result, then the object goes. */
static void job_ended(DBusFront *front, const Job *job) {
        DBusJob *object = find_object(front, job->id);
        char path[DBUS_JOB_PATH_SIZE];
        int r;

        if (!object)
                return;
        tell_changes(object, job);
        if (front->name_owned) {
                (void) dbus_job_path(job->id, path);
                r = sd_bus_emit_signal(front->bus, DBUS_PATH, DBUS_MANAGER_INTERFACE, "JobRemoved", "uos",
                                       job->id, path, job_state_to_string(job->state));
                if (r >= 0)
                        r = sd_bus_emit_object_removed(front->bus, path);
                if (r < 0)
                        (void) log_warning_errno(r, "Cannot tell the bus of job %" PRIu32 ", ignoring: %m",
                                                 job->id);
        }
        (void) dbus_job_free(object);
}

void dbus_job_observe(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        DBusFront *front = userdata;

        switch (event) {
        case QUEUE_JOB_NEW:
                job_new(front, job);
                break;
        case QUEUE_JOB_CHANGED:
                job_changed(front, job);
                break;
        case QUEUE_JOB_ENDED:
                job_ended(front, job);
                dbus_manager_memory_changed(front);
                break;
        case QUEUE_BLOCK_CHANGED:
                dbus_manager_memory_changed(front);
                break;
        case QUEUE_HEALTH_CHANGED:
                dbus_manager_health_changed(front);
                break;
        }
}

/* For introspection and GetManagedObjects. */
static int list_paths(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                      sd_bus_error *error) {
        char buffer[DBUS_JOB_PATH_SIZE], **nodes;
        DBusFront *front = userdata;
        DBusJob *object;
        size_t n = 0;

        LIST_FOREACH(object, &front->jobs, jobs)
                n++;
        nodes = calloc(n + 1, sizeof(*nodes));
        if (!nodes)
                return -ENOMEM;
        n = 0;
        LIST_FOREACH(object, &front->jobs, jobs) {
                nodes[n] = strdup(dbus_job_path(object->id, buffer));
                if (!nodes[n]) {
                        while (n > 0)
                                free(nodes[--n]);
                        free(nodes);
                        return -ENOMEM;
                }
                n++;
        }
        *ret_nodes = nodes;
        return 0;
}

int dbus_job_attach(DBusFront *front) {
        Queue *queue = front->context->queue;
        size_t i;
        int r;

        r = sd_bus_add_fallback_vtable(front->bus, /* slot= */ NULL, DBUS_JOB_PREFIX, DBUS_JOB_INTERFACE,
                                       job_vtable, find_job, front);
        if (r < 0)
                return r;
        r = sd_bus_add_node_enumerator(front->bus, /* slot= */ NULL, DBUS_JOB_PREFIX, list_paths, front);
        if (r < 0)
                return r;
        /* Jobs that were there before us. */
        for (i = 0; i < queue_n_jobs(queue); i++) {
                const Job *job = queue_job_at(queue, i);

                if (!job_state_is_final(job->state) && !find_object(front, job->id) &&
                    !add_object(front, job))
                        return -ENOMEM;
        }
        return 0;
}
