/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's lines: compact JSON, one object each, {"v":1,"boot":UUID,"job":{...}} or
 * {"v":1,"boot":UUID,"taking":{"job":ID,"Movable":"40-47,52",...}}. What a line says is checked
 * completely before it is believed; files are journal.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request/journal-record.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/text.h"

#define RECORD_VERSION 1

/* The numbers of a job that are kept as they are. */
static const struct {
        const char *key;
        size_t offset;
} job_numbers[] = {
                {"requestedBytes", offsetof(Job, requested_bytes)},
                {"removedBytes", offsetof(Job, removed_bytes)},
                {"evacuatedBytes", offsetof(Job, evacuated_bytes)},
                {"moveBytes", offsetof(Job, move_bytes)},
                {"createdAt", offsetof(Job, created_at)},
                {"startedAt", offsetof(Job, started_at)},
                {"finishedAt", offsetof(Job, finished_at)},
                {"deadlineAt", offsetof(Job, deadline_at)},
};

static const struct {
        const char *key;
        size_t offset;
} job_counts[] = {
        { "id", offsetof(Job, id) },
        { "totalBlocks", offsetof(Job, total_blocks) },
        { "removedBlocks", offsetof(Job, removed_blocks) },
        { "attempts", offsetof(Job, attempts) },
};

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static int object_to_line(json_object *object, char **ret) {
        const char *text = json_text(object);

        if (!text)
                return -ENOMEM;
        return asprintf(ret, "%s\n", text) < 0 ? -ENOMEM : 0;
}

/* Starts a record whose body, a new empty object, is returned borrowed in ret_body. */
static int record_new(const char *boot_id, const char *kind, json_object **ret, json_object **ret_body) {
        CLEANUP(json_putp) json_object *record = json_object_new_object();
        json_object *body = json_object_new_object();
        int r;

        r = json_add(record, kind, body); /* takes body */
        if (r >= 0)
                r = json_add_int(record, "v", RECORD_VERSION);
        if (r >= 0)
                r = json_add_string(record, "boot", boot_id);
        if (r < 0)
                return r;
        *ret_body = body;
        *ret = STEAL_PTR(record);
        return 0;
}

static int add_job_numbers(json_object *body, const Job *job) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < N_ELEMENTS(job_numbers); i++) {
                uint64_t value;

                memcpy(&value, (const char *) job + job_numbers[i].offset, sizeof(value));
                r = json_add_int(body, job_numbers[i].key, (int64_t) (value & INT64_MAX));
        }
        for (size_t i = 0; r >= 0 && i < N_ELEMENTS(job_counts); i++) {
                uint32_t value;

                memcpy(&value, (const char *) job + job_counts[i].offset, sizeof(value));
                r = json_add_int(body, job_counts[i].key, value);
        }
        return r;
}

int journal_record_from_job(const char *boot_id, const Job *job, char **ret) {
        CLEANUP(json_putp) json_object *record = NULL;
        json_object *body;
        int r;

        r = record_new(boot_id, "job", &record, &body);
        if (r >= 0)
                r = add_job_numbers(body, job);
        if (r >= 0)
                r = json_add_string(body, "operation", demand_kind_to_string(job->kind));
        if (r >= 0)
                r = json_add_string(body, "source", source_to_string(job->source));
        if (r >= 0)
                r = json_add_string(body, "caller", job->caller);
        if (r >= 0)
                r = json_add_string(body, "device", job->device);
        if (r >= 0)
                r = json_add_string(body, "state", job_state_to_string(job->state));
        if (r >= 0)
                r = json_add_string(body, "cause", job_cause_to_string(job->cause));
        if (r >= 0)
                r = json_add_string(body, "reason", job->reason);
        return r < 0 ? r : object_to_line(record, ret);
}

/* How many blocks from here on are neighbours in the same zone: down by one each, as plans list them, or up
 * by one each, as they come back from a journal. */
