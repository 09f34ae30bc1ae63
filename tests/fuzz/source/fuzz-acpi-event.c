/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the module's event stream, as a file of them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "source/acpi-event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        for (size_t offset = 0; offset < size;) {
                struct memunplug_event event;

                if (acpi_event_parse((const char *) data + offset, size - offset, &event) < 0)
                        break;
                if (event.size > size - offset)
                        abort();
                if (event.type == MEMUNPLUG_EVENT_EJECT && strnlen(event.name, sizeof(event.name)) == sizeof(event.name))
                        abort();
                offset += event.size;
        }
        return 0;
}
