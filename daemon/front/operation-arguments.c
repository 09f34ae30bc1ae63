/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What callers may say: one table of the parameters of each operation, and one loop that lets nothing
 * else through. Whether it can be done is not asked here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/operation-internal.h"
#include "util/json.h"

typedef enum Parameter {
        PARAMETER_NONE, /* end of a list */
        PARAMETER_SIZE_BYTES,
        PARAMETER_BLOCKS,
        PARAMETER_DEVICE,
        PARAMETER_NODE,
        PARAMETER_DEADLINE_USEC,
        PARAMETER_ALLOW_PARTIAL,
        PARAMETER_ID,
        PARAMETER_BLOCK,
        PARAMETER_INTERACTIVE,
        _PARAMETER_MAX,
} Parameter;

static const char *const parameter_names[_PARAMETER_MAX] = {
        [PARAMETER_SIZE_BYTES] = "sizeBytes",
        [PARAMETER_BLOCKS] = "blocks",
        [PARAMETER_DEVICE] = "device",
        [PARAMETER_NODE] = "node",
        [PARAMETER_DEADLINE_USEC] = "deadlineUsec",
        [PARAMETER_ALLOW_PARTIAL] = "allowPartial",
        [PARAMETER_ID] = "id",
        [PARAMETER_BLOCK] = "block",
        [PARAMETER_INTERACTIVE] = "allowInteractiveAuthentication",
};

#define PARAMETERS_MAX 6U /* of one operation */

/* PARAMETER_INTERACTIVE goes with every operation: it is for the front. */
static const Parameter accepted[_OPERATION_MAX][PARAMETERS_MAX] = {
        [OPERATION_PLAN] = { PARAMETER_SIZE_BYTES, PARAMETER_BLOCKS, PARAMETER_DEVICE, PARAMETER_NODE },
        [OPERATION_UNPLUG] = { PARAMETER_SIZE_BYTES, PARAMETER_BLOCKS, PARAMETER_DEVICE, PARAMETER_NODE,
                               PARAMETER_DEADLINE_USEC, PARAMETER_ALLOW_PARTIAL },
        [OPERATION_REPLUG] = { PARAMETER_SIZE_BYTES, PARAMETER_BLOCKS, PARAMETER_DEVICE, PARAMETER_NODE },
        [OPERATION_CANCEL] = { PARAMETER_ID },
        [OPERATION_LIST_JOBS] = { PARAMETER_ID },
        [OPERATION_EXPLAIN] = { PARAMETER_BLOCK },
        [OPERATION_CONFIRM] = { PARAMETER_ID },
};

static bool takes_demand(OperationId id) {
        return id == OPERATION_PLAN || id == OPERATION_UNPLUG || id == OPERATION_REPLUG;
}

static Parameter find_parameter(OperationId id, const char *key) {
        if (strcmp(key, parameter_names[PARAMETER_INTERACTIVE]) == 0)
                return PARAMETER_INTERACTIVE;
        for (size_t i = 0; i < PARAMETERS_MAX && accepted[id][i] != PARAMETER_NONE; i++)
                if (strcmp(key, parameter_names[accepted[id][i]]) == 0)
                        return accepted[id][i];
        return PARAMETER_NONE;
}

/* Integers only: no text that looks like one, no 1.0. */
static int take_number(json_object *value, uint64_t min, uint64_t max, uint64_t *ret) {
        int64_t number;

        if (!json_object_is_type(value, json_type_int))
                return -EINVAL;
        number = json_object_get_int64(value);
        if (number < 0 || (uint64_t) number < min || (uint64_t) number > max)
                return -EINVAL;
        *ret = (uint64_t) number;
        return 0;
}

static int take_number32(json_object *value, uint32_t *ret) {
        uint64_t number;
        int r;

        r = take_number(value, 0, UINT32_MAX, &number);
        if (r < 0)
                return r;
        *ret = (uint32_t) number;
        return 0;
}

static int take_boolean(json_object *value, bool *ret) {
        if (!json_object_is_type(value, json_type_boolean))
                return -EINVAL;
        *ret = json_object_get_boolean(value);
        return 0;
}

static int take_blocks(json_object *value, Demand *demand) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        size_t n;

        if (!json_object_is_type(value, json_type_array))
                return -EINVAL;
        n = json_object_array_length(value);
        if (n == 0 || n > DEMAND_BLOCKS_MAX)
                return -EINVAL;
        blocks = calloc(n, sizeof(*blocks));
        if (!blocks)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r = take_number32(json_object_array_get_idx(value, i), &blocks[i]);

                if (r < 0)
                        return r;
        }
        demand->blocks = STEAL_PTR(blocks);
        demand->n_blocks = n;
        return 0;
}

