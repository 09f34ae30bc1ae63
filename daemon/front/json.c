/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain data to the objects of org.memunplug.varlink: names of fields and enumerations, and which fields are
 * left out. Where the data comes from, and where it goes, is for others. */
#include "front/json.h"

#include <errno.h>
#include <linux/memunplug.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json-text.h"
#include "util/json.h"

const char *page_class_to_string(unsigned class) {
        static const char *const names[] = {
                [MEMUNPLUG_CLASS_FREE] = "free",
                [MEMUNPLUG_CLASS_MOVABLE] = "movable",
                [MEMUNPLUG_CLASS_RESERVED] = "reserved",
                [MEMUNPLUG_CLASS_SLAB] = "slab",
                [MEMUNPLUG_CLASS_PAGE_TABLE] = "page_table",
                [MEMUNPLUG_CLASS_PINNED] = "pinned",
                [MEMUNPLUG_CLASS_HUGETLB] = "hugetlb",
                [MEMUNPLUG_CLASS_HWPOISON] = "hwpoison",
                [MEMUNPLUG_CLASS_OFFLINE] = "offline_page",
                [MEMUNPLUG_CLASS_BALLOON] = "balloon",
                [MEMUNPLUG_CLASS_KERNEL] = "kernel",
                [MEMUNPLUG_CLASS_UNKNOWN] = "unknown",
                [MEMUNPLUG_CLASS_LOCKED] = "locked",
                [MEMUNPLUG_CLASS_WRITEBACK] = "writeback",
        };

        return class < sizeof(names) / sizeof(names[0]) ? names[class] : "unknown";
}

/* The interface has signed numbers only. */
static int add_uint(json_object *object, const char *key, uint64_t value) {
        return json_add_int(object, key, value <= INT64_MAX ? (int64_t) value : INT64_MAX);
}

static int add_uint_unless(json_object *object, const char *key, uint64_t value, uint64_t absent) {
        return value != absent ? add_uint(object, key, value) : 0;
}

static int add_int_unless(json_object *object, const char *key, int64_t value, int64_t absent) {
        return value != absent ? json_add_int(object, key, value) : 0;
}

/* NULL and "" are left out. */
static int add_text(json_object *object, const char *key, const char *text) {
        return text && text[0] ? json_add(object, key, json_text_new(text)) : 0;
}

/* Takes item. */
static int append(json_object *array, json_object *item) {
        if (!item)
                return -ENOMEM;
        if (json_object_array_add(array, item) < 0) {
                (void) json_object_put(item);
                return -ENOMEM;
        }
        return 0;
}

static json_object *blocker_new(uint64_t address, uint32_t class, int32_t ref_count, int32_t map_count) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || add_uint(o, "physicalAddress", address) < 0 ||
            json_add_string(o, "class", page_class_to_string(class)) < 0 ||
            json_add_int(o, "refCount", ref_count) < 0 || json_add_int(o, "mapCount", map_count) < 0)
                return NULL;
        return STEAL_PTR(o);
}

int json_blocker_add_owner(json_object *blocker, const char *owner, const int32_t *pids, size_t n_pids) {
        json_object *array;
        int r;

        r = add_text(blocker, "owner", owner);
        if (r < 0 || n_pids == 0)
                return r;
        array = json_object_new_array();
        r = json_add(blocker, "pids", array);
        for (size_t i = 0; r >= 0 && i < n_pids; i++)
                r = append(array, json_object_new_int64(pids[i]));
        return r;
}

json_object *json_from_blocker(const JobBlocker *blocker) {
        CLEANUP(json_putp) json_object *o = blocker_new(blocker->address, blocker->class, blocker->ref_count,
                                                        blocker->map_count);

        if (!o || json_blocker_add_owner(o, blocker->owner, blocker->pids, blocker->n_pids) < 0)
                return NULL;
        return STEAL_PTR(o);
}

static int job_add_outcome(json_object *o, const Job *job) {
        json_object *blockers;
        int r;

        r = add_text(o, "reason", job->reason);
        if (r < 0 || job->n_blockers == 0)
                return r;
        blockers = json_object_new_array();
        r = json_add(o, "blockers", blockers);
        for (size_t i = 0; r >= 0 && i < job->n_blockers; i++)
                r = append(blockers, json_from_blocker(&job->blockers[i]));
        return r;
}

