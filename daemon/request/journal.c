/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal file: opening, replay, rewriting, synced appends. What a line means is journal-record.c's;
 * what to do about an unfinished job is the queue's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "request/journal-record.h"
#include "request/journal.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define JOURNAL_NAME "journal"
#define JOURNAL_SIDE_NAME "journal.new"
#define JOURNAL_DAMAGED_NAME "journal.damaged" /* the last file that could not be understood as a whole */
#define JOURNAL_FILE_MAX (64U * 1024U * 1024U)
#define JOURNAL_JOBS_MAX 100000U /* different jobs that a file of that size could name */

struct Journal {
        int directory_fd;
        int fd;
        bool torn;              /* the last write failed half-way: a newline comes first */
        char boot_id[JOURNAL_BOOT_ID_SIZE];
        uint32_t last_id;
        uint64_t size;          /* bytes in the file */
        JournalJob *jobs;
        size_t n_jobs;
};

DEFINE_CLEANUP(Journal *, journal_free)

static void journal_job_clear(JournalJob *record) {
        job_clear(&record->job);
        free(record->taken);
}

void journal_forget(Journal *journal) {
        for (size_t i = 0; i < journal->n_jobs; i++)
                journal_job_clear(&journal->jobs[i]);
        free(journal->jobs);
        journal->jobs = NULL;
        journal->n_jobs = 0;
}

Journal *journal_free(Journal *journal) {
        if (!journal)
                return NULL;
        journal_forget(journal);
        (void) close_fd(journal->fd);
        free(journal);
        return NULL;
}

/* Ids only grow, so a job is near the end of the list; -1: not there. */
static ssize_t find_job(const Journal *journal, uint32_t id) {
        for (size_t i = journal->n_jobs; i-- > 0;)
                if (journal->jobs[i].job.id == id)
                        return (ssize_t) i;
        return -1;
}

static int remember_job(Journal *journal, JournalRecord *record) {
        ssize_t i = find_job(journal, record->job_id);
        bool this_boot = strcmp(record->boot_id, journal->boot_id) == 0;

        if (i < 0) {
                JournalJob *jobs;

                if (journal->n_jobs >= JOURNAL_JOBS_MAX)
                        return -EBADMSG;
                jobs = reallocarray(journal->jobs, journal->n_jobs + 1, sizeof(*jobs));
                if (!jobs)
                        return -ENOMEM;
                journal->jobs = jobs;
                i = (ssize_t) journal->n_jobs++;
                journal->jobs[i] = (JournalJob) {};
        } else
                job_clear(&journal->jobs[i].job);
        journal->jobs[i].job = record->job;
        journal->jobs[i].this_boot = this_boot;
        record->job = (Job) {};
        if (record->job_id > journal->last_id)
                journal->last_id = record->job_id;
        return 0;
}

static int remember_taking(Journal *journal, JournalRecord *record) {
        ssize_t i = find_job(journal, record->job_id);

        if (i < 0)
                return -EBADMSG; /* a job is always written before what it takes */
        free(journal->jobs[i].taken);
        journal->jobs[i].taken = STEAL_PTR(record->blocks);
        journal->jobs[i].n_taken = record->n_blocks;
        return 0;
}

static int replay_line(Journal *journal, const char *line, size_t n) {
        JournalRecord record = {};
        int r;

        r = journal_record_parse(line, n, &record);
        if (r < 0)
                return r;
        r = record.is_taking ? remember_taking(journal, &record) : remember_job(journal, &record);
        journal_record_clear(&record);
        return r;
}

/* Goes through all lines; a last line without its newline was torn by a crash and counts as skipped. */
static int replay_text(Journal *journal, const char *text, size_t n, size_t *ret_skipped) {
        size_t skipped = 0;

        while (n > 0) {
                const char *end = memchr(text, '\n', n);
                size_t length = end ? (size_t) (end - text) : n;
                int r = end ? replay_line(journal, text, length) : -EBADMSG;

                if (r == -ENOMEM)
                        return r;
                if (r < 0 && length > 0)
                        skipped++;
                if (!end)
                        break;
                text += length + 1;
                n -= length + 1;
        }
        *ret_skipped = skipped;
        return 0;
}

