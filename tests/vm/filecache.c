/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file whose contents are known, and how much of it is in the page cache.
 *
 *   filecache make FILE BYTES      writes it anew; it stays dirty
 *   filecache sync FILE BYTES      the same, and to the disk
 *   filecache check FILE           prints "pages N cached C bad B usec T": in the cache before it was read, and
 *                                  wrong ones of all, which were read in that time
 *
 * All words of a page are the same, those of two pages differ: a compressed disk needs no memory for them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"

#define WORDS (PAGE_BYTES / sizeof(uint64_t))

static int make(const char *path, size_t pages, bool sync) {
        uint64_t page[WORDS];
        int fd;

        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < pages; i++) {
                for (size_t k = 0; k < WORDS; k++)
                        page[k] = mix64(i);
                if (write(fd, page, sizeof page) != (ssize_t) sizeof page)
                        return -EIO;
        }
        return sync && fsync(fd) < 0 ? -errno : 0;
}

/* Looking does not read anything. */
static long count_cached(int fd, size_t pages) {
        unsigned char *there = malloc(pages + 1);
        void *map = mmap(NULL, pages * PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
        long cached = 0;

        if (!there || map == MAP_FAILED || mincore(map, pages * PAGE_BYTES, there) < 0)
                return -1;
        for (size_t i = 0; i < pages; i++)
                cached += there[i] & 1;
        munmap(map, pages * PAGE_BYTES);
        free(there);
        return cached;
}

static size_t count_bad(int fd, size_t pages) {
        uint64_t page[WORDS];
        size_t bad = 0;

        for (size_t i = 0; i < pages; i++) {
                size_t good = 0;

                if (read(fd, page, sizeof page) == (ssize_t) sizeof page)
                        while (good < WORDS && page[good] == mix64(i))
                                good++;
                bad += good < WORDS;
        }
        return bad;
}

static int check(const char *path) {
        int fd = open(path, O_RDONLY|O_CLOEXEC);
        size_t pages, bad;
        struct stat st;
        uint64_t begin;
        long cached;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        pages = (size_t) st.st_size / PAGE_BYTES;
        cached = count_cached(fd, pages);
        if (cached < 0)
                return -errno;
        begin = now_usec();
        bad = count_bad(fd, pages);
        printf("pages %zu cached %ld bad %zu usec %"PRIu64"\n", pages, cached, bad, now_usec() - begin);
        return 0;
}

int main(int argc, char **argv) {
        int r;

        if (argc == 3 && strcmp(argv[1], "check") == 0)
                r = check(argv[2]);
        else if (argc == 4 && (strcmp(argv[1], "make") == 0 || strcmp(argv[1], "sync") == 0))
                r = make(argv[2], strtoull(argv[3], NULL, 0) / PAGE_BYTES, argv[1][0] == 's');
        else {
                fprintf(stderr, "usage: filecache make|sync FILE BYTES, filecache check FILE\n");
                return 2;
        }
        if (r < 0)
                fprintf(stderr, "filecache: %s: %s\n", argv[2], strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
