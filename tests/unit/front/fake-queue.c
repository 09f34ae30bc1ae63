/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake-queue.h. Stands in for request/queue.c and engine/engine.c. */
#include "fake-queue.h"

#include <linux/memunplug.h>
#include <stdlib.h>
#include <string.h>

struct QueueSlot {
        Queue *queue;
        QueueObserver observer;
        void *userdata;
        QueueSlot *next;
        bool dead;
};

void fake_queue_init(Queue *queue) {
        *queue = (Queue) {
                .devices = {
                        { .name = "boot", .kind = DEVICE_BOOT, .first_block = 0, .n_blocks = 2,
                          .size_bytes = 256 * MIB, .online_bytes = 256 * MIB, .node = 0 },
                        { .name = "PNP0C80:00", .kind = DEVICE_ACPI_DIMM, .first_block = 32, .n_blocks = 2,
                          .size_bytes = 256 * MIB, .online_bytes = 128 * MIB, .node = -1,
                          .ejectable = true },
                },
                .policy = { .keep_free_bytes = UINT64_MAX },
        };
        for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
                queue->blocks[i] = (Block) {
                        .index = i < 2 ? i : 30 + i,
                        .device = i / 2,
                        .address = (i < 2 ? i : 30 + i) * 128 * MIB,
                        .state = i == 3 ? BLOCK_OFFLINE : BLOCK_ONLINE,
                        .zone = i < 2 ? ZONE_NORMAL : ZONE_MOVABLE,
                        .node = 0,
                        .used_bytes = i == 3 ? BLOCK_USAGE_UNKNOWN : i * MIB,
                        .unmovable_bytes = i == 3 ? BLOCK_USAGE_UNKNOWN : 0,
                };
        queue->table = (BlockTable) {
                .block_size = 128 * MIB,
                .blocks = queue->blocks,
                .n_blocks = FAKE_BLOCKS,
                .devices = queue->devices,
                .n_devices = 2,
                .online_bytes = 384 * MIB,
        };
}

/* Slots that were given back go with it. */
void fake_queue_clear(Queue *queue) {
        while (queue->slots) {
                QueueSlot *slot = queue->slots;

                queue->slots = slot->next;
                free(slot);
        }
        for (size_t i = 0; i < queue->n_jobs; i++)
                job_clear(&queue->jobs[i]);
        demand_clear(&queue->demand);
}

Job *fake_queue_add_job(Queue *queue, JobState state) {
        Job *job;

        if (queue->n_jobs >= FAKE_JOBS)
                abort(); /* a test that wants more must say so in FAKE_JOBS */
        job = &queue->jobs[queue->n_jobs++];
        *job = (Job) {
                .id = 10 + (uint32_t) queue->n_jobs,
                .source = SOURCE_OPERATOR,
                .state = state,
                .current_block = -1,
                .created_at = 1,
                .eta_usec = UINT64_MAX,
        };
        return job;
}

void fake_queue_tell(Queue *queue, QueueEvent event, const Job *job, uint32_t block) {
        QueueSlot **link = &queue->slots;

        for (QueueSlot *slot = queue->slots; slot; slot = slot->next)
                if (!slot->dead)
                        slot->observer(event, job, block, slot->userdata);
        while (*link) {
                QueueSlot *slot = *link;

                if (slot->dead) {
                        *link = slot->next;
                        free(slot);
                } else
                        link = &slot->next;
        }
}

int queue_observe(Queue *queue, QueueObserver observer, void *userdata, QueueSlot **ret) {
        QueueSlot *slot = calloc(1, sizeof(*slot));

        if (!slot)
                return -ENOMEM;
        *slot = (QueueSlot) { .queue = queue, .observer = observer, .userdata = userdata,
                              .next = queue->slots };
        queue->slots = slot;
        queue->n_slots++;
        *ret = slot;
        return 0;
}

/* Like the real one it may be freed while it is told: it goes with the next telling. */
QueueSlot *queue_slot_free(QueueSlot *slot) {
        if (slot) {
                slot->dead = true;
                slot->queue->n_slots--;
        }
        return NULL;
}

int queue_blocks(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy) {
        queue->n_table_reads++;
        if (queue->table_error < 0)
                return queue->table_error;
        *ret_table = &queue->table;
        if (ret_policy)
                *ret_policy = &queue->policy;
        return 0;
}

int queue_table(Queue *queue, const BlockTable **ret_table, const GuardPolicy **ret_policy) {
        return queue_blocks(queue, ret_table, ret_policy);
}

