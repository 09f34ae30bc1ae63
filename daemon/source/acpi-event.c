/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks a record of the module's event stream before anybody believes it. A later module may send longer
 * records: what is behind the known fields is passed over. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "source/acpi-event.h"

static int check_name(const char name[static MEMUNPLUG_NAME_SIZE]) {
        size_t n = strnlen(name, MEMUNPLUG_NAME_SIZE);

        if (n == 0 || n == MEMUNPLUG_NAME_SIZE || name[0] == '.')
                return -EBADMSG;
        for (size_t i = 0; i < n; i++)
                if (!isascii((unsigned char) name[i]) ||
                    (!isalnum((unsigned char) name[i]) && !strchr(":._-", name[i])))
                        return -EBADMSG;
        return 0;
}

int acpi_event_parse(const char *data, size_t n, struct memunplug_event *ret) {
        struct memunplug_event event;
        int r;

        if (n < sizeof(event))
                return -EBADMSG;
        memcpy(&event, data, sizeof(event));
        if (event.size < sizeof(event) || event.size > n)
                return -EBADMSG;
        r = event.type == MEMUNPLUG_EVENT_EJECT ? check_name(event.name) : 0;
        if (r < 0)
                return r;
        *ret = event;
        return 0;
}
