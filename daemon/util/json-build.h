/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json-c's objects for text that json_scan() has let through, without json-c's own parser, which is more
 * lenient and costs half a call. Used by json.c only. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

/* Of the value in these n bytes, and nothing around it. null is *ret == NULL. -EBADMSG: equal keys, or a
 * number that is not finite; -ENOMEM. */
int json_build(const char *text, size_t n, json_object **ret);
