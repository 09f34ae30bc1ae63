/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables: one row after the other, one cell after the other, then print. An error on the way (memory is
 * short) is kept and told by table_print(), so that the cells need no checks. */
#pragma once

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/ctl.h"

enum {
        TABLE_RIGHT = 1 << 0, /* a number */
        TABLE_WRAP = 1 << 1,  /* prose: on a terminal it may take several lines */
        TABLE_WIDE = 1 << 2,  /* left out on a narrow terminal */
};

typedef struct TableColumn {
        const char *name;
        unsigned flags;
} TableColumn;

typedef struct Table Table;

int table_new(Table **ret, const Ctl *ctl, FILE *stream, const TableColumn *columns, size_t n);
Table *table_free(Table *table);

void table_row(Table *table);
void table_text(Table *table, const char *text); /* NULL: "-" */
void table_number(Table *table, json_object *object, const char *key);
void table_size(Table *table, json_object *object, const char *key);
void table_address(Table *table, json_object *object, const char *key); /* 0x140000000 */
void table_string(Table *table, json_object *object, const char *key);
void table_word(Table *table, json_object *object, const char *key); /* a state or verdict, in its colour */

size_t table_rows(const Table *table);
/* Prints it, unless it is empty, then "N nouns listed." if nouns is set and --no-legend is not. Returns an
 * exit code. */
int table_print(Table *table, const char *noun, const char *nouns);

static inline void table_freep(Table **table) {
        if (*table)
                (void) table_free(*table);
}
