/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How memunplugctl writes: nothing from outside reaches a terminal with control characters in it, neither in
 * lines, nor in tables, nor in JSON. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "util/text.h"

#define OUTPUT_TIME_MAX 40U

/* A copy without control characters, bytes that are not UTF-8, and marks that turn the direction of writing:
 * each such byte as \xNN. To be freed; NULL: memory is short. */
char *text_escape(const char *text);

/* One line; what the format puts together is escaped as a whole, the newline is added. */
void say(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One document and a newline, flushed. Returns an exit code. */
int output_json(const Ctl *ctl, json_object *object);
int output_json_line(json_object *object); /* always on one line */

/* Memory is short: says so, and returns the exit code. */
int output_oom(void);

/* "1.5G", or the plain number with --bytes. */
const char *output_size(const Ctl *ctl, uint64_t bytes, char buffer[FORMAT_SIZE_MAX]);
/* Local time: "2025-03-01 12:00:00". */
const char *output_time(uint64_t usec, char buffer[OUTPUT_TIME_MAX]);

bool output_is_terminal(FILE *stream);  /* a terminal that is more than TERM=dumb */
bool output_has_colors(FILE *stream);   /* that, and NO_COLOR is not set */
const char *output_word_color(const char *word); /* of a state or verdict: what switches it on, or NULL */
unsigned output_columns(FILE *stream);  /* its width; 80 when that is not known */

/* Members of replies, tolerant: NULL or false if absent, null, of another type or out of range. */
const char *field_string(json_object *object, const char *key);
bool field_uint(json_object *object, const char *key, uint64_t *ret);
/* As people read it, "-" without it. */
const char *field_size(const Ctl *ctl, json_object *object, const char *key, char buffer[FORMAT_SIZE_MAX]);
json_object *field_object(json_object *object, const char *key);
json_object *field_array(json_object *object, const char *key);
