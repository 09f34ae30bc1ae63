/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal of jobs: lines there and back, replay of damaged files, rewriting. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "request/journal-record.h"
#include "request/journal.h"
#include "tree.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define BOOT "11111111-2222-3333-4444-555555555555"

typedef struct World {
        Tree tree;
        int state_fd;
} World;

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        tree_make(&world->tree, 0);
        world->state_fd = openat(world->tree.fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(world->state_fd >= 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        (void) close(world->state_fd);
        tree_remove(&world->tree);
        free(world);
        return 0;
}

static Job sample_job(uint32_t id, JobState state) {
        return (Job){
                .id = id,
                .kind = DEMAND_UNPLUG,
                .source = SOURCE_ACPI,
                .caller = "platform",
                .device = "PNP0C80:00",
                .state = state,
                .cause = CAUSE_IN_USE,
                .reason = (char *) "64 pages \"held\"\nby somebody",
                .requested_bytes = 1ULL << 40,
                .removed_bytes = 2,
                .evacuated_bytes = 3,
                .move_bytes = 4,
                .total_blocks = 5,
                .removed_blocks = 6,
                .current_block = -1,
                .attempts = 7,
                .created_at = 8,
                .started_at = 9,
                .finished_at = 10,
                .deadline_at = 11,
                .eta_usec = UINT64_MAX,
        };
}

static void job_there_and_back(void **state) {
        Job job = sample_job(4000000000U, JOB_FAILED);
        JournalRecord record;
        char *line;

        assert_int_equal(journal_record_from_job(BOOT, &job, &line), 0);
        assert_int_equal(line[strlen(line) - 1], '\n');
        assert_null(memchr(line, '\n', strlen(line) - 1)); /* one line, whatever the reason says */
        assert_int_equal(journal_record_parse(line, strlen(line) - 1, &record), 0);
        assert_false(record.is_taking);
        assert_string_equal(record.boot_id, BOOT);
        assert_string_equal(record.job.reason, job.reason);
        assert_string_equal(record.job.caller, job.caller);
        assert_string_equal(record.job.device, job.device);
        free(record.job.reason);
        record.job.reason = job.reason;
        memcpy(record.job.caller, job.caller, sizeof(job.caller));
        memcpy(record.job.device, job.device, sizeof(job.device));
        assert_memory_equal(&record.job, &job, offsetof(Job, caller));
        assert_memory_equal(&record.job.state, &job.state, sizeof(Job) - offsetof(Job, state));
        free(line);
}

static void taking_there_and_back(void **state) {
        EngineBlock blocks[] = {
                { 47, ZONE_MOVABLE }, { 46, ZONE_MOVABLE }, { 45, ZONE_NORMAL }, { 40, ZONE_MOVABLE }
        };
        JournalRecord record;
        char *line;

        assert_int_equal(journal_record_from_taking(BOOT, 7, blocks, 4, &line), 0);
        assert_non_null(strstr(line, "46-47"));
        assert_int_equal(journal_record_parse(line, strlen(line) - 1, &record), 0);
        assert_true(record.is_taking);
        assert_int_equal(record.job_id, 7);
        assert_int_equal(record.n_blocks, 4);
        for (size_t i = 0; i < 4; i++) {
                bool found = false;

                for (size_t k = 0; k < 4; k++)
                        found |= record.blocks[k].block == blocks[i].block &&
                                 record.blocks[k].zone == blocks[i].zone;
                assert_true(found);
        }
        free(line);
        /* What was read is written as briefly again: a line may not grow past what can be read. */
        assert_int_equal(journal_record_from_taking(BOOT, 7, record.blocks, record.n_blocks, &line), 0);
        assert_non_null(strstr(line, "46-47"));
        journal_record_clear(&record);
        free(line);
}

static void wrong_lines_are_refused(void **state) {
        static const char *const lines[] = {
                "",
                "x",
                "{}",
                "[]",
                "null",
                "{\"v\":1}",
                "{\"v\":2,\"boot\":\"b\",\"taking\":{\"job\":1}}",
                "{\"v\":1,\"boot\":\"b\",\"taking\":{}}",
                "{\"v\":1,\"boot\":\"b\",\"taking\":{\"job\":0}}",
                "{\"v\":1,\"boot\":\"b\",\"taking\":{\"job\":1,\"Movable\":\"9-\"}}",
                "{\"v\":1,\"boot\":\"b\",\"taking\":{\"job\":1,\"Movable\":7}}",
                "{\"v\":1,\"boot\":\"b\",\"taking\":{\"job\":1,\"Movable\":\"0-4294967295\"}}",
                "{\"v\":1,\"boot\":\"0123456789012345678901234567890123456789\",\"taking\":{\"job\":1}}",
                "{\"v\":1,\"boot\":\"b\",\"job\":{\"id\":1}}",
                "{\"v\":1,\"boot\":\"b\",\"job\":{\"id\":1,\"state\":\"sad\",\"source\":\"acpi\","
                "\"operation\":\"unplug\"}}",
                "{\"v\":1,\"boot\":\"b\",\"job\":{\"id\":-1,\"state\":\"done\",\"source\":\"acpi\","
                "\"operation\":\"unplug\"}}",
                "{\"v\":1,\"boot\":\"b\",\"job\":{\"id\":1,\"state\":\"done\",\"source\":\"acpi\","
                "\"operation\":\"unplug\","
                "\"cause\":\"rain\"}}",
        };

        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                JournalRecord record;

                if (journal_record_parse(lines[i], strlen(lines[i]), &record) != -EBADMSG)
                        fail_msg("accepted: %s", lines[i]);
        }
}

