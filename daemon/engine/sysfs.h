/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory blocks and ACPI devices as sysfs lets them be changed: one attribute per function, and what the
 * kernel's answers to it mean. When and in which order is task.c's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/block.h"

/* -ENOENT no such block, -EBADMSG a word that is no state. */
int sysfs_block_state(int root_fd, uint32_t block, BlockState *ret);
/* Changes: the block's state. May block for ever: workers only. A block that has the state already is no
 * error. */
int sysfs_block_offline(int root_fd, uint32_t block);
int sysfs_block_online(int root_fd, uint32_t block, Zone zone);

/* Is this a name that can be put into a path? */
bool sysfs_device_name_is_valid(const char *name);
/* The memory blocks that belong to an ACPI device; *ret to be freed. */
int sysfs_device_blocks(int root_fd, const char *device, uint32_t **ret, size_t *ret_n);
/* Changes: asks the kernel to take the device away, which it does some time after this has returned. */
int sysfs_device_eject(int root_fd, const char *device);
/* 1 the platform says that nothing is there any more, 0 it does not. */
int sysfs_device_is_gone(int root_fd, const char *device);
