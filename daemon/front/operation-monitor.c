/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Monitor: everything that changes, to whoever wants to watch. Changes of blocks are gathered for a moment:
 * to say what a block is now, all of them are read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front/json.h"
#include "front/operation-stream.h"
#include "util/index-list.h"
#include "util/json.h"

static int tell(OperationCall *call, const char *event, const char *key, json_object *value) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || json_add_string(o, "event", event) < 0) {
                (void) json_object_put(value);
                return -ENOMEM;
        }
        if (key && json_add(o, key, value) < 0)
                return -ENOMEM;
        return operation_answer_part(call, STEAL_PTR(o));
}

static int tell_job(OperationCall *call, const Job *job) {
        return tell(call, "job", "job", json_from_job(job));
}

static JobWatch *find_watch(OperationCall *call, uint32_t id) {
        for (size_t i = 0; i < call->n_watches; i++)
                if (call->watches[i].id == id)
                        return &call->watches[i];
        return NULL;
}

static void forget_watch(OperationCall *call, uint32_t id) {
        JobWatch *watch = find_watch(call, id);

        if (watch)
                *watch = call->watches[--call->n_watches];
}

static void blocks_sort(OperationCall *call) {
        size_t n = 0;

        index_list_sort(call->blocks, call->n_blocks);
        for (size_t i = 0; i < call->n_blocks; i++)
                if (n == 0 || call->blocks[n - 1] != call->blocks[i])
                        call->blocks[n++] = call->blocks[i];
        call->n_blocks = n;
}

/* There are at most as many as the machine has. */
static void block_changed(OperationCall *call, uint32_t block) {
        if (call->n_blocks == call->size_blocks && call->n_blocks > 0)
                blocks_sort(call);
        if (call->n_blocks * 2 >= call->size_blocks) {
                size_t size = call->size_blocks > 0 ? call->size_blocks * 2 : 64;
                uint32_t *blocks = reallocarray(call->blocks, size, sizeof(*blocks));

                if (!blocks)
                        return; /* this change is not told */
                call->blocks = blocks;
                call->size_blocks = size;
        }
        if (call->n_blocks == 0)
                call->blocks_at = operation_now(call) + OPERATION_BLOCKS_USEC;
        call->blocks[call->n_blocks++] = block;
}

static const Device *find_device(const Device *devices, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(devices[i].name, name) == 0)
                        return &devices[i];
        return NULL;
}

/* As it was told last, but gone. */
static json_object *device_absent(const BlockTable *table, Device device, const GuardPolicy *policy) {
        Block none;
        const BlockTable nothing = { .block_size = table->block_size, .blocks = &none, .n_blocks = 0 };
        json_object *o;

        device.online_bytes = 0;
        o = json_from_device(&nothing, &device, policy);
        if (!o)
                return NULL;
        json_object_object_del(o, "moveBytes");
        json_object_object_del(o, "reason");
        if (json_add_string(o, "verdict", verdict_to_string(VERDICT_ABSENT)) < 0) {
                (void) json_object_put(o);
                return NULL;
        }
        return o;
}

static int devices_remember(OperationCall *call, const BlockTable *table) {
        Device *devices = calloc(table->n_devices + 1, sizeof(*devices));

        if (!devices)
                return -ENOMEM;
        if (table->n_devices > 0)
                memcpy(devices, table->devices, table->n_devices * sizeof(*devices));
        free(call->devices);
        call->devices = devices;
        call->n_devices = table->n_devices;
        return 0;
}

static void devices_tell(OperationCall *call, const BlockTable *table, const GuardPolicy *policy) {
        for (size_t i = 0; i < call->n_devices && !call->over; i++) {
                const Device *device = &call->devices[i];

                if (!find_device(table->devices, table->n_devices, device->name))
                        (void) tell(call, "device", "device", device_absent(table, *device, policy));
        }
        for (size_t i = 0; i < table->n_devices && !call->over; i++) {
                const Device *device = &table->devices[i];

                if (!find_device(call->devices, call->n_devices, device->name))
                        (void) tell(call, "device", "device",
                                    operation_device(call->context, table, device, policy));
        }
        (void) devices_remember(call, table); /* or told again next time */
}

static void blocks_tell(OperationCall *call) {
        const GuardPolicy *policy;
        const BlockTable *table;

        if (queue_table(call->context->queue, &table, &policy) < 0) {
                call->blocks_at = operation_now(call) + OPERATION_BLOCKS_USEC; /* perhaps it can be then */
                return;
        }
        blocks_sort(call);
        for (size_t i = 0; i < call->n_blocks && !call->over; i++) {
                const Block *block = block_table_find(table, call->blocks[i]);
                const Block absent = {
                        .index = call->blocks[i],
                        .device = BLOCK_DEVICE_NONE,
                        .address = call->blocks[i] * table->block_size,
                        .state = BLOCK_ABSENT,
                        .node = -1,
                        .used_bytes = BLOCK_USAGE_UNKNOWN,
                        .unmovable_bytes = BLOCK_USAGE_UNKNOWN,
                };

                (void) tell(call, "block", "block", json_from_block(table, block ?: &absent, policy));
        }
        call->n_blocks = 0;
        devices_tell(call, table, policy);
}

