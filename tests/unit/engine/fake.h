/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up machine for the engine's tests: a tree of plain files in place of sysfs, and a module that is
 * a function. The module's state is shared memory, so that what workers do to it is seen by the test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kmod.h"

#define FAKE_BLOCK_SIZE (UINT64_C(128) << 20)
#define FAKE_BLOCKS 128U
#define FAKE_CALLS_MAX 128U

typedef struct FakeModule {
        struct memunplug_info info;
        uint64_t movable[FAKE_BLOCKS]; /* bytes in use, by block */
        uint64_t pinned[FAKE_BLOCKS];
        uint64_t offline[FAKE_BLOCKS]; /* PageOffline */
        int node[FAKE_BLOCKS];         /* a range of two is -EXDEV */
        int open_error, info_error, evacuate_error, survey_error, release_error, gate_error, virtio_mem_error;
        bool fail_selftest;            /* at the first EVACUATE */
        bool hang;                     /* EVACUATE does not return */
        uint32_t comes_back;           /* a page is in this block when the next count is made, unless it is 0 */
        uint32_t together;             /* EVACUATE returns when so many calls of it are under way, or fails */
        uint64_t excess;               /* added to what EVACUATE says is left */
        uint64_t cache[FAKE_BLOCKS];   /* clean page cache: part of movable */
        uint64_t step;                 /* bytes that one EVACUATE moves at most; 0: all */
        uint32_t n_evacuate, n_survey, n_release, n_gate, n_info;
        uint64_t starts[FAKE_CALLS_MAX], sizes[FAKE_CALLS_MAX];
        struct memunplug_survey survey;     /* if survey.size: answered as it is */
        struct memunplug_page pages[8];
        struct memunplug_virtio_mem virtio_mem; /* for the name in it */
        uint32_t n_retries;                 /* its driver was told */
} FakeModule;

extern FakeModule *fake_module;
extern const KmodOps fake_ops;

/* An empty module that can do everything. */
void fake_module_reset(void);

/* An empty tree; returns its fd. */
int fake_root_new(void);
void fake_root_free(int fd);
void fake_write(int root_fd, const char *path, const char *text); /* makes the folders on the way */
void fake_link(int root_fd, const char *path, const char *target);
void fake_block(int root_fd, uint32_t block, const char *state);
void fake_remove_block(int root_fd, uint32_t block);
bool fake_block_is(int root_fd, uint32_t block, const char *state);
/* PNP0C80:NN with blocks first to last. */
void fake_device(int root_fd, const char *name, uint32_t first, uint32_t last);

size_t count_fds(void);
/* No child is left, alive or dead. */
bool no_children(void);
