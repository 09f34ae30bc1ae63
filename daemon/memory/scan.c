/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills a block table from sysfs. 65 536 blocks are possible, so a block costs three short reads and no
 * memory of its own. What the words mean is in block-text.c; usage comes from elsewhere. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/block-text.h"
#include "memory/block.h"
#include "memory/iomem.h"
#include "util/array.h"
#include "util/cleanup.h"
#include "util/sysfs.h"
#include "util/text.h"

#define MEMORY_PATH "sys/devices/system/memory"
#define NODE_PATH "sys/devices/system/node"
#define ACPI_PATH "sys/bus/acpi/devices"
#define NODES_MAX 4096U
#define NAME_SIZE 32U /* "memory4294967295/firmware_node" */

typedef struct Scan {
        int root_fd, memory_fd;
        BlockTable *table;
        IomemMap iomem;
        size_t blocks_allocated, devices_allocated;
        bool has_nodes; /* blocks belong to nodes on this system */
} Scan;

DEFINE_CLEANUP(BlockTable *, block_table_free)
DEFINE_CLEANUP(DIR *, closedir)

static int open_directory(int at_fd, const char *path, DIR **ret) {
        CLEANUP(closep) int fd = -1;
        DIR *d;

        fd = openat(at_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        (void) steal_fd(&fd); /* the stream has it now */
        *ret = d;
        return 0;
}

/* Next "PREFIX<number>" of a directory: 1, or 0 at its end. */
static int next_numbered(DIR *d, const char *prefix, uint32_t *ret) {
        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(d);
                if (!entry)
                        return -errno;
                if (numbered_name_parse(entry->d_name, prefix, ret) == 0)
                        return 1;
        }
}

static int compare_blocks(const void *a, const void *b) {
        const Block *x = a, *y = b;

        return (x->index > y->index) - (x->index < y->index);
}

static int add_block(Scan *scan, uint32_t index) {
        BlockTable *table = scan->table;

        if (ARRAY_RESERVE(table->blocks, table->n_blocks, &scan->blocks_allocated, 256) < 0)
                return -ENOMEM;
        table->blocks[table->n_blocks++] = (Block) {
                .index = index,
                .device = BLOCK_DEVICE_NONE,
                .address = index * table->block_size, /* 32 and at most 40 bits: checked below */
                .node = -1,
                .used_bytes = BLOCK_USAGE_UNKNOWN,
                .unmovable_bytes = BLOCK_USAGE_UNKNOWN,
        };
        return 0;
}

static int list_blocks(Scan *scan) {
        CLEANUP(closedirp) DIR *d = NULL;
        uint32_t index;
        int r;

        r = open_directory(scan->memory_fd, ".", &d);
        if (r < 0)
                return r;
        while ((r = next_numbered(d, "memory", &index)) > 0) {
                if (index > (UINT64_MAX - scan->table->block_size) / scan->table->block_size)
                        return -EBADMSG;
                r = add_block(scan, index);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (scan->table->n_blocks > 0)
                qsort(scan->table->blocks, scan->table->n_blocks, sizeof(Block), compare_blocks);
        return 0;
}

static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV;
}

/* What cannot be understood is one error to the caller. */
static int text_error(int r) {
        return r == -EFBIG ? -EBADMSG : r;
}

/* State and zone. 0: the block is gone. */
static int read_block(Scan *scan, Block *block) {
        char text[128];
        int r;

        r = sysfs_readf(scan->memory_fd, text, sizeof(text), "memory%u/state", block->index);
        if (is_gone(r))
                return 0;
        if (r >= 0)
                r = block_state_parse(text, &block->state);
        if (r < 0)
                return text_error(r);
        /* A block that is being added has no node yet, and Linux 6.1, asked for its zones then, looks into
         * that node and crashes. */
        block->zone = ZONE_NONE;
        if (block->state == BLOCK_OFFLINE && block->node < 0 && scan->has_nodes)
                return 1;
        /* Kernels that cannot remove memory have no such file. */
        r = sysfs_readf(scan->memory_fd, text, sizeof(text), "memory%u/valid_zones", block->index);
        if (r < 0 && !is_gone(r))
                return text_error(r);
        if (r >= 0)
                block->zone = block_zone_parse(text);
        return 1;
}

