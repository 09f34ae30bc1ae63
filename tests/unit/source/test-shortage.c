/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/memunplug.h>
#include <stdlib.h>
#include <string.h>

#include "source/shortage.h"

#define MIB (UINT64_C(1) << 20)
#define BLOCK (128 * MIB)
#define FIRST 32U
#define N 4U

/* What the engine finds in the blocks from FIRST on. */
struct Engine {
        uint64_t offline[N], locked[N];
        uint64_t pinned[N][4]; /* offsets of pages, 0: none */
        bool too_many;         /* more than are listed */
        int error;
};

int engine_survey_block(Engine *engine, const BlockTable *table, uint32_t block, size_t max_blockers,
                        EngineSurvey *ret) {
        EngineSurvey survey = {};
        uint32_t i = block - FIRST;

        assert_true(i < N);
        if (engine->error < 0)
                return engine->error;
        survey.blockers = calloc(4, sizeof(*survey.blockers));
        assert_non_null(survey.blockers);
        survey.class_bytes[MEMUNPLUG_CLASS_OFFLINE] = engine->offline[i];
        survey.locked_bytes = engine->locked[i];
        for (size_t k = 0; k < 4; k++) {
                if (engine->pinned[i][k] == 0)
                        continue;
                survey.unmovable_bytes += 4096;
                survey.class_bytes[MEMUNPLUG_CLASS_PINNED] += 4096;
                survey.total_blockers++;
                if (survey.n_blockers < max_blockers)
                        survey.blockers[survey.n_blockers++] = (EngineBlocker) {
                                .address = block * BLOCK + engine->pinned[i][k],
                                .class = MEMUNPLUG_CLASS_PINNED };
        }
        survey.total_blockers += engine->too_many;
        *ret = survey;
        return 0;
}

void engine_survey_clear(EngineSurvey *survey) {
        free(survey->blockers);
        *survey = (EngineSurvey) {};
}

typedef struct Test {
        Engine engine;
        Block blocks[N];
        Device device;
        BlockTable table;
        GuardPolicy policy;
        Shortage shortage;
} Test;

static int setup(void **state) {
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->device = (Device) { .name = "virtio3", .kind = DEVICE_VIRTIO_MEM, .target_known = true,
                               .plugged_bytes = N * BLOCK, .piece_bytes = 2 * MIB };
        for (uint32_t i = 0; i < N; i++)
                t->blocks[i] = (Block) { .index = FIRST + i, .address = (FIRST + i) * BLOCK,
                                         .zone = ZONE_MOVABLE, .used_bytes = BLOCK_USAGE_UNKNOWN,
                                         .unmovable_bytes = BLOCK_USAGE_UNKNOWN };
        t->table = (BlockTable) { .block_size = BLOCK, .blocks = t->blocks, .n_blocks = N,
                                  .devices = &t->device, .n_devices = 1 };
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        shortage_clear(&t->shortage);
        free(t);
        return 0;
}

static void look(Test *t, uint64_t clear, size_t n_ready) {
        shortage_clear(&t->shortage);
        assert_int_equal(shortage_look(&t->engine, &t->table, &t->policy, &t->device, true, &t->shortage), 0);
        assert_int_equal(t->shortage.clear_bytes, clear);
        assert_int_equal(t->shortage.n_ready, n_ready);
}

static void test_whole_blocks(void **state) {
        Test *t = *state;

        look(t, N * BLOCK, N);
        for (uint32_t i = 0; i < N; i++)
                assert_int_equal(t->shortage.ready[i], FIRST + N - 1 - i);
        t->device.requested_bytes = 300 * MIB; /* 212 MiB too much: not two blocks */
        look(t, N * BLOCK, 1);
        assert_int_equal(t->shortage.ready[0], FIRST + N - 1);
        t->engine.offline[N - 1] = BLOCK - 84 * MIB; /* 84 and 128 are 212 */
        look(t, 3 * BLOCK + 84 * MIB, 2);
        t->blocks[N - 1].state = BLOCK_OFFLINE; /* that is the driver's already */
        look(t, 3 * BLOCK, 1);
        assert_int_equal(t->shortage.ready[0], FIRST + N - 2);
}

