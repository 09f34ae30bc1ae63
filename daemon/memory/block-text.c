/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words of the memory block interface, and what they mean here. Reading them is for scan.c. */
#include "memory/block-text.h"

#include <string.h>

#include "util/sysfs.h"

#define BLOCK_SIZE_MIN (UINT64_C(1) << 20)
#define BLOCK_SIZE_LIMIT (UINT64_C(1) << 40)
#define ACPI_MEMORY_PREFIX "PNP0C80:"

int numbered_name_parse(const char *name, const char *prefix, uint32_t *ret) {
        size_t n = strlen(prefix);
        uint64_t value;

        if (strncmp(name, prefix, n) != 0)
                return -EBADMSG;
        name += n;
        if (name[0] == '0' && name[1]) /* "memory01" is no name of the kernel's */
                return -EBADMSG;
        if (parse_u64(name, 10, &value) < 0 || value >= UINT32_MAX)
                return -EBADMSG;
        *ret = (uint32_t) value;
        return 0;
}

int block_state_parse(const char *text, BlockState *ret) {
        static const BlockState states[] = { BLOCK_ONLINE, BLOCK_OFFLINE, BLOCK_GOING_OFFLINE };

        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
                if (strcmp(text, block_state_to_string(states[i])) == 0) {
                        *ret = states[i];
                        return 0;
                }
        return -EBADMSG;
}

Zone block_zone_parse(const char *text) {
        size_t n = strcspn(text, " ");

        for (Zone zone = ZONE_DMA; zone < _ZONE_MAX; zone++) {
                const char *name = zone_to_string(zone);

                if (strlen(name) == n && strncmp(text, name, n) == 0)
                        return zone;
        }
        return ZONE_NONE;
}

int block_size_parse(const char *text, uint64_t *ret) {
        uint64_t size;

        if (parse_u64(text, 16, &size) < 0)
                return -EBADMSG;
        /* Addresses are computed with it: index * size must fit. */
        if (size < BLOCK_SIZE_MIN || size > BLOCK_SIZE_LIMIT || (size & (size - 1)) != 0)
                return -EBADMSG;
        *ret = size;
        return 0;
}

bool acpi_memory_name_is_valid(const char *name) {
        size_t n = strlen(ACPI_MEMORY_PREFIX);
        uint64_t instance;

        return strncmp(name, ACPI_MEMORY_PREFIX, n) == 0 && strlen(name) < DEVICE_NAME_SIZE &&
               parse_u64(name + n, 16, &instance) == 0;
}
