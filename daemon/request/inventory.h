/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to decide on: the table of blocks, read again when it is old or the machine's memory
 * changed, the blocks that are part of something already, and the room. */
#pragma once

#include "engine/engine.h"
#include "memory/plan.h"
#include "request/request.h"

typedef struct Inventory Inventory;

int inventory_new(Inventory **ret, int root_fd, Engine *engine);
Inventory *inventory_free(Inventory *inventory);
void inventory_invalidate(Inventory *inventory);

/* Valid until the next call with a stale table. Usage is there as far as somebody has asked for it. */
int inventory_blocks(Inventory *inventory, const BlockTable **ret);
/* The same with all usage, as far as the engine can tell, or that of the blocks that a plan for the demand
 * depends on: to look into all memory costs more than to empty a little of it. */
int inventory_table(Inventory *inventory, const BlockTable **ret);
int inventory_table_for(Inventory *inventory, const Demand *demand, const GuardPolicy *policy,
                        const BlockTable **ret);
/* The policy with the blocks of requests under way and of stuck workers as busy; valid until the next call.
 */
int inventory_guard(Inventory *inventory, const GuardPolicy *policy, Request *const *requests,
                    size_t n_requests, const GuardPolicy **ret);
/* A job has another state: if it fails, what it fails on is remembered, and the planner takes other blocks
 * first for a while. */
void inventory_job_changed(Inventory *inventory, const Job *job);
/* A job took a block, so that it can go; or it brought one back, which says nothing. */
void inventory_block_changed(Inventory *inventory, const Job *job, uint32_t block);
/* What is available, less what requests under way but one (or NULL) still need: they were promised it. To be
 * cleared. */
int inventory_room(Inventory *inventory, Request *const *requests, size_t n_requests, const Request *but,
                   MemoryRoom *ret);
