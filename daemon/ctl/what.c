/* SPDX-License-Identifier: GPL-2.0-or-later */
/* WHAT of plan, unplug and replug, as the parameters of the call. Whether such blocks and devices exist
 * is for the service to know. */
#include "ctl/what.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json.h"
#include "util/sysfs.h"
#include "util/text.h"

#define BLOCKS_MAX 4096U     /* as many as one request may list */
#define NODE_PREFIX "node:"
#define DEVICE_LENGTH_MAX 63U

static int add_blocks(const char *text, json_object *parameters) {
        CLEANUP(json_putp) json_object *array = json_object_new_array();
        CLEANUP(freep) uint32_t *blocks = NULL;
        size_t n = 0;
        int r;

        if (!array)
                return -ENOMEM;
        r = parse_block_list(text, BLOCKS_MAX, &blocks, &n);
        if (r < 0)
                return r;
        if (n == 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                json_object *index = json_object_new_int64(blocks[i]);

                if (!index)
                        return -ENOMEM;
                if (json_object_array_add(array, index) < 0) {
                        (void) json_object_put(index);
                        return -ENOMEM;
                }
        }
        return json_add(parameters, "blocks", STEAL_PTR(array));
}

static bool is_device_name(const char *text) {
        for (const char *p = text; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return false;
        return strlen(text) <= DEVICE_LENGTH_MAX;
}

static int add_size(uint64_t size, json_object *parameters, const char **ret_hint) {
        if (size > 0 && size <= INT64_MAX)
                return json_add_int(parameters, "sizeBytes", (int64_t) size);
        *ret_hint = size == 0 ? "this is no memory at all" : "no machine has that much memory";
        return -EINVAL;
}

/* [SIZE@]node:N, of which node points to the last part. No name of a device has an "@". */
static int add_node(const char *text, const char *node, json_object *parameters, const char **ret_hint) {
        char size_text[32];
        uint64_t number, size;
        int r;

        r = parse_u64(node + strlen(NODE_PREFIX), 10, &number);
        if (r < 0 || number > INT32_MAX) {
                *ret_hint = "a node has a number, as in node:1";
                return -EINVAL;
        }
        if (node > text) {
                (void) snprintf(size_text, sizeof(size_text), "%.*s", (int) (node - text - 1), text);
                r = parse_size(size_text, &size);
                if (r == -ERANGE)
                        size = UINT64_MAX;
                else if (r < 0 || strspn(size_text, "0123456789") == (size_t) (node - text - 1) ||
                         strlen(size_text) != (size_t) (node - text - 1)) {
                        *ret_hint = "before the @ there is a size (2G@node:1)";
                        return -EINVAL;
                }
                r = add_size(size, parameters, ret_hint);
                if (r < 0)
                        return r;
        }
        return json_add_int(parameters, "node", (int64_t) number);
}

/* Where "node:" begins in it, at its start or behind an "@"; else NULL. */
static const char *find_node(const char *text) {
        const char *at = strchr(text, '@'), *node = at ? at + 1 : text;

        return strncmp(node, NODE_PREFIX, strlen(NODE_PREFIX)) == 0 ? node : NULL;
}

int what_parse(const char *text, json_object *parameters, const char **ret_hint) {
        uint64_t size;
        int r;

        if (!*text) {
                *ret_hint = "it is empty";
                return -EINVAL;
        }
        if (find_node(text))
                return add_node(text, find_node(text), parameters, ret_hint);
        if (text[strspn(text, "0123456789,-")] == '\0') {
                r = add_blocks(text, parameters);
                if (r == -E2BIG)
                        *ret_hint = "these are too many blocks for one request";
                else if (r < 0)
                        *ret_hint = "this is not a list of blocks (40-47,52), and a size needs a unit (2G)";
                return r < 0 && r != -ENOMEM ? -EINVAL : r;
        }
        r = parse_size(text, &size);
        if (r >= 0 || r == -ERANGE)
                return add_size(r < 0 ? UINT64_MAX : size, parameters, ret_hint);
        if (!is_device_name(text)) {
                *ret_hint = "this is not a list of blocks (40-47,52), a size (2G), a device "
                            "(PNP0C80:00) or a node (node:1, 2G@node:1)";
                return -EINVAL;
        }
        return json_add_string(parameters, "device", text);
}

int number_parse(const char *text, uint64_t *ret) {
        uint64_t value;

        if (parse_u64(text, 10, &value) < 0 || value > INT64_MAX)
                return -EINVAL;
        *ret = value;
        return 0;
}