/* The first change at once, others gathered. */
static void health_changed(OperationCall *call) {
        uint64_t now = operation_now(call);

        if (call->health_at == UINT64_MAX)
                call->health_at = now - call->health_told_at < OPERATION_BLOCKS_USEC
                                          ? call->health_told_at + OPERATION_BLOCKS_USEC
                                          : now;
}

static bool has_targets(const BlockTable *table) {
        for (size_t i = 0; i < table->n_devices; i++)
                if (table->devices[i].target_known)
                        return true;
        return false;
}

/* All lines; then the devices of which a source may have something to say, if any, with a look into them. */
static void health_tell(OperationCall *call) {
        Queue *queue = call->context->queue;
        const GuardPolicy *policy;
        const BlockTable *table;
        int r = queue_blocks(queue, &table, &policy);

        call->health_at = UINT64_MAX;
        call->health_told_at = operation_now(call);
        if (tell(call, "health", "health", operation_health(call->context, r < 0 ? NULL : table, r)) < 0)
                return;
        if (r < 0 || !has_targets(table)) /* to look into all memory is dear */
                return;
        r = queue_table(queue, &table, &policy);
        for (size_t i = 0; r >= 0 && i < table->n_devices && !call->over; i++)
                if (table->devices[i].target_known)
                        (void) tell(call, "device", "device",
                                    operation_device(call->context, table, &table->devices[i], policy));
}

static void monitor_arm(OperationCall *call) {
        uint64_t when = operation_watches_next(call);

        if (call->over)
                return;
        if (call->n_blocks > 0 && call->blocks_at < when)
                when = call->blocks_at;
        if (call->health_at < when)
                when = call->health_at;
        /* While the peer has not taken what it got, there is nothing to do but wait for it. */
        operation_timer_arm(call, operation_sink_is_full(call) ? UINT64_MAX : when);
}

static void monitor_flush(OperationCall *call) {
        operation_watches_flush(call, tell_job);
        if (!call->over && call->n_blocks > 0 && operation_now(call) >= call->blocks_at &&
            !operation_sink_is_full(call))
                blocks_tell(call);
        if (!call->over && operation_now(call) >= call->health_at && !operation_sink_is_full(call))
                health_tell(call);
        monitor_arm(call);
}

static int on_monitor_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        OperationCall *call = userdata;

        if (!call->over)
                monitor_flush(call);
        return 0;
}

static void on_monitor(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        OperationCall *call = userdata;
        JobWatch *watch = job ? find_watch(call, job->id) : NULL;

        if (call->over)
                return;
        switch (event) {
        case QUEUE_JOB_NEW:
        case QUEUE_JOB_CHANGED:
                if (watch)
                        operation_watch_changed(call, watch, job, tell_job);
                else if (job && operation_watch(call, job))
                        (void) tell_job(call, job);
                break;
        case QUEUE_JOB_ENDED:
                if (job) {
                        forget_watch(call, job->id);
                        (void) tell_job(call, job);
                }
                break;
        case QUEUE_BLOCK_CHANGED:
                block_changed(call, block);
                break;
        case QUEUE_HEALTH_CHANGED:
                health_changed(call);
                break;
        }
        monitor_arm(call);
}

/* Watching begins before the state is told, so that nothing falls between. */
int operation_monitor(OperationCall *call) {
        const GuardPolicy *policy;
        const BlockTable *table;
        Queue *queue = call->context->queue;
        int r;

        call->resume = monitor_flush;
        call->health_at = UINT64_MAX;
        if (queue_table(queue, &table, &policy) >= 0 && devices_remember(call, table) < 0)
                return -ENOMEM;
        r = queue_observe(queue, on_monitor, call, &call->observer);
        if (r >= 0)
                r = sd_event_add_time(call->context->event, &call->timer, CLOCK_MONOTONIC, UINT64_MAX,
                                      /* accuracy= */ 10000, on_monitor_timer, call);
        if (r >= 0)
                r = sd_event_source_set_enabled(call->timer, SD_EVENT_OFF);
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot watch");
        for (size_t i = 0; r >= 0 && i < queue_n_jobs(queue); i++) {
                const Job *job = queue_job_at(queue, i);

                if (job_state_is_final(job->state))
                        continue;
                if (!operation_watch(call, job))
                        return -ENOMEM;
                r = tell_job(call, job);
        }
        return r < 0 ? r : tell(call, "ready", /* key= */ NULL, /* value= */ NULL);
}
