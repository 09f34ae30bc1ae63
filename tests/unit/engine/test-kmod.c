/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kmod.h"
#include "fake.h"

static int setup(void **state) {
        fake_module_reset();
        return 0;
}

static Kmod *make(void) {
        Kmod *kmod = NULL;

        assert_int_equal(kmod_new(&kmod, "/dev/memunplug", &fake_ops), 0);
        return kmod;
}

static void test_new(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();

        assert_true(kmod_fd(kmod) >= 0);
        assert_int_equal(kmod_info(kmod)->block_size, FAKE_BLOCK_SIZE);
        assert_true(kmod_can_evacuate(kmod));
        assert_true(kmod_can_survey(kmod));
}

static void test_new_fails(void **state) {
        Kmod *kmod = NULL;
        size_t fds = count_fds();

        fake_module->open_error = -ENOENT;
        assert_int_equal(kmod_new(&kmod, "/dev/memunplug", &fake_ops), -ENOENT);
        fake_module->open_error = 0;
        fake_module->info_error = -ENOTTY;
        assert_int_equal(kmod_new(&kmod, "/dev/memunplug", &fake_ops), -ENOTTY);
        /* the real way out: no such node, and a node of something else */
        assert_int_equal(kmod_new(&kmod, "/nonexistent/memunplug", NULL), -ENOENT);
        assert_int_equal(kmod_new(&kmod, "/dev/null", NULL), -ENOTTY);
        assert_null(kmod);
        assert_int_equal(count_fds(), fds);
}

static void test_info_is_checked(void **state) {
        static const struct memunplug_info bad[] = {
                { .abi = 1, .block_size = 0, .pageblock_size = 2 << 20 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 0 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE + 1, .pageblock_size = 2 << 20 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 3 << 20 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 2 * FAKE_BLOCK_SIZE },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 1024 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 2 << 20, .selftest = 3 },
                { .abi = 1, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 2 << 20, .selftest_error = 5 },
                { .abi = 0, .block_size = FAKE_BLOCK_SIZE, .pageblock_size = 2 << 20 },
        };
        Kmod *kmod = NULL;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                fake_module->info = bad[i];
                assert_int_equal(kmod_new(&kmod, "x", &fake_ops), -EBADMSG);
        }
}

static void test_selftest(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();

        fake_module->info.selftest = MEMUNPLUG_SELFTEST_PENDING;
        fake_module->info.features = 0;
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_true(kmod_can_evacuate(kmod));
        assert_false(kmod_can_survey(kmod));
        fake_module->info.selftest = MEMUNPLUG_SELFTEST_PASSED;
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_false(kmod_can_evacuate(kmod));
        fake_module->info.selftest = MEMUNPLUG_SELFTEST_FAILED;
        fake_module->info.features = MEMUNPLUG_FEATURE_EVACUATE;
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_false(kmod_can_evacuate(kmod));
}

static void test_evacuate(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();
        struct memunplug_evacuate result;

        fake_module->movable[40] = 4096;
        fake_module->pinned[41] = 8192;
        assert_int_equal(kmod_evacuate(kmod, 40 * FAKE_BLOCK_SIZE, 2 * FAKE_BLOCK_SIZE, 0, &result), 0);
        assert_int_equal(result.used_before, 12288);
        assert_int_equal(result.used_after, 8192);
        fake_module->excess = 2 * FAKE_BLOCK_SIZE;
        assert_int_equal(kmod_evacuate(kmod, 40 * FAKE_BLOCK_SIZE, FAKE_BLOCK_SIZE, 0, &result), -EBADMSG);
        fake_module->evacuate_error = -EBUSY;
        assert_int_equal(kmod_evacuate(kmod, 40 * FAKE_BLOCK_SIZE, FAKE_BLOCK_SIZE, 0, &result), -EBUSY);
        assert_int_equal(result.used_after, 8192);
}

static void test_keep_cache(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();
        struct memunplug_evacuate result;

        assert_true(kmod_can_keep_cache(kmod));
        fake_module->movable[40] = 12288;
        fake_module->cache[40] = 4096;
        assert_int_equal(kmod_evacuate(kmod, 40 * FAKE_BLOCK_SIZE, FAKE_BLOCK_SIZE,
                                       MEMUNPLUG_EVACUATE_KEEP_CACHE, &result), 0);
        assert_int_equal(result.used_after, 4096);
        fake_module->info.features &= ~MEMUNPLUG_FEATURE_KEEP_CACHE;
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_false(kmod_can_keep_cache(kmod));
}

