/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goes through the processes below a /proc and finds those that map given pages, within a budget. What a
 * process is asked, and in which order, is here; who asked is the main program's. */
#pragma once

#include <stdint.h>

#include "util/owners-protocol.h"

/* Called when there is more to say; the reply is not the last. Negative: nobody wants to know any more. */
typedef int (*WalkFound)(const OwnersReply *reply, void *userdata);

typedef struct WalkOptions {
        int proc_fd; /* borrowed */
        uint64_t page_size;
        int32_t skip_pid;              /* ourselves; 0: nobody */
        uint64_t (*now)(void);         /* usec */
        uint64_t deadline;             /* by that clock */
        uint64_t max_entries;         /* of page maps, in all */
        uint64_t first_entries;       /* of one process before all others have had their turn */
        uint64_t max_process_entries; /* of one process; the rest of it is left out */
        WalkFound found;
        void *userdata;
} WalkOptions;

/* 1: page maps show us frames; 0: they hide them, and no search could find anything. */
int walk_sees_frames(int proc_fd, uint64_t page_size);

/* ret is the last reply. Errors: no memory, no list of processes, or what found returned. */
int walk(const WalkOptions *options, const OwnersRequest *request, OwnersReply *ret);
