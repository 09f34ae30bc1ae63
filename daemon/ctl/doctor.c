/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor: what on this system prevents removal, and what to do. */
#include <string.h>

#include "ctl/output.h"
#include "ctl/talk.h"
#include "util/cleanup.h"
#include "util/json.h"

#define INDENT "         " /* below the message, behind the longest severity */

static bool is_problem(json_object *finding) {
        const char *severity = field_string(finding, "severity");

        return severity && strcmp(severity, "problem") == 0;
}

/* The next step is its own line, the evidence too: both are to be copied. */
static void show_finding(json_object *finding) {
        const char *severity = field_string(finding, "severity"),
                   *message = field_string(finding, "message");
        const char *file = field_string(finding, "file"), *value = field_string(finding, "value");
        const char *advice = field_string(finding, "advice");

        say(stdout, "%-7s  %s%s", severity ?: "?", message ?: "?", full_stop(message ?: ""));
        if (file || value)
                say(stdout, INDENT "Seen: %s%s%s", file ?: "", file && value ? ": " : "", value ?: "");
        if (advice)
                say(stdout, INDENT "Do:   %s", advice);
}

static void show_count(size_t n, size_t n_problems) {
        if (n > 0)
                fputs("\n", stdout);
        say(stdout, "%zu %s, %zu of them %s removal.", n, n == 1 ? "finding" : "findings", n_problems,
            n_problems == 1 ? "prevents" : "prevent");
}

int verb_doctor(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(reply_clear) Reply reply = {};
        size_t n, n_problems = 0;
        json_object *findings;
        int r;

        (void) args;
        (void) n_args;
        r = talk_call(ctl, "org.memunplug.Diagnose", NULL, &reply);
        if (r != CTL_DONE)
                return r;
        findings = field_array(reply.parameters, "findings");
        if (!findings)
                return talk_failure(ctl, -EBADMSG);
        n = json_object_array_length(findings);
        for (size_t i = 0; i < n; i++)
                n_problems += is_problem(json_object_array_get_idx(findings, i));
        if (ctl->json != CTL_JSON_OFF)
                r = output_json(ctl, reply.parameters);
        for (size_t i = 0; ctl->json == CTL_JSON_OFF && !ctl->quiet && i < n; i++)
                show_finding(json_object_array_get_idx(findings, i));
        if (ctl->json == CTL_JSON_OFF && !ctl->quiet && !ctl->no_legend)
                show_count(n, n_problems);
        return r == CTL_DONE && n_problems > 0 ? CTL_FAILED : r;
}
