/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says of the room there is, and what a removal leaves of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/guard.h"
#include "memory/pressure.h"
#include "memory/zoneinfo.h"
#include "table.h"
#include "tree.h"

#define MIB (UINT64_C(1) << 20)

/* As Linux 6.1 writes it, less some counters that nobody reads; an empty zone is in between. */
static const char two_zones[] =
        "Node 0, zone    DMA32\n"
        "  per-node stats\n"
        "      nr_inactive_file 100\n"
        "      nr_slab_reclaimable 80\n"
        "      nr_slab_unreclaimable 9\n"
        "  pages free     500\n"
        "        boost    0\n"
        "        min      20\n"
        "        low      25\n"
        "        high     30\n"
        "        spanned  2100\n"
        "        present  2050\n"
        "        managed  2000\n"
        "        cma      0\n"
        "        protection: (0, 0, 0, 64)\n"
        "      nr_free_pages 500\n"
        "      nr_zone_inactive_file 100\n"
        "      nr_zone_active_file 50\n"
        "  pagesets\n"
        "    cpu: 0\n"
        "              count: 378\n"
        "              high:  378\n"
        "              batch: 63\n"
        "  vm stats threshold: 24\n"
        "  node_unreclaimable:  0\n"
        "  start_pfn:           4096\n"
        "Node 0, zone   Normal\n"
        "  pages free     0\n"
        "        boost    0\n"
        "        min      0\n"
        "        low      0\n"
        "        high     0\n"
        "        spanned  0\n"
        "        present  0\n"
        "        managed  0\n"
        "        cma      0\n"
        "        protection: (0, 0, 0, 0)\n"
        "Node 1, zone  Movable\n"
        "  pages free     300\n"
        "        min      5\n"
        "        low      7\n"
        "        high     9\n"
        "        spanned  1000\n"
        "        present  1000\n"
        "        managed  1000\n"
        "        protection: (0, 0, 0, 0)\n"
        "      nr_zone_inactive_file 0\n";

static void test_meminfo(void **state) {
        static const char text[] =
                "MemTotal:        2014392 kB\nMemFree:          148160 kB\n"
                "MemAvailable:    1518844 kB\nBuffers:           1 kB\nSwapFree:        1000 kB\n";
        MemoryRoom room = { .free_bytes = 7 };
        Tree tree = tree_new();

        tree_write(&tree, text, "proc/meminfo");
        assert_int_equal(memory_room_read(tree.fd, &room), 0);
        assert_true(room.total_bytes == UINT64_C(2014392) * 1024);
        assert_true(room.free_bytes == UINT64_C(148160) * 1024);
        assert_true(room.available_bytes == UINT64_C(1518844) * 1024);
        assert_true(room.swap_free_bytes == 1000 * 1024);
        assert_int_equal(room.n_zones, 0); /* no such file */
        tree_write(&tree, "no zones\n", "proc/zoneinfo");
        assert_int_equal(memory_room_read(tree.fd, &room), 0);
        assert_int_equal(room.n_zones, 0); /* not to be understood */
        assert_int_equal(room.total_bytes, UINT64_C(2014392) * 1024);
        tree_write(&tree, two_zones, "proc/zoneinfo");
        assert_int_equal(memory_room_read(tree.fd, &room), 0);
        assert_int_equal(room.n_zones, 2);
        assert_int_equal(room.zones[1].free_bytes, 300 * sysconf(_SC_PAGESIZE));
        memory_room_clear(&room);
        tree_remove(&tree);
        room.free_bytes = 7;
        assert_int_equal(meminfo_parse("", &room), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1 kB\n", &room), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1\nMemAvailable: 1 kB\n", &room), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: x kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n", &room),
                         -EBADMSG);
        assert_int_equal(
                meminfo_parse("MemTotal: 18446744073709551615 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n",
                              &room),
                -EBADMSG);
        assert_int_equal(room.free_bytes, 7);
        assert_int_equal(
                meminfo_parse("xMemTotal: 9 kB\nMemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: 3 kB", &room),
                0);
        assert_int_equal(room.total_bytes, 1024);
        assert_int_equal(room.swap_free_bytes, 0);
}

