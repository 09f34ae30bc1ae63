/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A strict front of json-c: what it lets through is JSON (RFC 8259), within limits, and
 * its integers are exact. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16

/* One value, exactly n bytes; the value null is *ret == NULL. -EBADMSG not valid JSON, duplicate keys, NUL
 * in strings, numbers that do not fit in int64 or are not finite; -E2BIG too deep; -ENOMEM. */
int json_parse(const char *text, size_t n, json_object **ret);

/* Compact text; valid as long as the object and until its next use. NULL: memory is short. */
const char *json_text(json_object *object);

/* Member access. Absent or null: -ENOENT. Wrong type or range: -EINVAL. */
int json_get_string(json_object *object, const char *key, const char **ret);
int json_get_int(json_object *object, const char *key, int64_t *ret);
int json_get_uint(json_object *object, const char *key, uint64_t max, uint64_t *ret);
int json_get_bool(json_object *object, const char *key, bool *ret);
int json_get_array(json_object *object, const char *key, json_object **ret);
int json_get_object(json_object *object, const char *key, json_object **ret);

/* Adds a member; takes value. -ENOMEM also when value is NULL. */
int json_add(json_object *object, const char *key, json_object *value);
int json_add_int(json_object *object, const char *key, int64_t value);
int json_add_string(json_object *object, const char *key, const char *value); /* NULL: left out */
int json_add_bool(json_object *object, const char *key, bool value);

static inline void json_putp(json_object **o) {
        if (*o)
                (void) json_object_put(*o);
}
