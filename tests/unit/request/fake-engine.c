/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake-engine.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/memunplug.h>

#include "fake-engine.h"
#include "util/sysfs.h"

typedef enum FakeKind { FAKE_EVACUATE, FAKE_OFFLINE, FAKE_ONLINE, FAKE_EJECT } FakeKind;

struct EngineOp {
        Engine *engine;
        FakeKind kind;
        EngineBlock *blocks;
        size_t n_blocks;
        EngineCallback callback;
        void *userdata;
        sd_event_source *source;
        bool cancelled;
};

/* The engine that answers questions for owners: there is one per test. */
static Engine *owners_engine;

void fake_engine_init(Engine *engine, sd_event *event, int root_fd) {
        owners_engine = engine;
        *engine = (Engine) {
                .event = event,
                .root_fd = root_fd,
                .kind = ENGINE_KMOD,
                .evacuate_result = STEP_LEFT,
                .offline_result = STEP_BUSY,
                .fail_block = -1,
                .eject_result = STEP_OK,
                .cancel_result = STEP_KILLED,
                .online_result = STEP_OK,
        };
        for (size_t i = 0; i < FAKE_BLOCKS_MAX; i++)
                engine->used_bytes[i] = FAKE_USED_BYTES;
}

void fake_machine_begin(Tree *tree, sd_event **event, Engine *engine) {
        int r;

        tree_make(tree, 2);
        r = sd_event_new(event);
        assert(r >= 0);
        fake_engine_init(engine, *event, tree->fd);
}

void fake_machine_end(Tree *tree, sd_event *event) {
        (void) sd_event_unref(event);
        tree_remove(tree);
}

static void set_state(Engine *engine, uint32_t block, const char *state) {
        char path[128];

        (void) snprintf(path, sizeof(path), "sys/devices/system/memory/memory%u/state", block);
        assert(sysfs_write(engine->root_fd, path, state) >= 0);
}

static void tell(EngineOp *op, EngineEventType type, StepResult result, int error, uint32_t block,
                 uint64_t left) {
        op->callback(op, &(EngineEvent) { .type = type, .result = result, .error = error, .block = block,
                                          .bytes_left = left }, op->userdata);
}

static uint64_t bytes_left(const EngineOp *op) {
        uint64_t sum = 0;

        for (size_t i = 0; i < op->n_blocks; i++)
                sum += op->engine->pinned_bytes[op->blocks[i].block];
        return sum;
}

static void run_evacuate(EngineOp *op) {
        Engine *engine = op->engine;

        if (engine->evacuate_failures > 0) {
                engine->evacuate_failures -= engine->evacuate_failures != UINT32_MAX;
                tell(op, ENGINE_EVENT_END, engine->evacuate_result, -EBUSY, 0, bytes_left(op));
                return;
        }
        for (size_t i = 0; i < op->n_blocks; i++)
                engine->used_bytes[op->blocks[i].block] = 0;
        tell(op, ENGINE_EVENT_PROGRESS, STEP_OK, 0, 0, 0);
        tell(op, ENGINE_EVENT_END, STEP_OK, 0, 0, 0);
}

static void run_offline(EngineOp *op) {
        Engine *engine = op->engine;

        for (size_t i = 0; i < op->n_blocks; i++) {
                uint32_t block = op->blocks[i].block;

                if ((int64_t) block == engine->fail_block && engine->offline_failures > 0) {
                        engine->offline_failures -= engine->offline_failures != UINT32_MAX;
                        tell(op, ENGINE_EVENT_BLOCK, engine->offline_result, -EBUSY, block, 0);
                        tell(op, ENGINE_EVENT_END, engine->offline_result, -EBUSY, block, 0);
                        return;
                }
                set_state(engine, block, "offline");
                tell(op, ENGINE_EVENT_BLOCK, STEP_OK, 0, block, 0);
        }
        tell(op, ENGINE_EVENT_END, STEP_OK, 0, 0, 0);
}

static void run_online(EngineOp *op) {
        for (size_t i = 0; i < op->n_blocks; i++) {
                uint32_t block = op->blocks[i].block;

                if (op->engine->online_result == STEP_OK)
                        set_state(op->engine, block, "online");
                tell(op, ENGINE_EVENT_BLOCK, op->engine->online_result, 0, block, 0);
        }
        tell(op, ENGINE_EVENT_END, op->engine->online_result,
             op->engine->online_result == STEP_OK ? 0 : -EBUSY, 0, 0);
}

