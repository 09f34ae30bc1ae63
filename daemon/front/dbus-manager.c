/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object /org/memunplug1: the operations as methods, the machine's memory as properties. Each
 * method is one row of the operation table; the properties are fields of GetStatus. */
#include <errno.h>
#include <string.h>

#include "front/dbus-internal.h"
#include "util/json.h"
#include "util/log.h"

#define STATUS_AGE_USEC 250000ULL /* one GetAll, one GetStatus */

static int demand(sd_bus_message *message, OperationId id, DBusEncoder encoder, void *userdata,
                  sd_bus_error *error) {
        CLEANUP(json_putp) json_object *parameters = NULL;
        int r;

        r = dbus_decode_demand(message, id, &parameters, error);
        if (r < 0)
                return r;
        return dbus_call_start(userdata, message, id, STEAL_PTR(parameters), encoder, /* many= */ false);
}

static int method_unplug(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return demand(message, OPERATION_UNPLUG, dbus_encode_job, userdata, error);
}

static int method_replug(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return demand(message, OPERATION_REPLUG, dbus_encode_job, userdata, error);
}

static int method_plan(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return demand(message, OPERATION_PLAN, dbus_encode_text, userdata, error);
}

/* An operation whose one argument is a number. */
static int by_number(sd_bus_message *message, OperationId id, const char *key, DBusEncoder encoder,
                     void *userdata) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        uint32_t number;
        int r;

        r = sd_bus_message_read(message, "u", &number);
        if (r < 0)
                return r;
        r = parameters ? json_add_int(parameters, key, number) : -ENOMEM;
        if (r < 0)
                return r;
        return dbus_call_start(userdata, message, id, STEAL_PTR(parameters), encoder, /* many= */ false);
}

static int method_cancel(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return by_number(message, OPERATION_CANCEL, "id", dbus_encode_nothing, userdata);
}

static int method_confirm(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return by_number(message, OPERATION_CONFIRM, "id", dbus_encode_nothing, userdata);
}

static int method_explain(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return by_number(message, OPERATION_EXPLAIN, "block", dbus_encode_text, userdata);
}

static int method_describe_job(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return by_number(message, OPERATION_LIST_JOBS, "id", dbus_encode_job_text, userdata);
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_start(userdata, message, OPERATION_GET_STATUS, json_object_new_object(),
                               dbus_encode_text, /* many= */ false);
}

static int method_list_jobs(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_start(userdata, message, OPERATION_LIST_JOBS, json_object_new_object(),
                               dbus_encode_jobs, /* many= */ true);
}

static int method_list_blocks(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_start(userdata, message, OPERATION_LIST_BLOCKS, json_object_new_object(),
                               dbus_encode_blocks, /* many= */ true);
}

static int method_list_devices(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_start(userdata, message, OPERATION_LIST_DEVICES, json_object_new_object(),
                               dbus_encode_devices, /* many= */ true);
}

static int method_diagnose(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_start(userdata, message, OPERATION_DIAGNOSE, json_object_new_object(),
                               dbus_encode_text, /* many= */ false);
}

static int on_status(void *userdata, json_object *parameters, bool continues) {
        DBusFront *front = userdata;

        json_object_put(front->status);
        front->status = json_object_get(parameters);
        return 0;
}

static int on_status_error(void *userdata, const char *error_name, json_object *parameters) {
        return 0; /* no status, then */
}

/* The status for a property, fresh enough; NULL if there is none. */
static json_object *get_status(DBusFront *front) {
        const OperationSink sink = { .reply = on_status, .error = on_status_error, .userdata = front };
        const OperationCaller caller = { .name = "bus" };
        OperationCall *call = NULL;
        uint64_t now;

        if (sd_event_now(front->context->event, CLOCK_MONOTONIC, &now) < 0)
                return NULL;
        if (front->status && now < front->status_at + STATUS_AGE_USEC)
                return front->status;

        json_object_put(STEAL_PTR(front->status));
        (void) operation_run(front->context, operation_get(OPERATION_GET_STATUS), /* parameters= */ NULL,
                             /* more= */ false, &caller, &sink, &call);
        (void) operation_call_free(call); /* an answer that has to be awaited is none for a property */
        front->status_at = now;
        return front->status;
}

