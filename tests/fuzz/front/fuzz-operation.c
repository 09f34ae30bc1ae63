/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arguments of operations, as both fronts hand them in: the first byte says which one and whether it
 * streams, the rest is the JSON of its parameters. Each call must get exactly one last answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../unit/front/fake-queue.h"
#include "front/operation.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Answers {
        unsigned last;
} Answers;

static int on_reply(void *userdata, json_object *parameters, bool continues) {
        Answers *answers = userdata;

        if (answers->last > 0 || (parameters && !json_text(parameters)))
                abort();
        answers->last += !continues;
        return 0;
}

static int on_error(void *userdata, const char *error_name, json_object *parameters) {
        if (!strchr(error_name, '.'))
                abort();
        return on_reply(userdata, parameters, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const Engine engine = {};
        const OperationCaller caller = { .name = "uid 1000" };
        Answers answers = {};
        const OperationSink sink = { .reply = on_reply, .error = on_error, .userdata = &answers };
        json_object *parameters = NULL;
        OperationCall *call = NULL;
        OperationContext context;
        Queue queue;
        int r;

        if (size == 0 || json_parse((const char *) data + 1, size - 1, &parameters) < 0)
                return 0;
        if (!json_object_is_type(parameters, json_type_object)) {
                json_putp(&parameters); /* no front lets that through */
                return 0;
        }
        fake_queue_init(&queue);
        context = (OperationContext) { .queue = &queue, .engine = (Engine *) &engine, .version = "1" };
        if (sd_event_new(&context.event) < 0)
                abort();
        (void) fake_queue_add_job(&queue, JOB_DONE);
        r = operation_run(&context, operation_get((data[0] >> 1) % _OPERATION_MAX), parameters, data[0] & 1,
                          &caller, &sink, &call);
        if (r < 0 || answers.last > 1 || (answers.last == 1) == (call != NULL))
                abort();
        if (queue.n_jobs > 1) {
                queue.jobs[1].state = JOB_PARTIAL;
                fake_queue_tell(&queue, QUEUE_JOB_ENDED, &queue.jobs[1], 0);
                if (answers.last != 1)
                        abort();
        }
        (void) operation_call_free(call);
        fake_queue_tell(&queue, QUEUE_JOB_CHANGED, NULL, 0); /* frees slots */
        if (queue.n_slots != 0 || queue.demand.n_blocks > DEMAND_BLOCKS_MAX)
                abort();
        fake_queue_clear(&queue);
        (void) sd_event_unref(context.event);
        (void) json_object_put(parameters);
        return 0;
}
