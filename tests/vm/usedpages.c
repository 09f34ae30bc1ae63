/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the pages in use of physical ranges, from /proc/kpageflags.
 *
 *   usedpages START-END,...      prints "used N of M"
 *
 * In use is what has any flag but those of free, absent or reserved memory; a page
 * on a per-CPU free list has none and counts as free.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pages.h"

#define KPF_BUDDY (1ULL << 10)
#define KPF_NOPAGE (1ULL << 20)
#define KPF_OFFLINE (1ULL << 23)
#define KPF_RESERVED (1ULL << 32)

int main(int argc, char **argv) {
        static uint64_t flags[4096];
        uint64_t used = 0, total = 0;
        Ranges ranges;
        int fd;

        if (argc != 2 || ranges_parse(argv[1], &ranges) < 0) {
                fprintf(stderr, "usage: usedpages START-END,...\n");
                return 2;
        }
        fd = open("/proc/kpageflags", O_RDONLY|O_CLOEXEC);
        if (fd < 0) {
                perror("/proc/kpageflags");
                return EXIT_FAILURE;
        }
        for (size_t i = 0; i < ranges.n; i++) {
                uint64_t pfn = ranges.item[i].start / PAGE_BYTES, end = ranges.item[i].end / PAGE_BYTES;

                while (pfn < end) {
                        size_t want = end - pfn < 4096 ? (size_t) (end - pfn) : 4096;
                        off_t offset = (off_t) (pfn * sizeof flags[0]);
                        ssize_t n = pread(fd, flags, want * sizeof flags[0], offset);

                        if (n <= 0) {
                                perror("/proc/kpageflags");
                                return EXIT_FAILURE;
                        }
                        for (size_t k = 0; k < (size_t) n / sizeof flags[0]; k++, pfn++, total++)
                                used += (flags[k] & ~(KPF_BUDDY|KPF_NOPAGE|KPF_OFFLINE|KPF_RESERVED)) != 0 &&
                                        !(flags[k] & KPF_NOPAGE);
                }
        }
        printf("used %"PRIu64" of %"PRIu64"\n", used, total);
        return EXIT_SUCCESS;
}