/* Names of devices are ACPI's, the kernel's or "boot". The text goes into log lines and the record, so
 * nothing else gets that far. */
static int take_device(json_object *value, char device[static DEMAND_NAME_SIZE]) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
        const char *name;
        size_t n;

        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        name = json_object_get_string(value);
        n = strlen(name);
        if (n == 0 || n >= DEMAND_NAME_SIZE || strspn(name, allowed) != n)
                return -EINVAL;
        memcpy(device, name, n + 1);
        return 0;
}

static int take_node(json_object *value, Demand *demand) {
        int r = take_number32(value, &demand->node);

        if (r < 0 || demand->node > INT32_MAX)
                return -EINVAL;
        demand->by_node = true;
        return 0;
}

static int take(Parameter parameter, json_object *value, OperationArguments *arguments) {
        Demand *demand = &arguments->demand;
        bool ignored;

        switch (parameter) {
        case PARAMETER_SIZE_BYTES:
                return take_number(value, 1, OPERATION_BYTES_MAX, &demand->size_bytes);
        case PARAMETER_BLOCKS:
                return take_blocks(value, demand);
        case PARAMETER_DEVICE:
                return take_device(value, demand->device);
        case PARAMETER_NODE:
                return take_node(value, demand);
        case PARAMETER_DEADLINE_USEC:
                return take_number(value, 1, OPERATION_BYTES_MAX, &demand->deadline_usec);
        case PARAMETER_ALLOW_PARTIAL:
                return take_boolean(value, &demand->allow_partial);
        case PARAMETER_ID:
                arguments->has_id = true;
                return take_number32(value, &arguments->id);
        case PARAMETER_BLOCK:
                return take_number32(value, &arguments->block);
        case PARAMETER_INTERACTIVE:
                return take_boolean(value, &ignored);
        case PARAMETER_NONE:
        case _PARAMETER_MAX:
                break;
        }
        return -EINVAL;
}

/* What is missing, or one too much; PARAMETER_NONE if all is well. */
static Parameter check_given(OperationId id, const bool given[static _PARAMETER_MAX]) {
        static const Parameter targets[] = { PARAMETER_SIZE_BYTES, PARAMETER_BLOCKS, PARAMETER_DEVICE };
        bool has_target = false;

        if ((id == OPERATION_CANCEL || id == OPERATION_CONFIRM) && !given[PARAMETER_ID])
                return PARAMETER_ID;
        if (id == OPERATION_EXPLAIN && !given[PARAMETER_BLOCK])
                return PARAMETER_BLOCK;
        if (!takes_demand(id))
                return PARAMETER_NONE;
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
                if (given[targets[i]] && has_target)
                        return targets[i];
                has_target = has_target || given[targets[i]];
        }
        if (given[PARAMETER_NODE] && (given[PARAMETER_BLOCKS] || given[PARAMETER_DEVICE]))
                return PARAMETER_NODE; /* these are where they are */
        return has_target || given[PARAMETER_NODE] ? PARAMETER_NONE : targets[0];
}

int operation_arguments_parse(OperationId id, json_object *parameters, OperationArguments *ret,
                              const char **ret_parameter) {
        CLEANUP(operation_arguments_clear) OperationArguments arguments = {};
        bool given[_PARAMETER_MAX] = {};
        Parameter wrong;

        arguments.demand.kind = id == OPERATION_REPLUG ? DEMAND_REPLUG : DEMAND_UNPLUG;
        if (parameters) {
                json_object_object_foreach(parameters, key, value) {
                        Parameter parameter = find_parameter(id, key);
                        int r = -EINVAL;

                        if (parameter != PARAMETER_NONE && !value)
                                continue; /* null is as good as absent */
                        if (parameter != PARAMETER_NONE)
                                r = take(parameter, value, &arguments);
                        if (r == -EINVAL)
                                *ret_parameter = key;
                        if (r < 0)
                                return r;
                        given[parameter] = true;
                }
        }
        wrong = check_given(id, given);
        if (wrong != PARAMETER_NONE) {
                *ret_parameter = parameter_names[wrong];
                return -EINVAL;
        }
        *ret = arguments;
        arguments = (OperationArguments) {};
        return 0;
}

void operation_arguments_clear(OperationArguments *arguments) {
        demand_clear(&arguments->demand);
        *arguments = (OperationArguments) {};
}