static Journal *open_journal(World *world, size_t max_jobs, size_t expect_skipped) {
        size_t skipped = 77;
        Journal *journal;

        assert_int_equal(journal_open(&journal, world->state_fd, world->tree.fd, max_jobs, &skipped), 0);
        assert_int_equal(skipped, expect_skipped);
        return journal;
}

static void write_jobs(Journal *journal, uint32_t first, uint32_t last, JobState state) {
        for (uint32_t id = first; id <= last; id++) {
                Job job = sample_job(id, state);

                assert_int_equal(journal_write_job(journal, &job), 0);
        }
}

static void append_raw(World *world, const char *text) {
        int fd = openat(world->state_fd, "journal", O_WRONLY | O_APPEND | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
}

static void damaged_lines_are_skipped_and_counted(void **state) {
        World *world = *state;
        Journal *journal = open_journal(world, 64, 0);
        const JournalJob *jobs;
        size_t n;

        write_jobs(journal, 1, 2, JOB_DONE);
        (void) journal_free(journal);
        append_raw(world, "this is no record\n");
        journal = open_journal(world, 64, 1);
        write_jobs(journal, 3, 3, JOB_DONE);
        (void) journal_free(journal);
        append_raw(world, "{\"v\":1,\"boot\":\"torn"); /* no newline: a crash */
        journal = open_journal(world, 64, 1);
        jobs = journal_jobs(journal, &n);
        assert_int_equal(n, 3);
        assert_int_equal(jobs[2].job.id, 3);
        (void) journal_free(journal);
        (void) journal_free(open_journal(world, 64, 0)); /* it was rewritten clean */
}

static void damaged_file_is_kept(void **state) {
        World *world = *state;
        CLEANUP(freep) char *text = NULL;
        Journal *journal = open_journal(world, 64, 0);
        size_t n;

        write_jobs(journal, 1, 1, JOB_DONE);
        (void) journal_free(journal);
        append_raw(world, "this is no record\n");
        (void) journal_free(open_journal(world, 64, 1));
        assert_int_equal(sysfs_read_all(world->state_fd, "journal.damaged", 1 << 20, &text, &n), 0);
        assert_non_null(strstr(text, "this is no record\n"));
}

static void file_too_large_goes_aside(void **state) {
        World *world = *state;
        struct stat st;
        Journal *journal;
        int fd = openat(world->state_fd, "journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 65 << 20), 0);
        (void) close(fd);
        journal = open_journal(world, 64, 1);
        write_jobs(journal, 1, 1, JOB_DONE);
        (void) journal_free(journal);
        assert_int_equal(fstatat(world->state_fd, "journal.damaged", &st, 0), 0);
        assert_int_equal(st.st_size, 65 << 20);
        (void) journal_free(open_journal(world, 64, 0));
}

static void last_jobs_are_kept(void **state) {
        World *world = *state;
        Journal *journal = open_journal(world, 4, 0);
        const JournalJob *jobs;
        size_t n;

        write_jobs(journal, 1, 10, JOB_DONE);
        (void) journal_free(journal);
        journal = open_journal(world, 4, 0);
        jobs = journal_jobs(journal, &n);
        assert_int_equal(n, 4);
        assert_int_equal(jobs[0].job.id, 7);
        assert_int_equal(journal_last_id(journal), 10);
        (void) journal_free(journal);
}

static void taken_blocks_survive_rewriting_until_the_end(void **state) {
        World *world = *state;
        EngineBlock blocks[] = { { 47, ZONE_MOVABLE }, { 46, ZONE_MOVABLE } };
        Journal *journal = open_journal(world, 64, 0);
        const JournalJob *jobs;
        size_t n;

        write_jobs(journal, 1, 1, JOB_EVACUATING);
        assert_int_equal(journal_write_taking(journal, 1, blocks, 2), 0);
        write_jobs(journal, 1, 1, JOB_OFFLINING);
        for (int i = 0; i < 3; i++) {
                (void) journal_free(journal);
                journal = open_journal(world, 64, 0);
                jobs = journal_jobs(journal, &n);
                assert_int_equal(n, 1);
                assert_true(jobs[0].this_boot);
                assert_int_equal(jobs[0].n_taken, 2);
                assert_int_equal(jobs[0].job.state, JOB_OFFLINING);
        }
        write_jobs(journal, 1, 1, JOB_FAILED);
        (void) journal_free(journal);
        (void) journal_free(open_journal(world, 64, 0));
        journal = open_journal(world, 64, 0);
        jobs = journal_jobs(journal, &n);
        assert_int_equal(jobs[0].n_taken, 0);
        (void) journal_free(journal);
}

static void large_file_is_rewritten(void **state) {
        World *world = *state;
        Journal *journal = open_journal(world, 64, 0);
        char *reason = malloc(64 * 1024), *text;
        uint32_t id = 0;
        size_t n;

        assert_non_null(reason);
        memset(reason, 'x', 64 * 1024);
        reason[64 * 1024 - 1] = '\0';
        while (!journal_is_large(journal)) {
                Job job = sample_job(++id, JOB_DONE);

                job.reason = reason;
                assert_int_equal(journal_write_job(journal, &job), 0);
        }
        assert_int_equal(journal_rewrite(journal, 3), 0);
        assert_false(journal_is_large(journal));
        write_jobs(journal, id + 1, id + 1, JOB_DONE);
        assert_int_equal(sysfs_read_all(world->state_fd, "journal", 1 << 20, &text, &n), 0);
        assert_true(n < 4 * 64 * 1024);
        free(reason);
        free(text);
        (void) journal_free(journal);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(job_there_and_back),
                cmocka_unit_test(taking_there_and_back),
                cmocka_unit_test(wrong_lines_are_refused),
                CASE(damaged_lines_are_skipped_and_counted),
                CASE(damaged_file_is_kept),
                CASE(file_too_large_goes_aside),
                CASE(last_jobs_are_kept),
                CASE(taken_blocks_survive_rewriting_until_the_end),
                CASE(large_file_is_rewritten),
        };

        return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