static size_t run_length(const EngineBlock *blocks, size_t n) {
        int64_t step;
        size_t i = 1;

        if (n < 2)
                return n;
        step = (int64_t) blocks[1].block - blocks[0].block;
        if (step != 1 && step != -1)
                return 1;
        while (i < n && blocks[i].zone == blocks[0].zone && blocks[i].block == blocks[i - 1].block + step)
                i++;
        return i;
}

/* "40-47,52" for the blocks of one zone; NULL in *ret if there are none. */
static int format_blocks_of_zone(const EngineBlock *blocks, size_t n, Zone zone, char **ret) {
        CLEANUP(freep) char *text = NULL;
        size_t size = 0, run;
        FILE *f = open_memstream(&text, &size);
        const char *comma = "";

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < n; i += run) {
                const uint32_t first = blocks[i].block;
                uint32_t last;

                run = run_length(blocks + i, n - i);
                last = blocks[i + run - 1].block;
                if (blocks[i].zone != zone)
                        continue;
                if (run > 1)
                        fprintf(f, "%s%" PRIu32 "-%" PRIu32, comma, first < last ? first : last,
                                first < last ? last : first);
                else
                        fprintf(f, "%s%" PRIu32, comma, first);
                comma = ",";
        }
        if (fclose(f) != 0)
                return -ENOMEM;
        *ret = *comma ? STEAL_PTR(text) : NULL;
        return 0;
}

int journal_record_from_taking(const char *boot_id, uint32_t job, const EngineBlock *blocks, size_t n,
                               char **ret) {
        CLEANUP(json_putp) json_object *record = NULL;
        json_object *body;
        int r;

        r = record_new(boot_id, "taking", &record, &body);
        if (r >= 0)
                r = json_add_int(body, "job", job);
        for (Zone zone = ZONE_DMA; r >= 0 && zone < _ZONE_MAX; zone++) {
                CLEANUP(freep) char *list = NULL;

                r = format_blocks_of_zone(blocks, n, zone, &list);
                if (r >= 0)
                        r = json_add_string(body, zone_to_string(zone), list);
        }
        return r < 0 ? r : object_to_line(record, ret);
}

/* Absent numbers stay 0: a later version may drop one. */
static int parse_job_numbers(json_object *body, Job *job) {
        int r;

        for (size_t i = 0; i < N_ELEMENTS(job_numbers); i++) {
                uint64_t value = 0;

                r = json_get_uint(body, job_numbers[i].key, INT64_MAX, &value);
                if (r < 0 && r != -ENOENT)
                        return -EBADMSG;
                memcpy((char *) job + job_numbers[i].offset, &value, sizeof(value));
        }
        for (size_t i = 0; i < N_ELEMENTS(job_counts); i++) {
                uint64_t value = 0;
                uint32_t count;

                r = json_get_uint(body, job_counts[i].key, UINT32_MAX, &value);
                if (r < 0 && r != -ENOENT)
                        return -EBADMSG;
                count = (uint32_t) value;
                memcpy((char *) job + job_counts[i].offset, &count, sizeof(count));
        }
        return job->id > 0 ? 0 : -EBADMSG;
}

static int parse_string(json_object *body, const char *key, char *buffer, size_t size) {
        const char *s = "";
        int r = json_get_string(body, key, &s);

        if ((r < 0 && r != -ENOENT) || strlen(s) >= size)
                return -EBADMSG;
        strcpy(buffer, s);
        return 0;
}

static int parse_job_names(json_object *body, Job *job) {
        const char *state = NULL, *source = NULL, *kind = NULL, *cause = NULL;

        if (json_get_string(body, "state", &state) < 0 || json_get_string(body, "source", &source) < 0 ||
            json_get_string(body, "operation", &kind) < 0)
                return -EBADMSG;
        job->state = job_state_from_string(state);
        job->source = _SOURCE_INVALID;
        for (Source s = 0; s < _SOURCE_MAX; s++)
                if (strcmp(source_to_string(s), source) == 0)
                        job->source = s;
        job->kind = _DEMAND_INVALID;
        for (DemandKind k = 0; k < _DEMAND_MAX; k++)
                if (strcmp(demand_kind_to_string(k), kind) == 0)
                        job->kind = k;
        job->cause = CAUSE_NONE;
        if (json_get_string(body, "cause", &cause) >= 0)
                job->cause = job_cause_from_string(cause);
        if ((int) job->state < 0 || (int) job->source < 0 || (int) job->kind < 0 || (int) job->cause < 0)
                return -EBADMSG;
        return 0;
}