static void test_survey(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();
        struct memunplug_survey survey;
        uint64_t used = 0;

        fake_module->movable[16] = 4096;
        fake_module->pinned[40] = 8192;
        fake_module->offline[41] = 1 << 20;
        assert_int_equal(kmod_survey(kmod, 40 * FAKE_BLOCK_SIZE, 2 * FAKE_BLOCK_SIZE, NULL, 0, &survey), 0);
        assert_int_equal(survey.flags, MEMUNPLUG_SURVEY_HELD);
        assert_int_equal(kmod_survey_used(&survey), 8192);
        assert_int_equal(kmod_survey_unmovable(&survey), 8192);
        /* more than one call may cover */
        fake_module->n_survey = 0;
        assert_int_equal(kmod_used(kmod, 8 * FAKE_BLOCK_SIZE, 36 * FAKE_BLOCK_SIZE, &used), 0);
        assert_int_equal(used, 12288);
        assert_int_equal(fake_module->n_survey, 3);
        fake_module->survey_error = -EINTR;
        fake_module->n_survey = 0;
        assert_int_equal(kmod_used(kmod, 0, FAKE_BLOCK_SIZE, &used), -EINTR);
        assert_int_equal(fake_module->n_survey, 3);
        fake_module->survey_error = 0;
        fake_module->info.features &= ~MEMUNPLUG_FEATURE_HELD; /* a module that refuses the flag */
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_int_equal(kmod_survey(kmod, 40 * FAKE_BLOCK_SIZE, FAKE_BLOCK_SIZE, NULL, 0, &survey), 0);
        fake_module->info.features = 0;
        assert_int_equal(kmod_refresh(kmod), 0);
        assert_int_equal(kmod_used(kmod, 0, FAKE_BLOCK_SIZE, &used), -EOPNOTSUPP);
}

static void test_survey_classes(void **state) {
        struct memunplug_survey survey = { .size = 1 << 20 };

        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                survey.bytes[i] = UINT64_C(1) << i;
        /* all but FREE (0) and OFFLINE (8) */
        assert_int_equal(kmod_survey_used(&survey), 0xfefe);
        /* RESERVED (2), SLAB (3), PAGE_TABLE (4), PINNED (5), KERNEL (10), UNKNOWN (11) */
        assert_int_equal(kmod_survey_unmovable(&survey), 0x0c3c);
        survey.bytes[MEMUNPLUG_CLASS_MOVABLE] = 1 << 20; /* a snapshot may count a page twice */
        assert_int_equal(kmod_survey_used(&survey), 1 << 20);
}

static void expect_bad_survey(struct memunplug_survey answer, const struct memunplug_page *page) {
        CLEANUP(kmod_freep) Kmod *kmod = make();
        struct memunplug_survey survey;
        struct memunplug_page pages[8] = {};

        answer.size = FAKE_BLOCK_SIZE;
        fake_module->survey = answer;
        if (page)
                fake_module->pages[0] = *page;
        assert_int_equal(kmod_survey(kmod, FAKE_BLOCK_SIZE, FAKE_BLOCK_SIZE, pages, 4, &survey), -EBADMSG);
}

static void test_survey_is_checked(void **state) {
        const uint64_t size = FAKE_BLOCK_SIZE;

        expect_bad_survey((struct memunplug_survey) { .bytes[15] = size + 1 }, NULL);
        expect_bad_survey((struct memunplug_survey) { .locked_bytes = UINT64_MAX }, NULL);
        expect_bad_survey((struct memunplug_survey) { .writeback_bytes = UINT64_MAX }, NULL);
        expect_bad_survey((struct memunplug_survey) { .hole_bytes = size + 4096 }, NULL);
        expect_bad_survey((struct memunplug_survey) { .n_pages = 5, .total_blockers = 5 }, NULL);
        expect_bad_survey((struct memunplug_survey) { .n_pages = 2, .total_blockers = 1 }, NULL);
        expect_bad_survey((struct memunplug_survey) { .total_blockers = size / 4096 + 1 }, NULL);
        for (size_t i = 0; i < 4; i++) {
                const struct memunplug_page pages[] = {
                        { .address = 2 * size },
                        { .address = size - (UINT64_C(1) << 20), .order = 2 },
                        { .address = size, .class = MEMUNPLUG_CLASS_MAX },
                        { .address = size, .order = 64 },
                };

                expect_bad_survey((struct memunplug_survey) { .n_pages = 1, .total_blockers = 1 },
                                  &pages[i]);
        }
}

