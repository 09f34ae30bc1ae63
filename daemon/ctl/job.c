/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job as a reply tells it: how far, how it ended, what stood in the way. How that moves on a terminal
 * is in progress.c. */
#include "ctl/job.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/talk.h"
#include "util/cleanup.h"

/* Taking one block offline weighs as much in the percentage as moving this many bytes. */
#define BLOCK_WEIGHT (UINT64_C(4) << 20)
#define PID_LENGTH_MAX 24U /* of any int64, with comma and NUL */

static uint64_t view_uint(json_object *json, const char *key) {
        uint64_t value;

        return field_uint(json, key, &value) ? value : JOB_UNKNOWN;
}

void job_view(JobView *ret, json_object *json) {
        *ret = (JobView) {
                .json = json,
                .state = field_string(json, "state") ?: "-",
                .operation = field_string(json, "operation"),
                .device = field_string(json, "device"),
                .reason = field_string(json, "reason"),
                .cause = field_string(json, "cause"),
                .id = view_uint(json, "id"),
                .requested = view_uint(json, "requestedBytes"),
                .removed = view_uint(json, "removedBytes"),
                .evacuated = view_uint(json, "evacuatedBytes"),
                .move = view_uint(json, "moveBytes"),
                .total_blocks = view_uint(json, "totalBlocks"),
                .removed_blocks = view_uint(json, "removedBlocks"),
                .started = view_uint(json, "startedAt"),
                .finished = view_uint(json, "finishedAt"),
                .eta_usec = view_uint(json, "etaUsec"),
        };
        if (ret->started == JOB_UNKNOWN)
                ret->started = view_uint(json, "createdAt");
}

static bool state_is(const JobView *job, const char *state) {
        return strcmp(job->state, state) == 0;
}

bool job_is_final(const JobView *job) {
        return state_is(job, "done") || state_is(job, "partial") || state_is(job, "failed") ||
               state_is(job, "cancelled");
}

bool job_is_replug(const JobView *job) {
        return job->operation && strcmp(job->operation, "replug") == 0;
}

static uint64_t known(uint64_t value) {
        return value == JOB_UNKNOWN ? 0 : value;
}

static uint64_t at_most(uint64_t value, uint64_t limit) {
        return value < limit ? value : limit;
}

int job_percent(const JobView *job) {
        uint64_t blocks = at_most(known(job->total_blocks), UINT32_MAX);
        uint64_t gone = at_most(known(job->removed_blocks), blocks);
        uint64_t move = known(job->move), moved = at_most(known(job->evacuated), move);
        double done, total;

        if (state_is(job, "done"))
                return 100;
        if (job_is_final(job) || (state_is(job, "restoring") && !job_is_replug(job)))
                return -1; /* what was done is being undone, or was */
        if (job_is_replug(job))
                move = moved = 0;
        total = (double) move + (double) (blocks * BLOCK_WEIGHT);
        if (total <= 0)
                return -1;
        /* Without the module pages move while their block goes offline, and nobody counts them. */
        if (blocks > 0 && (double) moved / ((double) move + 1) < (double) gone / (double) blocks)
                moved = (uint64_t) ((double) move * ((double) gone / (double) blocks));
        done = (double) moved + (double) (gone * BLOCK_WEIGHT);
        return (int) (done * 100 / total);
}

bool job_bytes(const JobView *job, uint64_t *ret_done, uint64_t *ret_total) {
        bool moves = state_is(job, "evacuating") && known(job->move) > 0;
        uint64_t done = moves ? job->evacuated : job->removed, total = moves ? job->move : job->requested;

        if (done == JOB_UNKNOWN || total == JOB_UNKNOWN)
                return false;
        *ret_done = done;
        *ret_total = total;
        return true;
}

int job_exit_code(const JobView *job) {
        if (state_is(job, "done"))
                return CTL_DONE;
        if (state_is(job, "partial"))
                return CTL_PARTIAL;
        return job->cause && strcmp(job->cause, "refused") == 0 ? CTL_REFUSED : CTL_FAILED;
}

