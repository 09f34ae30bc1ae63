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

/* Two columns more, which are only there when some device has something in them: rows are wide already. */
static void add_device_with_sizes(Table *table, json_object *device) {
        table_size(table, device, "requestedBytes");
        table_size(table, device, "pluggedBytes");
        add_device(table, device);
}

static bool has_sizes(json_object *devices) {
        uint64_t bytes;

        for (size_t i = 0; i < json_object_array_length(devices); i++)
                if (field_uint(json_object_array_get_idx(devices, i), "requestedBytes", &bytes))
                        return true;
        return false;
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

static int print(const Ctl *ctl, const List *what, json_object *array) {
        CLEANUP(table_freep) Table *table = NULL;

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

static int list(const Ctl *ctl, const List *what) {
        CLEANUP(json_putp) json_object *array = NULL;
        int code;

        code = talk_list(ctl, what->method, what->member, &array);
        return code == CTL_DONE ? print(ctl, what, array) : code;
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
                { "REQUESTED", TABLE_RIGHT }, { "PLUGGED", TABLE_RIGHT },
                { "NAME", 0 },           { "KIND", 0 },
                { "FIRST", TABLE_RIGHT }, { "BLOCKS", TABLE_RIGHT },
                { "SIZE", TABLE_RIGHT }, { "ONLINE", TABLE_RIGHT },
                { "MOVE", TABLE_RIGHT }, { "NODE", TABLE_RIGHT },
                { "VERDICT", 0 },        { "REASON", TABLE_WRAP },
        };
        static const List all = {
                "org.memunplug.ListDevices", "device", "device", "devices",
                columns, sizeof(columns) / sizeof(columns[0]), add_device_with_sizes,
        };
        static const List few = {
                "org.memunplug.ListDevices", "device", "device", "devices",
                columns + 2, sizeof(columns) / sizeof(columns[0]) - 2, add_device,
        };
        CLEANUP(json_putp) json_object *array = NULL;
        int code;

        (void) args;
        (void) n_args;
        code = talk_list(ctl, few.method, few.member, &array);
        return code == CTL_DONE ? print(ctl, has_sizes(array) ? &all : &few, array) : code;
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
