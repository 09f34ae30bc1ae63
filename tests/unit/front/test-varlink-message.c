/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing and the form of calls: what is let through, what closes the connection. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/varlink-message.h"

static int parse(const char *text, VarlinkMessage *ret) {
        return varlink_message_parse(text, strlen(text), ret);
}

static void test_accepted(void **state) {
        static const struct {
                const char *text;
                bool parameters, more, oneway, upgrade;
        } table[] = {
                { "{\"method\":\"a.B\"}", false, false, false, false },
                { "{\"method\":\"a.B\",\"parameters\":null}", false, false, false, false },
                { "{\"method\":\"a.B\",\"parameters\":{}}", true, false, false, false },
                { "{\"parameters\":{\"x\":[]},\"method\":\"a.B\"}", true, false, false, false },
                { "{\"method\":\"a.B\",\"more\":false}", false, false, false, false },
                { "{\"method\":\"a.B\",\"more\":null,\"oneway\":null}", false, false, false, false },
                { "{\"method\":\"a.B\",\"more\":true,\"oneway\":false}", false, true, false, false },
                { "{\"method\":\"a.B\",\"oneway\":true,\"more\":false}", false, false, true, false },
                { "{\"method\":\"a.B\",\"upgrade\":true}", false, false, false, true },
                { "{\"method\":\"a.B\",\"upgrade\":false}", false, false, false, false },
                { "{\"method\":\"a.B\",\"com.example.tag\":{\"a\":1}}", false, false, false, false },
                { " {\"method\" : \"a.B\"} ", false, false, false, false },
                { "{\"method\":\"\"}", false, false, false, false }, /* not found, but a call */
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                VarlinkMessage m;

                if (parse(table[i].text, &m) != 0)
                        fail_msg("refused: %s", table[i].text);
                assert_int_equal(m.parameters != NULL, table[i].parameters);
                assert_int_equal(m.more, table[i].more);
                assert_int_equal(m.oneway, table[i].oneway);
                assert_int_equal(m.upgrade, table[i].upgrade);
                varlink_message_clear(&m);
        }
}

static void test_refused(void **state) {
        static const char *const table[] = {
                "", " ", "x", "[]", "\"a\"", "1", "null", "{", "{}", "{\"method\":1}", "{\"method\":null}",
                "{\"method\":\"a.B\"} x", "{\"method\":\"a.B\"}{}", "{\"method\":\"a.B\",}", "{'method':'a."
                                                                                             "B'}",
                "{\"method\":\"a.B\",\"method\":\"a.C\"}",
                "{\"method\":\"a.B\",\"parameters\":[]}", "{\"method\":\"a.B\",\"parameters\":1}",
                "{\"method\":\"a.B\",\"parameters\":{\"a\":1,\"a\":2}}",
                "{\"method\":\"a.B\",\"more\":1}", "{\"method\":\"a.B\",\"more\":\"true\"}",
                "{\"method\":\"a.B\",\"oneway\":{}}", "{\"method\":\"a.B\",\"upgrade\":0}",
                "{\"method\":\"a.B\",\"more\":true,\"oneway\":true}",
                "{\"method\":\"a.B\",\"extra\":1}", "{\"method\":\"a.B\",\"continues\":true}",
                "{\"method\":\"a.B\",\"error\":\"x\"}", "{\"method\":\"a\\u0000.B\"}", "{\"method\":\"\xff."
                                                                                       "B\"}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":NaN}}",
                "{\"method\":\"a.B\",\"parameters\":{\"x\":99999999999999999999}}",
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                VarlinkMessage m = { .method = "untouched" };

                if (parse(table[i], &m) != -EBADMSG)
                        fail_msg("not refused: %s", table[i]);
                assert_string_equal(m.method, "untouched");
        }
}

static void test_depth(void **state) {
        char text[4096] = "{\"method\":\"a.B\",\"parameters\":{\"x\":";
        VarlinkMessage m;

        memset(text + strlen(text), '[', 1000);
        assert_int_equal(parse(text, &m), -EBADMSG);
}

