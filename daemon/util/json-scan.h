/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grammar of RFC 8259 and the limits of json.h, checked before anything is made of the text. Builds
 * nothing. Used by json.c only. */
#pragma once

#include <stddef.h>

typedef struct JsonScan {
        size_t start; /* of the value, behind leading blanks */
        size_t end;   /* behind the value */
} JsonScan;

/* -EBADMSG, -E2BIG as json_parse(). */
int json_scan(const char *text, size_t n, JsonScan *ret);