static int run(sd_event_source *source, void *userdata) {
        EngineOp *op = userdata;

        if (op->cancelled) {
                if (op->engine->cancel_result == STEP_STUCK)
                        for (size_t i = 0; i < op->n_blocks; i++)
                                op->engine->stuck[op->engine->n_stuck++] = op->blocks[i].block;
                tell(op, ENGINE_EVENT_END, op->engine->cancel_result, -EINTR, 0, BLOCK_USAGE_UNKNOWN);
                return 0;
        }
        switch (op->kind) {
        case FAKE_EVACUATE:
                run_evacuate(op);
                break;
        case FAKE_OFFLINE:
                run_offline(op);
                break;
        case FAKE_ONLINE:
                run_online(op);
                break;
        case FAKE_EJECT:
                tell(op, ENGINE_EVENT_END, op->engine->eject_result,
                     op->engine->eject_result == STEP_OK ? 0 : -ETIMEDOUT, 0, 0);
                break;
        }
        return 0;
}

static int start(Engine *engine, FakeKind kind, const EngineBlock *blocks, size_t n, EngineCallback callback,
                 void *userdata, EngineOp **ret) {
        EngineOp *op = calloc(1, sizeof(*op));

        assert(op);
        *op = (EngineOp) { .engine = engine, .kind = kind, .callback = callback, .userdata = userdata };
        op->blocks = calloc(n + 1, sizeof(*blocks));
        assert(op->blocks);
        if (n > 0)
                memcpy(op->blocks, blocks, n * sizeof(*blocks));
        op->n_blocks = n;
        assert(sd_event_add_defer(engine->event, &op->source, run, op) >= 0);
        if (engine->hold && kind != FAKE_ONLINE) {
                assert(sd_event_source_set_enabled(op->source, SD_EVENT_OFF) >= 0);
                engine->held[engine->n_held++] = op;
        }
        *ret = op;
        return 0;
}

static void forget_held(Engine *engine, EngineOp *op) {
        for (size_t i = 0; i < engine->n_held; i++) {
                if (engine->held[i] != op)
                        continue;
                memmove(engine->held + i, engine->held + i + 1, (engine->n_held - i - 1) * sizeof(op));
                engine->n_held--;
                return;
        }
}

void fake_engine_finish(Engine *engine) {
        EngineOp *op;

        assert(engine->n_held > 0);
        op = engine->held[0];
        forget_held(engine, op);
        assert(sd_event_source_set_enabled(op->source, SD_EVENT_ONESHOT) >= 0);
}

int engine_evacuate(Engine *engine, const EngineBlock *blocks, size_t n, uint64_t block_size,
                    bool keep_cache, EngineCallback callback, void *userdata, EngineOp **ret) {
        engine->n_evacuate++;
        engine->keep_cache = keep_cache;
        return start(engine, FAKE_EVACUATE, blocks, n, callback, userdata, ret);
}

int engine_offline(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                   void *userdata, EngineOp **ret) {
        engine->n_offline++;
        return start(engine, FAKE_OFFLINE, blocks, n, callback, userdata, ret);
}

int engine_online(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                  void *userdata, EngineOp **ret) {
        engine->n_online++;
        return start(engine, FAKE_ONLINE, blocks, n, callback, userdata, ret);
}

int engine_eject(Engine *engine, const char *device, EngineCallback callback, void *userdata,
                 EngineOp **ret) {
        engine->n_eject++;
        return start(engine, FAKE_EJECT, NULL, 0, callback, userdata, ret);
}

void engine_op_cancel(EngineOp *op, uint64_t patience_usec) {
        forget_held(op->engine, op);
        op->cancelled = true;
        assert(sd_event_source_set_enabled(op->source, SD_EVENT_ONESHOT) >= 0);
}

EngineOp *engine_op_free(EngineOp *op) {
        if (!op)
                return NULL;
        forget_held(op->engine, op);
        (void) sd_event_source_disable_unref(op->source);
        free(op->blocks);
        free(op);
        return NULL;
}

bool engine_can_evacuate(const Engine *engine) {
        return engine->kind == ENGINE_KMOD;
}

EngineKind engine_kind(const Engine *engine) {
        return engine->kind;
}

void engine_on_released(Engine *engine, EngineReleasedCallback callback, void *userdata) {
        engine->released = callback;
        engine->released_userdata = userdata;
}

void fake_engine_release(Engine *engine) {
        EngineBlock blocks[FAKE_BLOCKS_MAX];
        size_t n = engine->n_stuck;

        for (size_t i = 0; i < n; i++) {
                blocks[i] = (EngineBlock) { engine->stuck[i], ZONE_MOVABLE };
                set_state(engine, engine->stuck[i], "offline");
        }
        engine->n_stuck = 0;
        engine->released(blocks, n, engine->released_userdata);
}

const uint32_t *engine_stuck_blocks(const Engine *engine, size_t *ret_n) {
        *ret_n = engine->n_stuck;
        return engine->stuck;
}

