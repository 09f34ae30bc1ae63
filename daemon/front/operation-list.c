/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists: one item per reply. A list goes on where it stopped when the peer has taken what was sent, so
 * that it needs no more memory than a screenful; each item is as it is when it is sent. */
#include <errno.h>

#include "front/json.h"
#include "front/operation-internal.h"
#include "util/json-text.h"
#include "util/json.h"

/* The first block with this index or a higher one, or NULL. */
static const Block *block_from(const BlockTable *table, uint64_t index) {
        size_t low = 0, high = table->n_blocks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (table->blocks[middle].index < index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < table->n_blocks ? &table->blocks[low] : NULL;
}

/* The oldest job from this id on, or NULL: ids grow with time. */
static const Job *job_from(const Queue *queue, uint64_t id) {
        for (size_t i = 0; i < queue_n_jobs(queue); i++)
                if (queue_job_at(queue, i)->id >= id)
                        return queue_job_at(queue, i);
        return NULL;
}

json_object *operation_device(const OperationContext *context, const BlockTable *table, const Device *device,
                              const GuardPolicy *policy) {
        CLEANUP(json_putp) json_object *o = json_from_device(table, device, policy);
        CLEANUP(freep) char *note = NULL;

        if (o && context->device_note)
                note = context->device_note(device->name, context->device_note_userdata);
        if (note) {
                json_object_object_del(o, "reason");
                if (json_add(o, "reason", json_text_new(note)) < 0)
                        return NULL;
        }
        return STEAL_PTR(o);
}

/* 1 and the next item, with the position behind it; 0 there is none; -ENOMEM. */
static int next_item(OperationCall *call, const BlockTable *table, const GuardPolicy *policy,
                     json_object **ret) {
        json_object *item;

        if (call->list == OPERATION_LIST_BLOCKS) {
                const Block *block = block_from(table, call->position);

                if (!block)
                        return 0;
                call->position = (uint64_t) block->index + 1;
                item = operation_wrap("block", json_from_block(table, block, policy));
        } else if (call->list == OPERATION_LIST_DEVICES) {
                if (call->position >= table->n_devices)
                        return 0;
                item = operation_device(call->context, table, &table->devices[call->position++], policy);
                item = operation_wrap("device", item);
        } else {
                const Job *job = job_from(call->context->queue, call->position);

                if (!job)
                        return 0;
                call->position = (uint64_t) job->id + 1;
                item = operation_wrap("job", json_from_job(job));
        }
        if (!item)
                return -ENOMEM;
        *ret = item;
        return 1;
}

/* Sends until the peer has enough for now, or the list is at its end: then the call may be gone. */
static int list_continue(OperationCall *call) {
        const GuardPolicy *policy = NULL;
        const BlockTable *table = NULL;
        int r;

        if (call->list != OPERATION_LIST_JOBS) {
                r = queue_table(call->context->queue, &table, &policy);
                if (r < 0)
                        return operation_answer_failure(call, r, "Cannot read the memory blocks");
        }
        while (!operation_sink_is_full(call)) {
                json_object *item = NULL;

                r = next_item(call, table, policy, &item);
                if (r < 0)
                        return operation_answer_failure(call, r, "");
                if (r == 0)
                        return call->held ? operation_answer(call, STEAL_PTR(call->held)) :
                                            operation_answer_empty(call);
                if (call->held) {
                        r = operation_answer_part(call, STEAL_PTR(call->held));
                        if (r < 0) {
                                (void) json_object_put(item);
                                return r;
                        }
                }
                call->held = item;
        }
        return 0;
}

static void list_resume(OperationCall *call) {
        (void) list_continue(call); /* a sink that takes no more closes its connection */
}

int operation_list(OperationCall *call, OperationId list) {
        call->list = list;
        call->resume = list_resume;
        return list_continue(call);
}

int operation_list_job(OperationCall *call, const OperationArguments *arguments) {
        const Job *job = queue_find(call->context->queue, arguments->id);

        if (!job)
                return operation_answer_error_number(call, ERROR_NO_SUCH_JOB, "id", arguments->id);
        return operation_answer(call, operation_wrap("job", json_from_job(job)));
}
