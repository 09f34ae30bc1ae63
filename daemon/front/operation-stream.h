/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What streams of jobs share: which of them are told about, and when it is time to tell more. */
#pragma once

#include "front/operation-internal.h"

/* A job that a stream tells about. */
struct JobWatch {
        uint32_t id;
        JobState state;          /* as it was told */
        uint64_t told_at;
        bool dirty;              /* there is progress that was not told */
};

/* Of streams: one job changed; now, or when it is time again. tell sends it. */
typedef int (*JobTeller)(OperationCall *call, const Job *job);
JobWatch *operation_watch(OperationCall *call, const Job *job);     /* as told now; NULL: memory is short */
void operation_watch_changed(OperationCall *call, JobWatch *watch, const Job *job, JobTeller tell);
void operation_watches_flush(OperationCall *call, JobTeller tell);  /* those whose time has come */
uint64_t operation_watches_next(const OperationCall *call);         /* when one is due, or UINT64_MAX */
void operation_timer_arm(OperationCall *call, uint64_t when);       /* UINT64_MAX: off */
uint64_t operation_now(const OperationCall *call);
