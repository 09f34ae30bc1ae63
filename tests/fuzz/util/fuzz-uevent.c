/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The strings of an event must lie in the message, ended. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const char *s, const char *message, size_t n) {
        if (s < message || s >= message + n || !memchr(s, 0, (size_t) (message + n - s)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *message = (const char *) data;
        Uevent event;

        if (uevent_parse(message, size, &event) < 0)
                return 0;
        check_inside(event.action, message, size);
        check_inside(event.devpath, message, size);
        check_inside(event.subsystem, message, size);
        return 0;
}