int engine_complete_table(Engine *engine, BlockTable *table) {
        for (size_t i = 0; engine->target && i < table->n_devices; i++) {
                Device *device = &table->devices[i];

                device->target_known = strcmp(device->name, engine->target) == 0;
                device->requested_bytes = engine->requested_bytes;
                device->plugged_bytes = engine->plugged_bytes;
                device->piece_bytes = UINT64_C(2) << 20;
        }
        return 0;
}

int engine_retry_virtio_mem(Engine *engine, const char *device) {
        engine->n_retries++;
        return 0;
}

int engine_survey_table(Engine *engine, BlockTable *table, const bool *wanted, uint64_t most_used_bytes) {
        engine->most_used_bytes = most_used_bytes;
        engine->n_surveys++;
        if (engine->kind != ENGINE_KMOD)
                return -EOPNOTSUPP;
        for (size_t i = 0; i < table->n_blocks; i++) {
                if (wanted && !wanted[i])
                        continue;
                table->blocks[i].used_bytes = engine->used_bytes[table->blocks[i].index];
                table->blocks[i].unmovable_bytes = 0; /* pins come after the plan in these tests */
        }
        return 0;
}

/* Changes: ret has one page of a class, of those that keep so many bytes. */
static void add_blocker(EngineSurvey *ret, uint64_t address, uint32_t class, uint64_t bytes, size_t max) {
        if (bytes == 0)
                return;
        ret->total_blockers += bytes / 4096;
        if (ret->n_blockers == max)
                return;
        ret->blockers = reallocarray(ret->blockers, ret->n_blockers + 1, sizeof(*ret->blockers));
        assert(ret->blockers);
        ret->blockers[ret->n_blockers++] =
                        (EngineBlocker){ .address = address, .class = class, .ref_count = 2, .map_count = 1 };
}

int engine_survey_block(Engine *engine, const BlockTable *table, uint32_t block, size_t max_blockers,
                        EngineSurvey *ret) {
        uint64_t pinned = engine->pinned_bytes[block], locked = engine->locked_bytes[block];
        uint64_t writeback = engine->writeback_bytes[block], address = block * table->block_size;

        if (engine->kind != ENGINE_KMOD)
                return -EOPNOTSUPP;
        *ret = (EngineSurvey){ .used_bytes = pinned + locked + writeback,
                               .unmovable_bytes = pinned,
                               .locked_bytes = locked,
                               .writeback_bytes = writeback };
        ret->class_bytes[MEMUNPLUG_CLASS_PINNED] = pinned;
        add_blocker(ret, address, MEMUNPLUG_CLASS_PINNED, pinned, max_blockers);
        add_blocker(ret, address + 4096, MEMUNPLUG_CLASS_LOCKED, locked, max_blockers);
        add_blocker(ret, address + 8192, MEMUNPLUG_CLASS_WRITEBACK, writeback, max_blockers);
        return 0;
}

int engine_survey_page(Engine *engine, uint64_t address) {
        uint64_t block = address / (128ULL << 20);

        if (block < FAKE_BLOCKS_MAX && engine->pinned_bytes[block] > 0)
                return 1;
        engine->n_let_go++;
        return 0;
}

void engine_survey_clear(EngineSurvey *survey) {
        free(survey->blockers);
        *survey = (EngineSurvey) {};
}

struct OwnersQuery {
        OwnersCallback callback;
        void *userdata;
        OwnersReply reply;
        sd_event_source *source;
};

static int answer_owners(sd_event_source *source, uint64_t usec, void *userdata) {
        OwnersQuery *q = userdata;

        if (owners_engine->owners_silent)
                q->callback(-ETIMEDOUT, NULL, q->userdata);
        else
                q->callback(0, &q->reply, q->userdata);
        return 0;
}

int owners_query(sd_event *event, const char *socket_path, const uint64_t *addresses, size_t n,
                 uint64_t timeout_usec, OwnersCallback callback, void *userdata, OwnersQuery **ret) {
        OwnersQuery *q = calloc(1, sizeof(*q));

        assert(q && strcmp(socket_path, "owners") == 0 && n <= OWNERS_PAGES_MAX);
        owners_engine->n_owners++;
        *q = (OwnersQuery) { .callback = callback, .userdata = userdata };
        for (size_t i = 0; i < n; i++)
                q->reply.pages[i] = (OwnersPage) { .address = addresses[i], .comm = "holder",
                                                   .pids = { FAKE_OWNER_PID }, .n_pids = 1 };
        q->reply.n_pages = n;
        assert(sd_event_add_time_relative(event, &q->source, CLOCK_MONOTONIC, 20000, 0, answer_owners, q) >=
               0);
        *ret = q;
        return 0;
}

OwnersQuery *owners_query_free(OwnersQuery *q) {
        if (!q)
                return NULL;
        (void) sd_event_source_disable_unref(q->source);
        free(q);
        return NULL;
}

const char *step_result_to_string(StepResult result) {
        return "result";
}
