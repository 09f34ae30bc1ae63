/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people may name, and what it becomes in the call. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/what.h"
#include "util/cleanup.h"
#include "util/json.h"

static void expect(const char *text, const char *parameters) {
        CLEANUP(json_putp) json_object *object = json_object_new_object();
        const char *hint = NULL;

        assert_int_equal(what_parse(text, object, &hint), 0);
        assert_string_equal(json_text(object), parameters);
}

static void expect_hint(const char *text, const char *part) {
        CLEANUP(json_putp) json_object *object = json_object_new_object();
        const char *hint = NULL;

        assert_int_equal(what_parse(text, object, &hint), -EINVAL);
        assert_non_null(hint);
        assert_non_null(strstr(hint, part));
        assert_int_equal(json_object_object_length(object), 0);
}

static void test_what(void **state) {
        (void) state;
        expect("40", "{\"blocks\":[40]}");
        expect("40-42,52", "{\"blocks\":[40,41,42,52]}");
        expect("52,40,40", "{\"blocks\":[40,52]}");
        expect("2G", "{\"sizeBytes\":2147483648}");
        expect("1.5g", "{\"sizeBytes\":1610612736}");
        expect("512MiB", "{\"sizeBytes\":536870912}");
        expect("PNP0C80:00", "{\"device\":\"PNP0C80:00\"}");
        expect("virtio3", "{\"device\":\"virtio3\"}");
        expect("dax0.0", "{\"device\":\"dax0.0\"}");
        expect("node:1", "{\"node\":1}");
        expect("2G@node:0", "{\"sizeBytes\":2147483648,\"node\":0}");
        expect("node", "{\"device\":\"node\"}");
        expect("2Gx", "{\"device\":\"2Gx\"}"); /* the service knows that there is none */
}

static void test_not_what(void **state) {
        char name[65];

        (void) state;
        expect_hint("", "empty");
        expect_hint("-", "list of blocks");
        expect_hint("1,", "list of blocks");
        expect_hint("2147483648000", "a size needs a unit");
        expect_hint("0-4294967295", "too many");
        expect_hint("0G", "no memory");
        expect_hint("8E", "no machine");
        expect_hint("99999999999G", "no machine");
        expect_hint("a b", "device");
        expect_hint("node:", "a node has a number");
        expect_hint("node:-1", "a node has a number");
        expect_hint("node:1x", "a node has a number");
        expect_hint("node:2147483648", "a node has a number");
        expect_hint("1G@node:", "a node has a number");
        expect_hint("@node:1", "before the @ there is a size");
        expect_hint("40@node:1", "before the @ there is a size");
        expect_hint("PNP0C80:00@node:1", "before the @ there is a size");
        expect_hint("0G@node:1", "no memory");
        expect_hint("99999999999G@node:1", "no machine");
        expect_hint("00000000000000000000000000000000000001G@node:1", "before the @ there is a size");
        expect_hint("a\033[31m", "device");
        expect_hint("\xc3\xa4", "device");
        memset(name, 'x', sizeof(name));
        name[64] = '\0';
        expect_hint(name, "device");
}

static void test_numbers(void **state) {
        static const char *const wrong[] = {
                "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "9223372036854775808",
        };
        uint64_t n = 5;

        (void) state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(number_parse(wrong[i], &n), -EINVAL);
        assert_int_equal(n, 5);
        assert_int_equal(number_parse("9223372036854775807", &n), 0);
        assert_true(n == INT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what),
                cmocka_unit_test(test_not_what),
                cmocka_unit_test(test_numbers),
        };

        return cmocka_run_group_tests_name("ctl-what", tests, NULL, NULL);
}
