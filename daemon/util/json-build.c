/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text is known to be right: whatever begins is complete, and not nested deeper than JSON_DEPTH_MAX. */
#include "util/json-build.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json.h"

#define TEXT_SHORT 128U /* bytes of a string with escapes, or of a key, that need no memory of their own */

typedef struct Reader {
        const char *p, *end;
} Reader;

static int build_value(Reader *reader, json_object **ret);

static void skip_blanks(Reader *reader) {
        while (reader->p < reader->end &&
               (*reader->p == ' ' || *reader->p == '\t' || *reader->p == '\n' || *reader->p == '\r'))
                reader->p++;
}

/* Blanks around it too. */
static bool accept(Reader *reader, char c) {
        skip_blanks(reader);
        if (*reader->p != c)
                return false;
        reader->p++;
        skip_blanks(reader);
        return true;
}

static uint32_t read_hex4(const char **p) {
        uint32_t value = 0;

        for (unsigned i = 0; i < 4; i++) {
                char c = *(*p)++;

                value = value << 4 | (uint32_t) (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        return value;
}

static char *put_utf8(char *to, uint32_t c) {
        if (c < 0x80) {
                *to++ = (char) c;
                return to;
        }
        if (c < 0x800)
                *to++ = (char) (0xc0 | c >> 6);
        else {
                if (c < 0x10000)
                        *to++ = (char) (0xe0 | c >> 12);
                else {
                        *to++ = (char) (0xf0 | c >> 18);
                        *to++ = (char) (0x80 | (c >> 12 & 0x3f));
                }
                *to++ = (char) (0x80 | (c >> 6 & 0x3f));
        }
        *to++ = (char) (0x80 | (c & 0x3f));
        return to;
}

/* Behind a backslash. */
static char *put_escape(char *to, const char **p) {
        static const char names[] = "bfnrt", meanings[] = "\b\f\n\r\t";
        const char *name;
        uint32_t c;

        if (**p != 'u') {
                name = strchr(names, **p);
                *to++ = name ? meanings[name - names] : **p;
                (*p)++;
                return to;
        }
        (*p)++;
        c = read_hex4(p);
        if (c >= 0xd800 && c <= 0xdbff) {
                *p += strlen("\\u");
                c = 0x10000 + ((c - 0xd800) << 10) + (read_hex4(p) - 0xdc00);
        }
        return put_utf8(to, c);
}

/* The string between p and end with its escapes resolved, which makes it no longer. */
static size_t unescape(char *to, const char *p, const char *end) {
        const char *begin = to;

        while (p < end) {
                if (*p != '\\') {
                        *to++ = *p++;
                        continue;
                }
                p++;
                to = put_escape(to, &p);
        }
        *to = '\0';
        return (size_t) (to - begin);
}

/* What is between the quotes, as it stands there. */
static void read_raw(Reader *reader, const char **ret_begin, const char **ret_end, bool *ret_escapes) {
        const char *p = ++reader->p;

        *ret_escapes = false;
        for (; *p != '"'; p++)
                if (*p == '\\') {
                        *ret_escapes = true;
                        p++;
                }
        *ret_begin = reader->p;
        *ret_end = p;
        reader->p = p + 1;
}

static int build_string(Reader *reader, json_object **ret) {
        CLEANUP(freep) char *copy = NULL;
        const char *begin, *end;
        size_t n;
        bool escapes;

        read_raw(reader, &begin, &end, &escapes);
        n = (size_t) (end - begin);
        if (escapes) {
                copy = malloc(n + 1);
                if (!copy)
                        return -ENOMEM;
                n = unescape(copy, begin, end);
                begin = copy;
        }
        *ret = json_object_new_string_len(begin, (int) n);
        return *ret ? 0 : -ENOMEM;
}

/* With a point or an exponent. Nothing ends the last one but its length. */
static int build_double(const char *begin, const char *end, json_object **ret) {
        const size_t n = (size_t) (end - begin);
        CLEANUP(freep) char *text = malloc(n + 1);
        double number;

        if (!text)
                return -ENOMEM;
        (void) memcpy(text, begin, n);
        text[n] = '\0';
        number = strtod(text, NULL);
        if (!isfinite(number))
                return -EBADMSG;
        *ret = json_object_new_double_s(number, text);
        return *ret ? 0 : -ENOMEM;
}

static int build_number(Reader *reader, json_object **ret) {
        const char *p = reader->p + (*reader->p == '-');
        bool negative = *reader->p == '-', integer = true;
        const char *begin = reader->p;
        uint64_t value = 0;

        for (; p < reader->end; p++) {
                if (*p >= '0' && *p <= '9')
                        value = value * 10 + (uint64_t) (*p - '0'); /* which fits if it is an integer */
                else if (*p == '.' || (*p | 0x20) == 'e' || *p == '+' || *p == '-')
                        integer = false;
                else
                        break;
        }
        reader->p = p;
        if (!integer)
                return build_double(begin, p, ret);
        *ret = json_object_new_int64((int64_t) (negative ? -value : value));
        return *ret ? 0 : -ENOMEM;
}

static int build_array(Reader *reader, json_object **ret) {
        CLEANUP(json_putp) json_object *array = json_object_new_array();

        if (!array)
                return -ENOMEM;
        for (reader->p++; !accept(reader, ']'); (void) accept(reader, ',')) {
                json_object *item = NULL;
                int r = build_value(reader, &item);

                if (r >= 0 && json_object_array_add(array, item) < 0) {
                        (void) json_object_put(item);
                        r = -ENOMEM;
                }
                if (r < 0)
                        return r;
        }
        *ret = STEAL_PTR(array);
        return 0;
}

/* A key, its colon and its value. */
static int build_member(Reader *reader, json_object *object) {
        char buffer[TEXT_SHORT], *key = buffer;
        CLEANUP(freep) char *copy = NULL;
        const char *begin, *end;
        json_object *value = NULL;
        bool escapes;
        int r;

        read_raw(reader, &begin, &end, &escapes);
        if ((size_t) (end - begin) >= sizeof(buffer)) {
                copy = key = malloc((size_t) (end - begin) + 1);
                if (!key)
                        return -ENOMEM;
        }
        (void) unescape(key, begin, end);
        (void) accept(reader, ':');
        if (json_object_object_get_ex(object, key, NULL))
                return -EBADMSG;
        r = build_value(reader, &value);
        if (r >= 0 && json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW) < 0) {
                (void) json_object_put(value);
                r = -ENOMEM;
        }
        return r;
}

static int build_object(Reader *reader, json_object **ret) {
        CLEANUP(json_putp) json_object *object = json_object_new_object();

        if (!object)
                return -ENOMEM;
        for (reader->p++; !accept(reader, '}'); (void) accept(reader, ',')) {
                int r = build_member(reader, object);

                if (r < 0)
                        return r;
        }
        *ret = STEAL_PTR(object);
        return 0;
}

static int build_value(Reader *reader, json_object **ret) {
        switch (*reader->p) {
        case '{':
                return build_object(reader, ret);
        case '[':
                return build_array(reader, ret);
        case '"':
                return build_string(reader, ret);
        case 'n':
                reader->p += strlen("null");
                *ret = NULL;
                return 0;
        case 't':
        case 'f':
                *ret = json_object_new_boolean(*reader->p == 't');
                reader->p += *reader->p == 't' ? strlen("true") : strlen("false");
                return *ret ? 0 : -ENOMEM;
        default:
                return build_number(reader, ret);
        }
}

int json_build(const char *text, size_t n, json_object **ret) {
        Reader reader = { text, text + n };
        json_object *value = NULL;
        int r;

        r = build_value(&reader, &value);
        if (r >= 0)
                *ret = value;
        return r;
}
