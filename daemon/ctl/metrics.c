/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics: the state of the service as OpenMetrics text, for collectors of text files and the like. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/talk.h"
#include "util/cleanup.h"
#include "util/json.h"

#define LABEL_MAX 64U
#define SERIES_MAX 4096U /* no service of ours has that many kinds of anything */

/* What shares its labels is counted together. */
typedef struct Series {
        char **labels;
        uint64_t *values;
        size_t n;
        size_t size;
} Series;

static void series_clear(Series *series) {
        for (size_t i = 0; i < series->n; i++)
                free(series->labels[i]);
        free(series->labels);
        free(series->values);
}

static int series_reserve(Series *series) {
        size_t size = series->size ? series->size * 2 : 16;
        char **labels;
        uint64_t *values;

        if (series->n < series->size)
                return 0;
        if (size > SERIES_MAX)
                return -E2BIG;
        labels = reallocarray(series->labels, size, sizeof(*labels));
        if (!labels)
                return -ENOMEM;
        series->labels = labels;
        values = reallocarray(series->values, size, sizeof(*values));
        if (!values)
                return -ENOMEM;
        series->values = values;
        series->size = size;
        return 0;
}

static int series_add(Series *series, const char *labels, uint64_t value) {
        int r;

        for (size_t i = 0; i < series->n; i++)
                if (strcmp(series->labels[i], labels) == 0) {
                        series->values[i] += value;
                        return 0;
                }
        r = series_reserve(series);
        if (r < 0)
                return r;
        series->labels[series->n] = strdup(labels);
        if (!series->labels[series->n])
                return -ENOMEM;
        series->values[series->n++] = value;
        return 0;
}

/* A label's value: words of the interface and versions, nothing that needs quoting. */
static const char *label(json_object *object, const char *key, char buffer[LABEL_MAX]) {
        const char *text = field_string(object, key);
        uint64_t number;
        size_t n = 0;

        if (!text && field_uint(object, key, &number)) {
                (void) snprintf(buffer, LABEL_MAX, "%" PRIu64, number);
                return buffer;
        }
        for (; text && *text && n < LABEL_MAX - 1; text++)
                buffer[n++] = *text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? '_' : *text;
        buffer[n] = '\0';
        return buffer;
}

static void head(const char *name, const char *type, const char *unit, const char *help) {
        printf("# TYPE memunplug_%s %s\n", name, type);
        if (unit)
                printf("# UNIT memunplug_%s %s\n", name, unit);
        printf("# HELP memunplug_%s %s\n", name, help);
}

static void put_gauge(json_object *object, const char *key, const char *name, const char *help) {
        uint64_t value;

        if (!field_uint(object, key, &value))
                return;
        head(name, "gauge", "bytes", help);
        printf("memunplug_%s %" PRIu64 "\n", name, value);
}

static void put_series(const Series *series, const char *name, const char *unit, const char *help) {
        head(name, "gauge", unit, help);
        for (size_t i = 0; i < series->n; i++)
                printf("memunplug_%s{%s} %" PRIu64 "\n", name, series->labels[i], series->values[i]);
}

static void put_status(json_object *status) {
        char version[LABEL_MAX], engine[LABEL_MAX], hypervisor[LABEL_MAX], name[LABEL_MAX];
        json_object *sources = field_array(status, "sources"), *health = field_array(status, "health");

        /* A type "info" is not for all who read this: text files of a node exporter have gauges for it. */
        head("service_info", "gauge", NULL, "The service.");
        printf("memunplug_service_info{version=\"%s\",engine=\"%s\",hypervisor=\"%s\"} 1\n",
               label(status, "version", version), label(status, "engine", engine),
               label(status, "hypervisor", hypervisor));
        put_gauge(status, "blockSizeBytes", "block_size_bytes", "Size of a memory block.");
        put_gauge(status, "onlineBytes", "online_bytes", "Memory that is online.");
        put_gauge(status, "removableBytes", "removable_bytes", "Memory that can go now.");
        head("health_notes", "gauge", NULL, "Things that the service would have otherwise.");
        printf("memunplug_health_notes %zu\n", health ? json_object_array_length(health) : 0);
        head("source_active", "gauge", NULL, "Whether requests of a source are listened to.");
        for (size_t i = 0; sources && i < json_object_array_length(sources); i++) {
                json_object *source = json_object_array_get_idx(sources, i);
                bool active = false;

                if (!json_object_is_type(source, json_type_object))
                        continue;
                (void) json_get_bool(source, "active", &active); /* absent is as good as false */
                printf("memunplug_source_active{source=\"%s\"} %d\n", label(source, "source", name), active);
        }
}

