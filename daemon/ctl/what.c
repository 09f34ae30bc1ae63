/* SPDX-License-Identifier: GPL-2.0-or-later */
/* WHAT of plan, unplug and replug, as the parameters of the call. Whether such blocks and devices exist
 * is for the service to know. */
#include "ctl/what.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json.h"
#include "util/sysfs.h"
#include "util/text.h"

#define BLOCKS_MAX 4096U     /* as many as one request may list */
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

int what_parse(const char *text, json_object *parameters, const char **ret_hint) {
        uint64_t size;
        int r;

        if (!*text) {
                *ret_hint = "it is empty";
                return -EINVAL;
        }
        if (text[strspn(text, "0123456789,-")] == '\0') {
                r = add_blocks(text, parameters);
                if (r == -E2BIG)
                        *ret_hint = "these are too many blocks for one request";
                else if (r < 0)
                        *ret_hint = "this is not a list of blocks (40-47,52), and a size needs a unit (2G)";
                return r < 0 && r != -ENOMEM ? -EINVAL : r;
        }
        r = parse_size(text, &size);
        if (r >= 0 && size > 0 && size <= INT64_MAX)
                return json_add_int(parameters, "sizeBytes", (int64_t) size);
        if (r >= 0 || r == -ERANGE) {
                *ret_hint = r >= 0 && size == 0 ? "this is no memory at all"
                                                : "no machine has that much memory";
                return -EINVAL;
        }
        if (!is_device_name(text)) {
                *ret_hint = "this is not a list of blocks (40-47,52), a size (2G) or a device (PNP0C80:00)";
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
