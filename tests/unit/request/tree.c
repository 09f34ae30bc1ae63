/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tree.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"
#include "util/sysfs.h"

static void make_parents(Tree *tree, const char *path) {
        char copy[256];

        assert(strlen(path) < sizeof(copy));
        strcpy(copy, path);
        for (char *p = copy; (p = strchr(p, '/')); p++) {
                *p = '\0';
                assert(mkdirat(tree->fd, copy, 0755) >= 0 || errno == EEXIST);
                *p = '/';
        }
}

__attribute__((format(printf, 3, 4)))
static void put(Tree *tree, const char *text, const char *format, ...) {
        char path[256];
        va_list args;
        int fd;

        va_start(args, format);
        (void) vsnprintf(path, sizeof(path), format, args);
        va_end(args);
        make_parents(tree, path);
        fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
        (void) close(fd);
}

#define MEMORY "sys/devices/system/memory"

static void put_block(Tree *tree, unsigned block, const char *zone) {
        char index[16], path[64];

        (void) snprintf(index, sizeof(index), "%08x\n", block);
        put(tree, "online\n", MEMORY "/memory%u/state", block);
        put(tree, index, MEMORY "/memory%u/phys_index", block);
        put(tree, zone, MEMORY "/memory%u/valid_zones", block);
        (void) snprintf(path, sizeof(path), MEMORY "/memory%u/node0", block);
        assert(symlinkat("../../node/node0", tree->fd, path) >= 0);
}

static void put_dimm(Tree *tree, unsigned dimm) {
        put(tree, "15\n", "sys/devices/LNXSYSTM:00/PNP0C80:%02x/status", dimm);
        put(tree, "", "sys/devices/LNXSYSTM:00/PNP0C80:%02x/eject", dimm);
        put(tree, "15\n", "sys/bus/acpi/devices/PNP0C80:%02x/status", dimm);
        put(tree, "", "sys/bus/acpi/devices/PNP0C80:%02x/eject", dimm);
        for (unsigned i = 0; i < TREE_DIMM_BLOCKS; i++) {
                unsigned block = TREE_FIRST_DIMM_BLOCK + dimm * TREE_DIMM_BLOCKS + i;
                char path[64], target[64];

                put_block(tree, block, "Movable\n");
                (void) snprintf(path, sizeof(path), MEMORY "/memory%u/firmware_node", block);
                (void) snprintf(target, sizeof(target), "../../../LNXSYSTM:00/PNP0C80:%02x", dimm);
                assert(symlinkat(target, tree->fd, path) >= 0);
        }
}

void tree_make(Tree *tree, unsigned n_dimms) {
        strcpy(tree->path, "/tmp/memunplug-tree-XXXXXX");
        assert(mkdtemp(tree->path));
        tree->fd = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(tree->fd >= 0);
        put(tree, "8000000\n", MEMORY "/block_size_bytes");
        for (unsigned i = 0; i < TREE_BOOT_BLOCKS; i++)
                put_block(tree, i, "Normal\n");
        for (unsigned i = 0; i < n_dimms; i++)
                put_dimm(tree, i);
        put(tree, "MemTotal: 5242880 kB\nMemFree: 4194304 kB\nMemAvailable: 4194304 kB\nSwapTotal: 0 kB\n"
                  "SwapFree: 0 kB\n", "proc/meminfo");
        put(tree, "11111111-2222-3333-4444-555555555555\n", "proc/sys/kernel/random/boot_id");
        put(tree, "", "proc/iomem");
        assert(mkdirat(tree->fd, "state", 0755) >= 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void tree_remove(Tree *tree) {
        (void) close(tree->fd);
        (void) nftw(tree->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int tree_is_online(const Tree *tree, unsigned block) {
        char state[32];

        assert(sysfs_readf(tree->fd, state, sizeof(state), MEMORY "/memory%u/state", block) >= 0);
        return strcmp(state, "online") == 0;
}