static int job_add_progress(json_object *o, const Job *job) {
        int r;

        r = add_uint(o, "requestedBytes", job->requested_bytes);
        if (r >= 0)
                r = add_uint(o, "removedBytes", job->removed_bytes);
        if (r >= 0)
                r = add_uint(o, "evacuatedBytes", job->evacuated_bytes);
        if (r >= 0)
                r = add_uint(o, "moveBytes", job->move_bytes);
        if (r >= 0)
                r = add_uint(o, "totalBlocks", job->total_blocks);
        if (r >= 0)
                r = add_uint(o, "removedBlocks", job->removed_blocks);
        if (r >= 0)
                r = add_int_unless(o, "currentBlock", job->current_block, -1);
        if (r >= 0)
                r = add_uint(o, "attempts", job->attempts);
        return r;
}

static int job_add_times(json_object *o, const Job *job) {
        int r;

        r = add_uint(o, "createdAt", job->created_at);
        if (r >= 0)
                r = add_uint_unless(o, "startedAt", job->started_at, 0);
        if (r >= 0)
                r = add_uint_unless(o, "finishedAt", job->finished_at, 0);
        if (r >= 0)
                r = add_uint_unless(o, "deadlineAt", job->deadline_at, 0);
        if (r >= 0)
                r = add_uint_unless(o, "etaUsec", job->eta_usec, UINT64_MAX);
        return r;
}

json_object *json_from_job(const Job *job) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || add_uint(o, "id", job->id) < 0 ||
            json_add_string(o, "source", source_to_string(job->source)) < 0 ||
            add_text(o, "caller", job->caller) < 0 ||
            json_add_string(o, "operation", demand_kind_to_string(job->kind)) < 0 ||
            add_text(o, "device", job->device) < 0 ||
            json_add_string(o, "state", job_state_to_string(job->state)) < 0 ||
            json_add_string(o, "cause", job_cause_to_string(job->cause)) < 0 ||
            (job->unconfirmed && json_add_bool(o, "unconfirmed", true) < 0) ||
            job_add_progress(o, job) < 0 || job_add_outcome(o, job) < 0 || job_add_times(o, job) < 0)
                return NULL;
        return STEAL_PTR(o);
}

static int add_verdict(json_object *o, Verdict verdict, const char *reason) {
        int r = json_add_string(o, "verdict", verdict_to_string(verdict));

        return r < 0 ? r : add_text(o, "reason", reason);
}

json_object *json_from_block(const BlockTable *table, const Block *block, const GuardPolicy *policy) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        CLEANUP(freep) char *reason = NULL;
        Verdict verdict;

        if (!o || guard_block(table, block, policy, &verdict, &reason) < 0 ||
            add_uint(o, "index", block->index) < 0 || add_uint(o, "physicalAddress", block->address) < 0 ||
            add_uint(o, "sizeBytes", table->block_size) < 0 ||
            json_add_string(o, "state", block_state_to_string(block->state)) < 0 ||
            json_add_string(o, "zone", zone_to_string(block->zone)) < 0 ||
            add_int_unless(o, "node", block->node, -1) < 0 ||
            add_text(o, "device", block_device_name(table, block)) < 0 ||
            add_uint_unless(o, "usedBytes", block->used_bytes, BLOCK_USAGE_UNKNOWN) < 0 ||
            add_uint_unless(o, "unmovableBytes", block->unmovable_bytes, BLOCK_USAGE_UNKNOWN) < 0 ||
            add_verdict(o, verdict, reason) < 0)
                return NULL;
        return STEAL_PTR(o);
}

/* What would have to move for the device to go; BLOCK_USAGE_UNKNOWN unless it is known of all its blocks. */
static uint64_t device_move_bytes(const BlockTable *table, const Device *device) {
        uint64_t sum = 0;

        for (size_t i = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];

                if (block->device == BLOCK_DEVICE_NONE || &table->devices[block->device] != device ||
                    block->state != BLOCK_ONLINE)
                        continue;
                if (block->used_bytes == BLOCK_USAGE_UNKNOWN)
                        return BLOCK_USAGE_UNKNOWN;
                sum += block->used_bytes;
        }
        return sum;
}

json_object *json_from_device(const BlockTable *table, const Device *device, const GuardPolicy *policy) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        CLEANUP(freep) char *reason = NULL;
        Verdict verdict;

        if (!o || guard_device(table, device, policy, &verdict, &reason) < 0 ||
            json_add(o, "name", json_text_new(device->name)) < 0 ||
            json_add_string(o, "kind", device_kind_to_string(device->kind)) < 0 ||
            add_uint(o, "firstBlock", device->first_block) < 0 ||
            add_uint(o, "blocks", device->n_blocks) < 0 ||
            add_uint(o, "sizeBytes", device->size_bytes) < 0 ||
            add_uint(o, "onlineBytes", device->online_bytes) < 0 ||
            add_int_unless(o, "node", device->node, -1) < 0 ||
            add_uint_unless(o, "moveBytes", device_move_bytes(table, device), BLOCK_USAGE_UNKNOWN) < 0 ||
            (device->target_known && (add_uint(o, "requestedBytes", device->requested_bytes) < 0 ||
                                      add_uint(o, "pluggedBytes", device->plugged_bytes) < 0)) ||
            add_verdict(o, verdict, reason) < 0)
                return NULL;
        return STEAL_PTR(o);
}

