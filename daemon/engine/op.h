/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What engine.c and op.c share, and what tests may replace. Not for other folders. */
#pragma once

#include "engine/engine.h"
#include "engine/kmod.h"
#include "engine/worker.h"

typedef struct EngineHooks {
        const KmodOps *kmod_ops; /* NULL: the real ones */
        WorkerKill kill;         /* NULL: the real one */
} EngineHooks;

int engine_new_hooked(Engine **ret, sd_event *event, int root_fd, const char *device_path,
                      const EngineHooks *hooks);

sd_event *engine_event(const Engine *engine);
int engine_root_fd(const Engine *engine);
Kmod *engine_kmod(const Engine *engine); /* NULL: ENGINE_SYSFS */
WorkerKill engine_kill(const Engine *engine);

/* Changes: what engine_can_evacuate() and engine_reason() say. */
void engine_refresh(Engine *engine);
/* Changes: engine_stuck_blocks(), until the worker has ended. Takes the worker. */
void engine_set_aside(Engine *engine, Worker *worker, const EngineBlock *blocks, size_t n);
/* The engine must outlive its operations: +1, -1. */
void engine_count_op(Engine *engine, int change);

/* The one place where an errno gets a meaning. 0 is STEP_OK. */
StepResult engine_step_result(int error);
