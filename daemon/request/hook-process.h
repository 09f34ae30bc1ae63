/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One hook, run once: a process group of its own without any right of the daemon, with a limit of time. What
 * it says in its first line is kept. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "request/hook-list.h"

#define HOOK_LINE_MAX 200U /* bytes of what a hook says */

typedef struct HookProcess HookProcess;

typedef enum HookEnd {
        HOOK_SUCCEEDED,
        HOOK_FAILED,    /* status is the exit status */
        HOOK_KILLED,    /* status is the signal */
        HOOK_TOO_LATE,  /* ended by us: the time was over */
} HookEnd;

typedef struct HookResult {
        HookEnd end;
        int status;
        const char *line; /* printable UTF-8, "" if it said nothing; valid until the process is freed */
} HookResult;

/* From the event loop, once; the process may be freed from within. */
typedef void (*HookProcessCallback)(HookProcess *process, const HookResult *result, void *userdata);

/* input: a file that becomes its standard input, from the beginning (borrowed). */
int hook_process_start(HookProcess **ret, sd_event *event, int root_fd, const Hook *hook, const char *phase,
                       int input, uint64_t timeout_usec, HookProcessCallback callback, void *userdata);
/* Kills its group, if it still runs. */
HookProcess *hook_process_free(HookProcess *process);
