/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes to sys/devices/system/memory and sys/bus/acpi/devices. */
#include "engine/sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/array.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define STATUS_PRESENT 0x1U /* _STA, ACPI 6.5, 6.3.7 */
#define STATUS_ENABLED 0x2U
#define DEVICE_PATH_SIZE (sizeof("sys/bus/acpi/devices//physical_node4294967295") + DEVICE_NAME_SIZE)

static void block_path(uint32_t block, char ret[64]) {
        (void) snprintf(ret, 64, "sys/devices/system/memory/memory%u/state", block);
}

int sysfs_block_state(int root_fd, uint32_t block, BlockState *ret) {
        char path[64], text[32];
        int r;

        block_path(block, path);
        r = sysfs_read(root_fd, path, text, sizeof(text));
        if (r < 0)
                return r == -EFBIG ? -EBADMSG : r;
        if (strcmp(text, "online") == 0)
                *ret = BLOCK_ONLINE;
        else if (strcmp(text, "offline") == 0)
                *ret = BLOCK_OFFLINE;
        else if (strcmp(text, "going-offline") == 0)
                *ret = BLOCK_GOING_OFFLINE;
        else
                return -EBADMSG;
        return 0;
}

/* The kernel answers -EINVAL when there is nothing to do; so it does for holes and several zones. */
static int block_write(int root_fd, uint32_t block, const char *word, BlockState wanted) {
        BlockState state;
        char path[64];
        int r;

        block_path(block, path);
        r = sysfs_write(root_fd, path, word);
        if (r == -EINVAL && sysfs_block_state(root_fd, block, &state) == 0 && state == wanted)
                return 0;
        return r;
}

int sysfs_block_offline(int root_fd, uint32_t block) {
        BlockState state;
        int r;

        r = block_write(root_fd, block, "offline", BLOCK_OFFLINE);
        if (r < 0)
                return r;
        /* What is told as offline may be ejected: see it to be so. Gone altogether, it is offline enough. */
        r = sysfs_block_state(root_fd, block, &state);
        if (r == -ENOENT || r == -ENODEV)
                return 0;
        if (r < 0)
                return r;
        return state == BLOCK_OFFLINE ? 0 : -EIO;
}

int sysfs_block_online(int root_fd, uint32_t block, Zone zone) {
        const char *word = zone == ZONE_MOVABLE ? "online_movable" : "online_kernel";

        return block_write(root_fd, block, word, BLOCK_ONLINE);
}

bool sysfs_device_name_is_valid(const char *name) {
        size_t n = strlen(name);

        if (n == 0 || n >= DEVICE_NAME_SIZE || name[0] == '.')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isascii(name[i]) || (!isalnum(name[i]) && !strchr(":._-", name[i])))
                        return false;
        return true;
}

static int device_path(const char *device, const char *attribute, char ret[DEVICE_PATH_SIZE]) {
        if (!sysfs_device_name_is_valid(device))
                return -EINVAL;
        (void) snprintf(ret, DEVICE_PATH_SIZE, "sys/bus/acpi/devices/%s/%s", device, attribute);
        return 0;
}

static void dir_closep(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/* 1 with the block that this entry of the device's directory links to, 0 if it is no such link. */
static int link_block(int dir_fd, const char *entry, uint32_t *ret) {
        char target[NAME_MAX + 1];
        uint64_t index;

        if (strncmp(entry, "physical_node", strlen("physical_node")) != 0)
                return 0;
        if (sysfs_read_link_name(dir_fd, entry, target, sizeof(target)) < 0)
                return 0;
        if (strncmp(target, "memory", strlen("memory")) != 0 ||
            parse_u64(target + strlen("memory"), 10, &index) < 0 || index > UINT32_MAX)
                return 0;
        *ret = (uint32_t) index;
        return 1;
}

static int read_block_links(DIR *dir, uint32_t **ret, size_t *ret_n) {
        CLEANUP(freep) uint32_t *blocks = NULL;
        size_t n = 0, allocated = 0;
        const struct dirent *entry;
        uint32_t block;

        while ((errno = 0, entry = readdir(dir))) {
                if (link_block(dirfd(dir), entry->d_name, &block) == 0)
                        continue;
                if (ARRAY_RESERVE(blocks, n, &allocated, 16) < 0)
                        return -ENOMEM;
                blocks[n++] = block;
        }
        if (errno != 0)
                return -errno;
        *ret = STEAL_PTR(blocks);
        *ret_n = n;
        return 0;
}

int sysfs_device_blocks(int root_fd, const char *device, uint32_t **ret, size_t *ret_n) {
        CLEANUP(dir_closep) DIR *dir = NULL;
        char path[DEVICE_PATH_SIZE];
        int fd, r;

        r = device_path(device, "", path);
        if (r < 0)
                return r;
        fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }
        return read_block_links(dir, ret, ret_n);
}

int sysfs_device_eject(int root_fd, const char *device) {
        char path[DEVICE_PATH_SIZE];
        int r;

        r = device_path(device, "eject", path);
        if (r < 0)
                return r;
        return sysfs_write(root_fd, path, "1");
}

int sysfs_device_is_gone(int root_fd, const char *device) {
        char path[DEVICE_PATH_SIZE];
        uint64_t status;
        int r;

        r = device_path(device, "status", path);
        if (r < 0)
                return r;
        r = sysfs_read_u64(root_fd, path, 10, &status);
        if (r == -ENOENT || r == -ENODEV)
                return 1;
        if (r < 0)
                return r;
        return (status & (STATUS_PRESENT | STATUS_ENABLED)) == 0;
}