static int put_blocks(json_object *blocks) {
        CLEANUP(series_clear) Series count = {}, used = {};
        char labels[5 * LABEL_MAX], a[LABEL_MAX], b[LABEL_MAX], c[LABEL_MAX], d[LABEL_MAX];

        for (size_t i = 0; i < json_object_array_length(blocks); i++) {
                json_object *block = json_object_array_get_idx(blocks, i);
                uint64_t bytes;
                int r;

                (void) snprintf(labels, sizeof(labels),
                                "state=\"%s\",verdict=\"%s\",zone=\"%s\",node=\"%s\"",
                                label(block, "state", a), label(block, "verdict", b),
                                label(block, "zone", c), label(block, "node", d));
                r = series_add(&count, labels, 1);
                if (r >= 0 && field_uint(block, "usedBytes", &bytes))
                        r = series_add(&used, labels, bytes);
                if (r < 0)
                        return r;
        }
        put_series(&count, "blocks", NULL, "Memory blocks.");
        if (used.n > 0)
                put_series(&used, "blocks_used_bytes", "bytes", "What is in use in these blocks.");
        return 0;
}

static int put_jobs(json_object *jobs) {
        CLEANUP(series_clear) Series count = {}, removed = {};
        char labels[5 * LABEL_MAX], a[LABEL_MAX], b[LABEL_MAX], c[LABEL_MAX];

        for (size_t i = 0; i < json_object_array_length(jobs); i++) {
                json_object *job = json_object_array_get_idx(jobs, i);
                uint64_t bytes;
                int r;

                (void) snprintf(labels, sizeof(labels), "operation=\"%s\",source=\"%s\",state=\"%s\"",
                                label(job, "operation", a), label(job, "source", b), label(job, "state", c));
                r = series_add(&count, labels, 1);
                if (r >= 0 && field_uint(job, "removedBytes", &bytes))
                        r = series_add(&removed, labels, bytes);
                if (r < 0)
                        return r;
        }
        put_series(&count, "jobs", NULL, "Jobs under way and remembered.");
        put_series(&removed, "jobs_removed_bytes", "bytes", "Memory that these jobs took or brought back.");
        return 0;
}

int verb_metrics(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(json_putp) json_object *blocks = NULL, *jobs = NULL;
        CLEANUP(reply_clear) Reply status = {};
        int code, r;

        (void) args;
        (void) n_args;
        if (ctl->json != CTL_JSON_OFF) {
                say(stderr, "Metrics have a format of their own; 'status' and 'blocks' take --json.");
                return CTL_FAILED;
        }
        code = talk_call(ctl, "org.memunplug.GetStatus", NULL, &status);
        if (code == CTL_DONE)
                code = talk_list(ctl, "org.memunplug.ListBlocks", "block", &blocks);
        if (code == CTL_DONE)
                code = talk_list(ctl, "org.memunplug.ListJobs", "job", &jobs);
        if (code != CTL_DONE)
                return code; /* nothing half is printed */
        put_status(status.parameters);
        r = put_blocks(blocks);
        if (r >= 0)
                r = put_jobs(jobs);
        if (r < 0)
                return talk_failure(ctl, r); /* without its last line the text counts as cut */
        puts("# EOF");
        return CTL_DONE;
}
