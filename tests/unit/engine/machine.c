/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#define TURN_USEC UINT64_C(20000000)

void machine_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Machine *m = userdata;

        assert_false(m->ended);
        assert_true(m->n_events < EVENTS_MAX);
        m->events[m->n_events++] = *event;
        m->ended = event->type == ENGINE_EVENT_END;
        if ((int) m->n_events == m->cancel_at)
                engine_op_cancel(op, ENGINE_PATIENCE_USEC);
        if ((int) m->n_events == m->free_at)
                m->op = engine_op_free(op);
}

int machine_setup(void **state) {
        Machine *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        fake_module_reset();
        m->fds = count_fds();
        m->root_fd = fake_root_new();
        assert_int_equal(sd_event_new(&m->event), 0);
        *state = m;
        return 0;
}

int machine_teardown(void **state) {
        Machine *m = *state;

        (void) engine_op_free(m->op);
        (void) engine_free(m->engine);
        (void) sd_event_unref(m->event);
        fake_root_free(m->root_fd);
        assert_true(no_children());
        assert_int_equal(count_fds(), m->fds);
        free(m);
        return 0;
}

void machine_make(Machine *m, const char *device_path, WorkerKill kill_hook) {
        const EngineHooks hooks = { .kmod_ops = &fake_ops, .kill = kill_hook };

        assert_int_equal(engine_new_hooked(&m->engine, m->event, m->root_fd, device_path, &hooks), 0);
}

void machine_turn(Machine *m) {
        assert_true(sd_event_run(m->event, TURN_USEC) > 0);
}

const EngineEvent *machine_run(Machine *m) {
        while (!m->ended)
                machine_turn(m);
        return &m->events[m->n_events - 1];
}

void machine_next(Machine *m) {
        m->op = engine_op_free(m->op);
        m->n_events = 0;
        m->ended = false;
        m->cancel_at = m->free_at = 0;
}

void machine_expect_end(Machine *m, StepResult result, int error) {
        const EngineEvent *event = machine_run(m);

        assert_int_equal(event->result, result);
        assert_int_equal(event->error, error);
}
