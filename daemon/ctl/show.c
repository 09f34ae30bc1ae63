/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status, show and explain: one thing in detail. Tables of many are in list.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/talk.h"
#include "ctl/what.h"
#include "util/cleanup.h"
#include "util/json.h"

#define LABEL "%11s: "

static void show_text(const char *label, const char *text) {
        if (text && *text)
                say(stdout, LABEL "%s", label, text);
}

static void show_time(const char *label, json_object *json, const char *key) {
        char buffer[OUTPUT_TIME_MAX];
        uint64_t at;

        if (field_uint(json, key, &at))
                say(stdout, LABEL "%s", label, output_time(at, buffer));
}

/* "7 evacuating PNP0C80:00, 42%" */
static void show_status_job(json_object *json) {
        char done[16];
        JobView job;
        int percent;

        if (!json) {
                say(stdout, LABEL "none under way", "Job");
                return;
        }
        job_view(&job, json);
        percent = job_percent(&job);
        (void) snprintf(done, sizeof(done), ", %d%%", percent);
        say(stdout, LABEL "%" PRId64 " %s%s%s%s", "Job", (int64_t) job.id, job.state, job.device ? " " : "",
            job.device ?: "", percent >= 0 ? done : "");
}

static void show_sources(json_object *sources) {
        const char *label = "Sources:";

        for (size_t i = 0; sources && i < json_object_array_length(sources); i++) {
                json_object *source = json_object_array_get_idx(sources, i);
                const char *name, *reason;
                bool active = false, asks = false;

                if (!json_object_is_type(source, json_type_object))
                        continue;
                name = field_string(source, "source");
                reason = field_string(source, "reason");
                (void) json_get_bool(source, "active", &active); /* absent is as good as false */
                (void) json_get_bool(source, "asks", &asks);
                say(stdout, "%12s %s %s%s%s%s%s", label, name ?: "-", active ? "active" : "not active",
                    asks ? ", asks an operator" : "", reason ? " (" : "", reason ?: "", reason ? ")" : "");
                label = ""; /* the others stand below */
        }
}

static void show_health(json_object *health) {
        size_t n = health ? json_object_array_length(health) : 0;
        const char *label = "Health:";

        if (n == 0)
                say(stdout, LABEL "good", "Health");
        for (size_t i = 0; i < n; i++) {
                json_object *note = json_object_array_get_idx(health, i);

                if (!json_object_is_type(note, json_type_string))
                        continue;
                say(stdout, "%12s %s", label, json_object_get_string(note));
                label = "";
        }
}

static void show_status(const Ctl *ctl, json_object *status) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX];
        const char *reason = field_string(status, "engineReason");

        say(stdout, LABEL "memunplugd %s", "Service", field_string(status, "version") ?: "-");
        say(stdout, LABEL "%s%s%s%s", "Engine", field_string(status, "engine") ?: "-", reason ? " (" : "",
            reason ?: "", reason ? ")" : "");
        show_text("Hypervisor", field_string(status, "hypervisor"));
        show_text("Channel", field_string(status, "hypervisorChannel"));
        say(stdout, LABEL "%s online, %s removable, in blocks of %s", "Memory",
            field_size(ctl, status, "onlineBytes", a), field_size(ctl, status, "removableBytes", b),
            field_size(ctl, status, "blockSizeBytes", c));
        show_sources(field_array(status, "sources"));
        show_status_job(field_object(status, "job"));
        show_health(field_array(status, "health"));
}

int verb_status(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(reply_clear) Reply reply = {};
        int code;

        (void) args;
        (void) n_args;
        code = talk_call(ctl, "org.memunplug.GetStatus", NULL, &reply);
        if (code != CTL_DONE)
                return code;
        if (ctl->json != CTL_JSON_OFF)
                return output_json(ctl, reply.parameters);
        show_status(ctl, reply.parameters);
        return CTL_DONE;
}

static void show_job_numbers(const Ctl *ctl, const JobView *job) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];
        json_object *json = job->json;
        uint64_t n;

        say(stdout, LABEL "%s of %s", job_is_replug(job) ? "Back" : "Removed",
            field_size(ctl, json, "removedBytes", a), field_size(ctl, json, "requestedBytes", b));
        if (job->total_blocks != JOB_UNKNOWN && job->removed_blocks != JOB_UNKNOWN)
                say(stdout, LABEL "%" PRIu64 " of %" PRIu64, "Blocks", job->removed_blocks,
                    job->total_blocks);
        if (!job_is_replug(job))
                say(stdout, LABEL "%s of %s", "Moved", field_size(ctl, json, "evacuatedBytes", a),
                    field_size(ctl, json, "moveBytes", b));
        if (field_uint(json, "currentBlock", &n))
                say(stdout, LABEL "%" PRIu64, "At block", n);
        if (field_uint(json, "attempts", &n))
                say(stdout, LABEL "%" PRIu64, "Attempts", n);
}

