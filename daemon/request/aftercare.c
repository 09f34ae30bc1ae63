/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One engine call at a time, over the blocks that came in meanwhile. Which blocks need it is the queue's to
 * say. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request/aftercare.h"
#include "util/cleanup.h"
#include "util/log.h"

struct Aftercare {
        Engine *engine;
        AftercareWatch watch;
        EngineBlock *waiting;
        size_t n_waiting;
        EngineOp *op;
};

static void start(Aftercare *care);

int aftercare_new(Aftercare **ret, Engine *engine, const AftercareWatch *watch) {
        Aftercare *care = calloc(1, sizeof(*care));

        if (!care)
                return -ENOMEM;
        care->engine = engine;
        care->watch = *watch;
        *ret = care;
        return 0;
}

Aftercare *aftercare_free(Aftercare *care) {
        if (!care)
                return NULL;
        (void) engine_op_free(care->op);
        free(care->waiting);
        free(care);
        return NULL;
}

bool aftercare_is_busy(const Aftercare *care) {
        return care->op || care->n_waiting > 0;
}

static void on_event(EngineOp *op, const EngineEvent *event, void *userdata) {
        Aftercare *care = userdata;

        if (event->type == ENGINE_EVENT_BLOCK && event->result == STEP_OK)
                care->watch.changed(event->block, care->watch.userdata);
        if (event->type != ENGINE_EVENT_END)
                return;
        care->op = engine_op_free(op);
        if (event->result != STEP_OK)
                log_warning("A block that a stuck worker took cannot be brought back (%s), ignoring.",
                            event->error < 0 ? strerror(-event->error)
                                             : step_result_to_string(event->result));
        start(care);
}

/* Changes: blocks go online. */
static void start(Aftercare *care) {
        CLEANUP(freep) EngineBlock *blocks = STEAL_PTR(care->waiting);
        size_t n = care->n_waiting;
        int r;

        care->n_waiting = 0;
        if (n == 0) {
                care->watch.idle(care->watch.userdata);
                return;
        }
        r = engine_online(care->engine, blocks, n, on_event, care, &care->op);
        if (r < 0)
                (void) log_warning_errno(
                        r, "Blocks that a stuck worker took cannot be brought back, ignoring: %s",
                        strerror(-r));
}

void aftercare_add(Aftercare *care, const EngineBlock *blocks, size_t n) {
        EngineBlock *waiting = reallocarray(care->waiting, care->n_waiting + n + 1, sizeof(*waiting));

        if (!waiting) {
                log_warning("No memory to bring back what a stuck worker took, ignoring.");
                return;
        }
        care->waiting = waiting;
        if (n > 0)
                memcpy(waiting + care->n_waiting, blocks, n * sizeof(*blocks));
        care->n_waiting += n;
        if (!care->op)
                start(care);
}