static int get_bytes(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        static const struct {
                const char *property, *key;
        } fields[] = {
                { "BlockSizeBytes", "blockSizeBytes" },
                { "RemovableBytes", "removableBytes" },
        };
        const BlockTable *table;
        uint64_t value;
        size_t i;
        int r;

        /* Told with every change, so it must not cost a look into all memory. */
        if (strcmp(property, "OnlineBytes") == 0) {
                DBusFront *front = userdata;

                r = queue_blocks(front->context->queue, &table, /* ret_policy= */ NULL);
                return r < 0 ? -EIO : sd_bus_message_append(reply, "t", table->online_bytes);
        }
        for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                if (strcmp(property, fields[i].property) == 0) {
                        r = json_get_uint(get_status(userdata), fields[i].key, INT64_MAX, &value);
                        return r < 0 ? -EIO : sd_bus_message_append(reply, "t", value);
                }
        return -EINVAL;
}

static int get_health(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        json_object *health = NULL;
        int r;

        (void) json_object_object_get_ex(get_status(userdata), "health", &health);
        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < json_object_array_length(health); i++)
                r = sd_bus_message_append(reply, "s",
                                          json_object_get_string(json_object_array_get_idx(health, i)));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_engine(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        DBusFront *front = userdata;

        return sd_bus_message_append(reply, "s", engine_kind_to_string(engine_kind(front->context->engine)));
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        DBusFront *front = userdata;

        return sd_bus_message_append(reply, "s", front->context->version);
}

#define DEMAND_ARGS SD_BUS_ARGS("t", size_bytes, "at", blocks, "s", device, "a{sv}", options)

/* No method asks for a capability here: changing ones are authorized one by one, reading is for all. */
static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Engine", "s", get_engine, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("BlockSizeBytes", "t", get_bytes, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("OnlineBytes", "t", get_bytes, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RemovableBytes", "t", get_bytes, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_PROPERTY("Health", "as", get_health, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_METHOD_WITH_ARGS("Unplug", DEMAND_ARGS, SD_BUS_RESULT("u", job_id, "o", job_path),
                                method_unplug, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Replug", DEMAND_ARGS, SD_BUS_RESULT("u", job_id, "o", job_path),
                                method_replug, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Plan", DEMAND_ARGS, SD_BUS_RESULT("s", json), method_plan,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("u", job_id), SD_BUS_NO_RESULT, method_cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Confirm", SD_BUS_ARGS("u", job_id), SD_BUS_NO_RESULT, method_confirm,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usso)", jobs), method_list_jobs,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DescribeJob", SD_BUS_ARGS("u", job_id), SD_BUS_RESULT("s", json),
                                method_describe_job, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListBlocks", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_list_blocks,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_list_devices,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("u", block), SD_BUS_RESULT("s", json), method_explain,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Diagnose", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_diagnose,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("u", job_id, "o", job_path), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("u", job_id, "o", job_path, "s", result), 0),
        SD_BUS_VTABLE_END,
};

static int on_memory_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        char *names[] = { (char *) "OnlineBytes", (char *) "RemovableBytes", NULL, NULL };
        DBusFront *front = userdata;
        int r;

        if (front->health_changed)
                names[2] = (char *) "Health";
        front->health_changed = false;
        front->memory_timer = sd_event_source_disable_unref(front->memory_timer);
        /* Now, not when it should have been: that lies far back when there was nothing to tell for long. */
        (void) sd_event_now(front->context->event, CLOCK_MONOTONIC, &front->memory_told_at);
        if (!front->name_owned)
                return 0;
        r = sd_bus_emit_properties_changed_strv(front->bus, DBUS_PATH, DBUS_MANAGER_INTERFACE, names);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the bus of changed memory, ignoring: %m");
        return 0;
}

void dbus_manager_memory_changed(DBusFront *front) {
        int r;

        json_object_put(STEAL_PTR(front->status));
        if (front->memory_timer)
                return;
        /* Always from the loop, never from within the queue: the value is read from the queue again. */
        r = sd_event_add_time(front->context->event, &front->memory_timer, CLOCK_MONOTONIC,
                              front->memory_told_at + DBUS_CHANGES_USEC, /* accuracy= */ 1000,
                              on_memory_timer, front);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the bus of changed memory, ignoring: %m");
}

void dbus_manager_health_changed(DBusFront *front) {
        front->health_changed = true;
        dbus_manager_memory_changed(front);
}

int dbus_manager_attach(DBusFront *front) {
        int r;

        r = sd_bus_add_object_vtable(front->bus, /* slot= */ NULL, DBUS_PATH, DBUS_MANAGER_INTERFACE,
                                     manager_vtable, front);
        if (r < 0)
                return r;
        return sd_bus_add_object_manager(front->bus, /* slot= */ NULL, DBUS_PATH);
}
