/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grammar of RFC 8259 and the limits of json.h, checked before json-c, which is more lenient
 * than its strict mode says, sees the text. Builds nothing. Used by json.c only. */
#pragma once

#include <stddef.h>

typedef struct JsonScan {
        size_t start;     /* of the value, behind leading blanks */
        size_t end;       /* behind the value */
        size_t n_members; /* of all objects together, each occurrence of a key counts */
} JsonScan;

/* -EBADMSG, -E2BIG as json_parse(). */
int json_scan(const char *text, size_t n, JsonScan *ret);