static int parse_job(json_object *body, Job *job) {
        const char *reason = NULL;
        int r;

        *job = (Job) { .current_block = -1, .eta_usec = UINT64_MAX };
        r = parse_job_numbers(body, job);
        if (r >= 0)
                r = parse_job_names(body, job);
        if (r >= 0)
                r = parse_string(body, "caller", job->caller, sizeof(job->caller));
        if (r >= 0)
                r = parse_string(body, "device", job->device, sizeof(job->device));
        if (r < 0)
                return r;
        r = json_get_string(body, "reason", &reason);
        if (r < 0)
                return r == -ENOENT ? 0 : -EBADMSG;
        job->reason = strdup(reason);
        return job->reason ? 0 : -ENOMEM;
}

static int parse_blocks_of_zone(json_object *body, Zone zone, JournalRecord *record) {
        CLEANUP(freep) uint32_t *list = NULL;
        const char *text = NULL;
        EngineBlock *blocks;
        size_t n = 0;
        int r;

        r = json_get_string(body, zone_to_string(zone), &text);
        if (r < 0)
                return r == -ENOENT ? 0 : -EBADMSG;
        r = parse_block_list(text, JOURNAL_LINE_MAX / 2, &list, &n);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        blocks = reallocarray(record->blocks, record->n_blocks + n, sizeof(*blocks));
        if (!blocks)
                return -ENOMEM;
        record->blocks = blocks;
        for (size_t i = 0; i < n; i++)
                blocks[record->n_blocks++] = (EngineBlock) { .block = list[i], .zone = zone };
        return 0;
}

static int parse_taking(json_object *body, JournalRecord *record) {
        uint64_t id;
        int r = 0;

        if (json_get_uint(body, "job", UINT32_MAX, &id) < 0 || id == 0)
                return -EBADMSG;
        record->job_id = (uint32_t) id;
        record->is_taking = true;
        for (Zone zone = ZONE_DMA; r >= 0 && zone < _ZONE_MAX; zone++)
                r = parse_blocks_of_zone(body, zone, record);
        return r;
}

static int parse_record(json_object *object, JournalRecord *record) {
        json_object *body = NULL;
        uint64_t version;
        int r;

        if (json_get_uint(object, "v", INT64_MAX, &version) < 0 || version != RECORD_VERSION)
                return -EBADMSG;
        r = parse_string(object, "boot", record->boot_id, sizeof(record->boot_id));
        if (r < 0)
                return r;
        if (json_get_object(object, "job", &body) >= 0) {
                r = parse_job(body, &record->job);
                record->job_id = record->job.id;
                return r;
        }
        if (json_get_object(object, "taking", &body) >= 0)
                return parse_taking(body, record);
        return -EBADMSG;
}

int journal_record_parse(const char *line, size_t n, JournalRecord *ret) {
        CLEANUP(json_putp) json_object *object = NULL;
        JournalRecord record = {};
        int r;

        if (n > JOURNAL_LINE_MAX)
                return -EBADMSG;
        r = json_parse(line, n, &object);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (!json_object_is_type(object, json_type_object))
                return -EBADMSG;
        r = parse_record(object, &record);
        if (r < 0) {
                journal_record_clear(&record);
                return r;
        }
        *ret = record;
        return 0;
}

void journal_record_clear(JournalRecord *record) {
        job_clear(&record->job);
        free(record->blocks);
        *record = (JournalRecord) {};
}
