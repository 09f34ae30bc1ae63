/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for virtio-mem devices by their type in sysfs and asks the module about each. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/virtio-mem.h"
#include "memory/block-text.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define VIRTIO_PATH "sys/bus/virtio/devices"
#define VIRTIO_TYPE_MEM "0x0018" /* as the attribute device has it */

DEFINE_CLEANUP(DIR *, closedir)

static bool is_in(const BlockTable *table, const Block *block, const struct memunplug_virtio_mem *sizes) {
        return block->address < sizes->start + sizes->region_size &&
               sizes->start < block->address + table->block_size;
}

static Device *find_device(const BlockTable *table, const char *name) {
        for (size_t i = 0; i < table->n_devices; i++)
                if (table->devices[i].kind == DEVICE_VIRTIO_MEM && strcmp(table->devices[i].name, name) == 0)
                        return &table->devices[i];
        return NULL;
}

/* Where it belongs by its first block; the blocks' indexes behind it follow. */
static int insert_device(BlockTable *table, const Device *device, uint32_t *ret) {
        Device *bigger;
        size_t at = 0;

        bigger = reallocarray(table->devices, table->n_devices + 1, sizeof(*bigger));
        if (!bigger)
                return -ENOMEM;
        table->devices = bigger;
        while (at < table->n_devices && bigger[at].first_block <= device->first_block)
                at++;
        memmove(&bigger[at + 1], &bigger[at], (table->n_devices - at) * sizeof(*bigger));
        bigger[at] = *device;
        table->n_devices++;
        for (size_t i = 0; i < table->n_blocks; i++)
                if (table->blocks[i].device != BLOCK_DEVICE_NONE && table->blocks[i].device >= at)
                        table->blocks[i].device++;
        *ret = (uint32_t) at;
        return 0;
}

/* Blocks that nobody else is known to have. */
static int add_device(BlockTable *table, const char *name, const struct memunplug_virtio_mem *sizes) {
        Device device = { .kind = DEVICE_VIRTIO_MEM, .node = -1 };
        uint32_t position;
        int r;

        for (size_t i = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];

                if (block->device != BLOCK_DEVICE_NONE || !is_in(table, block, sizes))
                        continue;
                if (device.n_blocks++ == 0) {
                        device.first_block = block->index;
                        device.node = block->node;
                }
                device.size_bytes += table->block_size;
                device.online_bytes += block->state == BLOCK_OFFLINE ? 0 : table->block_size;
        }
        if (device.n_blocks == 0)
                return 0;
        memcpy(device.name, name, strlen(name)); /* the module takes shorter names only */
        r = insert_device(table, &device, &position);
        if (r < 0)
                return r;
        for (size_t i = 0; i < table->n_blocks; i++)
                if (table->blocks[i].device == BLOCK_DEVICE_NONE && is_in(table, &table->blocks[i], sizes))
                        table->blocks[i].device = position;
        return 0;
}

static int fill_one(const Kmod *kmod, BlockTable *table, const char *name) {
        struct memunplug_virtio_mem sizes;
        Device *device;
        int r;

        if (kmod_virtio_mem(kmod, name, &sizes) < 0)
                return 0;
        if (!find_device(table, name)) {
                r = add_device(table, name, &sizes);
                if (r < 0)
                        return r;
        }
        device = find_device(table, name);
        if (!device)
                return 0;
        device->target_known = true;
        device->requested_bytes = sizes.requested_size;
        device->plugged_bytes = sizes.plugged_size;
        device->piece_bytes = kmod_info(kmod)->pageblock_size;
        if (device->piece_bytes < sizes.block_size)
                device->piece_bytes = sizes.block_size;
        return 0;
}

int virtio_mem_fill(const Kmod *kmod, int root_fd, BlockTable *table) {
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *entry;
        int fd, r = 0;

        fd = openat(root_fd, VIRTIO_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return 0; /* no such bus */
        d = fdopendir(fd);
        if (!d) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }
        while (r >= 0 && (entry = readdir(d))) {
                char type[16];
                uint32_t number;

                if (numbered_name_parse(entry->d_name, "virtio", &number) < 0)
                        continue;
                if (sysfs_readf(fd, type, sizeof(type), "virtio%u/device", number) < 0)
                        continue;
                if (strcmp(type, VIRTIO_TYPE_MEM) == 0)
                        r = fill_one(kmod, table, entry->d_name);
        }
        return r;
}
