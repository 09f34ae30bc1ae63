/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An operation under way: its workers, what they report, and how it ends. Events reach the owner from the
 * event loop only, END always comes and comes last, and the owner may free the operation in any of them:
 * so after a callback nothing of the operation is touched. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/op.h"
#include "engine/sysfs.h"
#include "engine/task.h"
#include "util/log.h"

/* Samples cost a process, and a look at every page: an evacuation that is over sooner goes without. */
#define SAMPLE_DELAY_USEC UINT64_C(250000)

struct EngineOp {
        Engine *engine;
        EngineCallback callback;
        void *userdata;
        Task task;
        bool evacuates;
        Worker *worker;  /* does it */
        Worker *sampler; /* counts meanwhile */
        sd_event_source *defer_source;
        sd_event_source *sample_timer; /* until the sampler starts */
        size_t n_done;       /* blocks that were reported */
        uint64_t bytes_left; /* last known */
        StepResult result;
        int error;
        bool cancelled;
        bool ended;
};

DEFINE_CLEANUP(EngineOp *, engine_op_free)

static void op_emit(EngineOp *op, const EngineEvent *event) {
        op->callback(op, event, op->userdata);
}

/* Changes: ends the operation, unless something of it still runs. The last thing that its caller does. */
static void op_check_end(EngineOp *op) {
        EngineEvent event;

        if (op->worker || op->sampler || op->ended)
                return;
        op->ended = true;
        event = (EngineEvent) {
                .type = ENGINE_EVENT_END,
                .result = op->result,
                .error = op->error,
                .bytes_left = op->bytes_left,
        };
        op_emit(op, &event);
}

/* What a worker that cannot be killed holds. An offline that was cut off holds the block it was at, no
 * other. */
static const EngineBlock *op_held(const EngineOp *op, size_t *ret_n) {
        bool one_by_one = !op->evacuates && op->task.device[0] == 0;

        *ret_n = !one_by_one ? op->task.n_blocks : op->n_done < op->task.n_blocks ? 1 : 0;
        return one_by_one ? op->task.blocks + op->n_done : op->task.blocks;
}

static void op_set_worker_aside(EngineOp *op, Worker *worker) {
        const EngineBlock *held;
        size_t n;

        held = op_held(op, &n);
        engine_set_aside(op->engine, worker, held, n);
}

/* Changes: result, error and bytes_left, from the worker's own word. */
static void op_take_end(EngineOp *op, const WorkerRecord *end) {
        op->error = end->error;
        op->result = engine_step_result(end->error);
        if (!op->evacuates)
                return;
        op->bytes_left = end->bytes;
        if (op->result == STEP_OK && end->bytes > 0)
                op->result = STEP_LEFT;
        /* The self-test was made at this first use, and the method is not to be had: as if it had been
         * known before. */
        engine_refresh(op->engine);
        if (end->error == -EOPNOTSUPP && !engine_can_evacuate(op->engine)) {
                op->error = 0;
                op->result = STEP_OK;
        }
}

/* Changes: result and error. */
static void op_take_fate(EngineOp *op, WorkerFate fate, const WorkerRecord *end) {
        op->result = STEP_FAILED;
        switch (fate) {
        case WORKER_FINISHED:
                if (op->evacuates && end->bytes != BLOCK_USAGE_UNKNOWN &&
                    end->bytes > range_total(op->task.ranges, op->task.n_ranges))
                        op->error = -EPROTO;
                else
                        op_take_end(op, end);
                break;
        case WORKER_DIED:
                op->error = -EOWNERDEAD;
                break;
        case WORKER_GARBLED:
                op->error = -EPROTO;
                break;
        case WORKER_STUCK:
                op->result = STEP_STUCK;
                op->error = 0;
                break;
        }
        if (op->cancelled && fate != WORKER_STUCK) {
                op->result = STEP_KILLED;
                op->error = 0;
        }
}

static void on_worker_over(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata) {
        EngineOp *op = userdata;

        op_take_fate(op, fate, end);
        op->worker = NULL;
        if (fate == WORKER_STUCK)
                op_set_worker_aside(op, worker);
        else
                (void) worker_free(worker);
        op->sample_timer = sd_event_source_disable_unref(op->sample_timer);
        if (op->sampler)
                worker_kill(op->sampler, ENGINE_PATIENCE_USEC);
        op_check_end(op);
}

/* A sampler that fails takes the progress with it and nothing else. */
static void on_sampler_over(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata) {
        EngineOp *op = userdata;

        op->sampler = NULL;
        if (fate == WORKER_STUCK)
                engine_set_aside(op->engine, worker, NULL, 0);
        else
                (void) worker_free(worker);
        op_check_end(op);
}