/* Zones of one page of 1 MiB. */
static size_t parse(const char *text, ZoneRoom **ret, int expected) {
        char *copy = strdup(text);
        size_t n = 0;
        int r = zoneinfo_parse(copy, MIB, ret, &n);

        if (r != expected)
                fail_msg("%d, not %d, for: %s", r, expected, text);
        free(copy);
        return n;
}

static void test_zoneinfo(void **state) {
        ZoneRoom *zones = NULL;

        assert_int_equal(parse(two_zones, &zones, 0), 2);
        assert_int_equal(zones[0].node, 0);
        assert_int_equal(zones[0].zone, ZONE_DMA32);
        assert_int_equal(zones[0].free_bytes, 500 * MIB);
        assert_int_equal(zones[0].used_bytes, 1500 * MIB);
        assert_int_equal(zones[0].low_bytes, 25 * MIB);
        assert_int_equal(zones[0].kept_bytes, (30 + 64) * MIB); /* the largest of its protection */
        assert_int_equal(zones[0].file_bytes, (100 + 50) * MIB);
        assert_int_equal(zones[0].slab_bytes, 80 * MIB);
        assert_int_equal(zones[1].node, 1);
        assert_int_equal(zones[1].zone, ZONE_MOVABLE);
        assert_int_equal(zones[1].kept_bytes, 9 * MIB);
        assert_int_equal(zones[1].slab_bytes, 0);
        free(zones);
}

#define ZONE(head, free_pages) \
        head "\n  pages free     " free_pages "\n        low      1\n        high     1\n        managed  9\n"

static void test_bad_zoneinfo(void **state) {
        static const struct {
                const char *text;
                int expected;
        } cases[] = {
                { ZONE("Node 0, zone   Normal", "7"), 0 },
                { ZONE("Node 0, zone   Normal", "7") ZONE("Node 0, zone  Movable", "7"), 0 },
                { ZONE("Node 0, zone   Normal", "7") ZONE("Node 1, zone  DMA", "7"), 0 },
                { ZONE("Node 0, zone   Normal", "7") ZONE("Node 0, zone  Lunar", "7"), 0 }, /* no room for us */
                { "", -EBADMSG },
                { "\n", -EBADMSG },
                { ZONE("Node 0, zone   Lunar", "7"), -EBADMSG }, /* no room at all */
                { ZONE("Node 0, zone   Normal", "7") ZONE("Node 0, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node 1, zone   Normal", "7") ZONE("Node 0, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node 0, zone  Movable", "7") ZONE("Node 0, zone   Normal", "7"), -EBADMSG },
                { "  pages free     7\n" ZONE("Node 0, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node 00, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node -1, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node 4294967295, zone   Normal", "7"), -EBADMSG },
                { ZONE("Node 0", "7"), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "-7"), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "7 "), -EBADMSG },
                { ZONE("Node 0, zone   Normal", ""), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "0x7"), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "18446744073709551616"), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "18446744073709551"), -EBADMSG }, /* bytes would not fit */
                { ZONE("Node 0, zone   Normal", "7\n  pages free 7"), -EBADMSG },
                { ZONE("Node 0, zone   Normal", "7") "        protection: (0, 7)\n", 0 },
                { ZONE("Node 0, zone   Normal", "7") "        protection: (0, x)\n", -EBADMSG },
                { ZONE("Node 0, zone   Normal", "7") "        protection: (0, 7) 9\n", -EBADMSG },
                { ZONE("Node 0, zone   Normal", "7") "        protection: 0, 7)\n", -EBADMSG },
                { ZONE("Node 0, zone   Normal", "7") "        protection: (0, 7\n", -EBADMSG },
                { "Node 0, zone   Normal\n  pages free 7\n low 1\n high 1\n", -EBADMSG },
                { "Node 0, zone   Normal\n  pages free 7\n low 1\n managed 1\n", -EBADMSG },
                { "Node 0, zone   Normal\n  low 1\n high 1\n managed 1\n", -EBADMSG },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                ZoneRoom *zones = NULL;

                (void) parse(cases[i].text, &zones, cases[i].expected);
                if (cases[i].expected < 0)
                        assert_null(zones);
                free(zones);
        }
}

