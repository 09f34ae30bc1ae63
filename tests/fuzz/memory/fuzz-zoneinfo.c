/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zones must be sorted, each there once, and none of the sums that are made of them may wrap. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory/removal.h"
#include "memory/zoneinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const ZoneRoom *zones, size_t n) {
        const uint64_t limit = UINT64_MAX / 4;

        for (size_t i = 0; i < n; i++) {
                const ZoneRoom *z = &zones[i];

                if (z->zone == ZONE_NONE || z->zone == ZONE_DEVICE || z->node < 0)
                        abort();
                if (i > 0 && (z->node < z[-1].node || (z->node == z[-1].node && z->zone <= z[-1].zone)))
                        abort();
                if (z->free_bytes > limit || z->used_bytes > limit || z->kept_bytes > limit ||
                    z->file_bytes > limit || z->slab_bytes > limit || z->low_bytes > limit)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        MemoryRoom room = {};
        Removal removal;
        char *text = malloc(size + 1);

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        if (zoneinfo_parse(text, 4096, &room.zones, &room.n_zones) >= 0) {
                check(room.zones, room.n_zones);
                if (removal_new(&removal, &room) >= 0) {
                        if (room.n_zones < 8 && removal_room_bytes(&removal) > UINT64_MAX / 2)
                                abort();
                        removal_clear(&removal);
                }
                memory_room_clear(&room);
        }
        free(text);
        return 0;
}
