/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all verbs of memunplugctl share: the options as given, the exit codes, and the verbs by name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes, documented in memunplugctl(1). */
enum {
        CTL_DONE = 0,
        CTL_FAILED = 1,       /* also wrong usage */
        CTL_PARTIAL = 64,     /* some, not all, as chmem(8) */
        CTL_UNAVAILABLE = 69, /* the service is not there or does not answer */
        CTL_REFUSED = 77,     /* by policy or for want of permission */
        CTL_LEFT = 130,       /* interrupted; the job goes on */
};

typedef enum CtlJson { CTL_JSON_OFF, CTL_JSON_SHORT, CTL_JSON_PRETTY } CtlJson;

typedef struct Ctl {
        const char *address;
        CtlJson json;
        bool bytes;             /* sizes as plain numbers */
        bool no_legend;
        bool no_wait;
        bool partial;
        bool quiet;
        uint64_t deadline_usec; /* 0: as configured */
} Ctl;

/* A verb gets its own arguments only, already counted. It returns an exit code, after saying why. */
typedef int (*CtlVerb)(const Ctl *ctl, char **args, size_t n_args);

int verb_status(const Ctl *ctl, char **args, size_t n_args);
int verb_blocks(const Ctl *ctl, char **args, size_t n_args);
int verb_devices(const Ctl *ctl, char **args, size_t n_args);
int verb_plan(const Ctl *ctl, char **args, size_t n_args);
int verb_unplug(const Ctl *ctl, char **args, size_t n_args);
int verb_replug(const Ctl *ctl, char **args, size_t n_args);
int verb_jobs(const Ctl *ctl, char **args, size_t n_args);
int verb_show(const Ctl *ctl, char **args, size_t n_args);
int verb_cancel(const Ctl *ctl, char **args, size_t n_args);
int verb_confirm(const Ctl *ctl, char **args, size_t n_args);
int verb_explain(const Ctl *ctl, char **args, size_t n_args);
int verb_doctor(const Ctl *ctl, char **args, size_t n_args);
int verb_monitor(const Ctl *ctl, char **args, size_t n_args);
int verb_metrics(const Ctl *ctl, char **args, size_t n_args);
