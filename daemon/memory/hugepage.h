/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pools of huge pages that the administrator keeps (hugetlb). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUGE_POOLS_MAX 8U

typedef struct HugePool {
        uint64_t page_bytes;
        uint64_t total_bytes; /* in use and free */
        uint64_t free_bytes;
        bool gigantic;        /* larger than what the kernel can allocate as one at any time */
} HugePool;

/* "hugepages-2048kB": the size in bytes. -EBADMSG */
int huge_pool_name_parse(const char *name, uint64_t *ret);
/* All pools that have pages, at most HUGE_POOLS_MAX; none where the kernel has no such pages. */
int huge_pools_read(int root_fd, HugePool pools[HUGE_POOLS_MAX], size_t *ret_n);

/* Gigantic pages can move to free ones of their pool only. Of huge_bytes in blocks that go, so much must be
 * gigantic, given all pools, and so much of them is free. True: they fit. */
bool huge_pools_fit(const HugePool *pools, size_t n, uint64_t huge_bytes, uint64_t *ret_needed,
                    uint64_t *ret_free);
