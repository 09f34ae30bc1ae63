/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the balloon needs next, of what it has and what was tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "source/balloon-device.h"

#define MIB (UINT64_C(1024) * 1024)
#define BLOCK (128 * MIB)

static void test_step(void **state) {
        BalloonTried none = {}, all = { .empty = 3, .pieces = 3, .take = 3, .give_back = 3,
                                          .pages = 3 };
        static const struct {
                uint64_t target, held, blocks;
                BalloonStepKind kind;
                uint64_t bytes;
                BalloonStepKind tried;
        } cases[] = {
                { 0, 0, 0, BALLOON_STEP_REST, 0, BALLOON_STEP_REST },
                { 4096, 0, 0, BALLOON_STEP_PAGES, 0, BALLOON_STEP_REST },
                { BLOCK - 4096, 0, 0, BALLOON_STEP_PAGES, 0, BALLOON_STEP_REST },
                { BLOCK, 0, 0, BALLOON_STEP_TAKE, BLOCK, BALLOON_STEP_REST },
                { 3 * BLOCK - 1, BLOCK, 0, BALLOON_STEP_TAKE, BLOCK, BALLOON_STEP_REST },
                { 1000 * BLOCK, 0, 0, BALLOON_STEP_TAKE, BALLOON_STEP_BLOCKS * BLOCK, BALLOON_STEP_REST },
                { UINT64_MAX, 0, 0, BALLOON_STEP_TAKE, BALLOON_STEP_BLOCKS * BLOCK, BALLOON_STEP_REST },
                { BLOCK, 3 * BLOCK, BLOCK, BALLOON_STEP_REST, 0, BALLOON_STEP_REST },
                { BLOCK, 3 * BLOCK, 3 * BLOCK, BALLOON_STEP_RETURN, 2 * BLOCK, BALLOON_STEP_REST },
                { BLOCK + 1, 3 * BLOCK, 3 * BLOCK, BALLOON_STEP_RETURN, 2 * BLOCK, BALLOON_STEP_REST },
                { 0, 3 * BLOCK, 3 * BLOCK, BALLOON_STEP_RETURN, 3 * BLOCK, BALLOON_STEP_REST },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct memunplug_balloon_state now = { .target = cases[i].target, .held = cases[i].held,
                                                       .blocks = cases[i].blocks, .sequence = 3 };
                BalloonStep step = balloon_next_step(&now, BLOCK, &none);

                assert_int_equal(step.kind, cases[i].kind);
                assert_int_equal(step.bytes, cases[i].bytes);
                assert_int_equal(balloon_next_step(&now, BLOCK, &all).kind, cases[i].tried);
        }
}

/* Blocks that cost next to nothing, free pieces until there are no more, blocks in use, then the rest. */
static void test_step_order(void **state) {
        struct memunplug_balloon_state now = { .target = 3 * BLOCK, .sequence = 3,
                                               .shortage = MEMUNPLUG_BALLOON_SHORT_FLOOR };
        BalloonTried tried = { .empty = 2, .pieces = 2, .take = 2, .pages = 2 };
        BalloonStep step = balloon_next_step(&now, BLOCK, &tried);

        assert_int_equal(step.kind, BALLOON_STEP_TAKE);
        assert_int_equal(step.most_used, BLOCK / 32);
        tried.empty = 3;
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_PIECES);
        tried.pieces = 3;
        now.shortage = MEMUNPLUG_BALLOON_SHORT_NONE; /* the driver is at it */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_REST);
        now.shortage = MEMUNPLUG_BALLOON_SHORT_NEED; /* and goes on in a while */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_REST);
        now.held = 2 * BLOCK + 1; /* less than a block is missing */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_PAGES);
        now.held = 2 * BLOCK;
        now.shortage = MEMUNPLUG_BALLOON_SHORT_MEMORY;
        step = balloon_next_step(&now, BLOCK, &tried);
        assert_int_equal(step.kind, BALLOON_STEP_TAKE);
        assert_int_equal(step.bytes, BLOCK);
        assert_int_equal(step.most_used, 0);
        tried.take = 3;
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_PAGES);
}

/* Where pages may have to come back in need, some of the target is not for blocks. */
static void test_step_cushion(void **state) {
        static const struct {
                uint64_t target, held, blocks;
                BalloonStepKind kind;
                uint64_t bytes;
        } cases[] = {
                { BLOCK, 0, 0, BALLOON_STEP_PAGES, 0 },
                { 2 * BLOCK - 4096, 0, 0, BALLOON_STEP_PAGES, 0 },
                { 2 * BLOCK, 0, 0, BALLOON_STEP_TAKE, BLOCK },
                { 5 * BLOCK, BLOCK, BLOCK, BALLOON_STEP_TAKE, 3 * BLOCK },
                { 5 * BLOCK, 4 * BLOCK, 4 * BLOCK, BALLOON_STEP_PAGES, 0 },
                { 5 * BLOCK, 3 * BLOCK, BLOCK, BALLOON_STEP_TAKE, 2 * BLOCK },
                { 5 * BLOCK, 5 * BLOCK, 5 * BLOCK, BALLOON_STEP_REST, 0 },
                { 4 * BLOCK, 5 * BLOCK, 5 * BLOCK, BALLOON_STEP_RETURN, BLOCK },
        };
        BalloonTried none = {};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct memunplug_balloon_state now = {
                        .target = cases[i].target, .held = cases[i].held, .blocks = cases[i].blocks,
                        .sequence = 3, .flags = MEMUNPLUG_BALLOON_DEFLATE_ON_OOM,
                };
                BalloonStep step = balloon_next_step(&now, BLOCK, &none);

                assert_int_equal(step.kind, cases[i].kind);
                assert_int_equal(step.bytes, cases[i].bytes);
        }
}

/* In need a block comes back where pages are few; nothing is taken until the driver says that it is over. */
static void test_step_need(void **state) {
        struct memunplug_balloon_state now = { .target = 4 * BLOCK, .held = 4 * BLOCK - 16 * MIB,
                                               .blocks = 3 * BLOCK, .sequence = 3, .needs = 1,
                                               .flags = MEMUNPLUG_BALLOON_DEFLATE_ON_OOM,
                                               .shortage = MEMUNPLUG_BALLOON_SHORT_NEED };
        BalloonTried tried = {};
        BalloonStep step = balloon_next_step(&now, BLOCK, &tried);

        assert_int_equal(step.kind, BALLOON_STEP_RETURN);
        assert_int_equal(step.bytes, BLOCK);
        tried.needs = 1; /* that one has been seen to */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_REST);
        now.shortage = MEMUNPLUG_BALLOON_SHORT_NONE;
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_PAGES);
        now.needs = 2;
        now.blocks = 2 * BLOCK; /* pages are there in plenty */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_PAGES);
        now.blocks = 0;
        now.held = 16 * MIB; /* there is no block */
        assert_int_equal(balloon_next_step(&now, BLOCK, &tried).kind, BALLOON_STEP_TAKE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_step),
                cmocka_unit_test(test_step_order),
                cmocka_unit_test(test_step_cushion),
                cmocka_unit_test(test_step_need),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
