/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blocks, devices and jobs: tables of what there is. One thing in detail is in show.c. */
#include <inttypes.h>

#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/talk.h"
#include "util/cleanup.h"
#include "util/json.h"

typedef struct List {
        const char *method, *member; /* of the interface */
        const char *noun, *nouns;    /* for people */
        const TableColumn *columns;
        size_t n_columns;
        void (*add)(Table *table, json_object *item);
} List;

/* "0x140000000-0x147ffffff", both ends in it, as lsmem(1) has it. */
static void add_range(Table *table, json_object *block) {
        char range[64];
        uint64_t address, size;

        if (!field_uint(block, "physicalAddress", &address) || !field_uint(block, "sizeBytes", &size) ||
            size == 0) {
                table_text(table, NULL);
                return;
        }
        (void) snprintf(range, sizeof(range), "0x%" PRIx64 "-0x%" PRIx64, address, address + size - 1);
        table_text(table, range);
}

static void add_block(Table *table, json_object *block) {
        table_number(table, block, "index");
        add_range(table, block);
        table_size(table, block, "sizeBytes");
        table_string(table, block, "state");
        table_string(table, block, "zone");
        table_number(table, block, "node");
        table_string(table, block, "device");
        table_size(table, block, "usedBytes");
        table_size(table, block, "unmovableBytes");
        table_word(table, block, "verdict");
        table_string(table, block, "reason");
}

static void add_device(Table *table, json_object *device) {
        table_string(table, device, "name");
        table_string(table, device, "kind");
        table_number(table, device, "firstBlock");
        table_number(table, device, "blocks");
        table_size(table, device, "sizeBytes");
        table_size(table, device, "onlineBytes");
        table_size(table, device, "moveBytes");
        table_number(table, device, "node");
        table_word(table, device, "verdict");
        table_string(table, device, "reason");
}

static void add_job(Table *table, json_object *json) {
        char percent[16], created[OUTPUT_TIME_MAX];
        uint64_t at;
        JobView job;
        int done;

        job_view(&job, json);
        done = job_percent(&job);
        (void) snprintf(percent, sizeof(percent), "%d%%", done);
        table_number(table, json, "id");
        table_string(table, json, "operation");
        table_string(table, json, "source");
        table_string(table, json, "device");
        table_word(table, json, "state");
        table_text(table, done >= 0 ? percent : NULL);
        table_size(table, json, "requestedBytes");
        table_size(table, json, "removedBytes");
        table_text(table, field_uint(json, "createdAt", &at) ? output_time(at, created) : NULL);
        table_string(table, json, "reason");
}

static int list(const Ctl *ctl, const List *what) {
        CLEANUP(json_putp) json_object *array = NULL;
        CLEANUP(table_freep) Table *table = NULL;
        int code;

        code = talk_list(ctl, what->method, what->member, &array);
        if (code != CTL_DONE)
                return code;
        if (ctl->json != CTL_JSON_OFF)
                return output_json(ctl, array);
        if (table_new(&table, ctl, stdout, what->columns, what->n_columns) < 0)
                return output_oom();
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                table_row(table);
                what->add(table, json_object_array_get_idx(array, i));
        }
        return table_print(table, what->noun, what->nouns);
}

int verb_blocks(const Ctl *ctl, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "BLOCK", TABLE_RIGHT }, { "RANGE", TABLE_WIDE | TABLE_RIGHT },
                { "SIZE", TABLE_RIGHT },  { "STATE", 0 },
                { "ZONE", 0 },            { "NODE", TABLE_RIGHT },
                { "DEVICE", 0 },          { "USED", TABLE_RIGHT },
                { "UNMOVABLE", TABLE_RIGHT }, { "VERDICT", 0 },
                { "REASON", TABLE_WRAP },
        };
        static const List what = {
                "org.memunplug.ListBlocks", "block", "block", "blocks",
                columns, sizeof(columns) / sizeof(columns[0]), add_block,
        };

        (void) args;
        (void) n_args;
        return list(ctl, &what);
}

int verb_devices(const Ctl *ctl, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "NAME", 0 },           { "KIND", 0 },
                { "FIRST", TABLE_RIGHT }, { "BLOCKS", TABLE_RIGHT },
                { "SIZE", TABLE_RIGHT }, { "ONLINE", TABLE_RIGHT },
                { "MOVE", TABLE_RIGHT }, { "NODE", TABLE_RIGHT },
                { "VERDICT", 0 },        { "REASON", TABLE_WRAP },
        };
        static const List what = {
                "org.memunplug.ListDevices", "device", "device", "devices",
                columns, sizeof(columns) / sizeof(columns[0]), add_device,
        };

        (void) args;
        (void) n_args;
        return list(ctl, &what);
}

int verb_jobs(const Ctl *ctl, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "JOB", TABLE_RIGHT },  { "OPERATION", 0 },
                { "SOURCE", 0 },         { "DEVICE", 0 },
                { "STATE", 0 },          { "DONE", TABLE_RIGHT },
                { "SIZE", TABLE_RIGHT }, { "REMOVED", TABLE_RIGHT },
                { "CREATED", 0 },        { "REASON", TABLE_WRAP },
        };
        static const List what = {
                "org.memunplug.ListJobs", "job", "job", "jobs",
                columns, sizeof(columns) / sizeof(columns[0]), add_job,
        };

        (void) args;
        (void) n_args;
        return list(ctl, &what);
}
