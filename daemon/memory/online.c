/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The choice between Movable and the kernel's own zones. */
#include "memory/online.h"

OnlineTotals online_totals(const BlockTable *table) {
        OnlineTotals totals = {};

        for (size_t i = 0; i < table->n_blocks; i++) {
                if (table->blocks[i].state != BLOCK_ONLINE)
                        continue;
                if (table->blocks[i].zone == ZONE_MOVABLE)
                        totals.movable_bytes += table->block_size;
                else
                        totals.other_bytes += table->block_size;
        }
        return totals;
}

static Zone zone_of_device(const BlockTable *table, uint32_t device) {
        for (size_t i = 0; i < table->n_blocks; i++)
                if (table->blocks[i].device == device && table->blocks[i].state == BLOCK_ONLINE)
                        return table->blocks[i].zone == ZONE_MOVABLE ? ZONE_MOVABLE : ZONE_NORMAL;
        return ZONE_NONE;
}

Zone online_zone(const BlockTable *table, uint32_t device, uint64_t bytes, unsigned ratio,
                 OnlineTotals *totals) {
        Zone zone = zone_of_device(table, device);

        if (zone == ZONE_NONE)
                zone = (totals->movable_bytes + bytes) / ratio <= totals->other_bytes ? ZONE_MOVABLE
                                                                                     : ZONE_NORMAL;
        if (zone == ZONE_MOVABLE)
                totals->movable_bytes += bytes;
        else
                totals->other_bytes += bytes;
        return zone;
}
