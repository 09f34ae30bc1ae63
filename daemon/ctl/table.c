/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables by libsmartcols. It owns alignment, width and colours; which columns there are is the verbs'
 * business. */
#include "ctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/output.h"
#include "util/cleanup.h"

#define NARROW 120U   /* columns below which TABLE_WIDE ones are left out */
#define PROSE_MIN 24U /* columns for reasons */

typedef struct TableSlot {
        struct libscols_column *column; /* NULL: left out */
        size_t width;                   /* of its longest text */
} TableSlot;

struct Table {
        const Ctl *ctl;
        FILE *stream;
        struct libscols_table *table;
        struct libscols_line *line;
        size_t next;            /* cell of this row */
        size_t n_columns;       /* of cells given */
        size_t n_rows;
        int error;
        struct libscols_column *prose; /* that may take several lines; or NULL */
        size_t width;           /* of the terminal; 0: none */
        TableSlot slots[];
};

int table_new(Table **ret, const Ctl *ctl, FILE *stream, const TableColumn *columns, size_t n) {
        CLEANUP(table_freep) Table *table = calloc(1, sizeof(*table) + n * sizeof(table->slots[0]));
        bool terminal = output_is_terminal(stream);
        unsigned width = output_columns(stream);

        if (!table)
                return -ENOMEM;
        table->ctl = ctl;
        table->stream = stream;
        table->n_columns = n;
        table->table = scols_new_table();
        if (!table->table)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int flags = (columns[i].flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0) |
                            (columns[i].flags & TABLE_WRAP && terminal ? SCOLS_FL_WRAP : 0);

                if (columns[i].flags & TABLE_WIDE && terminal && width < NARROW)
                        continue;
                table->slots[i].column = scols_table_new_column(table->table, columns[i].name, 0, flags);
                if (!table->slots[i].column)
                        return -ENOMEM;
                table->slots[i].width = strlen(columns[i].name);
                if (flags & SCOLS_FL_WRAP)
                        table->prose = table->slots[i].column;
        }
        if (table->prose && scols_column_set_wrapfunc(table->prose, scols_wrapnl_chunksize,
                                                      scols_wrapnl_nextchunk, NULL) < 0)
                return -ENOMEM;
        table->width = terminal ? width : 0;
        (void) scols_table_set_stream(table->table, stream);
        (void) scols_table_set_termforce(table->table,
                                         terminal ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
        (void) scols_table_set_termwidth(table->table, width);
        (void) scols_table_enable_colors(table->table, output_has_colors(stream));
        (void) scols_table_enable_noheadings(table->table, ctl->no_legend);
        (void) scols_table_enable_noencoding(table->table, 1); /* cells are safe already */
        *ret = STEAL_PTR(table);
        return 0;
}

Table *table_free(Table *table) {
        if (!table)
                return NULL;
        scols_unref_table(table->table);
        free(table);
        return NULL;
}

void table_row(Table *table) {
        table->next = 0;
        table->line = NULL;
        if (table->error < 0)
                return;
        table->line = scols_table_new_line(table->table, NULL);
        if (!table->line) {
                table->error = -ENOMEM;
                return;
        }
        table->n_rows++;
}

/* In characters: what is wider than one column on a terminal does not occur in names and figures. */
static size_t text_width(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                if (((unsigned char) *text & 0xC0) != 0x80)
                        n++;
        return n;
}

static void table_cell(Table *table, const char *text, const char *color) {
        CLEANUP(freep) char *safe = NULL;
        struct libscols_cell *cell;
        TableSlot *slot;

        if (table->error < 0 || !table->line || table->next >= table->n_columns)
                return;
        slot = &table->slots[table->next++];
        if (!slot->column)
                return;
        safe = text_escape(text && *text ? text : "-");
        if (safe && text_width(safe) > slot->width)
                slot->width = text_width(safe);
        cell = safe ? scols_line_get_column_cell(table->line, slot->column) : NULL;
        if (!cell || scols_cell_set_data(cell, safe) < 0)
                table->error = -ENOMEM;
        else if (color && scols_cell_set_color(cell, color) < 0)
                table->error = -ENOMEM;
}

void table_text(Table *table, const char *text) {
        table_cell(table, text, NULL);
}

void table_number(Table *table, json_object *object, const char *key) {
        char buffer[FORMAT_SIZE_MAX];
        uint64_t value;

        if (!field_uint(object, key, &value)) {
                table_text(table, NULL);
                return;
        }
        (void) snprintf(buffer, sizeof(buffer), "%" PRIu64, value);
        table_text(table, buffer);
}

void table_address(Table *table, json_object *object, const char *key) {
        char buffer[FORMAT_SIZE_MAX];
        uint64_t value;

        if (!field_uint(object, key, &value)) {
                table_text(table, NULL);
                return;
        }
        (void) snprintf(buffer, sizeof(buffer), "0x%" PRIx64, value);
        table_text(table, buffer);
}

void table_size(Table *table, json_object *object, const char *key) {
        char buffer[FORMAT_SIZE_MAX];
        uint64_t value;

        table_text(table, field_uint(object, key, &value) ? output_size(table->ctl, value, buffer) : NULL);
}

void table_string(Table *table, json_object *object, const char *key) {
        table_text(table, field_string(object, key));
}

void table_word(Table *table, json_object *object, const char *key) {
        const char *word = field_string(object, key);

        table_cell(table, word, output_word_color(word));
}

size_t table_rows(const Table *table) {
        return table->n_rows;
}

/* Breaks text into lines of that width: at blanks, as far as there are any. */
static void wrap_text(char *text, size_t width) {
        char *blank = NULL;
        size_t n = 0;

        for (; *text; text++) {
                if (((unsigned char) *text & 0xC0) != 0x80)
                        n++;
                if (*text == ' ' && n <= width + 1)
                        blank = text;
                if (n <= width || !blank)
                        continue;
                *blank = '\n';
                n = (size_t) (text - blank);
                blank = NULL;
        }
}

/* Prose gets what the other columns leave, but not less than it takes to read it. */
static int wrap_prose(Table *table) {
        size_t used = 0, width;

        for (size_t i = 0; i < table->n_columns; i++)
                if (table->slots[i].column && table->slots[i].column != table->prose)
                        used += table->slots[i].width + 1;
        width = table->width > used + PROSE_MIN ? table->width - used - 1 : PROSE_MIN;
        for (size_t i = 0; i < table->n_rows; i++) {
                struct libscols_line *line = scols_table_get_line(table->table, i);
                const char *text = line ? scols_line_get_column_data(line, table->prose) : NULL;
                CLEANUP(freep) char *wrapped = text ? strdup(text) : NULL;

                if (!wrapped)
                        return -ENOMEM;
                wrap_text(wrapped, width);
                if (scols_line_set_column_data(line, table->prose, wrapped) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int table_print(Table *table, const char *noun, const char *nouns) {
        if (table->error >= 0 && table->prose && table->width > 0)
                table->error = wrap_prose(table);
        if (table->error < 0 || (table->n_rows > 0 && scols_print_table(table->table) < 0))
                return output_oom();
        if (nouns && !table->ctl->no_legend)
                fprintf(table->stream, "%s%zu %s listed.\n", table->n_rows > 0 ? "\n" : "", table->n_rows,
                        table->n_rows == 1 ? noun : nouns);
        return CTL_DONE;
}