static int replay_file(Journal *journal, size_t *ret_skipped) {
        CLEANUP(freep) char *text = NULL;
        size_t n = 0;
        int r;

        r = sysfs_read_all(journal->directory_fd, JOURNAL_NAME, JOURNAL_FILE_MAX, &text, &n);
        if (r == -ENOENT) {
                *ret_skipped = 0;
                return 0;
        }
        return r < 0 ? r : replay_text(journal, text, n, ret_skipped);
}

static int write_all(int fd, const char *text, size_t n) {
        while (n > 0) {
                ssize_t k = write(fd, text, n);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                text += k;
                n -= (size_t) k;
        }
        return 0;
}

static int write_record(int fd, const char *boot_id, const Job *job, const EngineBlock *taken,
                        size_t n_taken, uint64_t *size) {
        CLEANUP(freep) char *line = NULL, *taking = NULL;
        int r;

        r = journal_record_from_job(boot_id, job, &line);
        if (r >= 0)
                r = write_all(fd, line, strlen(line));
        if (r < 0)
                return r;
        *size += strlen(line);
        if (n_taken == 0)
                return 0;
        r = journal_record_from_taking(boot_id, job->id, taken, n_taken, &taking);
        if (r >= 0)
                r = write_all(fd, taking, strlen(taking));
        if (r >= 0)
                *size += strlen(taking);
        return r;
}

/* A job of a former boot keeps saying so: its blocks came back with that boot's end. */
static const char *boot_of(const Journal *journal, const JournalJob *record) {
        return record->this_boot ? journal->boot_id : "";
}

/* Replaces the file by one with the jobs remembered. After a crash there is the old file or the new one,
 * whole. */
static int rewrite_file(Journal *journal) {
        CLEANUP(closep) int fd = -1;
        uint64_t size = 0;
        int r = 0;

        fd = openat(journal->directory_fd, JOURNAL_SIDE_NAME,
                    O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < journal->n_jobs; i++) {
                const JournalJob *record = &journal->jobs[i];
                bool over = job_state_is_final(record->job.state);

                r = write_record(fd, boot_of(journal, record), &record->job, record->taken,
                                 over ? 0 : record->n_taken, &size);
        }
        if (r < 0)
                return r;
        if (fsync(fd) < 0 ||
            renameat(journal->directory_fd, JOURNAL_SIDE_NAME, journal->directory_fd, JOURNAL_NAME) < 0 ||
            fsync(journal->directory_fd) < 0)
                return -errno;
        (void) close_fd(journal->fd);
        journal->fd = steal_fd(&fd);
        journal->size = size;
        return 0;
}

/* What could not be understood is not thrown away: somebody may want to know what it was. */
static void set_damaged_aside(int directory_fd) {
        (void) unlinkat(directory_fd, JOURNAL_DAMAGED_NAME, 0);
        (void) linkat(directory_fd, JOURNAL_NAME, directory_fd, JOURNAL_DAMAGED_NAME, 0);
}

