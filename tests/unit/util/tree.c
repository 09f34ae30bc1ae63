/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void need(bool ok, const char *what) {
        if (ok)
                return;
        perror(what);
        abort();
}

Tree tree_new(void) {
        Tree tree = { .path = "/tmp/memunplug-test-XXXXXX" };

        need(mkdtemp(tree.path), "mkdtemp");
        tree.fd = open(tree.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        need(tree.fd >= 0, tree.path);
        return tree;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void tree_remove(Tree *tree) {
        close(tree->fd);
        tree->fd = -1;
        need(nftw(tree->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, tree->path);
}

static void make_folders(const Tree *tree, const char *path) {
        char folder[PATH_MAX];

        need(strlen(path) < sizeof(folder), path);
        strcpy(folder, path);
        for (char *slash = strchr(folder, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = 0;
                need(mkdirat(tree->fd, folder, 0755) == 0 || errno == EEXIST, folder);
                *slash = '/';
        }
}

void tree_write_bytes(const Tree *tree, const void *bytes, size_t n, const char *path) {
        int fd;

        make_folders(tree, path);
        fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        need(fd >= 0, path);
        need(write(fd, bytes, n) == (ssize_t) n, path);
        close(fd);
}

#define FORMAT_PATH(path, format)                                                    \
        char path[PATH_MAX];                                                         \
        va_list ap;                                                                  \
        va_start(ap, format);                                                        \
        need((size_t) vsnprintf(path, sizeof(path), format, ap) < PATH_MAX, format); \
        va_end(ap)

void tree_write(const Tree *tree, const char *text, const char *format, ...) {
        FORMAT_PATH(path, format);
        tree_write_bytes(tree, text, strlen(text), path);
}

void tree_link(const Tree *tree, const char *target, const char *format, ...) {
        FORMAT_PATH(path, format);
        make_folders(tree, path);
        need(symlinkat(target, tree->fd, path) == 0, path);
}

void tree_mkdir(const Tree *tree, const char *format, ...) {
        FORMAT_PATH(path, format);
        make_folders(tree, path);
        need(mkdirat(tree->fd, path, 0755) == 0 || errno == EEXIST, path);
}
