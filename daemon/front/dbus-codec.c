/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the types of D-Bus and the JSON of the operation table, both ways. Checks what JSON cannot
 * carry; what makes sense is for the operation table to say. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "front/dbus-internal.h"
#include "util/json.h"

static int invalid(sd_bus_error *error, const char *text) {
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, text);
}

static int decode_blocks(sd_bus_message *message, json_object *parameters, sd_bus_error *error) {
        CLEANUP(json_putp) json_object *array = NULL;
        const uint64_t *blocks;
        size_t size, i;
        int r;

        r = sd_bus_message_read_array(message, 't', (const void **) &blocks, &size);
        if (r < 0)
                return r;
        if (size == 0)
                return 0;
        if (size / sizeof(*blocks) > DEMAND_BLOCKS_MAX)
                return invalid(error, "Too many blocks.");

        array = json_object_new_array();
        if (!array)
                return -ENOMEM;
        for (i = 0; i < size / sizeof(*blocks); i++) {
                json_object *number;

                if (blocks[i] > UINT32_MAX)
                        return invalid(error, "No block has a number this big.");
                number = json_object_new_int64((int64_t) blocks[i]);
                if (!number || json_object_array_add(array, number) < 0) {
                        json_object_put(number);
                        return -ENOMEM;
                }
        }
        return json_add(parameters, "blocks", STEAL_PTR(array));
}

/* "node" goes with all demands, the others with Unplug only. */
static const struct DemandOption {
        const char *name, *key, *type;
        uint64_t min, max;
        bool unplug_only;
} demand_options[] = {
        { "deadline_usec", "deadlineUsec", "t", 1, INT64_MAX, true },
        { "allow_partial", "allowPartial", "b", 0, 1, true },
        { "node", "node", "u", 0, INT32_MAX, false },
};

static const struct DemandOption *find_option(const char *name, OperationId operation) {
        for (size_t i = 0; i < sizeof(demand_options) / sizeof(demand_options[0]); i++)
                if (strcmp(demand_options[i].name, name) == 0)
                        return demand_options[i].unplug_only && operation != OPERATION_UNPLUG
                                       ? NULL
                                       : &demand_options[i];
        return NULL;
}

/* Of type t, u or b. */
static int read_number(sd_bus_message *message, const char *type, uint64_t *ret) {
        uint64_t number;
        uint32_t word; /* b is read into an int, which is as large */
        int r;

        if (*type == 't')
                r = sd_bus_message_read(message, "v", type, &number);
        else {
                r = sd_bus_message_read(message, "v", type, &word);
                number = r < 0 ? 0 : word;
        }
        if (r >= 0)
                *ret = number;
        return r;
}

static int decode_option(sd_bus_message *message, const struct DemandOption *option, json_object *parameters,
                         sd_bus_error *error) {
        uint64_t number;
        int r;

        if (json_object_object_get_ex(parameters, option->key, /* value= */ NULL))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is given twice.",
                                         option->name);
        r = read_number(message, option->type, &number);
        if (r == -ENXIO)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' must be of type %s.",
                                         option->name, option->type);
        if (r < 0)
                return r;
        if (number < option->min || number > option->max)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is out of range.",
                                         option->name);
        return *option->type == 'b' ? json_add_bool(parameters, option->key, number > 0)
                                    : json_add_int(parameters, option->key, (int64_t) number);
}

static int decode_options(sd_bus_message *message, OperationId operation, json_object *parameters,
                          sd_bus_error *error) {
        const struct DemandOption *option;
        const char *key;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &key);
                if (r < 0)
                        return r;
                option = find_option(key, operation);
                if (!option)
                        return invalid(error, "Unknown option.");
                r = decode_option(message, option, parameters, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(message);
}

int dbus_decode_demand(sd_bus_message *message, OperationId operation, json_object **ret,
                       sd_bus_error *error) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        const char *device;
        uint64_t size;
        int r;

        if (!parameters)
                return -ENOMEM;
        r = sd_bus_message_read(message, "t", &size);
        if (r < 0)
                return r;
        if (size > INT64_MAX)
                return invalid(error, "Size is out of range.");
        if (size > 0) {
                r = json_add_int(parameters, "sizeBytes", (int64_t) size);
                if (r < 0)
                        return r;
        }
        r = decode_blocks(message, parameters, error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(message, "s", &device);
        if (r < 0)
                return r;
        if (strlen(device) >= DEMAND_NAME_SIZE)
                return invalid(error, "No device has a name this long.");
        if (device[0]) {
                r = json_add_string(parameters, "device", device);
                if (r < 0)
                        return r;
        }
        r = decode_options(message, operation, parameters, error);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(parameters);
        return 0;
}

/* What D-Bus has standard names for. All others keep their name, below our own prefix. */
static const struct {
        const char *varlink, *dbus;
} error_names[] = {
        { "org.varlink.service.InvalidParameter", SD_BUS_ERROR_INVALID_ARGS },
        { "org.varlink.service.PermissionDenied", SD_BUS_ERROR_ACCESS_DENIED },
        { "org.varlink.service.MethodNotFound", SD_BUS_ERROR_UNKNOWN_METHOD },
        { "org.varlink.service.MethodNotImplemented", SD_BUS_ERROR_NOT_SUPPORTED },
};

/* Sentences for errors that carry a thing instead of a reason. */
static const struct {
        const char *name, *key, *before, *after;
} error_texts[] = {
        { "org.memunplug.NoSuchBlock", "block", "No memory block has the number ", "." },
        { "org.memunplug.NoSuchDevice", "device", "No memory device has the name ", "." },
        { "org.memunplug.NoSuchNode", "node", "There is no memory on a node ", "." },
        { "org.memunplug.NoSuchJob", "id", "No job has the number ", ", or it has ended." },
        { "org.memunplug.Cancelled", "id", "Job ", " was cancelled." },
};

