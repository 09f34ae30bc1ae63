/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines of the request layer: plain sentences for people, fields and message ids for
 * programs. units/memunplugd.catalog explains each id. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "request/report.h"
#include "util/log.h"
#include "util/message-ids.h"
#include "util/text.h"

#define FIELD_SIZE 600U

/* The fields of one line; strings that do not fit are cut. */
typedef struct Fields {
        char text[6][FIELD_SIZE];
        const char *list[7];
        size_t n;
} Fields;

__attribute__((format(printf, 2, 3)))
static void add_field(Fields *fields, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void) vsnprintf(fields->text[fields->n], FIELD_SIZE, format, args); /* cut is fine */
        va_end(args);
        fields->list[fields->n] = fields->text[fields->n];
        fields->n++;
}

static void job_fields(Fields *fields, const char *message_id, const Job *job) {
        add_field(fields, "MESSAGE_ID=%s", message_id);
        add_field(fields, "MEMUNPLUG_JOB=%" PRIu32, job->id);
        add_field(fields, "MEMUNPLUG_STATE=%s", job_state_to_string(job->state));
        if (job->reason)
                add_field(fields, "MEMUNPLUG_REASON=%s", job->reason);
        if (job->current_block >= 0)
                add_field(fields, "MEMUNPLUG_BLOCK=%" PRIi64, job->current_block);
}

static const char *state_message_id(JobState state) {
        switch (state) {
        case JOB_DONE:
                return MEMUNPLUG_MESSAGE_JOB_DONE;
        case JOB_PARTIAL:
                return MEMUNPLUG_MESSAGE_JOB_PARTIAL;
        case JOB_FAILED:
                return MEMUNPLUG_MESSAGE_JOB_FAILED;
        case JOB_CANCELLED:
                return MEMUNPLUG_MESSAGE_JOB_CANCELLED;
        case JOB_QUEUED:
        case JOB_PLANNING:
        case JOB_EVACUATING:
        case JOB_OFFLINING:
        case JOB_EJECTING:
        case JOB_RESTORING:
        case _JOB_STATE_MAX:
        case _JOB_STATE_INVALID:
                break;
        }
        return MEMUNPLUG_MESSAGE_JOB_STATE;
}

static int state_level(JobState state) {
        if (state == JOB_FAILED)
                return LOG_WARNING;
        return job_state_is_final(state) || state == JOB_RESTORING ? LOG_INFO : LOG_DEBUG;
}

void report_state(const Job *job, JobState before, int journal_error) {
        char removed[FORMAT_SIZE_MAX], requested[FORMAT_SIZE_MAX];
        Fields fields = {};

        job_fields(&fields, state_message_id(job->state), job);
        (void) log_full(state_level(job->state), 0, fields.list,
                        "Job %" PRIu32 " (%s%s%s) %s -> %s, %s of %s%s%s", job->id,
                        source_to_string(job->source), job->device[0] ? ", " : "", job->device,
                        job_state_to_string(before), job_state_to_string(job->state),
                        format_size(job->removed_bytes, removed),
                        format_size(job->requested_bytes, requested), job->reason ? ": " : "",
                        job->reason ? job->reason : "");
        if (journal_error < 0)
                report_journal_failure(job, journal_error);
}

static void report_hold(const Job *job, const char *text) {
        Fields fields = {};

        job_fields(&fields, MEMUNPLUG_MESSAGE_JOB_STATE, job);
        (void) log_full(LOG_NOTICE, 0, fields.list, "Job %" PRIu32 " (%s%s%s) %s", job->id,
                        source_to_string(job->source), job->device[0] ? ", " : "", job->device, text);
}

void report_paused(const Job *job) {
        report_hold(job, job->reason ? job->reason : "paused");
}

void report_released(const Job *job) {
        report_hold(job, "goes on");
}

void report_accepted(const Job *job) {
        char requested[FORMAT_SIZE_MAX];
        Fields fields = {};

        job_fields(&fields, MEMUNPLUG_MESSAGE_JOB_ACCEPTED, job);
        (void) log_full(job->unconfirmed ? LOG_NOTICE : LOG_INFO, 0, fields.list,
                        "Job %" PRIu32 " accepted: %s %s%s%s for %s (%s)%s%s", job->id,
                        demand_kind_to_string(job->kind), format_size(job->requested_bytes, requested),
                        job->device[0] ? ", " : "", job->device, source_to_string(job->source), job->caller,
                        job->unconfirmed && job->reason ? "; it " : "",
                        job->unconfirmed && job->reason ? job->reason : "");
}

void report_confirmed(const Job *job) {
        Fields fields = {};

        job_fields(&fields, MEMUNPLUG_MESSAGE_JOB_STATE, job);
        (void) log_full(LOG_INFO, 0, fields.list, "Job %" PRIu32 " was confirmed", job->id);
}

void report_refusal(const Demand *demand, JobCause cause, const char *reason) {
        Fields fields = {};

        add_field(&fields, "MESSAGE_ID=%s", MEMUNPLUG_MESSAGE_REQUEST_REFUSED);
        add_field(&fields, "MEMUNPLUG_REASON=%s", reason ? reason : "");
        (void) log_full(LOG_NOTICE, 0, fields.list, "Request from %s (%s) not accepted, %s: %s",
                        source_to_string(demand->source), demand->caller, job_cause_to_string(cause),
                        reason ? reason : "");
}

void report_interrupted(const Job *job, size_t n_taken) {
        Fields fields = {};

        job_fields(&fields, MEMUNPLUG_MESSAGE_INTERRUPTED, job);
        (void) log_full(LOG_WARNING, 0, fields.list,
                        "Job %" PRIu32
                        " was under way when the service ended; bringing back up to %zu blocks",
                        job->id, n_taken);
}

void report_stuck(const Job *job) {
        Fields fields = {};

        job_fields(&fields, MEMUNPLUG_MESSAGE_WORKER_STUCK, job);
        (void) log_full(LOG_ERR, 0, fields.list,
                        "A worker of job %" PRIu32
                        " does not come back from the kernel; its blocks are set aside",
                        job->id);
}

void report_journal_failure(const Job *job, int error) {
        (void) log_warning_errno(error, "Job %" PRIu32 " cannot be recorded on disk, ignoring: %s", job->id,
                                 strerror(-error));
}
