/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Into which zone memory that was plugged goes, so that it can be removed again and the kernel does not run
 * out of memory for its own data. Pure functions of plain data. */
#pragma once

#include "memory/block.h"

typedef struct OnlineTotals {
        uint64_t movable_bytes;
        uint64_t other_bytes;
} OnlineTotals;

OnlineTotals online_totals(const BlockTable *table);
/* The zone for bytes more of one device, which are counted in. ratio: so many times as much may be movable
 * as is not. A device stays in the zone in which part of it is already. */
Zone online_zone(const BlockTable *table, uint32_t device, uint64_t bytes, unsigned ratio,
                 OnlineTotals *totals);
