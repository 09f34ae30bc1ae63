/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of the journal: text to record and back. Pure functions. */
#pragma once

#include <stddef.h>

#include "engine/engine.h"
#include "request/job.h"

#define JOURNAL_LINE_MAX (1024U * 1024U)
#define JOURNAL_BOOT_ID_SIZE 37U /* a UUID with its NUL */

typedef struct JournalRecord {
        char boot_id[JOURNAL_BOOT_ID_SIZE];
        uint32_t job_id;
        bool is_taking;         /* blocks about to be taken; else a job's present state */
        Job job;                /* owned; blockers are not kept */
        EngineBlock *blocks;    /* owned */
        size_t n_blocks;
} JournalRecord;

/* *ret: one line with its newline, to be freed. */
int journal_record_from_job(const char *boot_id, const Job *job, char **ret);
int journal_record_from_taking(const char *boot_id, uint32_t job, const EngineBlock *blocks, size_t n,
                               char **ret);
/* line without its newline. -EBADMSG: not a record. */
int journal_record_parse(const char *line, size_t n, JournalRecord *ret);
void journal_record_clear(JournalRecord *record);