/* "12,345", as many as fit. */
static const char *format_pids(json_object *pids, char *buffer, size_t size) {
        size_t n = 0;

        for (size_t i = 0; pids && i < json_object_array_length(pids); i++) {
                json_object *pid = json_object_array_get_idx(pids, i);

                if (!json_object_is_type(pid, json_type_int))
                        continue;
                if (n + PID_LENGTH_MAX > size)
                        break;
                n += (size_t) snprintf(buffer + n, size - n, "%s%" PRId64, n > 0 ? "," : "",
                                       json_object_get_int64(pid));
        }
        return n > 0 ? buffer : NULL;
}

static void add_blocker(Table *table, json_object *blocker) {
        char pids[16 * PID_LENGTH_MAX];

        table_row(table);
        table_address(table, blocker, "physicalAddress");
        table_string(table, blocker, "class");
        table_number(table, blocker, "refCount");
        table_number(table, blocker, "mapCount");
        table_string(table, blocker, "owner");
        table_text(table, format_pids(field_array(blocker, "pids"), pids, sizeof(pids)));
}

int job_tell_blockers(const Ctl *ctl, FILE *stream, json_object *blockers) {
        static const TableColumn columns[] = {
                { "ADDRESS", TABLE_RIGHT }, { "CLASS", 0 }, { "REFS", TABLE_RIGHT },
                { "MAPS", TABLE_RIGHT },    { "OWNER", 0 }, { "PIDS", 0 },
        };
        CLEANUP(table_freep) Table *table = NULL;
        size_t n = blockers ? json_object_array_length(blockers) : 0;

        if (n == 0)
                return CTL_DONE;
        if (table_new(&table, ctl, stream, columns, sizeof(columns) / sizeof(columns[0])) < 0)
                return output_oom();
        for (size_t i = 0; i < n; i++)
                add_blocker(table, json_object_array_get_idx(blockers, i));
        if (!ctl->no_legend)
                fputs(stream == stdout ? "\nPages in the way:\n" : "Pages in the way:\n", stream);
        return table_print(table, NULL, NULL);
}

/* As exact as anybody wants to know. */
static const char *format_took(uint64_t usec, char buffer[FORMAT_SIZE_MAX]) {
        uint64_t grain = usec < 1000 ? 1 : usec < 1000000 ? 1000 : usec < 60000000 ? 100000 : 1000000;

        return format_duration((usec + grain / 2) / grain * grain, buffer);
}

static void tell_success(const Ctl *ctl, const JobView *job) {
        char size[FORMAT_SIZE_MAX], requested[FORMAT_SIZE_MAX], took[FORMAT_SIZE_MAX];
        bool partial = state_is(job, "partial");
        bool timed = job->finished != JOB_UNKNOWN && job->finished >= job->started;

        if (ctl->quiet || ctl->json != CTL_JSON_OFF)
                return;
        say(stdout, "%s %s%s%s%s%s%s%s%s.", job_is_replug(job) ? "Brought back" : "Removed",
            output_size(ctl, known(job->removed), size), partial ? " of " : "",
            partial ? output_size(ctl, known(job->requested), requested) : "", job->device ? " (" : "",
            job->device ?: "", job->device ? ")" : "", timed ? " in " : "",
            timed ? format_took(job->finished - job->started, took) : "");
}

int job_tell_end(const Ctl *ctl, const JobView *job) {
        bool done = state_is(job, "done");

        if (done || state_is(job, "partial"))
                tell_success(ctl, job);
        if (done)
                return CTL_DONE;
        say(stderr, "Job %" PRId64 " %s%s%s%s", (int64_t) job->id,
            state_is(job, "cancelled") ? "was cancelled" :
            state_is(job, "partial") ? "was done in part" :
            state_is(job, "failed") ? "failed" : "ended in a state that is not known here",
            job->reason ? ": " : "", job->reason ?: "", full_stop(job->reason ?: ""));
        if (ctl->json == CTL_JSON_OFF)
                (void) job_tell_blockers(ctl, stderr, field_array(job->json, "blockers"));
        return job_exit_code(job);
}