static void test_pieces(void **state) {
        Test *t = *state;

        t->engine.pinned[1][0] = 4096;
        t->engine.pinned[1][1] = MIB; /* the same piece */
        t->engine.pinned[1][2] = 6 * MIB;
        look(t, N * BLOCK - 4 * MIB, N - 1);
        assert_int_equal(t->shortage.ready[2], FIRST);
        t->engine.offline[1] = BLOCK - 4 * MIB; /* the driver took all the others */
        look(t, 3 * BLOCK, N - 1);
        t->engine.locked[2] = 4096;   /* nobody says where */
        look(t, 2 * BLOCK, N - 2);
        t->engine.too_many = true;
        look(t, 0, 0);
}

static void test_large_pieces(void **state) {
        Test *t = *state;

        t->device.piece_bytes = 2 * BLOCK;
        look(t, N * BLOCK, N);
        t->engine.pinned[1][0] = 4096; /* keeps the lower two */
        look(t, 2 * BLOCK, 2);
        assert_int_equal(t->shortage.ready[1], FIRST + 2);
        t->device.requested_bytes = 3 * BLOCK; /* one block too much: no piece is that small */
        look(t, 2 * BLOCK, 0);
        t->device.requested_bytes = 0;
        t->blocks[2].device = BLOCK_DEVICE_NONE; /* not all of the upper piece is there */
        look(t, 0, 0);
}

static void test_guarded(void **state) {
        static const uint32_t protect[] = { FIRST + 3 };
        Test *t = *state;

        t->policy.protected_blocks = protect;
        t->policy.n_protected = 1;
        t->blocks[0].zone = ZONE_NORMAL;
        look(t, N * BLOCK, 2); /* the driver may take them, a job does not */
        t->engine.error = -EINTR;
        assert_int_equal(shortage_look(&t->engine, &t->table, &t->policy, &t->device, true, &t->shortage), -EINTR);
        t->engine.error = -EOPNOTSUPP;
        assert_int_equal(shortage_look(&t->engine, &t->table, &t->policy, &t->device, true, &t->shortage),
                         -EOPNOTSUPP);
        assert_int_equal(t->shortage.n_ready, 2); /* untouched by failures */
}

static void check_sentence(const Test *t, uint64_t usec, const char *expected) {
        char *text = shortage_sentence(&t->shortage, BLOCK, usec);

        assert_string_equal(text, expected);
        free(text);
}

static void test_sentence(void **state) {
        Test *t = *state;
        JobBlocker *blockers;

        t->device.plugged_bytes = 300 * MIB;
        t->engine.pinned[1][0] = 4096;
        t->engine.pinned[2][0] = 4096;
        t->engine.pinned[2][1] = 8192;
        look(t, N * BLOCK - 4 * MIB, 2);
        check_sentence(t, UINT64_C(330500000),
                       "requested 0B, plugged 300M for 5min, because 2 of 4 blocks hold pages that cannot be "
                       "moved: 12K pinned; the first in block 33");
        blockers = t->shortage.obstacle.blockers;
        assert_int_equal(t->shortage.obstacle.n_blockers, 3);
        for (size_t i = 0; i < 3; i++) {
                strcpy(blockers[i].owner, i < 2 ? "holder" : "");
                blockers[i].pids[0] = i < 2 ? 41 : 42;
                blockers[i].n_pids = 1;
        }
        check_sentence(t, 2900000,
                       "requested 0B, plugged 300M for 2s, because 2 of 4 blocks hold pages that cannot be "
                       "moved: 12K pinned; the first in block 33, held by holder (pid 41), a process (pid 42)");
        memset(t->engine.pinned, 0, sizeof(t->engine.pinned));
        look(t, N * BLOCK, 2);
        check_sentence(t, 1000000, "requested 0B, plugged 300M for 1s, its driver is still at it: nothing "
                                   "visible stands in the way");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_whole_blocks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_guarded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sentence, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
