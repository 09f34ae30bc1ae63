/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

static void check_size(const char *text, int r, uint64_t value) {
        uint64_t got = 42;

        if (parse_size(text, &got) != r || got != (r < 0 ? 42 : value))
                fail_msg("'%s': %d, %ju", text, parse_size(text, &got), (uintmax_t) got);
}

static void test_parse_size(void **state) {
        check_size("0", 0, 0);
        check_size("4096", 0, 4096);
        check_size("4096B", 0, 4096);
        check_size("1K", 0, 1024);
        check_size("512M", 0, UINT64_C(512) << 20);
        check_size("512m", 0, UINT64_C(512) << 20);
        check_size("2GiB", 0, UINT64_C(2) << 30);
        check_size("1.5G", 0, UINT64_C(3) << 29);
        check_size("0.000000001K", 0, 0);
        check_size("15.5E", 0, UINT64_C(31) << 59);
        check_size("18446744073709551615", 0, UINT64_MAX);
        check_size("18446744073709551616", -ERANGE, 0);
        check_size("16E", -ERANGE, 0);
        check_size("15.9999999999E", -EINVAL, 0);
        static const char *const bad[] = { "",    " ",     "G",     "-1",  "+1",   "1.",  ".5G",
                                           "1.5", "1.5B",  "1..5G", "1 G", "1G ",  " 1G", "2GB",
                                           "2Gi", "2GiBx", "0x10",  "1e3", "1,5G", "1KM" };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                check_size(bad[i], -EINVAL, 0);
}

static void check_duration(const char *text, int r, uint64_t value) {
        uint64_t got = 42;

        if (parse_duration(text, &got) != r || got != (r < 0 ? 42 : value))
                fail_msg("'%s': %d, %ju", text, parse_duration(text, &got), (uintmax_t) got);
}

static void test_parse_duration(void **state) {
        check_duration("0", 0, 0);
        check_duration("30", 0, 30000000);
        check_duration("0.5", 0, 500000);
        check_duration(" 30s ", 0, 30000000);
        check_duration("1min 30s", 0, 90000000);
        check_duration("1min30s", 0, 90000000);
        check_duration("2 h", 0, UINT64_C(7200000000));
        check_duration("250ms", 0, 250000);
        check_duration("1d 1h 1m 1s 1ms 1us", 0, UINT64_C(90061001001));
        check_duration("infinity", 0, UINT64_MAX);
        check_duration("18446744073709551614us", 0, UINT64_MAX - 1);
        check_duration("18446744073709551615us", -ERANGE, 0);
        check_duration("99999999999999999999", -ERANGE, 0);
        check_duration("18446744073709551614us 1us", -ERANGE, 0);
        static const char *const bad[] = { "",        " ",         "s",           "-1s", "30 5s",
                                           "1min 30", "5 parsecs", "1h infinity", "1S" };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                check_duration(bad[i], -EINVAL, 0);
}

static void test_parse_boolean(void **state) {
        assert_int_equal(parse_boolean("yes"), 1);
        assert_int_equal(parse_boolean("On"), 1);
        assert_int_equal(parse_boolean("0"), 0);
        assert_int_equal(parse_boolean("FALSE"), 0);
        assert_int_equal(parse_boolean(""), -EINVAL);
        assert_int_equal(parse_boolean("maybe"), -EINVAL);
        assert_int_equal(parse_boolean("yes "), -EINVAL);
}

static void check_blocks(const char *text, size_t max, int r, const char *expected) {
        char got[256] = "";
        uint32_t *blocks;
        size_t n, used = 0;

        assert_int_equal(parse_block_list(text, max, &blocks, &n), r);
        if (r < 0)
                return;
        for (size_t i = 0; i < n; i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%u", i ? " " : "", blocks[i]);
        assert_string_equal(got, expected);
        free(blocks);
}

static void test_parse_block_list(void **state) {
        check_blocks("7", 1, 0, "7");
        check_blocks("40-43,52", 10, 0, "40 41 42 43 52");
        check_blocks("52,40-43", 10, 0, "40 41 42 43 52");
        check_blocks("5,1,5,1-3,2-4", 5, 0, "1 2 3 4 5");
        check_blocks("4294967295,4294967294-4294967295", 2, 0, "4294967294 4294967295");
        check_blocks("1-3", 2, -E2BIG, NULL);
        check_blocks("0-4294967295", 4096, -E2BIG, NULL);
        static const char *const bad[] = { "",
                                           ",",
                                           "1,",
                                           ",1",
                                           "1,,2",
                                           "-",
                                           "1-",
                                           "-1",
                                           "1-2-3",
                                           "3-1",
                                           "1 2",
                                           " 1",
                                           "1 ",
                                           "a",
                                           "1a",
                                           "4294967296",
                                           "+1",
                                           "0x1",
                                           "99999999999999999999999" };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                check_blocks(bad[i], 100, -EINVAL, NULL);
}

static void check_format(uint64_t bytes, const char *expected) {
        char buffer[FORMAT_SIZE_MAX];

        assert_string_equal(format_size(bytes, buffer), expected);
}

static void test_format_size(void **state) {
        check_format(0, "0B");
        check_format(1023, "1023B");
        check_format(1024, "1K");
        check_format(1536, "1.5K");
        check_format(UINT64_C(128) << 20, "128M");
        check_format((UINT64_C(1) << 30) - 1, "1G");
        check_format((UINT64_C(21) << 30) / 10, "2.1G");
        check_format(UINT64_MAX, "16E");
        check_format((UINT64_C(1) << 60) - 1, "1E");
}

static void check_format_duration(uint64_t usec, const char *expected) {
        char buffer[FORMAT_SIZE_MAX];
        uint64_t again;

        assert_string_equal(format_duration(usec, buffer), expected);
        assert_int_equal(parse_duration(buffer, &again), 0); /* what we print, we read */
        assert_true(again <= usec);
}

static void test_format_duration(void **state) {
        check_format_duration(0, "0s");
        check_format_duration(1, "1us");
        check_format_duration(250000, "250ms");
        check_format_duration(3500000, "3s 500ms");
        check_format_duration(90000000, "1min 30s");
        check_format_duration(UINT64_C(3600000000), "1h");
        check_format_duration(UINT64_C(3605000000), "1h"); /* not "1h 5s": two neighbouring units */
        check_format_duration(UINT64_MAX - 1, "213503982d 8h");
        check_format_duration(UINT64_MAX, "infinity");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_size),    cmocka_unit_test(test_parse_duration),
                cmocka_unit_test(test_parse_boolean), cmocka_unit_test(test_parse_block_list),
                cmocka_unit_test(test_format_size),   cmocka_unit_test(test_format_duration),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