/* Every cut of a stream of messages gives the same messages. */
static void test_framing(void **state) {
        static const char stream[] = "one\0\0three and more\0four";
        const char *text;
        size_t n;

        for (size_t step = 1; step <= sizeof(stream); step++) {
                VarlinkFrames frames = {};
                char *to;

                for (size_t at = 0; at < sizeof(stream); at += step) {
                        size_t k = at + step > sizeof(stream) ? sizeof(stream) - at : step;

                        assert_true(varlink_frames_room(&frames, 1000) >= k);
                        assert_int_equal(varlink_frames_reserve(&frames, k, &to), 0);
                        memcpy(to, stream + at, k);
                        varlink_frames_received(&frames, k, 100);
                }
                assert_int_equal(frames.n_messages, 4);
                assert_int_equal(frames.tail, 0);
                for (const char *expected = stream; expected < stream + sizeof(stream);
                     expected += strlen(expected) + 1) {
                        assert_true(varlink_frames_first(&frames, &text, &n));
                        assert_int_equal(n, strlen(expected));
                        assert_string_equal(text, expected);
                        varlink_frames_drop(&frames, n);
                }
                assert_false(varlink_frames_first(&frames, &text, &n));
                varlink_frames_clear(&frames);
        }
}

static void receive(VarlinkFrames *frames, const char *data, size_t n, size_t max) {
        char *to;

        assert_int_equal(varlink_frames_reserve(frames, n, &to), 0);
        memcpy(to, data, n);
        varlink_frames_received(frames, n, max);
}

static void test_framing_limits(void **state) {
        VarlinkFrames frames = {};
        const char *text;
        size_t n;

        receive(&frames, "12345\0", 6, 5);
        assert_false(frames.too_large);
        receive(&frames, "12345", 5, 5);
        assert_false(frames.too_large);
        assert_int_equal(frames.tail, 5);
        assert_int_equal(varlink_frames_room(&frames, 11), 0);
        receive(&frames, "6", 1, 5);
        assert_true(frames.too_large);
        assert_int_equal(varlink_frames_room(&frames, 1000), 0);
        /* What came whole before it is still good. */
        assert_true(varlink_frames_first(&frames, &text, &n));
        assert_string_equal(text, "12345");
        varlink_frames_drop(&frames, n);
        assert_false(varlink_frames_first(&frames, &text, &n));
        varlink_frames_clear(&frames);
}

static void test_buffer(void **state) {
        VarlinkBuffer buffer = {};
        unsigned char in = 0, out = 0;

        /* Unequal steps in and out, over many moves and growths. */
        for (unsigned round = 0; round < 5000; round++) {
                size_t n = (round * 7919U) % 257U;

                for (size_t i = 0; i < n; i++) {
                        char c = (char) in++;

                        assert_int_equal(varlink_buffer_append(&buffer, &c, 1), 0);
                }
                n = (round * 104729U) % 263U;
                if (n > varlink_buffer_length(&buffer))
                        n = varlink_buffer_length(&buffer);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal((unsigned char) buffer.data[buffer.start + i], out++);
                if (n > 0)
                        varlink_buffer_consume(&buffer, n);
        }
        assert_true(buffer.size <= 65536);
        if (varlink_buffer_length(&buffer) > 0)
                varlink_buffer_consume(&buffer, varlink_buffer_length(&buffer));
        assert_true(buffer.size <= 4096);
        varlink_buffer_clear(&buffer);
}

static void expect_written(const char *error, json_object *parameters, bool continues, const char *text) {
        VarlinkBuffer buffer = {};

        assert_int_equal(varlink_message_write(&buffer, error, parameters, continues), 0);
        assert_int_equal(varlink_buffer_length(&buffer), strlen(text) + 1);
        assert_string_equal(buffer.data, text);
        varlink_buffer_clear(&buffer);
}

static void test_write(void **state) {
        json_object *o = json_object_new_object();

        assert_int_equal(json_object_object_add(o, "path", json_object_new_string("/a")), 0);
        expect_written(NULL, NULL, false, "{\"parameters\":{}}");
        expect_written(NULL, o, false, "{\"parameters\":{\"path\":\"/a\"}}");
        expect_written(NULL, o, true, "{\"parameters\":{\"path\":\"/a\"},\"continues\":true}");
        expect_written("a.E", NULL, false, "{\"error\":\"a.E\",\"parameters\":{}}");
        assert_int_equal(json_object_put(o), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_framing),
                cmocka_unit_test(test_framing_limits),
                cmocka_unit_test(test_buffer),
                cmocka_unit_test(test_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