/* Neighbours mostly belong together, so the newest devices are looked at first. */
static int find_or_add_device(Scan *scan, DeviceKind kind, const char *name, const Block *block,
                              uint32_t *ret) {
        BlockTable *table = scan->table;
        Device *device;

        for (size_t i = table->n_devices; i > 0; i--)
                if (table->devices[i - 1].kind == kind && strcmp(table->devices[i - 1].name, name) == 0) {
                        *ret = (uint32_t) (i - 1);
                        return 0;
                }
        if (ARRAY_RESERVE(table->devices, table->n_devices, &scan->devices_allocated, 16) < 0)
                return -ENOMEM;
        device = &table->devices[table->n_devices];
        *device = (Device) { .kind = kind, .first_block = block->index, .node = -1 };
        (void) snprintf(device->name, sizeof(device->name), "%s", name); /* its length was checked */
        if (kind == DEVICE_ACPI_DIMM) {
                char path[sizeof(ACPI_PATH) + DEVICE_NAME_SIZE + 16];

                (void) snprintf(path, sizeof(path), ACPI_PATH "/%s/eject", name);
                device->ejectable = faccessat(scan->root_fd, path, F_OK, 0) == 0;
        }
        *ret = (uint32_t) table->n_devices++;
        return 0;
}

/* Firmware first: a DIMM is one whether it came at start or later. Then drivers; the rest was there at
 * start, unless the kernel keeps from us which of it is a driver's. */
static int find_owner(Scan *scan, Block *block) {
        char path[NAME_SIZE], name[NAME_MAX + 1];
        const IomemRange *range;
        int r;

        (void) snprintf(path, sizeof(path), "memory%u/firmware_node", block->index);
        r = sysfs_read_link_name(scan->memory_fd, path, name, sizeof(name));
        if (r < 0 && !is_gone(r) && r != -EINVAL)
                return text_error(r);
        if (r >= 0 && acpi_memory_name_is_valid(name))
                return find_or_add_device(scan, DEVICE_ACPI_DIMM, name, block, &block->device);
        range = iomem_map_find(&scan->iomem, block->address, scan->table->block_size);
        if (range)
                return find_or_add_device(scan, range->kind, range->name, block, &block->device);
        if (scan->iomem.hidden)
                return 0;
        return find_or_add_device(scan, DEVICE_BOOT, "boot", block, &block->device);
}

static int read_blocks(Scan *scan) {
        BlockTable *table = scan->table;
        size_t kept = 0;

        for (size_t i = 0; i < table->n_blocks; i++) {
                Block *block = &table->blocks[i];
                int r;

                r = read_block(scan, block);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                block->crash_kernel = iomem_map_has_crash_kernel(&scan->iomem, block->address,
                                                                 table->block_size);
                r = find_owner(scan, block);
                if (r < 0)
                        return r;
                table->blocks[kept++] = *block;
        }
        table->n_blocks = kept;
        return 0;
}

/* The nodes list their blocks: one directory for each node, instead of one for each block. */
static int read_node(Scan *scan, int nodes_fd, uint32_t node) {
        CLEANUP(closedirp) DIR *d = NULL;
        char name[NAME_SIZE];
        uint32_t index;
        int r;

        (void) snprintf(name, sizeof(name), "node%u", node);
        r = open_directory(nodes_fd, name, &d);
        if (r < 0)
                return is_gone(r) ? 0 : r;
        while ((r = next_numbered(d, "memory", &index)) > 0) {
                Block *block = block_table_find(scan->table, index);

                if (!block || node > INT32_MAX)
                        continue;
                if (block->node < 0 || block->node > (int) node)
                        block->node = (int) node; /* of several, the lowest: such a block cannot go anyway */
                scan->has_nodes = true;
        }
        return r;
}

static int read_nodes(Scan *scan) {
        CLEANUP(closedirp) DIR *d = NULL;
        uint32_t node;
        int r;

        r = open_directory(scan->root_fd, NODE_PATH, &d);
        if (r < 0)
                return is_gone(r) ? 0 : r;
        while ((r = next_numbered(d, "node", &node)) > 0) {
                r = read_node(scan, dirfd(d), node);
                if (r < 0)
                        return r;
        }
        return r;
}