/* "sizeBytes" is "size_bytes" here. */
static void argument_name(const char *name, char *ret, size_t n) {
        size_t i = 0;

        for (; *name && i + 2 < n; name++) {
                if (*name >= 'A' && *name <= 'Z') {
                        ret[i++] = '_';
                        ret[i++] = (char) (*name - 'A' + 'a');
                } else
                        ret[i++] = *name;
        }
        ret[i] = '\0';
}

static void error_text(const char *name, json_object *parameters, char *ret, size_t n) {
        json_object *value;
        const char *text;
        char argument[64];
        size_t i;

        if (json_get_string(parameters, "reason", &text) >= 0) {
                (void) snprintf(ret, n, "%s", text);
                return;
        }
        if (json_get_string(parameters, "parameter", &text) >= 0) {
                argument_name(text, argument, sizeof(argument));
                (void) snprintf(ret, n, "The argument '%s' is missing, not valid, or one too many.",
                                argument);
                return;
        }
        for (i = 0; i < sizeof(error_texts) / sizeof(error_texts[0]); i++)
                if (strcmp(name, error_texts[i].name) == 0 &&
                    json_object_object_get_ex(parameters, error_texts[i].key, &value)) {
                        (void) snprintf(ret, n, "%s%s%s", error_texts[i].before,
                                        json_object_get_string(value) ?: "", error_texts[i].after);
                        return;
                }
        (void) snprintf(ret, n, "The operation did not succeed.");
}

int dbus_encode_error(sd_bus_message *message, const char *name, json_object *parameters) {
        const char *own = "org.memunplug.";
        char text[512], mapped[128];
        size_t i;

        error_text(name, parameters, text, sizeof(text));
        for (i = 0; i < sizeof(error_names) / sizeof(error_names[0]); i++)
                if (strcmp(name, error_names[i].varlink) == 0)
                        return sd_bus_reply_method_errorf(message, error_names[i].dbus, "%s", text);
        if (strncmp(name, own, strlen(own)) != 0)
                return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_FAILED, "%s", text);
        (void) snprintf(mapped, sizeof(mapped), DBUS_NAME ".%s", name + strlen(own));
        return sd_bus_reply_method_errorf(message, mapped, "%s", text);
}

/* The member of an object that must be there, because our own code made it. */
static json_object *member(json_object *object, const char *key) {
        json_object *value = NULL;

        (void) json_object_object_get_ex(object, key, &value);
        return value;
}

static int reply_text(sd_bus_message *message, json_object *object) {
        const char *text = object ? json_text(object) : NULL;

        if (!text)
                return object ? -ENOMEM : -EBADMSG;
        return sd_bus_reply_method_return(message, "s", text);
}

int dbus_encode_nothing(sd_bus_message *message, json_object *reply) {
        return sd_bus_reply_method_return(message, /* types= */ NULL);
}

int dbus_encode_text(sd_bus_message *message, json_object *reply) {
        return reply_text(message, reply);
}

int dbus_encode_job(sd_bus_message *message, json_object *reply) {
        char path[DBUS_JOB_PATH_SIZE];
        uint64_t id;
        int r;

        r = json_get_uint(member(reply, "job"), "id", UINT32_MAX, &id);
        if (r < 0)
                return -EBADMSG;
        return sd_bus_reply_method_return(message, "uo", (uint32_t) id, dbus_job_path((uint32_t) id, path));
}

int dbus_encode_job_text(sd_bus_message *message, json_object *reply) {
        return reply_text(message, member(reply, "job"));
}

/* (usso): an ended job has no object any more, and the path says so with "/". */
static int append_job(sd_bus_message *m, json_object *job) {
        const char *source, *state;
        char path[DBUS_JOB_PATH_SIZE];
        uint64_t id;

        if (json_get_uint(job, "id", UINT32_MAX, &id) < 0 || json_get_string(job, "source", &source) < 0 ||
            json_get_string(job, "state", &state) < 0)
                return -EBADMSG;
        return sd_bus_message_append(m, "(usso)", (uint32_t) id, source, state,
                                     job_state_is_final(job_state_from_string(state))
                                                     ? "/"
                                                     : dbus_job_path((uint32_t) id, path));
}

int dbus_encode_jobs(sd_bus_message *message, json_object *reply) {
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        size_t i;
        int r;

        r = sd_bus_message_new_method_return(message, &m);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "(usso)");
        if (r < 0)
                return r;
        for (i = 0; i < json_object_array_length(reply); i++) {
                json_object *job = member(json_object_array_get_idx(reply, i), "job");

                r = job ? append_job(m, job) : 0;
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_send(/* bus= */ NULL, m, /* ret_cookie= */ NULL);
}

static int reply_array(sd_bus_message *message, json_object *replies, const char *key) {
        CLEANUP(json_putp) json_object *array = json_object_new_array();
        size_t i;

        if (!array)
                return -ENOMEM;
        for (i = 0; i < json_object_array_length(replies); i++) {
                json_object *object = member(json_object_array_get_idx(replies, i), key);

                if (object && json_object_array_add(array, json_object_get(object)) < 0) {
                        json_object_put(object);
                        return -ENOMEM;
                }
        }
        return reply_text(message, array);
}

int dbus_encode_blocks(sd_bus_message *message, json_object *reply) {
        return reply_array(message, reply, "block");
}

int dbus_encode_devices(sd_bus_message *message, json_object *reply) {
        return reply_array(message, reply, "device");
}
