/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of findings. */
#include "memory/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void findings_clear(Findings *findings) {
        for (size_t i = 0; i < findings->n; i++) {
                free(findings->items[i].message);
                free(findings->items[i].file);
                free(findings->items[i].value);
        }
        free(findings->items);
        *findings = (Findings) {};
}

int findings_add(Findings *findings, Severity severity, const char *check, const char *file,
                 const char *value, const char *advice, const char *format, ...) {
        Finding *items, *new;
        va_list args;
        int r;

        if (findings->n >= FINDINGS_MAX)
                return 0;
        items = reallocarray(findings->items, findings->n + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        findings->items = items;
        new = &items[findings->n++];
        *new = (Finding) {
                .severity = severity,
                .check = check,
                .file = file ? strdup(file) : NULL,
                .value = value ? strdup(value) : NULL,
                .advice = advice,
        };
        va_start(args, format);
        r = vasprintf(&new->message, format, args);
        va_end(args);
        if (r < 0)
                new->message = NULL;
        return r < 0 || (file && !new->file) || (value && !new->value) ? -ENOMEM : 0;
}

const char *severity_to_string(Severity severity) {
        static const char *const names[_SEVERITY_MAX] = {
                [SEVERITY_PROBLEM] = "problem",
                [SEVERITY_WARNING] = "warning",
                [SEVERITY_NOTE] = "note",
        };

        return severity >= 0 && severity < _SEVERITY_MAX ? names[severity] : NULL;
}
