/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the block table fresh and merges the lists of busy blocks. What is busy is the queue's to say, what
 * the table means is memory/'s. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "request/failure.h"
#include "request/inventory.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/index-list.h"

#define TABLE_FRESH_USEC (1000ULL * 1000ULL) /* usage changes without an event */

DEFINE_CLEANUP(BlockTable *, block_table_free)

struct Inventory {
        int root_fd;
        Engine *engine;
        BlockTable *table;
        uint64_t table_time;
        uint64_t block_size; /* of the last table */
        uint32_t *busy;
        Failures failures;
        GuardPolicy guard;
};

int inventory_new(Inventory **ret, int root_fd, Engine *engine) {
        Inventory *inventory = calloc(1, sizeof(*inventory));

        if (!inventory)
                return -ENOMEM;
        inventory->root_fd = root_fd;
        inventory->engine = engine;
        *ret = inventory;
        return 0;
}

Inventory *inventory_free(Inventory *inventory) {
        if (!inventory)
                return NULL;
        (void) block_table_free(inventory->table);
        free(inventory->busy);
        free(inventory);
        return NULL;
}

void inventory_invalidate(Inventory *inventory) {
        inventory->table = block_table_free(inventory->table);
}

static int fresh_blocks(Inventory *inventory) {
        CLEANUP(block_table_freep) BlockTable *table = NULL;
        int r;

        if (inventory->table && clock_now_usec(CLOCK_MONOTONIC) - inventory->table_time < TABLE_FRESH_USEC)
                return 0;
        r = block_table_scan(inventory->root_fd, &table);
        if (r >= 0)
                r = engine_complete_table(inventory->engine, table);
        if (r < 0)
                return r;
        (void) block_table_free(inventory->table);
        inventory->table = STEAL_PTR(table);
        inventory->block_size = inventory->table->block_size;
        inventory->table_time = clock_now_usec(CLOCK_MONOTONIC);
        return 0;
}

/* All usage, or that of the blocks wanted, and of those that have no more in use. */
static int survey(Inventory *inventory, const bool *wanted, uint64_t most_used_bytes,
                  const BlockTable **ret) {
        int r = engine_survey_table(inventory->engine, inventory->table, wanted, most_used_bytes);

        if (r < 0 && r != -EOPNOTSUPP) {
                inventory_invalidate(inventory);
                return r;
        }
        *ret = inventory->table;
        return 0;
}

int inventory_blocks(Inventory *inventory, const BlockTable **ret) {
        int r = fresh_blocks(inventory);

        if (r >= 0)
                *ret = inventory->table;
        return r;
}

int inventory_table(Inventory *inventory, const BlockTable **ret) {
        int r = fresh_blocks(inventory);

        return r < 0 ? r : survey(inventory, /* wanted= */ NULL, /* most_used_bytes= */ 0, ret);
}

int inventory_table_for(Inventory *inventory, const Demand *demand, const GuardPolicy *policy,
                        const BlockTable **ret) {
        CLEANUP(freep) bool *wanted = NULL;
        int r;

        r = fresh_blocks(inventory);
        if (r < 0)
                return r;
        wanted = calloc(inventory->table->n_blocks + 1, sizeof(*wanted));
        if (!wanted)
                return -ENOMEM;
        plan_wants(inventory->table, demand, policy, wanted);
        return survey(inventory, wanted, demand->most_used_bytes, ret);
}

static size_t count_busy(Request *const *requests, size_t n_requests) {
        size_t n = 0;

        for (size_t i = 0; i < n_requests; i++)
                if (request_is_active(requests[i]) && request_plan(requests[i]))
                        n += request_plan(requests[i])->n_steps;
        return n;
}

/* The blocks of requests under way, with place for so many more. */
static int list_busy(Request *const *requests, size_t n_requests, size_t n_more,
                     uint32_t **ret, size_t *ret_n) {
        uint32_t *busy = calloc(count_busy(requests, n_requests) + n_more + 1, sizeof(*busy));
        size_t n = 0;

        if (!busy)
                return -ENOMEM;
        for (size_t i = 0; i < n_requests; i++) {
                const Plan *plan = request_plan(requests[i]);

                for (size_t k = 0; request_is_active(requests[i]) && plan && k < plan->n_steps; k++)
                        busy[n++] = plan->steps[k].block;
        }
        *ret = busy;
        *ret_n = n;
        return 0;
}

int inventory_guard(Inventory *inventory, const GuardPolicy *policy, Request *const *requests,
                    size_t n_requests, const GuardPolicy **ret) {
        const uint32_t *stuck;
        size_t n_busy, n_stuck;
        uint32_t *busy;
        int r;

        stuck = engine_stuck_blocks(inventory->engine, &n_stuck);
        r = list_busy(requests, n_requests, n_stuck, &busy, &n_busy);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_stuck; i++)
                busy[n_busy++] = stuck[i];
        index_list_sort(busy, n_busy);
        free(inventory->busy);
        inventory->busy = busy;
        inventory->guard = *policy;
        inventory->guard.busy_blocks = busy;
        inventory->guard.n_busy = n_busy;
        failures_age(&inventory->failures, clock_now_usec(CLOCK_MONOTONIC));
        inventory->guard.failures = inventory->failures.now;
        inventory->guard.n_failures = inventory->failures.n_now;
        *ret = &inventory->guard;
        return 0;
}

void inventory_job_changed(Inventory *inventory, const Job *job) {
        failures_note(&inventory->failures, job, inventory->block_size, clock_now_usec(CLOCK_MONOTONIC));
        if (job_state_is_final(job->state))
                inventory_invalidate(inventory);
}

void inventory_block_changed(Inventory *inventory, const Job *job, uint32_t block) {
        if (job->state != JOB_RESTORING)
                failures_forget(&inventory->failures, block);
        inventory_invalidate(inventory);
}

/* What is left to take of a request's blocks: they go in their order. */
static void promise(MemoryRoom *room, const Job *job, const Plan *plan) {
        for (size_t i = job->removed_blocks; i < plan->n_steps; i++)
                memory_room_promise(room, plan->steps[i].node, plan->steps[i].zone, plan->block_size);
}

int inventory_room(Inventory *inventory, Request *const *requests, size_t n_requests, const Request *but,
                   MemoryRoom *ret) {
        MemoryRoom room;
        int r;

        r = memory_room_read(inventory->root_fd, &room);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_requests; i++) {
                const Job *job = request_job(requests[i]);
                const Plan *plan = request_plan(requests[i]);

                if (requests[i] != but && request_is_active(requests[i]) && plan &&
                    job->kind == DEMAND_UNPLUG)
                        promise(&room, job, plan);
        }
        *ret = room;
        return 0;
}
