/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The course of one job on standard error: a bar on a terminal, a line per change of state elsewhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "ctl/job.h"

#define PROGRESS_INTERVAL_USEC 100000U /* between two pictures */
#define PROGRESS_LINE_MAX 1024U

/* How fast bytes go, smoothed. */
typedef struct Rate {
        uint64_t bytes, at_usec; /* at the last look; at_usec 0: none yet */
        double per_second;       /* 0: not known */
} Rate;

typedef struct Progress {
        const Ctl *ctl;
        bool terminal;   /* draw bars */
        bool silent;
        bool drawn;      /* there is a bar to be cleared */
        bool waiting;    /* what came last is not drawn yet */
        uint64_t at_usec; /* of the last picture */
        char state[32];  /* that was told last */
        Rate rate;
} Progress;

void rate_update(Rate *rate, uint64_t bytes, uint64_t now_usec);

/* "Job 7 evacuating ━━━━╌╌╌╌ 42% 430M of 1G, 310M/s, 2s left", at most so many columns. */
void progress_line(const Ctl *ctl, const JobView *job, const Rate *rate, unsigned columns, bool utf8,
                   char buffer[PROGRESS_LINE_MAX]);

void progress_init(Progress *progress, const Ctl *ctl);
void progress_update(Progress *progress, const JobView *job);
/* Draws what waits, if it is time. */
void progress_tick(Progress *progress, const JobView *job);
/* For poll(2): milliseconds to the next tick, -1: none is due. */
int progress_timeout(const Progress *progress);
void progress_clear(Progress *progress);

bool terminal_is_utf8(void);
