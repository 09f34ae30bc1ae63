/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values in and out of json-c: parsing behind json-scan.c, access with checked types, and
 * adding without leaks. What the members mean is for front/json.c. */
#include "util/json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

#include "util/cleanup.h"
#include "util/json-scan.h"

DEFINE_CLEANUP(json_tokener *, json_tokener_free)

/* Counts the members that json-c kept, and finds numbers that became infinite. Not deeper than
 * JSON_DEPTH_MAX. */
static int check_value(json_object *value, size_t *n_members) {
        if (json_object_is_type(value, json_type_double))
                return isfinite(json_object_get_double(value)) ? 0 : -EBADMSG;
        if (json_object_is_type(value, json_type_array))
                for (size_t i = 0; i < json_object_array_length(value); i++) {
                        int r = check_value(json_object_array_get_idx(value, i), n_members);

                        if (r < 0)
                                return r;
                }
        if (json_object_is_type(value, json_type_object)) {
                *n_members += (size_t) json_object_object_length(value);
                json_object_object_foreach(value, key, member) {
                        int r = check_value(member, n_members);

                        (void) key; /* the macro sets it */
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int json_parse(const char *text, size_t n, json_object **ret) {
        CLEANUP(json_tokener_freep) json_tokener *tokener = NULL;
        CLEANUP(json_putp) json_object *value = NULL;
        size_t n_members = 0;
        JsonScan scan;
        int r;

        if (n > INT_MAX)
                return -E2BIG;
        r = json_scan(text, n, &scan);
        if (r < 0)
                return r;
        tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2); /* it counts from one, and the value itself */
        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        value = json_tokener_parse_ex(tokener, text + scan.start, (int) (scan.end - scan.start));
        if (json_tokener_get_parse_end(tokener) != scan.end - scan.start)
                return -EBADMSG;
        if (json_tokener_get_error(tokener) == json_tokener_continue)
                value = json_tokener_parse_ex(tokener, "", 1); /* only now a number is known to end */
        if (json_tokener_get_error(tokener) != json_tokener_success)
                return json_tokener_get_error(tokener) == json_tokener_error_depth ? -E2BIG : -EBADMSG;
        r = check_value(value, &n_members);
        if (r < 0)
                return r;
        if (n_members != scan.n_members)
                return -EBADMSG; /* json-c keeps the last of equal keys: some were */
        *ret = STEAL_PTR(value);
        return 0;
}

const char *json_text(json_object *object) {
        return json_object_to_json_string_ext(object,
                                              JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static int get_member(json_object *object, const char *key, json_type type, json_object **ret) {
        json_object *member;

        if (!json_object_is_type(object, json_type_object))
                return object ? -EINVAL : -ENOENT;
        if (!json_object_object_get_ex(object, key, &member) || !member)
                return -ENOENT;
        if (!json_object_is_type(member, type))
                return -EINVAL;
        *ret = member;
        return 0;
}

int json_get_string(json_object *object, const char *key, const char **ret) {
        json_object *member;
        int r;

        r = get_member(object, key, json_type_string, &member);
        if (r < 0)
                return r;
        *ret = json_object_get_string(member);
        return 0;
}

int json_get_int(json_object *object, const char *key, int64_t *ret) {
        json_object *member;
        int r;

        r = get_member(object, key, json_type_int, &member);
        if (r < 0)
                return r;
        *ret = json_object_get_int64(member);
        return 0;
}

int json_get_uint(json_object *object, const char *key, uint64_t max, uint64_t *ret) {
        int64_t value;
        int r;

        r = json_get_int(object, key, &value);
        if (r < 0)
                return r;
        if (value < 0 || (uint64_t) value > max)
                return -EINVAL;
        *ret = (uint64_t) value;
        return 0;
}

int json_get_bool(json_object *object, const char *key, bool *ret) {
        json_object *member;
        int r;

        r = get_member(object, key, json_type_boolean, &member);
        if (r < 0)
                return r;
        *ret = json_object_get_boolean(member);
        return 0;
}

int json_get_array(json_object *object, const char *key, json_object **ret) {
        return get_member(object, key, json_type_array, ret);
}

int json_get_object(json_object *object, const char *key, json_object **ret) {
        return get_member(object, key, json_type_object, ret);
}

int json_add(json_object *object, const char *key, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(object, key, value) < 0) {
                (void) json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int json_add_int(json_object *object, const char *key, int64_t value) {
        return json_add(object, key, json_object_new_int64(value));
}

int json_add_string(json_object *object, const char *key, const char *value) {
        return value ? json_add(object, key, json_object_new_string(value)) : 0;
}

int json_add_bool(json_object *object, const char *key, bool value) {
        return json_add(object, key, json_object_new_boolean(value));
}