/* The other way round, from the link in the block's own folder. */
static int read_node_links(Scan *scan) {
        for (size_t i = 0; i < scan->table->n_blocks; i++) {
                Block *block = &scan->table->blocks[i];
                CLEANUP(closedirp) DIR *d = NULL;
                char name[NAME_SIZE];
                uint32_t node;
                int r;

                (void) snprintf(name, sizeof(name), "memory%u", block->index);
                r = open_directory(scan->memory_fd, name, &d);
                if (is_gone(r))
                        continue;
                if (r < 0)
                        return r;
                while ((r = next_numbered(d, "node", &node)) > 0)
                        if (node <= INT32_MAX && (block->node < 0 || block->node > (int) node)) {
                                block->node = (int) node;
                                scan->has_nodes = true;
                        }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* No such file: a made-up or very small system, without drivers that add memory. Anything else: we cannot
 * know. */
static int read_iomem(Scan *scan) {
        CLEANUP(freep) char *text = NULL;
        size_t n;
        int r;

        r = sysfs_read_all(scan->root_fd, "proc/iomem", IOMEM_TEXT_MAX, &text, &n);
        if (r >= 0)
                r = iomem_parse(text, n, &scan->iomem);
        if (r == -ENOMEM)
                return r;
        scan->iomem.hidden = scan->iomem.hidden || (r < 0 && r != -ENOENT);
        return 0;
}

static void sum_up(BlockTable *table) {
        for (size_t i = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];
                uint64_t online = block->state == BLOCK_OFFLINE ? 0 : table->block_size;
                Device *device;

                table->online_bytes += online;
                if (block->device >= table->n_devices)
                        continue;
                device = &table->devices[block->device];
                if (device->n_blocks++ == 0)
                        device->node = block->node;
                device->size_bytes += table->block_size;
                device->online_bytes += online;
        }
}

static int compare_nodes(const void *a, const void *b) {
        int x = ((const Node *) a)->node, y = ((const Node *) b)->node;

        return (x > y) - (x < y);
}

/* Blocks of a node mostly lie together. */
static int list_nodes(BlockTable *table) {
        size_t allocated = 0;

        for (size_t i = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];
                Node *node = block_table_find_node(table, block->node);

                if (block->node < 0)
                        continue;
                if (!node) {
                        if (ARRAY_RESERVE(table->nodes, table->n_nodes, &allocated, 8) < 0)
                                return -ENOMEM;
                        node = &table->nodes[table->n_nodes++];
                        *node = (Node) { .node = block->node };
                }
                node->n_online += block->state != BLOCK_OFFLINE;
        }
        if (table->n_nodes > 0)
                qsort(table->nodes, table->n_nodes, sizeof(*table->nodes), compare_nodes);
        return 0;
}

/* Without the file: no processors that anybody could know of. */
static int read_processors(Scan *scan) {
        BlockTable *table = scan->table;
        CLEANUP(freep) uint32_t *list = NULL;
        char text[SYSFS_TEXT_MAX];
        size_t n;
        int r;

        r = list_nodes(table);
        if (r < 0)
                return r;
        r = sysfs_read(scan->root_fd, NODE_PATH "/has_cpu", text, sizeof(text));
        if (is_gone(r) || (r >= 0 && !text[0]))
                return 0;
        if (r >= 0)
                r = parse_block_list(text, NODES_MAX, &list, &n);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                Node *node = block_table_find_node(table, (int) list[i]);

                if (node)
                        node->has_cpus = true;
        }
        return 0;
}

static int scan_all(Scan *scan) {
        char text[64];
        int r;

        r = sysfs_read(scan->memory_fd, "block_size_bytes", text, sizeof(text));
        if (r >= 0)
                r = block_size_parse(text, &scan->table->block_size);
        if (r >= 0)
                r = list_blocks(scan);
        if (r >= 0)
                r = read_nodes(scan);
        if (r >= 0 && !scan->has_nodes)
                r = read_node_links(scan);
        if (r >= 0)
                r = read_iomem(scan);
        if (r >= 0)
                r = read_blocks(scan);
        if (r >= 0)
                r = read_processors(scan);
        if (r >= 0)
                sum_up(scan->table);
        return text_error(r);
}

int block_table_scan(int root_fd, BlockTable **ret) {
        CLEANUP(block_table_freep) BlockTable *table = NULL;
        CLEANUP(closep) int memory_fd = -1;
        Scan scan = { .root_fd = root_fd };
        int r;

        memory_fd = openat(root_fd, MEMORY_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (memory_fd < 0)
                return -errno;
        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        scan.memory_fd = memory_fd;
        scan.table = table;
        r = scan_all(&scan);
        iomem_map_clear(&scan.iomem);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(table);
        return 0;
}
