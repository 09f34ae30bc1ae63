/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The form of configuration files, as systemd.syntax(7) has it: sections, assignments, comments, and lines
 * that go on. Used by config.c only. */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#include "util/cleanup.h"

typedef enum ConfigLineKind { CONFIG_LINE_SECTION, CONFIG_LINE_ASSIGNMENT, CONFIG_LINE_BAD } ConfigLineKind;

/* The strings are good until the next line is taken. */
typedef struct ConfigLine {
        ConfigLineKind kind;
        unsigned number;     /* of its first line in the file, from 1 */
        const char *section; /* "" before the first */
        const char *key;     /* of an assignment */
        const char *value;   /* without blanks around it; of a bad line: what is wrong */
} ConfigLine;

typedef struct ConfigLines ConfigLines;

int config_lines_new(ConfigLines **ret, const char *text, size_t n); /* text is borrowed */
ConfigLines *config_lines_free(ConfigLines *lines);
int config_lines_next(ConfigLines *lines, ConfigLine *ret); /* 1; 0: no more */

DEFINE_CLEANUP(ConfigLines *, config_lines_free)
