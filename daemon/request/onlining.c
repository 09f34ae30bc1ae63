/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Announced blocks are gathered for a moment, so that a device is judged as a whole, then one engine call
 * brings them online. Only what was announced while the service runs: what somebody took offline stays so.
 */
#include "request/onlining.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory/online.h"
#include "util/cleanup.h"
#include "util/index-list.h"
#include "util/log.h"

#define GATHER_USEC UINT64_C(100000)

struct Onlining {
        sd_event *event;
        Engine *engine;
        Queue *queue;
        OnlineRule rule;
        uint32_t *added; /* may repeat; sorted when they are looked at */
        size_t n_added;
        sd_event_source *timer;
        EngineOp *op;
};

static void arm(Onlining *onlining);

int onlining_new(Onlining **ret, sd_event *event, Engine *engine, Queue *queue) {
        Onlining *onlining = calloc(1, sizeof(*onlining));

        if (!onlining)
                return -ENOMEM;
        onlining->event = sd_event_ref(event);
        onlining->engine = engine;
        onlining->queue = queue;
        *ret = onlining;
        return 0;
}

Onlining *onlining_free(Onlining *onlining) {
        if (!onlining)
                return NULL;
        (void) engine_op_free(onlining->op);
        (void) sd_event_source_disable_unref(onlining->timer);
        (void) sd_event_unref(onlining->event);
        free(onlining->added);
        free(onlining);
        return NULL;
}

void onlining_set_rule(Onlining *onlining, OnlineRule rule) {
        onlining->rule = rule;
}

/* Drivers of other devices bring their memory online themselves. */
static bool is_ours(const Onlining *onlining, const BlockTable *table, const GuardPolicy *policy,
                    const Block *block) {
        return block->state == BLOCK_OFFLINE && block->device != BLOCK_DEVICE_NONE &&
                        table->devices[block->device].kind == DEVICE_ACPI_DIMM &&
                        index_list_contains(onlining->added, onlining->n_added, block->index) &&
                        !index_list_contains(policy->busy_blocks, policy->n_busy, block->index);
}

/* Blocks of a device follow each other in the table. Returns how many were chosen. */
static size_t choose(const Onlining *onlining, const BlockTable *table, const GuardPolicy *policy,
                     EngineBlock *ret) {
        OnlineTotals totals = online_totals(table);
        size_t n = 0;

        for (uint32_t device = 0; device < table->n_devices; device++) {
                size_t first = n;
                Zone zone;

                for (size_t i = 0; i < table->n_blocks; i++)
                        if (table->blocks[i].device == device &&
                            is_ours(onlining, table, policy, &table->blocks[i]))
                                ret[n++].block = table->blocks[i].index;
                if (n == first)
                        continue;
                zone = online_zone(table, device, (n - first) * table->block_size,
                                   onlining->rule.ratio, &totals);
                for (size_t i = first; i < n; i++)
                        ret[i].zone = zone;
                log_info("Bringing %zu blocks of %s online in zone %s.", n - first,
                         table->devices[device].name, zone_to_string(zone));
        }
        return n;
}

static void on_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Onlining *onlining = userdata;

        if (event->type == ENGINE_EVENT_BLOCK && event->result == STEP_OK)
                queue_block_changed(onlining->queue, event->block);
        if (event->type != ENGINE_EVENT_END)
                return;
        onlining->op = engine_op_free(op);
        if (event->result != STEP_OK)
                log_warning("Not all blocks that were plugged could be brought online (%s).",
                            event->error < 0 ? strerror(-event->error)
                                             : step_result_to_string(event->result));
        if (onlining->n_added > 0)
                arm(onlining);
}

/* Changes: announced blocks go online. */
static int bring_online(Onlining *onlining) {
        CLEANUP(freep) EngineBlock *blocks = NULL;
        const GuardPolicy *policy;
        const BlockTable *table;
        size_t n;
        int r;

        queue_invalidate_table(onlining->queue);
        r = queue_blocks(onlining->queue, &table, &policy);
        if (r < 0)
                return r;
        blocks = calloc(table->n_blocks + 1, sizeof(*blocks));
        if (!blocks)
                return -ENOMEM;
        index_list_sort(onlining->added, onlining->n_added);
        n = choose(onlining, table, policy, blocks);
        onlining->n_added = 0;
        if (n == 0)
                return 0;
        return engine_online(onlining->engine, blocks, n, on_event, onlining, &onlining->op);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Onlining *onlining = userdata;
        int r;

        onlining->timer = sd_event_source_disable_unref(onlining->timer);
        r = bring_online(onlining);
        if (r < 0)
                (void) log_warning_errno(r, "Memory that was plugged cannot be brought online, ignoring: %s",
                                         strerror(-r));
        return 0;
}

static void arm(Onlining *onlining) {
        int r;

        if (onlining->timer || onlining->op)
                return;
        r = sd_event_add_time_relative(onlining->event, &onlining->timer, CLOCK_MONOTONIC, GATHER_USEC, 1000,
                                       on_timer, onlining);
        if (r < 0)
                (void) log_warning_errno(r, "Memory that was plugged cannot be brought online, ignoring: %s",
                                         strerror(-r));
}

void onlining_added(Onlining *onlining, uint32_t block) {
        uint32_t *added;

        if (!onlining->rule.movable || onlining->n_added >= ONLINING_BLOCKS_MAX)
                return;
        added = reallocarray(onlining->added, onlining->n_added + 1, sizeof(*added));
        if (!added)
                return; /* short of memory: it stays offline */
        onlining->added = added;
        added[onlining->n_added++] = block;
        arm(onlining);
}