static bool on_sampler_record(Worker *worker, const WorkerRecord *record, void *userdata) {
        EngineOp *op = userdata;
        EngineEvent event;

        if (record->type != WORKER_RECORD_PROGRESS ||
            record->bytes > range_total(op->task.ranges, op->task.n_ranges))
                return false;
        if (record->bytes == op->bytes_left || !op->worker) /* nothing new, or the result is known already */
                return true;
        op->bytes_left = record->bytes;
        event = (EngineEvent) { .type = ENGINE_EVENT_PROGRESS, .bytes_left = record->bytes };
        op_emit(op, &event);
        return true;
}

/* Blocks are reported in the order given, each once. */
static bool on_block_record(Worker *worker, const WorkerRecord *record, void *userdata) {
        EngineOp *op = userdata;
        EngineEvent event;

        if (record->type != WORKER_RECORD_BLOCK || op->n_done >= op->task.n_blocks ||
            record->block != op->task.blocks[op->n_done].block)
                return false;
        op->n_done++;
        event = (EngineEvent) {
                .type = ENGINE_EVENT_BLOCK,
                .result = engine_step_result(record->error),
                .error = record->error,
                .block = record->block,
                .bytes_left = BLOCK_USAGE_UNKNOWN,
        };
        op_emit(op, &event);
        return true;
}

static bool refuse_record(Worker *worker, const WorkerRecord *record, void *userdata) {
        return false;
}

static int on_defer(sd_event_source *source, void *userdata) {
        EngineOp *op = userdata;

        op->defer_source = sd_event_source_disable_unref(op->defer_source);
        op_check_end(op);
        return 0;
}

/* Changes: the operation ends with STEP_OK at the next turn of the loop, without having done anything. */
static int op_defer_end(EngineOp *op) {
        return sd_event_add_defer(engine_event(op->engine), &op->defer_source, on_defer, op);
}

static int op_start_worker(EngineOp *op, const char *name, WorkerBody body, WorkerRecordHandler on_record) {
        const WorkerSpec spec = {
                .name = name,
                .body = body,
                .task = &op->task,
                .keep_fds = { op->task.root_fd, op->task.kmod ? kmod_fd(op->task.kmod) : -EBADF },
                .on_record = on_record,
                .on_over = on_worker_over,
                .userdata = op,
                .kill = engine_kill(op->engine),
        };

        return worker_start(&op->worker, engine_event(op->engine), &spec);
}

static int op_start_sampler(EngineOp *op) {
        const WorkerSpec spec = {
                .name = "mu-sample",
                .body = task_sample,
                .task = &op->task,
                .keep_fds = { kmod_fd(op->task.kmod), -EBADF },
                .on_record = on_sampler_record,
                .on_over = on_sampler_over,
                .userdata = op,
                .kill = engine_kill(op->engine),
        };

        return worker_start(&op->sampler, engine_event(op->engine), &spec);
}

static int on_sample_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        EngineOp *op = userdata;
        int r;

        op->sample_timer = sd_event_source_disable_unref(op->sample_timer);
        r = op_start_sampler(op);
        if (r < 0)
                (void) log_debug_errno(r, "Failed to start a sampler, ignoring: %m");
        return 0;
}

static int op_new(EngineOp **ret, Engine *engine, const EngineBlock *blocks, size_t n,
                  EngineCallback callback, void *userdata) {
        CLEANUP(engine_op_freep) EngineOp *op = NULL;

        assert(engine && callback && (blocks || n == 0));
        op = calloc(1, sizeof(*op));
        if (!op)
                return -ENOMEM;
        op->engine = engine;
        engine_count_op(engine, +1);
        op->callback = callback;
        op->userdata = userdata;
        op->bytes_left = BLOCK_USAGE_UNKNOWN;
        op->task.root_fd = engine_root_fd(engine);
        op->task.kmod = engine_kmod(engine);
        op->task.blocks = calloc(n > 0 ? n : 1, sizeof(*blocks));
        if (!op->task.blocks)
                return -ENOMEM;
        if (n > 0)
                memcpy(op->task.blocks, blocks, n * sizeof(*blocks));
        op->task.n_blocks = n;
        *ret = STEAL_PTR(op);
        return 0;
}

