/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal line from anywhere: refused, or understood such that writing it again gives the same record. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../large.h"
#include "request/journal-record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        JournalRecord record, again;
        char *line = NULL;
        int r;

        if (SKIP_LARGE_RANGES(data, size))
                return 0;
        if (journal_record_parse((const char *) data, size, &record) < 0)
                return 0;
        if (record.is_taking)
                r = journal_record_from_taking(record.boot_id, record.job_id, record.blocks, record.n_blocks, &line);
        else
                r = journal_record_from_job(record.boot_id, &record.job, &line);
        if (r < 0 || journal_record_parse(line, strlen(line) - 1, &again) < 0 || again.job_id != record.job_id ||
            again.n_blocks != record.n_blocks || again.job.state != record.job.state)
                abort();
        journal_record_clear(&again);
        journal_record_clear(&record);
        free(line);
        return 0;
}
