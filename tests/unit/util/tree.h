/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up root directory for tests, removed again at the end. Nothing here may fail: a test that
 * cannot make its tree ends at once. */
#pragma once

#include <stddef.h>

typedef struct Tree {
        char path[64];
        int fd;
} Tree;

Tree tree_new(void);
void tree_remove(Tree *tree);
/* Folders above are made as needed. */
void tree_write(const Tree *tree, const char *text, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void tree_write_bytes(const Tree *tree, const void *bytes, size_t n, const char *path);
void tree_link(const Tree *tree, const char *target, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void tree_mkdir(const Tree *tree, const char *format, ...) __attribute__((format(printf, 2, 3)));
