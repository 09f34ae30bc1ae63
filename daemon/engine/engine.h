/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be done to memory blocks. Everything that may block in the kernel is done by a
 * worker process; an EngineOp stands for it and reports through one callback from the event
 * loop. Only this folder changes the machine's memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "engine/survey.h"
#include "memory/block.h"

typedef struct EngineOp EngineOp;

typedef enum EngineKind { ENGINE_KMOD, ENGINE_SYSFS, _ENGINE_KIND_MAX } EngineKind;

/* How a step on blocks ended. Outcomes, not errors. */
typedef enum StepResult {
        STEP_OK,
        STEP_LEFT,        /* evacuate: worked through, but used pages are left */
        STEP_BUSY,        /* the kernel said busy: may go another time */
        STEP_REFUSED,     /* the kernel will not do it at all (zone, holes, permission, no such) */
        STEP_NO_MEMORY,
        STEP_KILLED,      /* ended by engine_op_cancel() */
        STEP_STUCK,       /* still in the kernel after being killed: set aside */
        STEP_FAILED,      /* anything else; error tells */
        _STEP_RESULT_MAX,
} StepResult;

typedef enum EngineEventType {
        ENGINE_EVENT_PROGRESS,  /* bytes_left changed */
        ENGINE_EVENT_BLOCK,     /* one block went through: block, result, error */
        ENGINE_EVENT_END,       /* the operation is over: result, error. The last event. */
} EngineEventType;

typedef struct EngineEvent {
        EngineEventType type;
        StepResult result;
        int error;              /* negative errno that the kernel gave, or 0 */
        uint32_t block;
        uint64_t bytes_left;    /* used bytes in the whole set; BLOCK_USAGE_UNKNOWN if not known */
} EngineEvent;

/* Called from the event loop. After ENGINE_EVENT_END the op is still to be freed by its owner
 * (engine_op_free may be called from within). */
typedef void (*EngineCallback)(EngineOp *op, const EngineEvent *event, void *userdata);

typedef struct EngineBlock {
        uint32_t block;
        Zone zone;              /* online: the zone it goes back to */
} EngineBlock;

/* root_fd: directory that holds sys and proc (borrowed). device_path: the module's node, or NULL
 * never to use it. Without the node the engine is ENGINE_SYSFS. */
int engine_new(Engine **ret, sd_event *event, int root_fd, const char *device_path);
Engine *engine_free(Engine *engine);
EngineKind engine_kind(const Engine *engine);
const char *engine_reason(const Engine *engine); /* why not kmod, or why no fence; NULL if all is well */
bool engine_can_evacuate(const Engine *engine);  /* the fence works here */
int engine_device_fd(const Engine *engine);      /* the module's file (borrowed), or -EOPNOTSUPP */

/* Each starts worker processes and returns at once. blocks are copied. Adjacent blocks are evacuated as
 * one range; PROGRESS comes at most four times a second. keep_cache: clean page cache is left, where the
 * module can do that, for engine_offline() to move, in place of being given up. Changes: the pages in the
 * blocks. */
int engine_evacuate(Engine *engine, const EngineBlock *blocks, size_t n, uint64_t block_size,
                    bool keep_cache, EngineCallback callback, void *userdata, EngineOp **ret);
/* One block after another in the order given; BLOCK events; stops at the first that fails. */
int engine_offline(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                   void *userdata, EngineOp **ret);
/* Each back into its zone; goes on after a failure, END carries the first one. */
int engine_online(Engine *engine, const EngineBlock *blocks, size_t n, EngineCallback callback,
                  void *userdata, EngineOp **ret);
/* The firmware takes the (offline) device away; END when the platform says it is gone. */
int engine_eject(Engine *engine, const char *device, EngineCallback callback, void *userdata,
                 EngineOp **ret);

/* How long a killed worker may take before it counts as stuck: by default, and where nobody is waiting. */
#define ENGINE_PATIENCE_USEC UINT64_C(500000)
#define ENGINE_PATIENCE_LONG_USEC UINT64_C(5000000)

/* Kills the workers. END follows: STEP_KILLED, or STEP_STUCK after at most the time given. */
void engine_op_cancel(EngineOp *op, uint64_t patience_usec);
EngineOp *engine_op_free(EngineOp *op);

/* A stuck worker has ended at last: what it held is free again, and may have gone offline meanwhile. */
typedef void (*EngineReleasedCallback)(const EngineBlock *blocks, size_t n, void *userdata);
void engine_on_released(Engine *engine, EngineReleasedCallback callback, void *userdata);

/* Blocks that stuck workers still hold, sorted; valid until the next event. */
const uint32_t *engine_stuck_blocks(const Engine *engine, size_t *ret_n);

const char *engine_kind_to_string(EngineKind kind);
const char *step_result_to_string(StepResult result);
