/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in memory blocks, as far as the module can look: bytes by class, and the pages in the way. Changes
 * nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/block.h"

typedef struct Engine Engine;

/* One page in the way. Classes as in the uapi header (MEMUNPLUG_CLASS_*). */
typedef struct EngineBlocker {
        uint64_t address;
        uint32_t class;
        int32_t ref_count;
        int32_t map_count;
        uint32_t flags;
} EngineBlocker;

typedef struct EngineSurvey {
        uint64_t class_bytes[16];
        uint64_t used_bytes, unmovable_bytes, hole_bytes, locked_bytes, writeback_bytes;
        uint64_t total_blockers;
        EngineBlocker *blockers; /* at most the number asked for */
        size_t n_blockers;
} EngineSurvey;

/* Adds what only the module can tell without a look into memory: virtio-mem devices, their blocks and sizes.
 * Nothing without the module. */
int engine_complete_table(Engine *engine, BlockTable *table);
/* Changes: a virtio-mem device's driver looks at what is requested once more. Does not wait for it. Errors
 * as kmod_virtio_mem(); -EOPNOTSUPP without the module. */
int engine_retry_virtio_mem(Engine *engine, const char *device);
/* Fills used_bytes and unmovable_bytes of online blocks where they are unknown; with wanted, which goes with
 * table->blocks, of those only. most_used_bytes, unless it is 0: of a block with more in use it stays
 * unknown, and is looked at no further. -EOPNOTSUPP without the module. */
int engine_survey_table(Engine *engine, BlockTable *table, const bool *wanted, uint64_t most_used_bytes);
int engine_survey_block(Engine *engine, const BlockTable *table, uint32_t block, size_t max_blockers,
                        EngineSurvey *ret);
/* Is the one page in the way? 1, 0, -EOPNOTSUPP without the module, -EINTR. Costs next to nothing. */
int engine_survey_page(Engine *engine, uint64_t address);
void engine_survey_clear(EngineSurvey *survey);
