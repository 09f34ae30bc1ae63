/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers do: bodies that run in a child process (WorkerBody) on a task that was set up before the
 * fork. They may block for as long as the kernel likes, and tell what they did by records; they decide
 * nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/kmod.h"
#include "engine/range.h"

typedef struct Task {
        int root_fd;
        const Kmod *kmod;    /* NULL without the module; borrowed */
        EngineBlock *blocks; /* in the order asked; for an eject those of the device */
        size_t n_blocks;
        Range *ranges;       /* evacuate and sample: highest first */
        size_t n_ranges;
        uint64_t block_size;
        uint32_t evacuate_flags; /* MEMUNPLUG_EVACUATE_* */
        char device[DEVICE_NAME_SIZE];
} Task;

void task_clear(Task *task);
/* Used bytes in all ranges, counted anew. */
int task_used(const Task *task, uint64_t *ret);

/* Changes: moves what is used out of the ranges, with a thread for each. END: an error that stayed, used
 * bytes left in all of them. */
int task_evacuate(int channel, const void *task, uint64_t *ret_bytes);
/* Changes nothing. PROGRESS: used bytes in all ranges, until the parent closes the channel. */
int task_sample(int channel, const void *task, uint64_t *ret_bytes);
/* Changes: the blocks' state, one after another. A BLOCK record for each; offline ends at the first
 * failure. */
int task_offline(int channel, const void *task, uint64_t *ret_bytes);
int task_online(int channel, const void *task, uint64_t *ret_bytes);
/* Changes: the device leaves the machine; if not, it goes back into the gate. */
int task_eject(int channel, const void *task, uint64_t *ret_bytes);
