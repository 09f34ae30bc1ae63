/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reaches a terminal: escapes and tables. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/output.h"
#include "ctl/table.h"
#include "util/cleanup.h"
#include "util/json.h"

static void expect_escaped(const char *text, const char *wanted) {
        CLEANUP(freep) char *safe = text_escape(text);

        assert_non_null(safe);
        assert_string_equal(safe, wanted);
}

static void test_escape(void **state) {
        (void) state;
        expect_escaped("", "");
        expect_escaped("plain, with \xc3\xa4 and \xe2\x94\x81 and \xf0\x9f\x98\x80",
                       "plain, with \xc3\xa4 and \xe2\x94\x81 and \xf0\x9f\x98\x80");
        expect_escaped("a\033[31mb\nc\td\x7f", "a\\x1b[31mb\\x0ac\\x09d\\x7f");
        expect_escaped("\xc2\x9b" "31m", "\\xc2\\x9b31m");               /* CSI as one character */
        expect_escaped("\xe2\x80\xae", "\\xe2\\x80\\xae");               /* right to left */
        expect_escaped("\xe2\x81\xa6\xe2\x80\xa8", "\\xe2\\x81\\xa6\\xe2\\x80\\xa8");
        expect_escaped("\x9b\xff\xc3", "\\x9b\\xff\\xc3");               /* no UTF-8 at all */
        expect_escaped("\xc0\x9b\xed\xa0\x80", "\\xc0\\x9b\\xed\\xa0\\x80"); /* too long, surrogates */
        expect_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");      /* beyond Unicode */
        expect_escaped("\xe2\x82", "\\xe2\\x82");                        /* cut */
}

static void test_fields_are_tolerant(void **state) {
        static const char text[] = "{\"s\":\"x\",\"n\":5,\"neg\":-1,\"null\":null,\"o\":{},\"a\":[]}";
        CLEANUP(json_putp) json_object *o = NULL;
        uint64_t n = 0;

        (void) state;
        assert_int_equal(json_parse(text, strlen(text), &o), 0);
        assert_string_equal(field_string(o, "s"), "x");
        assert_null(field_string(o, "n"));
        assert_null(field_string(o, "null"));
        assert_null(field_string(o, "absent"));
        assert_true(field_uint(o, "n", &n));
        assert_int_equal(n, 5);
        assert_false(field_uint(o, "neg", &n));
        assert_false(field_uint(o, "s", &n));
        assert_non_null(field_object(o, "o"));
        assert_null(field_object(o, "a"));
        assert_non_null(field_array(o, "a"));
        assert_null(field_array(field_array(o, "a"), "x"));
        assert_null(field_string(NULL, "x"));
}

static void expect_table(bool no_legend, bool bytes, const char *wanted) {
        static const TableColumn columns[] = {
                { "NAME", 0 }, { "SIZE", TABLE_RIGHT }, { "WHY", TABLE_WRAP },
        };
        static const char text[] = "{\"name\":\"a\\u001b\",\"size\":1048576,\"why\":\"because it is so\"}";
        const Ctl ctl = { .no_legend = no_legend, .bytes = bytes };
        CLEANUP(json_putp) json_object *o = NULL;
        CLEANUP(table_freep) Table *table = NULL;
        CLEANUP(freep) char *printed = NULL;
        size_t n = 0;
        FILE *stream;

        stream = open_memstream(&printed, &n);
        assert_non_null(stream);
        assert_int_equal(json_parse(text, strlen(text), &o), 0);
        assert_int_equal(table_new(&table, &ctl, stream, columns, 3), 0);
        for (int i = 0; i < 2; i++) {
                table_row(table);
                table_string(table, o, "name");
                table_size(table, i == 0 ? o : NULL, "size");
                table_word(table, o, "why");
                table_text(table, "one too many");
        }
        assert_int_equal(table_rows(table), 2);
        assert_int_equal(table_print(table, "thing", "things"), CTL_DONE);
        (void) fclose(stream);
        assert_string_equal(printed, wanted);
}

static void test_table(void **state) {
        (void) state;
        expect_table(false, false, "NAME  SIZE WHY\n"
                     "a\\x1b   1M because it is so\n"
                     "a\\x1b    - because it is so\n"
                     "\n2 things listed.\n");
        expect_table(true, true, "a\\x1b 1048576 because it is so\na\\x1b       - because it is so\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_fields_are_tolerant),
                cmocka_unit_test(test_table),
        };

        return cmocka_run_group_tests_name("ctl-output", tests, NULL, NULL);
}
