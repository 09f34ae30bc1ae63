/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks are a virtio-mem device's, and what the hypervisor wants of it: as the module reads it. The
 * kernel's own list in /proc/iomem keeps its addresses from all but the administrator. */
#pragma once

#include "engine/kmod.h"
#include "memory/block.h"

/* Changes: the table's devices and whose the blocks are. A device without blocks is left out, and so is one
 * that cannot be read just now. -ENOMEM, or sysfs cannot be listed. */
int virtio_mem_fill(const Kmod *kmod, int root_fd, BlockTable *table);
