/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake.h. The replies are fixed, so that tests can compare them with what arrives. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "front/logind.h"

struct QueueSlot {
        Fake *fake;
        QueueObserver observer;
        void *userdata;
};

struct Fake {
        OperationContext context;
        Job jobs[FAKE_JOBS_MAX];
        size_t n_jobs;
        QueueSlot *slot;
        const char *operation;
        char parameters[65536], caller[64];
        unsigned runs;
        const char *error, *error_key, *error_value;
        bool hold;
        OperationCall *held;
};

struct OperationCall {
        Fake *fake;
        OperationSink sink;
};

static const struct {
        const char *name, *action;
} table[_OPERATION_MAX] = {
        [OPERATION_GET_STATUS] = { "GetStatus", NULL },
        [OPERATION_LIST_BLOCKS] = { "ListBlocks", NULL },
        [OPERATION_LIST_DEVICES] = { "ListDevices", NULL },
        [OPERATION_PLAN] = { "Plan", NULL },
        [OPERATION_UNPLUG] = { "Unplug", "org.memunplug1.unplug" },
        [OPERATION_REPLUG] = { "Replug", "org.memunplug1.replug" },
        [OPERATION_CANCEL] = { "Cancel", "org.memunplug1.cancel" },
        [OPERATION_CONFIRM] = { "Confirm", "org.memunplug1.unplug" },
        [OPERATION_LIST_JOBS] = { "ListJobs", NULL },
        [OPERATION_EXPLAIN] = { "Explain", NULL },
        [OPERATION_MONITOR] = { "Monitor", NULL },
        [OPERATION_DIAGNOSE] = { "Diagnose", NULL },
};

const Operation *operation_get(OperationId id) {
        static Operation operations[_OPERATION_MAX];

        operations[id] = (Operation) { id, table[id].name, table[id].action, STREAM_NEVER };
        return &operations[id];
}

Fake *fake_new(sd_event *event) {
        Fake *fake = calloc(1, sizeof(*fake));

        assert(fake);
        fake->context = (OperationContext) { .event = event, .queue = (Queue *) fake, .version = "1.2.3" };
        return fake;
}

void fake_free(Fake *fake) {
        if (!fake)
                return;
        assert(!fake->slot); /* who observes must stop before */
        assert(!fake->held); /* who runs an operation must free it */
        for (size_t i = 0; i < fake->n_jobs; i++)
                free(fake->jobs[i].reason);
        free(fake);
}

const OperationContext *fake_context(const Fake *fake) {
        return &fake->context;
}

/* The queue */

int queue_blocks(Queue *queue, const BlockTable **ret, const GuardPolicy **ret_policy) {
        static const BlockTable blocks = { .online_bytes = 1073741824 };

        *ret = &blocks;
        return 0;
}

size_t queue_n_jobs(const Queue *queue) {
        return ((const Fake *) queue)->n_jobs;
}

const Job *queue_job_at(const Queue *queue, size_t index) {
        return &((const Fake *) queue)->jobs[index];
}

Job *fake_job(Fake *fake, uint32_t id) {
        for (size_t i = 0; i < fake->n_jobs; i++)
                if (fake->jobs[i].id == id)
                        return &fake->jobs[i];
        return NULL;
}

const Job *queue_find(const Queue *queue, uint32_t id) {
        return fake_job((Fake *) queue, id);
}

int queue_observe(Queue *queue, QueueObserver observer, void *userdata, QueueSlot **ret) {
        Fake *fake = (Fake *) queue;

        assert(!fake->slot);
        fake->slot = calloc(1, sizeof(*fake->slot));
        assert(fake->slot);
        *fake->slot = (QueueSlot) { fake, observer, userdata };
        *ret = fake->slot;
        return 0;
}

QueueSlot *queue_slot_free(QueueSlot *slot) {
        if (!slot)
                return NULL;
        slot->fake->slot = NULL;
        free(slot);
        return NULL;
}

/* Shutdown and suspend are for a test of their own. */
int logind_new(Logind **ret, sd_bus *bus, Queue *queue) {
        *ret = NULL;
        return 0;
}

Logind *logind_free(Logind *logind) {
        return NULL;
}

void fake_tell(Fake *fake, QueueEvent event, const Job *job) {
        if (fake->slot)
                fake->slot->observer(event, job, 0, fake->slot->userdata);
}

Job *fake_job_new(Fake *fake) {
        Job *job = &fake->jobs[fake->n_jobs++];

        assert(fake->n_jobs <= FAKE_JOBS_MAX);
        *job = (Job) {
                .id = (uint32_t) fake->n_jobs, .kind = DEMAND_UNPLUG, .source = SOURCE_OPERATOR,
                .caller = "uid 7", .device = "PNP0C80:01", .requested_bytes = 1 << 30, .move_bytes = 1 << 20,
                .total_blocks = 8, .current_block = -1, .created_at = 1000, .deadline_at = 2000,
                .eta_usec = UINT64_MAX,
        };
        fake_tell(fake, QUEUE_JOB_NEW, job);
        return job;
}

void fake_job_end(Fake *fake, Job *job, JobState state) {
        job->state = state;
        job->finished_at = 3000;
        if (state != JOB_DONE) {
                job->cause = CAUSE_IN_USE;
                job->reason = strdup("A page is pinned.");
        }
        fake_tell(fake, QUEUE_JOB_ENDED, job);
}

/* The table of operations */

