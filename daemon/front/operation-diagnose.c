/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Diagnose: all findings, those of memory/doctor.h and those that only a running service can make. */
#include <errno.h>
#include <inttypes.h>
#include <linux/memunplug.h>
#include <stdio.h>
#include <string.h>

#include "front/json.h"
#include "front/operation-internal.h"
#include "memory/doctor.h"
#include "util/json-text.h"
#include "util/json.h"

#define CULPRITS_MAX 16U

static int find_engine(Findings *findings, const OperationContext *context) {
        const char *reason = engine_reason(context->engine);

        if (engine_kind(context->engine) == ENGINE_SYSFS)
                return findings_add(
                        findings, SEVERITY_WARNING, "module", "/dev/memunplug", reason,
                        "Install the package memunplug-dkms, or load the module: modprobe memunplug.",
                        "the kernel module is not in use: removal is slower, and nothing is known of "
                        "what stands in the way");
        if (!engine_can_evacuate(context->engine))
                return findings_add(findings, SEVERITY_WARNING, "module", "/dev/memunplug", reason,
                                    "See the kernel's log for the self-test of the module.",
                                    "the kernel module cannot move memory on this kernel");
        return 0;
}

static int find_acpi(Findings *findings, const OperationContext *context) {
        const OperationSource *acpi = &context->sources[SOURCE_ACPI];

        if (acpi->active || !acpi->reason)
                return 0;
        return findings_add(findings, SEVERITY_NOTE, "acpi", /* file= */ NULL, acpi->reason,
                            /* advice= */ NULL, "eject requests of the platform do not reach the service");
}

static int find_hooks(Findings *findings, const OperationContext *context) {
        CLEANUP(freep) char *fault = NULL;
        char value[32];
        size_t n;
        int r;

        if (!context->hooks)
                return 0;
        r = hooks_inspect(context->hooks, &n, &fault);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return findings_add(findings, SEVERITY_PROBLEM, "hooks", "/etc/memunplug/hooks.d",
                                    strerror(-r),
                                    /* advice= */ NULL, "hooks cannot be read, so nothing is removed");
        if (fault)
                return findings_add(findings, SEVERITY_PROBLEM, "hooks", "/etc/memunplug/hooks.d", fault,
                                    "Give it to root, and take the right to write from all others.",
                                    "a hook cannot be trusted, so nothing is removed");
        if (n == 0)
                return 0;
        (void) snprintf(value, sizeof(value), "%zu programs", n);
        return findings_add(findings, SEVERITY_NOTE, "hooks", "/etc/memunplug/hooks.d", value,
                            /* advice= */ NULL, "hooks are asked before memory goes, and may refuse");
}

/* Who was in the way of a job that has ended; each only once. */
static int find_culprits(Findings *findings, const OperationContext *context) {
        size_t first = findings->n;
        int r = 0;

        for (size_t i = queue_n_jobs(context->queue); r >= 0 && i-- > 0;) {
                const Job *job = queue_job_at(context->queue, i);

                for (size_t k = 0; r >= 0 && k < job->n_blockers && findings->n < first + CULPRITS_MAX;
                     k++) {
                        const JobBlocker *blocker = &job->blockers[k];
                        char value[128];
                        bool known = blocker->n_pids == 0; /* without a name nothing is to be said */

                        (void) snprintf(value, sizeof(value), "%s (%" PRIi32 ")", blocker->owner,
                                        blocker->n_pids > 0 ? blocker->pids[0] : 0);
                        for (size_t m = first; m < findings->n; m++)
                                known = known || strcmp(findings->items[m].value, value) == 0;
                        if (!known)
                                r = findings_add(
                                        findings, SEVERITY_WARNING, "culprit", /* file= */ NULL, value,
                                        "Stop it, or let it give up what it holds, before memory goes.",
                                        "a process held memory that did not move (%s page at 0x%" PRIx64
                                        ", job %" PRIu32 ")",
                                        page_class_to_string(blocker->class), blocker->address, job->id);
                }
        }
        return r;
}

static int find_all(Findings *findings, const OperationContext *context) {
        const GuardPolicy *policy;
        const BlockTable *table;
        int r;

        r = queue_blocks(context->queue, &table, &policy);
        if (r < 0)
                return r;
        r = find_engine(findings, context);
        if (r >= 0)
                r = doctor_blocks(findings, table, policy);
        if (r >= 0)
                r = doctor_onlining(findings, context->root_fd, table);
        if (r >= 0)
                r = doctor_holders(findings, context->root_fd);
        if (r >= 0)
                r = doctor_version(findings, context->root_fd);
        if (r >= 0)
                r = find_hooks(findings, context);
        if (r >= 0)
                r = find_culprits(findings, context);
        return r < 0 ? r : find_acpi(findings, context);
}

static json_object *finding_new(const Finding *finding) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        if (!o || json_add_string(o, "severity", severity_to_string(finding->severity)) < 0 ||
            json_add_string(o, "check", finding->check) < 0 ||
            json_add(o, "message", json_text_new(finding->message)) < 0 ||
            (finding->file && json_add(o, "file", json_text_new(finding->file)) < 0) ||
            (finding->value && json_add(o, "value", json_text_new(finding->value)) < 0) ||
            json_add_string(o, "advice", finding->advice) < 0)
                return NULL;
        return STEAL_PTR(o);
}

/* What matters most comes first. */
static json_object *findings_to_json(const Findings *findings) {
        CLEANUP(json_putp) json_object *array = json_object_new_array();

        for (Severity severity = 0; array && severity < _SEVERITY_MAX; severity++)
                for (size_t i = 0; i < findings->n; i++) {
                        json_object *o;

                        if (findings->items[i].severity != severity)
                                continue;
                        o = finding_new(&findings->items[i]);
                        if (!o || json_object_array_add(array, o) < 0) {
                                (void) json_object_put(o);
                                return NULL;
                        }
                }
        return STEAL_PTR(array);
}

int operation_diagnose(OperationCall *call) {
        CLEANUP(findings_clear) Findings findings = {};
        int r;

        r = find_all(&findings, call->context);
        if (r < 0)
                return operation_answer_failure(call, r, "Cannot look over the system");
        return operation_answer(call, operation_wrap("findings", findings_to_json(&findings)));
}