static json_object *plan_step(const BlockTable *table, const Plan *plan, const PlanStep *step) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        const char *device = step->device < table->n_devices ? table->devices[step->device].name : NULL;

        if (!o || add_uint(o, "block", step->block) < 0 || add_uint(o, "sizeBytes", plan->block_size) < 0 ||
            add_uint_unless(o, "moveBytes", step->move_bytes, BLOCK_USAGE_UNKNOWN) < 0 ||
            json_add_string(o, "zone", zone_to_string(step->zone)) < 0 ||
            add_int_unless(o, "node", step->node, -1) < 0 || add_text(o, "device", device) < 0)
                return NULL;
        return STEAL_PTR(o);
}

static json_object *refusal(const Refusal *refused) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        int r;

        if (!o)
                return NULL;
        if (refused->is_device)
                r = json_add(o, "device", json_text_new(refused->device));
        else
                r = add_uint(o, "block", refused->block);
        if (r < 0 || json_add_string(o, "verdict", verdict_to_string(refused->verdict)) < 0 ||
            json_add(o, "reason", json_text_new(refused->reason)) < 0)
                return NULL;
        return STEAL_PTR(o);
}

json_object *json_from_plan(const BlockTable *table, const Plan *plan) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        json_object *steps, *refused;

        if (!o)
                return NULL;
        steps = json_object_new_array();
        if (json_add(o, "steps", steps) < 0)
                return NULL;
        refused = json_object_new_array();
        if (json_add(o, "refused", refused) < 0)
                return NULL;
        if (json_add_bool(o, "feasible", plan->outcome == PLAN_FEASIBLE) < 0 ||
            add_uint(o, "removableBytes", plan->removable_bytes) < 0 ||
            add_uint(o, "moveBytes", plan->move_bytes) < 0 ||
            add_uint(o, "freeBytes", plan->free_bytes) < 0 ||
            add_uint(o, "reserveBytes", plan->reserve_bytes) < 0 ||
            add_text(o, "cheapestDevice", plan->cheapest_device) < 0 ||
            add_text(o, "reason", plan->reason) < 0)
                return NULL;
        for (size_t i = 0; i < plan->n_steps; i++)
                if (append(steps, plan_step(table, plan, &plan->steps[i])) < 0)
                        return NULL;
        for (size_t i = 0; i < plan->n_refused; i++)
                if (append(refused, refusal(&plan->refused[i])) < 0)
                        return NULL;
        return STEAL_PTR(o);
}

static json_object *class_count(const char *class, uint64_t bytes) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || json_add_string(o, "class", class) < 0 || add_uint(o, "bytes", bytes) < 0)
                return NULL;
        return STEAL_PTR(o);
}

static int survey_add_classes(json_object *o, const EngineSurvey *survey) {
        const size_t n_classes = sizeof(survey->class_bytes) / sizeof(survey->class_bytes[0]);
        json_object *classes = json_object_new_array();
        int r;

        r = json_add(o, "classes", classes);
        for (unsigned i = 0; r >= 0 && i < n_classes; i++)
                if (survey->class_bytes[i] > 0)
                        r = append(classes, class_count(page_class_to_string(i), survey->class_bytes[i]));
        if (r >= 0 && survey->hole_bytes > 0)
                r = append(classes, class_count("hole", survey->hole_bytes));
        return r;
}

json_object *json_from_survey(const EngineSurvey *survey, Verdict verdict, const char *reason) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();
        json_object *blockers;

        if (!o || add_verdict(o, verdict, reason) < 0 || survey_add_classes(o, survey) < 0)
                return NULL;
        blockers = json_object_new_array();
        if (json_add(o, "blockers", blockers) < 0)
                return NULL;
        for (size_t i = 0; i < survey->n_blockers; i++) {
                const EngineBlocker *blocker = &survey->blockers[i];

                if (append(blockers, blocker_new(blocker->address, blocker->class, blocker->ref_count,
                                                 blocker->map_count)) < 0)
                        return NULL;
        }
        return STEAL_PTR(o);
}