static void show_job(const Ctl *ctl, json_object *json) {
        const char *caller = field_string(json, "caller");
        char left[FORMAT_SIZE_MAX];
        JobView job;
        int percent;

        job_view(&job, json);
        percent = job_percent(&job);
        say(stdout, LABEL "%" PRId64, "Job", (int64_t) job.id);
        show_text("Operation", job.operation);
        show_text("Device", job.device);
        say(stdout, LABEL "%s%s%s%s", "Asked by", field_string(json, "source") ?: "-", caller ? " (" : "",
            caller ?: "", caller ? ")" : "");
        if (percent >= 0 && !job_is_final(&job))
                say(stdout, LABEL "%s, %d%%", "State", job.state, percent);
        else
                say(stdout, LABEL "%s%s%s%s", "State", job.state, job.cause ? " (" : "", job.cause ?: "",
                    job.cause ? ")" : "");
        show_text("Reason", job.reason);
        show_job_numbers(ctl, &job);
        show_time("Created", json, "createdAt");
        show_time("Started", json, "startedAt");
        show_time("Ended", json, "finishedAt");
        show_time("Deadline", json, "deadlineAt");
        if (job.eta_usec != JOB_UNKNOWN && !job_is_final(&job))
                say(stdout, LABEL "%s", "Left", format_duration(job.eta_usec, left));
}

int verb_show(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(reply_clear) Reply reply = {};
        json_object *json;
        uint64_t id;
        int code;

        (void) n_args;
        code = talk_job(ctl, "org.memunplug.ListJobs", args[0], &id, &reply, &json);
        if (code != CTL_DONE)
                return code;
        if (ctl->json != CTL_JSON_OFF)
                return output_json(ctl, json);
        show_job(ctl, json);
        return job_tell_blockers(ctl, stdout, field_array(json, "blockers"));
}

static int show_classes(const Ctl *ctl, json_object *classes) {
        static const TableColumn columns[] = { { "CLASS", 0 }, { "SIZE", TABLE_RIGHT } };
        CLEANUP(table_freep) Table *table = NULL;

        if (table_new(&table, ctl, stdout, columns, sizeof(columns) / sizeof(columns[0])) < 0)
                return output_oom();
        for (size_t i = 0; classes && i < json_object_array_length(classes); i++) {
                json_object *class = json_object_array_get_idx(classes, i);

                table_row(table);
                table_string(table, class, "class");
                table_size(table, class, "bytes");
        }
        return table_print(table, NULL, NULL);
}

/* What the planner remembers of it. */
static void show_failure(json_object *failure) {
        char ago[FORMAT_SIZE_MAX], left[FORMAT_SIZE_MAX];
        const uint64_t second = 1000000;
        uint64_t ago_usec, left_usec;

        if (!failure || !field_uint(failure, "agoUsec", &ago_usec) ||
            !field_uint(failure, "forgottenInUsec", &left_usec))
                return;
        say(stdout, "It was in the way of a job %s ago (%s); others are taken before it for another %s.",
            format_duration(ago_usec / second * second, ago), field_string(failure, "cause") ?: "-",
            format_duration((left_usec / second + 1) * second, left));
}

int verb_explain(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        CLEANUP(reply_clear) Reply reply = {};
        const char *reason;
        uint64_t block;
        int code;

        (void) n_args;
        if (number_parse(args[0], &block) < 0) {
                say(stderr, "'%s' is not the index of a block; 'memunplugctl blocks' lists them.", args[0]);
                return CTL_FAILED;
        }
        if (!parameters || json_add_int(parameters, "block", (int64_t) block) < 0)
                return output_oom();
        code = talk_call(ctl, "org.memunplug.Explain", parameters, &reply);
        if (code != CTL_DONE)
                return code;
        if (ctl->json != CTL_JSON_OFF)
                return output_json(ctl, reply.parameters);
        reason = field_string(reply.parameters, "reason");
        say(stdout, "Block %" PRIu64 " is %s%s%s%s", block, field_string(reply.parameters, "verdict") ?: "-",
            reason ? ": " : "", reason ?: "", full_stop(reason ?: ""));
        show_failure(field_object(reply.parameters, "failure"));
        code = show_classes(ctl, field_array(reply.parameters, "classes"));
        if (code != CTL_DONE)
                return code;
        return job_tell_blockers(ctl, stdout, field_array(reply.parameters, "blockers"));
}
