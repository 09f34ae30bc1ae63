/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "owners/maps.h"
#include "owners/match.h"

#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)

static const char text[] =
        "00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/name with 00-11 \\012 in it\n"
        "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
        "7fff00000000-7fff00021000 rw-p 00000000 00:00 0   [stack]\n"
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n";

static void test_pieces(void **state) {
        for (size_t piece = 1; piece <= sizeof(text); piece++) {
                Maps maps = {};

                for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
                        size_t left = sizeof(text) - 1 - at;

                        assert_int_equal(maps_feed(&maps, text + at, left < piece ? left : piece), 0);
                }
                assert_int_equal(maps_finish(&maps), 0);
                assert_int_equal(maps.n_ranges, 3);
                maps_sort(&maps);
                assert_int_equal(maps.ranges[0].start, 0x7f0000000000);
                assert_int_equal(maps.ranges[0].size, 0x1000);
                assert_int_equal(maps.ranges[1].start, 0x7fff00000000);
                assert_int_equal(maps.ranges[2].start, 0x400000);
                assert_int_equal(maps.ranges[2].size, 0x52000);
                maps_reset(&maps);
                assert_int_equal(maps.n_ranges, 0);
                maps_clear(&maps);
        }
}

static void test_bad(void **state) {
        static const char *const bad[] = {
                "x", "\n", "-", " ", "1000 2000 ", "1000--2000 ", "1000- ", "1000-2000\n", "1000-2000-",
                "2000-1000 r", "1000-1000 r", "10000000000000000-", "1-10000000000000000 ", "1000-2A00 ",
                "1000-2000 r\n\n", "0x1000-2000 ",
        };
        static const char *const short_of[] = {
                "1", "1000", "1000-", "1000-2000", "1000-2000 ", "1000-2000 r",
        };
        Maps maps = {};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                maps_reset(&maps);
                assert_int_equal(maps_feed(&maps, bad[i], strlen(bad[i])), -EBADMSG);
        }
        for (size_t i = 0; i < sizeof(short_of) / sizeof(short_of[0]); i++) {
                maps_reset(&maps);
                assert_int_equal(maps_feed(&maps, short_of[i], strlen(short_of[i])), 0);
                assert_int_equal(maps_finish(&maps), -EBADMSG);
        }
        maps_reset(&maps);
        assert_int_equal(maps_finish(&maps), 0); /* a process without memory */
        maps_clear(&maps);
}

static void test_many(void **state) {
        Maps maps = {};
        char line[64];

        for (unsigned i = 0; i < MAPS_RANGES_MAX + 2; i++) {
                int n = snprintf(line, sizeof(line), "%x000-%x000 r\n", 2 * i + 1, 2 * i + 2);

                assert_false(maps.truncated && i <= MAPS_RANGES_MAX);
                assert_int_equal(maps_feed(&maps, line, (size_t) n), 0);
        }
        assert_true(maps.truncated);
        assert_int_equal(maps.n_ranges, MAPS_RANGES_MAX);
        maps_clear(&maps);
}

static void test_own(void **state) {
        uintptr_t here = (uintptr_t) &here;
        Maps maps = {};
        char buffer[333];
        bool found = false;
        ssize_t n;
        int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                assert_int_equal(maps_feed(&maps, buffer, (size_t) n), 0);
        assert_int_equal(maps_finish(&maps), 0);
        (void) close(fd);
        for (size_t i = 0; i < maps.n_ranges; i++)
                found = found || here - maps.ranges[i].start < maps.ranges[i].size;
        assert_true(found);
        maps_clear(&maps);
}

static void test_match(void **state) {
        const OwnersRequest request = {
                .addresses = { 0x5000, 0x9000, 0x7000, 0x9000 },
                .n_addresses = 4,
        };
        const uint64_t entries[] = { 0, PRESENT | 4, PRESENT | 7, SWAPPED | 5, PRESENT | 10, 5 };
        const uint64_t soft_dirty = PRESENT | UINT64_C(1) << 55 | UINT64_C(1) << 61 | 5;
        const uint64_t twice = PRESENT | 9;
        MatchSet set;

        match_set_init(&set, &request, 4096);
        assert_int_equal(set.n_matches, 3);
        assert_int_equal(match_entries(&set, entries, 0), 0);
        assert_int_equal(match_entries(&set, entries, 6), 1 << 2);
        assert_int_equal(match_entries(&set, &soft_dirty, 1), 1 << 0);
        assert_int_equal(match_entries(&set, &twice, 1), 1 << 1 | 1 << 3);
        assert_int_equal(match_entry_frame(SWAPPED | 5), 0);
}

static void test_match_full(void **state) {
        OwnersRequest request = { .n_addresses = OWNERS_PAGES_MAX };
        MatchSet set;

        for (size_t i = 0; i < OWNERS_PAGES_MAX; i++)
                request.addresses[i] = (OWNERS_PAGES_MAX - i) * UINT64_C(0x40000000);
        match_set_init(&set, &request, 4096);
        for (size_t i = 0; i < OWNERS_PAGES_MAX; i++) {
                uint64_t entry = PRESENT | request.addresses[i] / 4096;

                assert_int_equal(match_entries(&set, &entry, 1), UINT32_C(1) << i);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces), cmocka_unit_test(test_bad),
                cmocka_unit_test(test_many),   cmocka_unit_test(test_own),
                cmocka_unit_test(test_match),  cmocka_unit_test(test_match_full),
        };

        return cmocka_run_group_tests_name("owners-maps", tests, NULL, NULL);
}
