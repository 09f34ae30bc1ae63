/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine that does what a test tells it: implements engine/engine.h without touching memory. Operations
 * end by themselves from the event loop, or are held until the test lets them go. */
#pragma once

#include "engine/engine.h"
#include "engine/owners.h"
#include "tree.h"

#define FAKE_OWNER_PID 4711

#define FAKE_BLOCKS_MAX 256U
#define FAKE_USED_BYTES (UINT64_C(1) << 20)

struct Engine {
        sd_event *event;
        EngineKind kind;
        int root_fd;                              /* block states are written here, so that scans see them */
        bool hold;                                /* operations wait for fake_engine_finish() */
        StepResult evacuate_result;               /* of each evacuation */
        unsigned evacuate_failures;               /* so many times, then STEP_OK; UINT_MAX: always */
        StepResult offline_result;                /* of fail_block */
        int64_t fail_block;                       /* does not go offline; -1: none */
        unsigned offline_failures;                /* so many times */
        StepResult eject_result;
        StepResult cancel_result;                 /* how a cancelled operation ends: KILLED or STUCK */
        StepResult online_result;
        uint64_t pinned_bytes[FAKE_BLOCKS_MAX];   /* what a survey finds */
        uint64_t locked_bytes[FAKE_BLOCKS_MAX], writeback_bytes[FAKE_BLOCKS_MAX];
        uint64_t used_bytes[FAKE_BLOCKS_MAX];     /* FAKE_USED_BYTES at first */
        uint64_t most_used_bytes; /* of the last survey of a table */
        unsigned n_evacuate, n_offline, n_online, n_eject, n_surveys; /* calls */
        bool keep_cache;                          /* of the last evacuation */
        bool owners_silent;                       /* nobody answers who owns a page */
        unsigned n_owners;                        /* questions */
        const char *target;                       /* a device that the hypervisor wants smaller; or NULL */
        uint64_t requested_bytes, plugged_bytes;
        unsigned n_retries;                       /* its driver was told */
        unsigned n_let_go;                        /* pages looked at, and found not in the way any more */
        uint32_t stuck[FAKE_BLOCKS_MAX];
        size_t n_stuck;
        EngineReleasedCallback released;
        void *released_userdata;
        EngineOp *held[8];
        size_t n_held;
};

void fake_engine_init(Engine *engine, sd_event *event, int root_fd);
/* A tree of two DIMMs, a loop, and the engine for them; or the end of the first two. */
void fake_machine_begin(Tree *tree, sd_event **event, Engine *engine);
void fake_machine_end(Tree *tree, sd_event *event);
/* Stuck workers come back, having taken their blocks after all. */
void fake_engine_release(Engine *engine);
/* Lets the oldest held operation go on to its end. */
void fake_engine_finish(Engine *engine);
