/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/guard.h"
#include "table.h"

#define MIB (UINT64_C(1) << 20)

static GuardPolicy plain(void) {
        return (GuardPolicy) { .keep_free_bytes = UINT64_MAX };
}

static void check(const BlockTable *table, uint32_t index, const GuardPolicy *policy, Verdict expected,
                  const char *words) {
        Verdict verdict;
        char *reason;

        assert_int_equal(guard_block(table, block_table_find(table, index), policy, &verdict, &reason), 0);
        assert_string_equal(verdict_to_string(verdict), verdict_to_string(expected));
        assert_int_equal(guard_verdict(block_table_find(table, index), policy), expected);
        if (!words)
                assert_null(reason);
        else if (!reason || !strstr(reason, words))
                fail_msg("'%s' is not in '%s'", words, reason);
        free(reason);
}

static void test_blocks(void **state) {
        BlockTable *table = table_new("FmM?PKNog", 40);
        uint32_t busy[] = { 41, 42 }, protected[] = { 40, 41 }, nodes[] = { 1, 3 };
        GuardPolicy policy = plain();

        check(table, 40, &policy, VERDICT_FREE, NULL);
        check(table, 41, &policy, VERDICT_MOVABLE, NULL);
        check(table, 43, &policy, VERDICT_MOVABLE, NULL);
        check(table, 44, &policy, VERDICT_UNMOVABLE, "12M of it");
        check(table, 45, &policy, VERDICT_GUARDED, "zone Normal");
        check(table, 46, &policy, VERDICT_UNMOVABLE, "several zones");
        check(table, 47, &policy, VERDICT_OFFLINE, "offline");
        check(table, 48, &policy, VERDICT_BUSY, "going offline");
        policy.try_kernel_zones = true;
        check(table, 45, &policy, VERDICT_FREE, NULL);
        check(table, 46, &policy, VERDICT_UNMOVABLE, "several zones");
        policy.busy_blocks = busy;
        policy.n_busy = 2;
        policy.protected_blocks = protected;
        policy.n_protected = 2;
        check(table, 40, &policy, VERDICT_GUARDED, "ProtectBlocks=");
        check(table, 41, &policy, VERDICT_BUSY, "job");
        check(table, 42, &policy, VERDICT_BUSY, "job");
        policy.protected_nodes = nodes;
        policy.n_protected_nodes = 2;
        check(table, 43, &policy, VERDICT_MOVABLE, NULL);
        block_table_find(table, 43)->node = 3;
        check(table, 43, &policy, VERDICT_GUARDED, "on node 3, which is protected by the configuration (");
        block_table_find(table, 43)->node = -1; /* not known: no reason to protect it */
        check(table, 43, &policy, VERDICT_MOVABLE, NULL);
        block_table_find(table, 43)->crash_kernel = true;
        check(table, 43, &policy, VERDICT_GUARDED, "reserved for a crash kernel (crashkernel=)");
        block_table_find(table, 43)->crash_kernel = false;
        block_table_find(table, 40)->state = BLOCK_ABSENT;
        check(table, 40, &policy, VERDICT_ABSENT, "not there");
        block_table_find(table, 43)->zone = ZONE_DEVICE;
        check(table, 43, &policy, VERDICT_UNMOVABLE, "device");
        block_table_free(table);
}

static void check_device(const char *layout, Verdict expected, const char *words) {
        BlockTable *table = table_new(layout, 40);
        GuardPolicy policy = plain();
        Verdict verdict;
        char *reason;

        assert_int_equal(guard_device(table, &table->devices[0], &policy, &verdict, &reason), 0);
        assert_string_equal(verdict_to_string(verdict), verdict_to_string(expected));
        if (words)
                assert_string_equal(reason, words);
        else
                assert_null(reason);
        free(reason);
        block_table_free(table);
}

