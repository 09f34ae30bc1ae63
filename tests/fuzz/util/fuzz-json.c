/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What json_parse() takes, it must take again from its own text, as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(json_object *value) {
        const char *text = json_text(value);
        json_object *again = NULL;

        if (!text || json_parse(text, strlen(text), &again) < 0 || !json_object_equal(value, again))
                abort();
        json_object_put(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_object *value = NULL;

        if (json_parse((const char *) data, size, &value) < 0) {
                if (value) /* a result that was not promised */
                        abort();
                return 0;
        }
        check_again(value);
        json_object_put(value);
        return 0;
}
