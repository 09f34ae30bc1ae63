/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of block attributes, names of folders, /proc/meminfo and
 * /proc/pressure/memory. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory/block-text.h"
#include "memory/pressure.h"
#include "memory/room.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);
        PressureText pressure;
        MemoryRoom room;
        BlockState state;
        uint64_t bytes;
        uint32_t number;
        Zone zone;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        if (block_state_parse(text, &state) >= 0 && strcmp(block_state_to_string(state), text) != 0)
                abort();
        zone = block_zone_parse(text);
        if (zone != ZONE_NONE && strncmp(text, zone_to_string(zone), strlen(zone_to_string(zone))) != 0)
                abort();
        if (block_size_parse(text, &bytes) >= 0 && (bytes == 0 || (bytes & (bytes - 1)) != 0))
                abort();
        (void) numbered_name_parse(text, "memory", &number);
        (void) acpi_memory_name_is_valid(text);
        (void) meminfo_parse(text, &room);
        if (pressure_parse(text, &pressure) >= 0 && pressure.avg10 >= 10100)
                abort();
        free(text);
        return 0;
}
