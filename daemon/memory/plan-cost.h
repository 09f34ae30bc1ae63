/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What it costs to take a block, or a device: the measure by which plans are compared. */
#pragma once

#include "memory/block.h"
#include "memory/guard.h"

/* A block's use counts in steps of this part of it: a block more or less in a run that is evacuated as one
 * is worth more than a few pages. */
#define COST_STEPS 32U
#define COST_FAILURES_MAX 4U /* a failure costs as much as so many full blocks, until it is forgotten */
#define COST_MAX (COST_STEPS * (COST_FAILURES_MAX + 1))

/* 0 (free) to COST_STEPS (full, or its use is not known), and more if it failed not long ago. */
unsigned plan_block_cost(const BlockTable *table, const Block *block, const GuardPolicy *policy);

/* Bytes that must move for all that is online of the device to go; what is not known counts as used. */
uint64_t plan_device_move(const BlockTable *table, const Device *device);

/* The device that the firmware can take and that costs least to give back, or NULL: least to move, of equal
 * ones the one whose node has most memory, then the highest. */
const Device *plan_cheapest_device(const BlockTable *table, const GuardPolicy *policy,
                                   const MemoryRoom *room);
