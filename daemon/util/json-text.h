/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings that others chose, made fit to be shown: valid UTF-8 without control characters. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

/* Length of the printable character at s, or 0. */
size_t json_text_character(const char *s);

/* A string object; each byte that is not part of a printable character becomes "?". NULL: memory is short,
 * or text is NULL. */
json_object *json_text_new(const char *text);