static void test_devices(void **state) {
        check_device("FFF|K", VERDICT_FREE, NULL);
        check_device("FoF|K", VERDICT_FREE, NULL);
        check_device("FmF|K", VERDICT_MOVABLE, NULL);
        check_device("ooo|F", VERDICT_OFFLINE, "offline already");
        check_device("mPmP|F", VERDICT_UNMOVABLE,
                     "24M in 2 of its 4 blocks cannot be moved, the first in block 41");
        check_device("mgF|F", VERDICT_BUSY, "block 41: going offline at this moment");
        check_device("FNN|F", VERDICT_UNMOVABLE,
                     "2 of its 3 blocks cannot go, the first is block 41: spans several zones or has holes, "
                     "and the "
                     "kernel cannot take that offline");
        check_device(
                "PgKF|F", VERDICT_GUARDED,
                "block 42: in zone Normal, where the kernel keeps its own data; only zone Movable is tried "
                "(TryKernelZones=)");
        check_device("|F", VERDICT_ABSENT, "has no memory blocks");
}

static void test_reserve(void **state) {
        GuardPolicy policy = plain();
        static const uint64_t points[][2] = { { 0, 8 },        { 128, 72 },     { 512, 168 },
                                              { 1280, 264 },   { 2048, 360 },   { 8192, 744 },
                                              { 20480, 1128 }, { 32768, 1512 }, { 65536, 2536 } };
        uint64_t last = 0;

        for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
                MemoryRoom room = { .total_bytes = points[i][0] * MIB };

                assert_int_equal(guard_reserve(&policy, &room) / MIB, points[i][1]);
        }
        for (uint64_t total = 0; total < UINT64_C(1) << 40; total += (UINT64_C(1) << 31) + 12345) {
                MemoryRoom room = { .total_bytes = total };

                assert_true(guard_reserve(&policy, &room) >= last); /* grows with the machine */
                last = guard_reserve(&policy, &room);
        }
        policy.keep_free_bytes = 0;
        assert_int_equal(guard_reserve(&policy, &(MemoryRoom) { .total_bytes = 1 << 30 }), 0);
        assert_true(guard_reserve(&policy, &(MemoryRoom) { .total_bytes = UINT64_MAX }) == 0);
        policy.keep_free_bytes = UINT64_MAX;
        assert_true(guard_reserve(&policy, &(MemoryRoom) { .total_bytes = UINT64_MAX }) > 0);
}

static bool has_room(uint64_t keep_mib, uint64_t available_mib, uint64_t remove_mib, uint64_t move_mib) {
        GuardPolicy policy = { .keep_free_bytes = keep_mib * MIB };
        MemoryRoom room = { .total_bytes = 4096 * MIB, .available_bytes = available_mib * MIB };
        Removal removal = { .room = &room, .remove_bytes = remove_mib * MIB, .move_bytes = move_mib * MIB };
        char *reason;
        bool yes;

        assert_int_equal(guard_room(&policy, &removal, &reason), 0);
        yes = !reason;
        free(reason);
        return yes;
}

static void test_room(void **state) {
        GuardPolicy policy = { .keep_free_bytes = 600 * MIB };
        MemoryRoom room = { .total_bytes = 4096 * MIB, .available_bytes = 1946 * MIB };
        Removal removal = { .room = &room, .remove_bytes = 2048 * MIB, .move_bytes = 1536 * MIB };
        char *reason;

        assert_true(has_room(0, 1024, 1024, 0));
        assert_true(has_room(0, 1024, 1024, 500));
        assert_false(has_room(0, 1023, 1024, 0));
        assert_false(has_room(0, 1023, 1024, 1024));
        assert_true(has_room(100, 1124, 1024, 300));
        assert_false(has_room(100, 1123, 1024, 300));
        assert_true(has_room(100, 0, 0, 0)); /* nothing is taken */
        assert_false(has_room(UINT64_MAX / MIB, 1024, 128, 128));

        assert_int_equal(guard_room(&policy, &removal, &reason), 0);
        assert_string_equal(reason,
                            "needs 2.1G free elsewhere, has 1.4G (1.5G would have to move, 600M is kept in "
                            "reserve, no swap is free)");
        free(reason);
        room.swap_free_bytes = 64 * MIB; /* said, and not counted */
        assert_int_equal(guard_room(&policy, &removal, &reason), 0);
        assert_non_null(strstr(reason, "has 1.4G (1.5G would have to move, 600M is kept in reserve, 64M of free swap "
                                       "does not count)"));
        free(reason);
        removal.remove_bytes = removal.move_bytes = 128 * MIB;
        assert_int_equal(guard_room(&policy, &removal, &reason), 0);
        assert_null(reason);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blocks),  cmocka_unit_test(test_devices),
                cmocka_unit_test(test_reserve), cmocka_unit_test(test_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
