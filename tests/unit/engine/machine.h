/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine on a made-up machine, and the events of one operation at a time. */
#pragma once

#include "engine/op.h"
#include "fake.h"

#define EVENTS_MAX 32U

typedef struct Machine {
        sd_event *event;
        int root_fd;
        Engine *engine;
        EngineOp *op;
        EngineEvent events[EVENTS_MAX];
        size_t n_events;
        bool ended;
        int cancel_at; /* event that the operation is cancelled in, counted from 1 */
        int free_at;   /* event that it is freed in */
        size_t fds;
} Machine;

/* For cmocka: *state is a Machine without an engine. The second finds what was left behind. */
int machine_setup(void **state);
int machine_teardown(void **state);

void machine_make(Machine *m, const char *device_path, WorkerKill kill_hook);
/* The callback of operations; userdata is the machine. */
void machine_event(EngineOp *op, const EngineEvent *event, void *userdata);
void machine_turn(Machine *m);
const EngineEvent *machine_run(Machine *m);
void machine_expect_end(Machine *m, StepResult result, int error);
/* Ready for the next operation. */
void machine_next(Machine *m);