int engine_evacuate(Engine *engine, const EngineBlock *blocks, size_t n, uint64_t block_size,
                    bool keep_cache, EngineCallback callback, void *userdata, EngineOp **ret) {
        CLEANUP(engine_op_freep) EngineOp *op = NULL;
        int r;

        r = op_new(&op, engine, blocks, n, callback, userdata);
        if (r < 0)
                return r;
        op->evacuates = true;
        op->task.block_size = block_size;
        engine_refresh(engine);
        if (n == 0 || !engine_can_evacuate(engine))
                r = op_defer_end(op);
        else {
                r = range_make(blocks, n, block_size, &op->task.ranges, &op->task.n_ranges);
                if (r < 0)
                        return r;
                if (keep_cache && kmod_can_keep_cache(op->task.kmod))
                        op->task.evacuate_flags = MEMUNPLUG_EVACUATE_KEEP_CACHE;
                r = op_start_worker(op, "mu-evacuate", task_evacuate, refuse_record);
        }
        if (r < 0)
                return r;
        if (op->worker && kmod_can_survey(op->task.kmod)) {
                r = sd_event_add_time_relative(engine_event(engine), &op->sample_timer, CLOCK_MONOTONIC,
                                               SAMPLE_DELAY_USEC, 1000, on_sample_timer, op);
                if (r < 0)
                        (void) log_debug_errno(r, "Failed to set a timer for a sampler, ignoring: %m");
        }
        *ret = STEAL_PTR(op);
        return 0;
}

/* Changes: starts one worker on blocks that it goes through one by one. */
static int start_blocks(Engine *engine, const EngineBlock *blocks, size_t n, const char *name,
                        WorkerBody body, EngineCallback callback, void *userdata, EngineOp **ret) {
        CLEANUP(engine_op_freep) EngineOp *op = NULL;
        int r;

        r = op_new(&op, engine, blocks, n, callback, userdata);
        if (r < 0)
                return r;
        r = n == 0 ? op_defer_end(op) : op_start_worker(op, name, body, on_block_record);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(op);
        return 0;
}

int engine_offline(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                   void *userdata, EngineOp **ret) {
        return start_blocks(engine, blocks, n, "mu-offline", task_offline, callback, userdata, ret);
}

int engine_online(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                  void *userdata, EngineOp **ret) {
        return start_blocks(engine, blocks, n, "mu-online", task_online, callback, userdata, ret);
}

/* Changes: the task gets the blocks of its device, to see that they go, and to know what is held if they
 * do not. That a device is not there is for the worker to find. */
static int op_find_device_blocks(EngineOp *op) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        size_t n = 0;
        int r;

        r = sysfs_device_blocks(op->task.root_fd, op->task.device, &blocks, &n);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || n == 0)
                return 0;
        free(op->task.blocks);
        op->task.blocks = calloc(n, sizeof(*op->task.blocks));
        if (!op->task.blocks)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                op->task.blocks[i].block = blocks[i];
        op->task.n_blocks = n;
        return 0;
}

int engine_eject(Engine *engine, const char *device, EngineCallback callback, void *userdata,
                 EngineOp **ret) {
        CLEANUP(engine_op_freep) EngineOp *op = NULL;
        int r;

        if (!sysfs_device_name_is_valid(device))
                return -EINVAL;
        r = op_new(&op, engine, NULL, 0, callback, userdata);
        if (r < 0)
                return r;
        strcpy(op->task.device, device);
        r = op_find_device_blocks(op);
        if (r < 0)
                return r;
        r = op_start_worker(op, "mu-eject", task_eject, refuse_record);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(op);
        return 0;
}

void engine_op_cancel(EngineOp *op, uint64_t patience_usec) {
        if (op->cancelled || op->ended)
                return;
        if (!op->worker && op->sampler) /* the result is known already */
                return;
        op->cancelled = true;
        op->result = STEP_KILLED;
        op->sample_timer = sd_event_source_disable_unref(op->sample_timer);
        if (op->worker)
                worker_kill(op->worker, patience_usec);
        if (op->sampler)
                worker_kill(op->sampler, patience_usec);
}

/* Workers that still run are killed, and watched by the engine until they have ended. */
EngineOp *engine_op_free(EngineOp *op) {
        if (!op)
                return NULL;
        op->defer_source = sd_event_source_disable_unref(op->defer_source);
        op->sample_timer = sd_event_source_disable_unref(op->sample_timer);
        if (op->worker) {
                worker_kill(op->worker, ENGINE_PATIENCE_USEC);
                op_set_worker_aside(op, op->worker);
        }
        if (op->sampler) {
                worker_kill(op->sampler, ENGINE_PATIENCE_USEC);
                engine_set_aside(op->engine, op->sampler, NULL, 0);
        }
        task_clear(&op->task);
        engine_count_op(op->engine, -1);
        free(op);
        return NULL;
}
