/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes the text of a configuration file apart. What sections and keys there are is for config.c. */
#include "config-lines.h"

#include <stdbool.h>
#include <string.h>

#define LINE_SIZE_MAX 4096U /* with all that it goes on to */
#define BLANKS " \t\r"

struct ConfigLines {
        const char *p, *end;
        unsigned number; /* lines taken so far */
        char section[LINE_SIZE_MAX];
        char line[LINE_SIZE_MAX];
        size_t n;      /* of line */
        bool too_long; /* line is only its beginning */
};

int config_lines_new(ConfigLines **ret, const char *text, size_t n) {
        ConfigLines *lines = calloc(1, sizeof(*lines));

        if (!lines)
                return -ENOMEM;
        if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
                text += 3;
                n -= 3;
        }
        lines->p = text;
        lines->end = text + n;
        *ret = lines;
        return 0;
}

ConfigLines *config_lines_free(ConfigLines *lines) {
        free(lines);
        return NULL;
}

static void append(ConfigLines *lines, const char *text, size_t n) {
        if (n >= LINE_SIZE_MAX - lines->n) {
                lines->too_long = true;
                return;
        }
        memcpy(lines->line + lines->n, text, n);
        lines->n += n;
}

static bool is_blank(char c) {
        return c && strchr(BLANKS, c);
}

/* One physical line without blanks around it. */
static void take_physical(ConfigLines *lines, const char **ret, size_t *ret_n) {
        const char *newline = memchr(lines->p, '\n', (size_t) (lines->end - lines->p));
        const char *first = lines->p, *last = newline ? newline : lines->end;

        lines->p = newline ? newline + 1 : lines->end;
        lines->number++;
        while (first < last && is_blank(*first))
                first++;
        while (first < last && is_blank(last[-1]))
                last--;
        *ret = first;
        *ret_n = (size_t) (last - first);
}

/* One logical line into lines->line: comments are left out also where a line goes on. false: no more. */
static bool take_logical(ConfigLines *lines, unsigned *ret_number) {
        bool goes_on = false;

        lines->n = 0;
        lines->too_long = false;
        while (lines->p < lines->end) {
                const char *text;
                size_t n;

                take_physical(lines, &text, &n);
                if (n > 0 && (*text == '#' || *text == ';'))
                        continue;
                if (!goes_on)
                        *ret_number = lines->number;
                goes_on = n > 0 && text[n - 1] == '\\';
                append(lines, text, goes_on ? n - 1 : n);
                if (goes_on)
                        append(lines, " ", 1);
                else if (lines->n > 0 || lines->too_long)
                        break;
        }
        return lines->n > 0 || lines->too_long;
}

static char *strip(char *text) {
        size_t n;

        text += strspn(text, BLANKS);
        n = strlen(text);
        while (n > 0 && is_blank(text[n - 1]))
                n--;
        text[n] = 0;
        return text;
}

static ConfigLine bad_line(unsigned number, const char *section, const char *what) {
        return (ConfigLine) { .kind = CONFIG_LINE_BAD, .number = number, .section = section, .value = what };
}

static ConfigLine read_section(ConfigLines *lines, char *text, unsigned number) {
        size_t n = strlen(text);

        if (n < 3 || text[n - 1] != ']') {
                lines->section[0] = 0; /* what follows belongs to no section that we know */
                return bad_line(number, lines->section, "Section head without an end");
        }
        text[n - 1] = 0;
        memcpy(lines->section, text + 1, n - 1);
        return (ConfigLine) { .kind = CONFIG_LINE_SECTION, .number = number, .section = lines->section };
}

int config_lines_next(ConfigLines *lines, ConfigLine *ret) {
        unsigned number = 0;
        char *text, *equals;

        if (!take_logical(lines, &number))
                return 0;
        lines->line[lines->n] = 0;
        if (lines->too_long || strlen(lines->line) != lines->n) {
                *ret = bad_line(number, lines->section,
                                lines->too_long ? "Line too long" : "Line with a NUL byte");
                return 1;
        }
        text = strip(lines->line);
        if (*text == '[') {
                *ret = read_section(lines, text, number);
                return 1;
        }
        equals = strchr(text, '=');
        if (!equals || equals == text) {
                *ret = bad_line(number, lines->section, "Neither a section nor an assignment");
                return 1;
        }
        *equals = 0;
        *ret = (ConfigLine) {
                .kind = CONFIG_LINE_ASSIGNMENT,
                .number = number,
                .section = lines->section,
                .key = strip(text),
                .value = strip(equals + 1),
        };
        return 1;
}
