/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each pool has, and whether gigantic pages have a place to go. An ordinary huge page that finds no
 * free one gets a new one of ordinary memory, which counts as room like any other. A survey tells how much
 * of a block is huge pages, but neither of which size nor whether they are in use: what is said is what must
 * be so at least. A free page inside the blocks is no place to go either, so it is counted on both sides. */
#include "memory/hugepage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/sysfs.h"

#define POOLS_PATH "sys/kernel/mm/hugepages"
#define BUDDY_MAX_BYTES (UINT64_C(1) << 22) /* pages above that are gigantic, with pages of 4 KiB */

DEFINE_CLEANUP(DIR *, closedir)

int huge_pool_name_parse(const char *name, uint64_t *ret) {
        static const char prefix[] = "hugepages-";
        const char *unit;
        uint64_t kib;

        if (strncmp(name, prefix, strlen(prefix)) != 0)
                return -EBADMSG;
        unit = parse_u64_prefix(name + strlen(prefix), &kib);
        if (!unit || strcmp(unit, "kB") != 0 || kib == 0 || kib > UINT64_MAX / 1024)
                return -EBADMSG;
        *ret = kib * 1024;
        return 0;
}

/* In bytes; -EBADMSG also for more than there can be. */
static int read_count(int root_fd, const char *pool, const char *file, uint64_t page_bytes, uint64_t *ret) {
        char text[32];
        uint64_t n;
        int r;

        r = sysfs_readf(root_fd, text, sizeof(text), POOLS_PATH "/%s/%s", pool, file);
        if (r < 0)
                return r;
        if (parse_u64(text, 10, &n) < 0 || n > (UINT64_MAX >> 8) / page_bytes)
                return -EBADMSG;
        *ret = n * page_bytes;
        return 0;
}

static int read_pool(int root_fd, const char *name, uint64_t page_bytes, HugePool *ret) {
        HugePool pool = { .page_bytes = page_bytes, .gigantic = page_bytes > BUDDY_MAX_BYTES };
        int r;

        r = read_count(root_fd, name, "nr_hugepages", page_bytes, &pool.total_bytes);
        if (r >= 0)
                r = read_count(root_fd, name, "free_hugepages", page_bytes, &pool.free_bytes);
        if (r >= 0)
                *ret = pool;
        return r;
}

int huge_pools_read(int root_fd, HugePool pools[HUGE_POOLS_MAX], size_t *ret_n) {
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        size_t n = 0;
        int fd;

        fd = openat(root_fd, POOLS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                int error = errno;

                (void) close_fd(fd);
                if (error != ENOENT)
                        return -error;
                *ret_n = 0;
                return 0;
        }
        while (n < HUGE_POOLS_MAX && (entry = readdir(dir))) {
                uint64_t page_bytes;

                if (huge_pool_name_parse(entry->d_name, &page_bytes) >= 0 &&
                    read_pool(root_fd, entry->d_name, page_bytes, &pools[n]) >= 0 &&
                    pools[n].total_bytes > 0)
                        n++;
        }
        *ret_n = n;
        return 0;
}

bool huge_pools_fit(const HugePool *pools, size_t n, uint64_t huge_bytes, uint64_t *ret_needed,
                    uint64_t *ret_free) {
        uint64_t ordinary = 0;

        *ret_needed = *ret_free = 0;
        for (size_t i = 0; i < n; i++) {
                if (pools[i].gigantic)
                        *ret_free += pools[i].free_bytes;
                else
                        ordinary += pools[i].total_bytes;
        }
        if (huge_bytes > ordinary)
                *ret_needed = huge_bytes - ordinary;
        return n == 0 || *ret_needed <= *ret_free;
}