static void test_release(void **state) {
        CLEANUP(kmod_freep) Kmod *kmod = make();
        char name[MEMUNPLUG_NAME_SIZE + 1];

        assert_int_equal(kmod_release(kmod, "PNP0C80:00"), 1);
        fake_module->release_error = -EPERM;
        assert_int_equal(kmod_release(kmod, "PNP0C80:00"), 0);
        fake_module->release_error = -ENODEV;
        assert_int_equal(kmod_release(kmod, "PNP0C80:00"), 0);
        fake_module->release_error = -EIO;
        assert_int_equal(kmod_release(kmod, "PNP0C80:00"), -EIO);
        memset(name, 'x', MEMUNPLUG_NAME_SIZE);
        name[MEMUNPLUG_NAME_SIZE] = 0;
        assert_int_equal(kmod_release(kmod, name), 0);
        assert_int_equal(fake_module->n_release, 4);
}

static void test_virtio_mem(void **state) {
        static const struct memunplug_virtio_mem good = {
                .name = "virtio3", .start = UINT64_C(1) << 32, .region_size = 1 << 30, .block_size = 2 << 20,
                .requested_size = 0, .plugged_size = 300 << 20,
        };
        CLEANUP(kmod_freep) Kmod *kmod = make();
        struct memunplug_virtio_mem sizes = {};
        struct memunplug_virtio_mem *answer = &fake_module->virtio_mem;

        *answer = good;
        assert_int_equal(kmod_virtio_mem(kmod, "virtio3", &sizes), 0);
        assert_int_equal(sizes.requested_size, 0);
        assert_int_equal(sizes.plugged_size, 300 << 20);
        assert_int_equal(kmod_virtio_mem(kmod, "virtio4", &sizes), -ENODEV);
        assert_int_equal(fake_module->n_retries, 0);
        assert_int_equal(kmod_virtio_mem_retry(kmod, "virtio3"), 0);
        assert_int_equal(fake_module->n_retries, 1);
        assert_int_equal(kmod_virtio_mem_retry(kmod, "virtio4"), -ENODEV);
        assert_int_equal(kmod_virtio_mem(kmod, "a-name-that-is-far-too-long", &sizes), -ENODEV);
        answer->plugged_size = good.region_size + 1;
        assert_int_equal(kmod_virtio_mem(kmod, "virtio3", &sizes), -EBADMSG);
        *answer = good;
        answer->requested_size = good.region_size + 1;
        assert_int_equal(kmod_virtio_mem(kmod, "virtio3", &sizes), -EBADMSG);
        *answer = good;
        answer->block_size = 0;
        assert_int_equal(kmod_virtio_mem(kmod, "virtio3", &sizes), -EBADMSG);
        fake_module->virtio_mem_error = -ENOTTY;
        assert_int_equal(kmod_virtio_mem(kmod, "virtio3", &sizes), -ENOTTY);
        assert_int_equal(sizes.plugged_size, 300 << 20); /* untouched by failures */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_new, setup),
                cmocka_unit_test_setup(test_new_fails, setup),
                cmocka_unit_test_setup(test_info_is_checked, setup),
                cmocka_unit_test_setup(test_selftest, setup),
                cmocka_unit_test_setup(test_evacuate, setup),
                cmocka_unit_test_setup(test_keep_cache, setup),
                cmocka_unit_test_setup(test_virtio_mem, setup),
                cmocka_unit_test_setup(test_survey, setup),
                cmocka_unit_test_setup(test_survey_classes, setup),
                cmocka_unit_test_setup(test_survey_is_checked, setup),
                cmocka_unit_test_setup(test_release, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