/* Two nodes with 2 GiB each that are half free; node 1's are Movable and hold the blocks of the tests. */
static ZoneRoom zones_of_tests[] = {
        { .node = 0, .zone = ZONE_NORMAL, .free_bytes = 1024 * MIB, .used_bytes = 1024 * MIB,
          .low_bytes = 40 * MIB, .kept_bytes = 64 * MIB, .file_bytes = 200 * MIB, .slab_bytes = 32 * MIB },
        { .node = 1, .zone = ZONE_MOVABLE, .free_bytes = 1024 * MIB, .used_bytes = 1024 * MIB,
          .low_bytes = 40 * MIB, .kept_bytes = 64 * MIB, .file_bytes = 900 * MIB },
};
static const MemoryRoom room_of_tests = {
        .total_bytes = 4096 * MIB, .available_bytes = 3072 * MIB, .zones = zones_of_tests, .n_zones = 2,
};
/* 1024 - 64 free, of 200 page cache all but the 40 of the low watermark, half of 32. */
#define ROOM_0 ((960 + 160 + 16) * MIB)
/* 1024 - 64 free, of 900 page cache all but 40. */
#define ROOM_1 ((960 + 860) * MIB)

static Removal removal_of(const MemoryRoom *room, const char *layout, int node) {
        BlockTable *table = table_new(layout, 40);
        Removal removal;

        assert_int_equal(removal_new(&removal, room), 0);
        for (size_t i = 0; i < table->n_blocks; i++) {
                table->blocks[i].node = node;
                removal_add(&removal, &table->blocks[i], BS);
        }
        block_table_free(table);
        return removal;
}

static void check_removal(const MemoryRoom *room, const char *layout, int node, uint64_t room_bytes,
                          uint64_t move_bytes) {
        Removal removal = removal_of(room, layout, node);

        if (removal_room_bytes(&removal) != room_bytes || removal_move_bytes(&removal) != move_bytes)
                fail_msg("%s: room %llu, not %llu; moves %llu, not %llu", layout,
                         (unsigned long long) removal_room_bytes(&removal), (unsigned long long) room_bytes,
                         (unsigned long long) removal_move_bytes(&removal), (unsigned long long) move_bytes);
        removal_clear(&removal);
}

#define TENTH (BS / 10)

static void test_removal(void **state) {
        const MemoryRoom *room = &room_of_tests;
        MemoryRoom promised = room_of_tests;
        ZoneRoom zones[2] = { zones_of_tests[0], zones_of_tests[1] };

        check_removal(room, "", 1, ROOM_0 + ROOM_1, 0);
        check_removal(room, "F", 1, ROOM_0 + ROOM_1 - BS, 0); /* what goes is no room */
        check_removal(room, "FFFFFFFF", 1, ROOM_0 + ROOM_1 - 960 * MIB, 0); /* not less than none */
        /* Of 1024 used 8 * 115.2 go, so at most the rest can be page cache outside. */
        check_removal(room, "MMMMMMMM", 1,
                      ROOM_0 + (960 * MIB - 8 * (BS - 9 * TENTH)) +
                              (1024 * MIB - 72 * TENTH - 40 * MIB),
                      72 * TENTH);
        /* Half of the zone, not known: it may all be free. All of it: half is used. */
        check_removal(room, "????????", 1, ROOM_0 + ROOM_1 - 960 * MIB, 0);
        check_removal(room, "????????????????", 1, ROOM_0, 1024 * MIB);
        check_removal(room, "F", 0, ROOM_0 + ROOM_1, 0); /* in no zone that is known */
        check_removal(&(MemoryRoom) {}, "Fm", 1, UINT64_MAX, TENTH);

        promised.zones = zones;
        memory_room_promise(&promised, 1, ZONE_MOVABLE, 512 * MIB);
        assert_int_equal(promised.available_bytes, 2560 * MIB);
        check_removal(&promised, "F", 1, ROOM_0 + ROOM_1 - 512 * MIB - BS, 0);
        memory_room_promise(&promised, 1, ZONE_MOVABLE, 1024 * MIB); /* half of this must be in use */
        check_removal(&promised, "", 1, ROOM_0 + (512 - 40) * MIB, 512 * MIB);
        memory_room_promise(&promised, 2, ZONE_MOVABLE, UINT64_C(1) << 40);
        assert_int_equal(promised.available_bytes, 0);
}