/* On a disk without room for a new file the old one, which is whole as far as it could be, goes on. */
static int open_as_is(Journal *journal) {
        struct stat st;
        char last = '\n';

        journal->fd = openat(journal->directory_fd, JOURNAL_NAME,
                             O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        if (journal->fd < 0 || fstat(journal->fd, &st) < 0)
                return -errno;
        if (st.st_size > 0 && pread(journal->fd, &last, 1, st.st_size - 1) != 1)
                return -EIO;
        journal->torn = last != '\n';
        journal->size = (uint64_t) st.st_size;
        return 0;
}

static void keep_last_jobs(Journal *journal, size_t max_jobs) {
        size_t drop = journal->n_jobs > max_jobs ? journal->n_jobs - max_jobs : 0;

        for (size_t i = 0; i < drop; i++)
                journal_job_clear(&journal->jobs[i]);
        if (drop > 0)
                memmove(journal->jobs, journal->jobs + drop,
                        (journal->n_jobs - drop) * sizeof(*journal->jobs));
        journal->n_jobs -= drop;
}

static int read_boot_id(int root_fd, char ret[static JOURNAL_BOOT_ID_SIZE]) {
        char text[JOURNAL_BOOT_ID_SIZE + 1]; /* with its newline */
        int r;

        r = sysfs_read(root_fd, "proc/sys/kernel/random/boot_id", text, sizeof(text));
        if (r < 0)
                return r;
        if (strlen(text) != JOURNAL_BOOT_ID_SIZE - 1)
                return -EBADMSG;
        strcpy(ret, text);
        return 0;
}

int journal_open(Journal **ret, int directory_fd, int root_fd, size_t max_jobs, size_t *ret_skipped) {
        CLEANUP(journal_freep) Journal *journal = NULL;
        size_t skipped = 0;
        int r;

        journal = calloc(1, sizeof(*journal));
        if (!journal)
                return -ENOMEM;
        journal->directory_fd = directory_fd;
        journal->fd = -1;
        r = read_boot_id(root_fd, journal->boot_id);
        if (r < 0)
                return r;
        r = replay_file(journal, &skipped);
        if (r == -EFBIG)
                skipped = 1; /* no file of ours: all of it goes aside */
        else if (r < 0)
                return r;
        if (skipped > 0)
                set_damaged_aside(directory_fd);
        keep_last_jobs(journal, max_jobs);
        r = rewrite_file(journal);
        if (r == -ENOSPC || r == -EDQUOT)
                r = open_as_is(journal);
        if (r < 0)
                return r;
        *ret_skipped = skipped;
        *ret = STEAL_PTR(journal);
        return 0;
}

const JournalJob *journal_jobs(const Journal *journal, size_t *ret_n) {
        *ret_n = journal->n_jobs;
        return journal->jobs;
}

uint32_t journal_last_id(const Journal *journal) {
        return journal->last_id;
}

/* A line that was written in part (disk full) is closed off before the next one, so that only itself is
 * lost. */
static int append_line(Journal *journal, const char *line) {
        size_t n = strlen(line);
        int r;

        if (journal->torn) {
                r = write_all(journal->fd, "\n", 1);
                if (r < 0)
                        return r;
                journal->torn = false;
        }
        r = write_all(journal->fd, line, n);
        if (r < 0) {
                journal->torn = true;
                return r;
        }
        journal->size += n;
        return fdatasync(journal->fd) < 0 ? -errno : 0;
}

int journal_write_job(Journal *journal, const Job *job) {
        CLEANUP(freep) char *line = NULL;
        int r;

        r = journal_record_from_job(journal->boot_id, job, &line);
        if (r < 0)
                return r;
        if (job->id > journal->last_id)
                journal->last_id = job->id;
        return append_line(journal, line);
}

int journal_write_taking(Journal *journal, uint32_t job, const EngineBlock *blocks, size_t n) {
        CLEANUP(freep) char *line = NULL;
        int r;

        r = journal_record_from_taking(journal->boot_id, job, blocks, n, &line);
        return r < 0 ? r : append_line(journal, line);
}

bool journal_is_large(const Journal *journal) {
        return journal->size > JOURNAL_REWRITE_SIZE;
}

int journal_rewrite(Journal *journal, size_t max_jobs) {
        size_t skipped;
        int r;

        journal_forget(journal);
        r = replay_file(journal, &skipped);
        if (r >= 0) {
                keep_last_jobs(journal, max_jobs);
                r = rewrite_file(journal);
        }
        journal_forget(journal);
        return r;
}
