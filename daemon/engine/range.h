/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks joined into the largest ranges of one zone. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

typedef struct Range {
        uint64_t start; /* bytes */
        uint64_t size;
        Zone zone;
} Range;

/* blocks in any order, repeats count once. *ret from the highest to the lowest, to be freed. -EINVAL: no
 * blocks, a block given with two zones, a block beyond the address space, or a size that is no power of
 * two. */
int range_make(const EngineBlock *blocks, size_t n, uint64_t block_size, Range **ret, size_t *ret_n);
uint64_t range_total(const Range *ranges, size_t n); /* bytes */