static void test_dropping(void **state) {
        Removal all = removal_of(&room_of_tests, "FM?m", 1), less = removal_of(&room_of_tests, "FM?m", 1);
        BlockTable *table = table_new("FM?m", 40);

        for (size_t i = 0; i < table->n_blocks; i++) {
                table->blocks[i].node = 1;
                removal_add(&less, &table->blocks[i], BS);
        }
        assert_true(removal_room_bytes(&less) < removal_room_bytes(&all));
        for (size_t i = 0; i < table->n_blocks; i++)
                removal_drop(&less, &table->blocks[i], BS);
        assert_memory_equal(less.zones, all.zones, 2 * sizeof(*all.zones));
        assert_int_equal(less.remove_bytes, all.remove_bytes);
        removal_reset(&less);
        assert_int_equal(removal_room_bytes(&less), ROOM_0 + ROOM_1);
        removal_clear(&less);
        removal_clear(&all);
        block_table_free(table);
}

static void check_room(const MemoryRoom *room, uint64_t keep_mib, const char *layout, const char *expected) {
        GuardPolicy policy = { .keep_free_bytes = keep_mib * MIB };
        Removal removal = removal_of(room, layout, 1);
        char *reason;

        assert_int_equal(guard_room(&policy, &removal, &reason), 0);
        assert_int_equal(guard_has_room(&policy, &removal), !expected);
        if (expected)
                assert_string_equal(reason, expected);
        else
                assert_null(reason);
        free(reason);
        removal_clear(&removal);
}

/* The machine's sum is not enough to decide by. */
static void test_sentences(void **state) {
        ZoneRoom low[2] = { zones_of_tests[0], zones_of_tests[1] }, one[1] = { zones_of_tests[1] };
        MemoryRoom room = room_of_tests;

        check_room(&room, 0, "MMMMMMMM", NULL);
        check_room(&room, 512, "MMMMMMMM", NULL);
        room.zones = low;
        low[0].kept_bytes = 1024 * MIB; /* the kernel keeps all of node 0 for itself */
        low[0].file_bytes = 0;
        check_room(&room, 0, "FFFF", NULL);
        check_room(&room, 512, "MMMMMMMM",
                   "needs 1.4G free elsewhere, has 936M: 16M on node 0, 920M on node 1 (921.6M would have to move, "
                   "512M is kept in reserve, no swap is free)");
        room.zones = one;
        room.n_zones = 1;
        check_room(&room, 256, "MMMMMMMM",
                   "needs 1.1G free on node 1, has 920M (921.6M would have to move, 256M is kept in reserve, "
                   "no swap is free)");
        room.available_bytes = 256 * MIB; /* of the two the one that says no */
        check_room(&room, 0, "FFFF",
                   "needs 256M free on node 1, has 0B (0B would have to move, 0B is kept in reserve, no swap is free)");
}

