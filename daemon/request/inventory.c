/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the block table fresh and merges the lists of busy blocks. What is busy is the queue's to say, what
 * the table means is memory/'s. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "request/inventory.h"
#include "util/cleanup.h"

#define TABLE_FRESH_USEC (1000ULL * 1000ULL) /* usage changes without an event */

struct Inventory {
        int root_fd;
        Engine *engine;
        BlockTable *table;
        uint64_t table_time;
        uint32_t *busy;
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

static uint64_t monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
        return (uint64_t) ts.tv_sec * 1000000ULL + (uint64_t) ts.tv_nsec / 1000;
}

int inventory_table(Inventory *inventory, const BlockTable **ret) {
        BlockTable *table;
        int r;

        if (inventory->table && monotonic_usec() - inventory->table_time < TABLE_FRESH_USEC) {
                *ret = inventory->table;
                return 0;
        }
        r = block_table_scan(inventory->root_fd, &table);
        if (r < 0)
                return r;
        r = engine_survey_table(inventory->engine, table);
        if (r < 0 && r != -EOPNOTSUPP) {
                (void) block_table_free(table);
                return r;
        }
        (void) block_table_free(inventory->table);
        inventory->table = table;
        inventory->table_time = monotonic_usec();
        *ret = table;
        return 0;
}

static int compare_blocks(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return (x > y) - (x < y);
}

int inventory_guard(Inventory *inventory, const GuardPolicy *policy, uint32_t *busy, size_t n_busy,
                    const GuardPolicy **ret) {
        CLEANUP(freep) uint32_t *taken = busy;
        size_t n_stuck;
        const uint32_t *stuck = engine_stuck_blocks(inventory->engine, &n_stuck);
        uint32_t *all = calloc(n_busy + n_stuck + 1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < n_busy; i++)
                all[i] = taken[i];
        for (size_t i = 0; i < n_stuck; i++)
                all[n_busy + i] = stuck[i];
        qsort(all, n_busy + n_stuck, sizeof(*all), compare_blocks);
        free(inventory->busy);
        inventory->busy = all;
        inventory->guard = *policy;
        inventory->guard.busy_blocks = all;
        inventory->guard.n_busy = n_busy + n_stuck;
        *ret = &inventory->guard;
        return 0;
}

int inventory_room(Inventory *inventory, MemoryRoom *ret) {
        return memory_room_read(inventory->root_fd, ret);
}
