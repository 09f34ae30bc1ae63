/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What json_parse() takes, it must take again from its own text, as the same. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(json_object *value) {
        const char *text = json_text(value);
        json_object *again = NULL;

        if (!text || json_parse(text, strlen(text), &again) < 0 || !json_object_equal(value, again))
                abort();
        json_object_put(again);
}

static bool is_one_of(uint8_t c, const char *set) {
        return memchr(set, c, strlen(set)) != NULL;
}

/* Are there two escapes for one character above U+FFFF whose lower 16 bits are those of a surrogate? json-c
 * (0.16) takes the whole for one, then, and has U+FFFD instead. */
static bool json_c_misreads(const uint8_t *data, size_t size) {
        for (size_t i = 0; i + 6 <= size; i++)
                if (data[i] == '\\' && data[i + 1] == 'u' && is_one_of(data[i + 2], "dD") &&
                    is_one_of(data[i + 3], "89aAbB") && is_one_of(data[i + 4], "37bBfF") &&
                    is_one_of(data[i + 5], "67"))
                        return true;
        return false;
}

/* json-c's own parser, lenient as it is, must read the same. It takes a number for ended only by what is behind it. */
static void check_against_json_c(json_object *value, const uint8_t *data, size_t size) {
        json_tokener *tokener = json_tokener_new();
        char *text = malloc(size + 1);
        json_object *theirs;

        if (!tokener || !text)
                abort();
        (void) memcpy(text, data, size);
        text[size] = '\0';
        theirs = json_tokener_parse_ex(tokener, text, (int) size + 1);
        if (json_tokener_get_error(tokener) != json_tokener_success || !json_object_equal(value, theirs))
                abort();
        json_object_put(theirs);
        free(text);
        json_tokener_free(tokener);
}

/* Each getter gives what is there, in its own type only. */
static void check_members(json_object *value) {
        if (!json_object_is_type(value, json_type_object))
                return;
        json_object_object_foreach(value, key, member) {
                const char *text = NULL;
                json_object *object;
                uint64_t number;
                bool flag;
                int given = 0;

                given += json_get_string(value, key, &text) >= 0;
                given += json_get_uint(value, key, INT64_MAX, &number) >= 0;
                given += json_get_bool(value, key, &flag) >= 0;
                given += json_get_array(value, key, &object) >= 0;
                given += json_get_object(value, key, &object) >= 0;
                if (given > 1 || (text && !json_object_is_type(member, json_type_string)))
                        abort();
                check_members(member);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_object *value = NULL;

        if (json_parse((const char *) data, size, &value) < 0) {
                if (value) /* a result that was not promised */
                        abort();
                return 0;
        }
        check_again(value);
        if (!json_c_misreads(data, size))
                check_against_json_c(value, data, size);
        check_members(value);
        json_object_put(value);
        return 0;
}