static void test_pressure(void **state) {
        static const struct {
                const char *text;
                int avg10; /* negative: an error */
                uint64_t total;
        } cases[] = {
                { "some avg10=0.31 avg60=0.12 avg300=0.02 total=58761459\nfull avg10=0.00", 31, 58761459 },
                { "some avg10=100.00 avg60=0.00 avg300=0.00 total=0", 10000, 0 },
                { "some avg10=34.05 avg60=0.00 avg300=0.00 total=18446744073709551615\n", 3405, UINT64_MAX },
                { "", -1, 0 },
                { "full avg10=0.00 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=101.00 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=1.5 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=1.500 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=1 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0", -1, 0 },
                { "some avg10=1.00 avg60=0.00 total=0", -1, 0 },
                { "some avg10=1.00 avg60=0.00 avg300=0.00", -1, 0 },
                { "some avg10=1.00 avg60=0.00 avg300=0.00 total=", -1, 0 },
                { "some avg10=1.00 avg60=0.00 avg300=0.00 total=1x", -1, 0 },
                { "some avg10=1.00 avg60=0.00 avg300=0.00 total=18446744073709551616", -1, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                PressureText found = { .avg10 = 7 };
                int r = pressure_parse(cases[i].text, &found);

                if (r != (cases[i].avg10 < 0 ? -EBADMSG : 0))
                        fail_msg("%d for '%s'", r, cases[i].text);
                assert_int_equal(found.avg10, r < 0 ? 7 : cases[i].avg10);
                assert_true(r < 0 || found.total_usec == cases[i].total);
        }
}

static void test_huge_names(void **state) {
        static const struct {
                const char *name;
                uint64_t bytes; /* 0: an error */
        } cases[] = {
                { "hugepages-2048kB", UINT64_C(2) << 20 },
                { "hugepages-1048576kB", UINT64_C(1) << 30 },
                { "hugepages-0kB", 0 },
                { "hugepages-2048", 0 },
                { "hugepages-2048kBx", 0 },
                { "hugepages--1kB", 0 },
                { "hugepages-kB", 0 },
                { "hugepages-18446744073709551615kB", 0 },
                { "hugepages-111111111111111111111111111kB", 0 },
                { "pages-2048kB", 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t bytes = 0;

                assert_int_equal(huge_pool_name_parse(cases[i].name, &bytes),
                                 cases[i].bytes ? 0 : -EBADMSG);
                assert_true(bytes == cases[i].bytes);
        }
}

static void test_huge_pools(void **state) {
        HugePool pools[HUGE_POOLS_MAX];
        Tree tree = tree_new();
        size_t n = 7;

        assert_int_equal(huge_pools_read(tree.fd, pools, &n), 0);
        assert_int_equal(n, 0); /* a kernel without */
        tree_write(&tree, "3\n", "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages");
        tree_write(&tree, "1\n", "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages");
        tree_write(&tree, "0\n", "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
        tree_write(&tree, "0\n", "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        tree_write(&tree, "many\n", "sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages");
        assert_int_equal(huge_pools_read(tree.fd, pools, &n), 0);
        assert_int_equal(n, 1);
        assert_true(pools[0].gigantic);
        assert_true(pools[0].total_bytes == 3072 * MIB && pools[0].free_bytes == 1024 * MIB);
        tree_remove(&tree);
}

/* MiB: a pool of 2 MiB pages and one of 1 GiB pages, and what of the blocks is huge. */
static void test_huge_guard(void **state) {
        static const struct {
                uint64_t small, giant, giant_free, huge, needed;
                bool fits;
        } cases[] = {
                { 0, 0, 0, 0, 0, true },
                { 512, 0, 0, 512, 0, true },           /* new ones are made */
                { 0, 2048, 0, 128, 128, false },       /* a block within one that is in use */
                { 0, 2048, 1024, 1024, 1024, true },   /* that is free outside, or itself */
                { 0, 2048, 1024, 1152, 1152, false },
                { 512, 2048, 0, 512, 0, true },        /* may all be small ones */
                { 512, 2048, 0, 640, 128, false },     /* cannot all be */
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                MemoryRoom room = { .total_bytes = 8192 * MIB, .available_bytes = 8192 * MIB, .n_huge = 2 };
                Removal removal = { .room = &room, .remove_bytes = 2048 * MIB,
                                    .move_bytes = 1536 * MIB, .huge_bytes = cases[i].huge * MIB };
                GuardPolicy policy = {};
                uint64_t needed, free_bytes;
                char *reason;

                room.huge[0] = (HugePool) { 2 * MIB, cases[i].small * MIB, 0, false };
                room.huge[1] = (HugePool) { 1024 * MIB, cases[i].giant * MIB, cases[i].giant_free * MIB, true };
                assert_int_equal(huge_pools_fit(room.huge, 2, removal.huge_bytes, &needed, &free_bytes),
                                 cases[i].fits);
                assert_true(needed == cases[i].needed * MIB && free_bytes == cases[i].giant_free * MIB);
                assert_int_equal(guard_room(&policy, &removal, &reason), 0);
                assert_int_equal(!reason, cases[i].fits);
                if (i == 4)
                        assert_string_equal(reason, "needs 1.1G free in gigantic huge pages, which move to nothing "
                                                    "else, has 1G (see /sys/kernel/mm/hugepages)");
                free(reason);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_meminfo),      cmocka_unit_test(test_zoneinfo),
                cmocka_unit_test(test_bad_zoneinfo), cmocka_unit_test(test_removal),
                cmocka_unit_test(test_dropping),     cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_pressure),      cmocka_unit_test(test_huge_names),
                cmocka_unit_test(test_huge_pools),    cmocka_unit_test(test_huge_guard),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
