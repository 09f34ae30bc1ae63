/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was found on this system that stands, or may stand, in the way of removing memory: each with the file
 * that shows it. */
#pragma once

#include <errno.h>
#include <stddef.h>

#define FINDINGS_MAX 128U

typedef enum Severity {
        SEVERITY_PROBLEM, /* this will prevent it */
        SEVERITY_WARNING, /* this may */
        SEVERITY_NOTE,
        _SEVERITY_MAX,
        _SEVERITY_INVALID = -EINVAL,
} Severity;

typedef struct Finding {
        Severity severity;
        const char *check;  /* a word that stays the same: "zone", "hugepages" */
        char *message;      /* a sentence; owned */
        char *file;         /* where it is seen, or NULL; owned */
        char *value;        /* what is there, or NULL; owned */
        const char *advice; /* what to do, or NULL */
} Finding;

typedef struct Findings {
        Finding *items;
        size_t n;
} Findings;

/* file, value (may be NULL) and what the format makes are copied; check and advice are constants. Beyond
 * FINDINGS_MAX nothing is added. -ENOMEM. */
int findings_add(Findings *findings, Severity severity, const char *check, const char *file,
                 const char *value, const char *advice, const char *format, ...)
                __attribute__((format(printf, 7, 8)));
void findings_clear(Findings *findings);
const char *severity_to_string(Severity severity);
