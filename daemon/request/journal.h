/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The append-only record of jobs on disk: what was accepted, what was taken, how it ended.
 * It is the safety record: a write that fails is an error, not a warning. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "request/job.h"

#define JOURNAL_REWRITE_SIZE (4U * 1024U * 1024U) /* bytes above which the file is to be rewritten */

typedef struct Journal Journal;

/* A job as the journal tells it at start-up. */
typedef struct JournalJob {
        Job job;
        EngineBlock *taken;     /* blocks that it may have taken offline and not brought back */
        size_t n_taken;
        bool this_boot;         /* written since the machine was started */
} JournalJob;

/* Opens (makes) "journal" in directory_fd (borrowed) and replays it. Lines that cannot be understood are
 * skipped and counted in ret_skipped, a torn last line too; the file with them stays as "journal.damaged".
 * The file is rewritten (side file, sync, rename, directory sync) with the last max_jobs jobs, if the disk
 * has room for that. root_fd gives the boot id. */
int journal_open(Journal **ret, int directory_fd, int root_fd, size_t max_jobs, size_t *ret_skipped);
Journal *journal_free(Journal *journal);

const JournalJob *journal_jobs(const Journal *journal,
                               size_t *ret_n); /* oldest first; until journal_forget() */
void journal_forget(Journal *journal);                                 /* frees the replayed jobs */
uint32_t journal_last_id(const Journal *journal);

/* Each appends one record and syncs it to disk. */
int journal_write_job(Journal *journal, const Job *job);
int journal_write_taking(Journal *journal, uint32_t job, const EngineBlock *blocks, size_t n);

/* Whether the file has grown so much that it should be rewritten with the last max_jobs jobs, and doing so.
 */
bool journal_is_large(const Journal *journal);
int journal_rewrite(Journal *journal, size_t max_jobs);