const char *engine_kind_to_string(EngineKind kind) {
        return kind == ENGINE_KMOD ? "kmod" : "sysfs";
}

EngineKind engine_kind(const Engine *engine) {
        return ENGINE_SYSFS;
}

static json_object *parse(const char *text) {
        json_object *object = json_tokener_parse(text);

        assert(object);
        return object;
}

static int reply(const OperationSink *sink, const char *text, bool continues) {
        json_object *object = parse(text);
        int r = sink->reply(sink->userdata, object, continues);

        json_object_put(object);
        return r;
}

static int reply_job(const OperationSink *sink, const Job *job, bool continues) {
        char text[256];

        (void) snprintf(text, sizeof(text), "{\"job\":{\"id\":%u,\"source\":\"%s\",\"state\":\"%s\"}}",
                        job->id, source_to_string(job->source), job_state_to_string(job->state));
        return reply(sink, text, continues);
}

static int reply_jobs(Fake *fake, const OperationSink *sink) {
        for (size_t i = 0; i < fake->n_jobs; i++)
                (void) reply_job(sink, &fake->jobs[i], i + 1 < fake->n_jobs);
        return fake->n_jobs > 0
                       ? 0
                       : sink->reply(sink->userdata, /* parameters= */ NULL, /* continues= */ false);
}

static int reply_error(const OperationSink *sink, const char *name, const char *key, const char *value) {
        json_object *object = json_object_new_object();
        int r;

        if (key)
                json_object_object_add(object, key, json_object_new_string(value));
        r = sink->error(sink->userdata, name, object);
        json_object_put(object);
        return r;
}

static int answer(Fake *fake, OperationId id, json_object *parameters, const OperationSink *sink) {
        const char *status = "{\"version\":\"1.2.3\",\"engine\":\"sysfs\",\"blockSizeBytes\":134217728,"
                             "\"onlineBytes\":1073741824,\"removableBytes\":268435456,"
                             "\"health\":[\"one\",\"two\"]}";
        json_object *number = NULL;
        Job *job = NULL;

        if (fake->error)
                return reply_error(sink, fake->error, fake->error_key, fake->error_value);
        if (json_object_object_get_ex(parameters, "id", &number)) {
                job = fake_job(fake, (uint32_t) json_object_get_int64(number));
                if (!job)
                        return reply_error(sink, "org.memunplug.NoSuchJob", "id",
                                           json_object_get_string(number));
        }
        switch ((int) id) {
        case OPERATION_GET_STATUS:
                return reply(sink, status, false);
        case OPERATION_LIST_BLOCKS:
                (void) reply(sink, "{\"block\":{\"index\":1}}", true);
                return reply(sink, "{\"block\":{\"index\":2}}", false);
        case OPERATION_LIST_DEVICES:
                return reply(sink, "{\"device\":{\"name\":\"boot\"}}", false);
        case OPERATION_PLAN:
                return reply(sink, "{\"feasible\":true}", false);
        case OPERATION_DIAGNOSE:
                return reply(sink, "{\"findings\":[]}", false);
        case OPERATION_EXPLAIN:
                return reply(sink, "{\"verdict\":\"free\"}", false);
        case OPERATION_LIST_JOBS:
                return job ? reply_job(sink, job, false) : reply_jobs(fake, sink);
        case OPERATION_CANCEL:
        case OPERATION_CONFIRM:
                return reply_job(sink, job, false);
        default:
                return reply_job(sink, fake_job_new(fake), false);
        }
}

int operation_run(const OperationContext *context, const Operation *operation, json_object *parameters,
                  bool more, const OperationCaller *caller, const OperationSink *sink, OperationCall **ret) {
        Fake *fake = (Fake *) context->queue;

        *ret = NULL;
        if (operation->id == OPERATION_GET_STATUS && !parameters) /* properties do not count */
                return answer(fake, operation->id, parameters, sink);
        fake->operation = operation->name;
        fake->runs++;
        (void) snprintf(fake->parameters, sizeof(fake->parameters), "%s",
                        json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN));
        (void) snprintf(fake->caller, sizeof(fake->caller), "%s", caller->name);
        if (!fake->hold)
                return answer(fake, operation->id, parameters, sink);

        assert(!fake->held);
        fake->held = calloc(1, sizeof(*fake->held));
        assert(fake->held);
        *fake->held = (OperationCall) { fake, *sink };
        *ret = fake->held;
        return 0;
}

OperationCall *operation_call_free(OperationCall *call) {
        if (!call)
                return NULL;
        call->fake->held = NULL;
        free(call);
        return NULL;
}

const char *fake_operation(const Fake *fake) {
        return fake->operation;
}

const char *fake_parameters(const Fake *fake) {
        return fake->parameters;
}

const char *fake_caller(const Fake *fake) {
        return fake->caller;
}

unsigned fake_runs(const Fake *fake) {
        return fake->runs;
}

void fake_fail(Fake *fake, const char *name, const char *key, const char *value) {
        fake->error = name;
        fake->error_key = key;
        fake->error_value = value;
}

void fake_hold(Fake *fake) {
        fake->hold = true;
}

bool fake_is_held(const Fake *fake) {
        return fake->held;
}

void fake_release(Fake *fake) {
        const OperationSink sink = fake->held->sink; /* answering frees the call */

        fake->hold = false;
        (void) reply(&sink, "{\"verdict\":\"free\"}", false);
}
