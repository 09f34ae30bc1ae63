/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values in and out of json-c: parsing by json-scan.c and json-build.c, access with checked types, and
 * adding without leaks. What the members mean is for front/json.c. */
#include "util/json.h"

#include <errno.h>
#include <limits.h>

#include "util/json-build.h"
#include "util/json-scan.h"

int json_parse(const char *text, size_t n, json_object **ret) {
        JsonScan scan;
        int r;

        if (n > INT_MAX)
                return -E2BIG;
        r = json_scan(text, n, &scan);
        return r < 0 ? r : json_build(text + scan.start, scan.end - scan.start, ret);
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