int queue_plan(Queue *queue, const Demand *demand, Plan **ret) {
        Plan *plan = calloc(1, sizeof(*plan));

        demand_clear(&queue->demand);
        if (!plan || demand_copy(demand, &queue->demand) < 0)
                abort();
        *plan = (Plan) { .outcome = queue->plan_outcome, .missing_block = 7, .block_size = 128 * MIB };
        if (queue->plan_outcome != PLAN_FEASIBLE)
                plan->reason = strdup("because");
        else {
                plan->steps = calloc(1, sizeof(*plan->steps));
                if (!plan->steps)
                        abort();
                plan->steps[0] = (PlanStep) { .block = 32, .zone = ZONE_MOVABLE, .node = 0, .device = 1,
                                              .move_bytes = 2 * MIB };
                plan->n_steps = 1;
        }
        *ret = plan;
        return 0;
}

static int refuse(JobCause cause, const char *reason, uint32_t block, QueueAnswer *ret) {
        *ret = (QueueAnswer) {
                .cause = cause,
                .reason = reason ? strdup(reason) : NULL,
                .missing_block = block,
        };
        return 0;
}

int queue_submit(Queue *queue, const Demand *demand, QueueAnswer *ret) {
        Job *job;

        demand_clear(&queue->demand);
        if (demand_copy(demand, &queue->demand) < 0)
                abort();
        queue->n_submitted++;
        if (queue->submit_error < 0)
                return queue->submit_error;
        if (queue->n_jobs >= FAKE_JOBS)
                return refuse(CAUSE_BUSY, "too many jobs are under way already", /* block= */ 0, ret);
        if (queue->submit_cause != CAUSE_NONE)
                return refuse(queue->submit_cause, queue->submit_reason, /* block= */ 7, ret);
        job = fake_queue_add_job(queue, queue->submit_state);
        job->kind = demand->kind;
        job->source = demand->source;
        fake_queue_tell(queue, QUEUE_JOB_NEW, job, 0);
        *ret = (QueueAnswer) { .job = job };
        return 0;
}

void queue_health_changed(Queue *queue) {
        queue->n_health++;
        fake_queue_tell(queue, QUEUE_HEALTH_CHANGED, NULL, 0);
}

void queue_set_lender(Queue *queue, const QueueLender *lender) {
        queue->lender = lender;
}

JobCause queue_cancel(Queue *queue, uint32_t id) {
        return queue_find(queue, id) ? queue->cancel_cause : CAUSE_REFUSED;
}

JobCause queue_confirm(Queue *queue, uint32_t id) {
        return queue_cancel(queue, id);
}

const Job *queue_find(const Queue *queue, uint32_t id) {
        for (size_t i = 0; i < queue->n_jobs; i++)
                if (queue->jobs[i].id == id)
                        return &queue->jobs[i];
        return NULL;
}

size_t queue_n_jobs(const Queue *queue) {
        return queue->n_jobs;
}

const Job *queue_job_at(const Queue *queue, size_t i) {
        return i < queue->n_jobs ? &queue->jobs[i] : NULL;
}

const Job *queue_current(const Queue *queue) {
        for (size_t i = 0; i < queue->n_jobs; i++)
                if (!job_state_is_final(queue->jobs[i].state))
                        return &queue->jobs[i];
        return NULL;
}

EngineKind engine_kind(const Engine *engine) {
        return engine->kind;
}

const char *engine_kind_to_string(EngineKind kind) {
        return kind == ENGINE_KMOD ? "kmod" : "sysfs";
}

const char *engine_reason(const Engine *engine) {
        return engine->reason;
}

bool engine_can_evacuate(const Engine *engine) {
        return engine->kind == ENGINE_KMOD;
}

int engine_survey_block(Engine *engine, const BlockTable *table, uint32_t block, size_t max_blockers,
                        EngineSurvey *ret) {
        EngineSurvey survey = { .total_blockers = 1, .n_blockers = 1 };

        if (engine->survey_error < 0)
                return engine->survey_error;
        survey.class_bytes[MEMUNPLUG_CLASS_FREE] = 100 * MIB;
        survey.class_bytes[MEMUNPLUG_CLASS_PINNED] = 4096;
        survey.blockers = calloc(1, sizeof(*survey.blockers));
        if (!survey.blockers)
                abort();
        survey.blockers[0] = (EngineBlocker) { .address = 0x1000, .class = MEMUNPLUG_CLASS_PINNED,
                                               .ref_count = 3,
                                               .map_count = 1 };
        *ret = survey;
        return 0;
}

void engine_survey_clear(EngineSurvey *survey) {
        free(survey->blockers);
        *survey = (EngineSurvey) {};
}
