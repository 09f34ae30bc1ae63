/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json.h"

static int parse(const char *text) {
        CLEANUP(json_putp) json_object *value = NULL;

        return json_parse(text, strlen(text), &value);
}

static void test_takes_json(void **state) {
        static const char *const good[] = {
                "null",
                "true",
                "false",
                "0",
                "-0",
                "1",
                "-1",
                "1.5",
                "1e3",
                "1E+3",
                "-1.25e-2",
                "9223372036854775807",
                "-9223372036854775808",
                "\"\"",
                "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\\u00e9\\ud83d\\ude00\"",
                "\"\xc3\xa9\xf0\x9f\x98\x80\"",
                "[]",
                "{}",
                " [ ] ",
                "\t{\r\n}\n",
                "[1,[2,{\"a\":[]}],\"x\"]",
                "{\"a\":{\"b\":1},\"b\":{\"b\":1}}",
                "{\"\":0}",
                "[{},{},[[]]]",
                "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
        };

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                if (parse(good[i]) != 0)
                        fail_msg("refused: %s", good[i]);
}

static void test_refuses_what_is_not(void **state) {
        static const char *const bad[] = {
                "",
                " ",
                "nul",
                "nulll",
                "True",
                "NaN",
                "Infinity",
                "-Infinity",
                "[NaN]",
                "{\"a\":Infinity}",
                "+1",
                "01",
                "-",
                "-a",
                "1.",
                ".5",
                "1e",
                "1e+",
                "0x10",
                "1 2",
                "'a'",
                "{'a':1}",
                "{a:1}",
                "[1,]",
                "[,1]",
                "{\"a\":1,}",
                "{\"a\"}",
                "{\"a\":}",
                "{1:2}",
                "[1 2]",
                "[1",
                "{\"a\":1",
                "]",
                "[}",
                "{]",
                "\"a",
                "\"\\\"",
                "\"\\x\"",
                "\"\\u12\"",
                "\"\\u12g4\"",
                "\"a\nb\"",
                "\"\t\"",
                "// a\n1",
                "/* a */1",
                "1,",
                "[1]]",
                "{}{}",
                "\"\\u0000\"",
                "{\"a\\u0000\":1}",
                "\"\\ud800\"",
                "\"\\ud800\\u0041\"",
                "\"\\udc00\"",
                "\"\\ud800\\ud800\"",
                "\"\x80\"",
                "\"\xc3\"",
                "\"\xc0\x80\"",
                "\"\xe0\x80\x80\"",
                "\"\xed\xa0\x80\"",
                "\"\xf4\x90\x80\x80\"",
                "\"\xf8\x88\x80\x80\x80\"",
                "\xef\xbb\xbf{}",
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                if (parse(bad[i]) != -EBADMSG)
                        fail_msg("%d: %s", parse(bad[i]), bad[i]);
}

static void test_numbers_are_exact(void **state) {
        assert_int_equal(parse("9223372036854775808"), -EBADMSG);
        assert_int_equal(parse("-9223372036854775809"), -EBADMSG);
        assert_int_equal(parse("[18446744073709551616]"), -EBADMSG);
        assert_int_equal(parse("{\"a\":99999999999999999999999999999999}"), -EBADMSG);
        assert_int_equal(parse("1e999"), -EBADMSG);
        assert_int_equal(parse("[-1e999]"), -EBADMSG);
}

static void test_equal_keys(void **state) {
        assert_int_equal(parse("{\"a\":1,\"a\":1}"), -EBADMSG);
        assert_int_equal(parse("{\"a\":1,\"\\u0061\":1}"), -EBADMSG);
        assert_int_equal(parse("{\"x\":[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]}"), -EBADMSG);
        assert_int_equal(parse("{\"a\":{\"a\":{\"a\":1}}}"), 0);
        /* What an equal key drops must not make up for it. */
        assert_int_equal(parse("{\"a\":{},\"a\":{\"b\":1}}"), -EBADMSG);
        assert_int_equal(parse("{\"a\":{\"b\":1,\"c\":1},\"a\":{}}"), -EBADMSG);
}

static void test_depth_and_length(void **state) {
        char deep[2 * 100000 + 1];
        json_object *value = (json_object *) &deep;

        assert_int_equal(parse("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"), -E2BIG);
        assert_int_equal(parse("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[[[[[[[[]]]]]"
                               "]]]}}}}}}}}}"),
                         -E2BIG);
        memset(deep, '[', sizeof(deep));
        assert_int_equal(json_parse(deep, sizeof(deep), &value), -E2BIG);
        assert_ptr_equal(value, deep); /* untouched */
        /* Exactly n bytes: neither less nor more. */
        assert_int_equal(json_parse("[1]x", 4, &value), -EBADMSG);
        assert_int_equal(json_parse("[1]\0", 4, &value), -EBADMSG);
        assert_int_equal(json_parse("12", 1, &value), 0);
        assert_int_equal(json_object_get_int(value), 1);
        json_object_put(value);
}

/* What json-c's own parser reads, it must read. */
static void test_values(void **state) {
        static const char *const texts[] = {
                "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\\u0041\\u00e9\\u20ac\\uD83D\\ude00\\uFfFf\\u0001\"",
                "\"\xc3\xa9\xf0\x9f\x98\x80 plain\"",
                "[ 0 , -0 , 12 , -9223372036854775808 , 9223372036854775807 , 1.5 , -1E+3 , 2e-1 , 0.0 ]",
                " { \"\" : null , \"b\\u0062\" : [ true , false , [ ] , { } ] , \"c\" : \"\" } ",
                ("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}"),
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                CLEANUP(json_putp) json_object *ours = NULL, *theirs = json_tokener_parse(texts[i]);

                assert_non_null(theirs);
                assert_int_equal(json_parse(texts[i], strlen(texts[i]), &ours), 0);
                assert_true(json_object_equal(ours, theirs));
                assert_string_equal(json_text(ours), json_text(theirs));
        }
}

/* Characters that json-c's parser takes for half of a pair: their lower 16 bits are those of one. */
static void test_pairs(void **state) {
        static const char text[] = "[\"\\ud836\\ude01\",\"\\uDBFF\\uDFFF\"]";
        CLEANUP(json_putp) json_object *value = NULL;

        assert_int_equal(json_parse(text, strlen(text), &value), 0);
        assert_string_equal(json_object_get_string(json_object_array_get_idx(value, 0)), "\xf0\x9d\xa8\x81");
        assert_string_equal(json_object_get_string(json_object_array_get_idx(value, 1)), "\xf4\x8f\xbf\xbf");
}

static void test_members(void **state) {
        static const char text[] =
                "{\"s\":\"x\",\"i\":-5,\"u\":7,\"b\":true,\"a\":[1],\"o\":{},\"n\":null,\"d\":1.0}";
        CLEANUP(json_putp) json_object *o = NULL;
        json_object *child;
        const char *s = "old";
        uint64_t u = 1;
        int64_t i = 1;
        bool b = false;

        assert_int_equal(json_parse(text, strlen(text), &o), 0);
        assert_int_equal(json_get_string(o, "s", &s), 0);
        assert_string_equal(s, "x");
        assert_int_equal(json_get_int(o, "i", &i), 0);
        assert_int_equal(i, -5);
        assert_int_equal(json_get_uint(o, "i", UINT64_MAX, &u), -EINVAL);
        assert_int_equal(json_get_uint(o, "u", 6, &u), -EINVAL);
        assert_int_equal(u, 1);
        assert_int_equal(json_get_uint(o, "u", 7, &u), 0);
        assert_int_equal(u, 7);
        assert_int_equal(json_get_bool(o, "b", &b), 0);
        assert_true(b);
        assert_int_equal(json_get_bool(o, "u", &b), -EINVAL);
        assert_int_equal(json_get_array(o, "a", &child), 0);
        assert_int_equal(json_get_array(o, "o", &child), -EINVAL);
        assert_int_equal(json_get_object(o, "o", &child), 0);
        assert_int_equal(json_get_int(o, "d", &i), -EINVAL); /* an integer is one in its form, too */
        assert_int_equal(json_get_string(o, "n", &s), -ENOENT);
        assert_int_equal(json_get_string(o, "none", &s), -ENOENT);
        assert_int_equal(json_get_string(NULL, "none", &s), -ENOENT);
        assert_int_equal(json_get_array(o, "a", &child), 0);
        assert_int_equal(json_get_string(child, "s", &s), -EINVAL);
}

static void test_building(void **state) {
        CLEANUP(json_putp) json_object *o = json_object_new_object();

        assert_int_equal(json_add_int(o, "max", INT64_MAX), 0);
        assert_int_equal(json_add_string(o, "path", "/a/b\"\n"), 0);
        assert_int_equal(json_add_string(o, "left out", NULL), 0);
        assert_int_equal(json_add_bool(o, "no", false), 0);
        assert_int_equal(json_add(o, "short of memory", NULL), -ENOMEM);
        assert_string_equal(json_text(o),
                            "{\"max\":9223372036854775807,\"path\":\"/a/b\\\"\\n\",\"no\":false}");
        assert_int_equal(parse(json_text(o)), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_takes_json),        cmocka_unit_test(test_refuses_what_is_not),
                cmocka_unit_test(test_numbers_are_exact), cmocka_unit_test(test_equal_keys),
                cmocka_unit_test(test_depth_and_length),  cmocka_unit_test(test_members),
                cmocka_unit_test(test_values),            cmocka_unit_test(test_pairs),
                cmocka_unit_test(test_building),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
