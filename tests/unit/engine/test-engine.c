/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine says of itself and of the machine's pages. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "machine.h"

static void test_results(void **state) {
        static const struct {
                int error;
                StepResult result;
        } table[] = {
                { 0, STEP_OK }, { -EBUSY, STEP_BUSY }, { -EAGAIN, STEP_BUSY }, { -EINTR, STEP_BUSY },
                { -ENOMEM, STEP_NO_MEMORY }, { -EPERM, STEP_REFUSED }, { -EACCES, STEP_REFUSED },
                { -EROFS, STEP_REFUSED }, { -EINVAL, STEP_REFUSED }, { -EXDEV, STEP_REFUSED },
                { -EOPNOTSUPP, STEP_REFUSED }, { -ENXIO, STEP_REFUSED }, { -ENODEV, STEP_REFUSED },
                { -ENOENT, STEP_REFUSED }, { -EIO, STEP_FAILED }, { -ETIMEDOUT, STEP_FAILED },
                { -EOWNERDEAD, STEP_FAILED }, { -EPROTO, STEP_FAILED }, { -4095, STEP_FAILED },
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                assert_int_equal(engine_step_result(table[i].error), table[i].result);
        for (StepResult i = 0; i < _STEP_RESULT_MAX; i++)
                assert_non_null(step_result_to_string(i));
        assert_null(step_result_to_string(_STEP_RESULT_MAX));
        assert_string_equal(engine_kind_to_string(ENGINE_KMOD), "kmod");
        assert_string_equal(engine_kind_to_string(ENGINE_SYSFS), "sysfs");
        assert_null(engine_kind_to_string(_ENGINE_KIND_MAX));
}

static void expect_reason(Machine *m, const char *part) {
        machine_make(m, "/dev/memunplug", NULL);
        assert_non_null(engine_reason(m->engine));
        assert_non_null(strstr(engine_reason(m->engine), part));
        m->engine = engine_free(m->engine);
}

static void test_choice(void **state) {
        Machine *m = *state;
        BlockTable table = {};

        machine_make(m, NULL, NULL);
        assert_int_equal(engine_kind(m->engine), ENGINE_SYSFS);
        assert_non_null(engine_reason(m->engine));
        assert_false(engine_can_evacuate(m->engine));
        assert_int_equal(engine_device_fd(m->engine), -EOPNOTSUPP);
        assert_int_equal(engine_survey_table(m->engine, &table, NULL, 0), -EOPNOTSUPP);
        assert_int_equal(engine_survey_block(m->engine, &table, 1, 0, NULL), -EOPNOTSUPP);
        assert_int_equal(engine_survey_page(m->engine, 0), -EOPNOTSUPP);
        m->engine = engine_free(m->engine);

        machine_make(m, "/dev/memunplug", NULL);
        assert_int_equal(engine_kind(m->engine), ENGINE_KMOD);
        assert_null(engine_reason(m->engine));
        assert_true(engine_can_evacuate(m->engine));
        assert_true(engine_device_fd(m->engine) >= 0);
        m->engine = engine_free(m->engine);

        assert_int_equal(engine_new(&m->engine, m->event, m->root_fd, "/dev/null"), 0);
        assert_int_equal(engine_kind(m->engine), ENGINE_SYSFS);
        m->engine = engine_free(m->engine);
}

static void test_reasons(void **state) {
        Machine *m = *state;

        fake_module->open_error = -ENOENT;
        expect_reason(m, "not loaded");
        fake_module->open_error = -EACCES;
        expect_reason(m, "Permission denied");
        fake_module->open_error = 0;
        fake_module->info_error = -ENOTTY;
        expect_reason(m, "'/dev/memunplug' does not belong");
        fake_module->info_error = 0;
        fake_module->info.block_size = 3;
        expect_reason(m, "makes no sense");
        fake_module->info.block_size = FAKE_BLOCK_SIZE;
        fake_module->info.features = MEMUNPLUG_FEATURE_EVACUATE;
        expect_reason(m, "survey");
        fake_module->info.features = MEMUNPLUG_FEATURE_SURVEY;
        expect_reason(m, "cannot evacuate");
        fake_module->info.selftest = MEMUNPLUG_SELFTEST_FAILED;
        fake_module->info.selftest_error = -ENOMEM;
        expect_reason(m, "self-test failed: Cannot allocate memory");
}

static void test_survey_table(void **state) {
        Block blocks[] = {
                { .index = 40, .address = 40 * FAKE_BLOCK_SIZE, .state = BLOCK_ONLINE },
                { .index = 41, .address = 41 * FAKE_BLOCK_SIZE, .state = BLOCK_OFFLINE },
                { .index = 42, .address = 42 * FAKE_BLOCK_SIZE, .state = BLOCK_ONLINE },
        };
        const bool wanted[] = { false, true, true };
        BlockTable table = { .block_size = FAKE_BLOCK_SIZE, .blocks = blocks, .n_blocks = 3 };
        Machine *m = *state;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->movable[40] = 12288;
        fake_module->pinned[40] = 4096;
        for (size_t i = 0; i < 3; i++)
                blocks[i].used_bytes = blocks[i].unmovable_bytes = BLOCK_USAGE_UNKNOWN;
        assert_int_equal(engine_survey_table(m->engine, &table, wanted, 0), 0);
        assert_true(blocks[0].used_bytes == BLOCK_USAGE_UNKNOWN);
        assert_int_equal(blocks[2].used_bytes, 0);
        fake_module->movable[42] = 4096; /* what is known stays */
        assert_int_equal(engine_survey_table(m->engine, &table, NULL, 0), 0);
        assert_int_equal(blocks[0].used_bytes, 16384);
        assert_int_equal(blocks[0].unmovable_bytes, 4096);
        assert_true(blocks[1].used_bytes == BLOCK_USAGE_UNKNOWN);
        assert_int_equal(blocks[2].used_bytes, 0);
        fake_module->survey_error = -EIO;
        blocks[0].used_bytes = BLOCK_USAGE_UNKNOWN;
        assert_int_equal(engine_survey_table(m->engine, &table, NULL, 0), -EIO);
        assert_true(blocks[0].used_bytes == BLOCK_USAGE_UNKNOWN);
}

/* A block with too much in use is looked at until that is known, and no further. */
static void test_survey_up_to(void **state) {
        Block blocks[3] = {};
        BlockTable table = { .block_size = FAKE_BLOCK_SIZE, .blocks = blocks, .n_blocks = 3 };
        Machine *m = *state;

        machine_make(m, "/dev/memunplug", NULL);
        for (uint32_t i = 0; i < 3; i++)
                blocks[i] = (Block) { .index = 40 + i, .address = (40 + i) * FAKE_BLOCK_SIZE, .state = BLOCK_ONLINE,
                                      .used_bytes = BLOCK_USAGE_UNKNOWN };
        fake_module->movable[40] = 1 << 20; /* of each part */
        fake_module->movable[41] = 1 << 17;
        fake_module->n_survey = 0;
        assert_int_equal(engine_survey_table(m->engine, &table, NULL, FAKE_BLOCK_SIZE / 32), 0);
        assert_true(blocks[0].used_bytes == BLOCK_USAGE_UNKNOWN);
        assert_int_equal(blocks[1].used_bytes, 32 << 17);
        assert_int_equal(blocks[2].used_bytes, 0);
        assert_int_equal(fake_module->n_survey, 5 + 32 + 32);
        assert_int_equal(engine_survey_table(m->engine, &table, NULL, 0), 0);
        assert_int_equal(blocks[0].used_bytes, 1 << 20);
        assert_int_equal(fake_module->n_survey, 5 + 32 + 32 + 1);
}

static void test_survey_block(void **state) {
        const uint64_t size = UINT64_C(4) << 30; /* more than one call covers */
        Block block = { .index = 3, .address = 3 * size, .state = BLOCK_ONLINE };
        BlockTable table = { .block_size = size, .blocks = &block, .n_blocks = 1 };
        Machine *m = *state;
        EngineSurvey survey;

        machine_make(m, "/dev/memunplug", NULL);
        fake_module->survey = (struct memunplug_survey) {
                .size = size, .n_pages = 2, .total_blockers = 9, .locked_bytes = 4096, .hole_bytes = 8192,
                .bytes[MEMUNPLUG_CLASS_PINNED] = 9 * 4096,
        };
        for (size_t i = 0; i < 8; i++)
                fake_module->pages[i] = (struct memunplug_page) {
                        .address = block.address, .class = MEMUNPLUG_CLASS_PINNED,
                        .ref_count = 2, .map_count = 1,
                };
        assert_int_equal(engine_survey_block(m->engine, &table, 4, 8, &survey), -ENOENT);
        /* the made-up list is of the first half: in the second it makes no sense */
        assert_int_equal(engine_survey_block(m->engine, &table, 3, 8, &survey), -EBADMSG);
        table.block_size = size / 2;
        block.address = 6 * (size / 2);
        assert_int_equal(engine_survey_block(m->engine, &table, 3, 100000, &survey), 0);
        assert_int_equal(survey.n_blockers, 2);
        assert_int_equal(survey.blockers[1].ref_count, 2);
        assert_int_equal(survey.total_blockers, 9);
        assert_int_equal(survey.unmovable_bytes, 9 * 4096);
        assert_int_equal(survey.class_bytes[MEMUNPLUG_CLASS_PINNED], 9 * 4096);
        assert_int_equal(survey.hole_bytes, 8192);
        engine_survey_clear(&survey);
        fake_module->survey.n_pages = 0;
        table.block_size = size;
        assert_int_equal(engine_survey_block(m->engine, &table, 3, 0, &survey), 0);
        assert_int_equal(survey.total_blockers, 18);
        assert_int_equal(survey.n_blockers, 0);
        engine_survey_clear(&survey);
        fake_module->survey = (struct memunplug_survey) { .size = 4096, .total_blockers = 1,
                                                          .bytes[MEMUNPLUG_CLASS_PINNED] = 4096 };
        assert_int_equal(engine_survey_page(m->engine, block.address), 1);
        fake_module->survey = (struct memunplug_survey) { .size = 4096,
                                                          .bytes[MEMUNPLUG_CLASS_MOVABLE] = 4096 };
        assert_int_equal(engine_survey_page(m->engine, block.address), 0);
        fake_module->survey.locked_bytes = 4096;
        assert_int_equal(engine_survey_page(m->engine, block.address), 1);
        fake_module->survey.locked_bytes = 0;
        fake_module->survey.writeback_bytes = 4096;
        assert_int_equal(engine_survey_page(m->engine, block.address), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, machine_setup, machine_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_results),
                TEST(test_choice),
                TEST(test_reasons),
                TEST(test_survey_table),
                TEST(test_survey_up_to),
                TEST(test_survey_block),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
