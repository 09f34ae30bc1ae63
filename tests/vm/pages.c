/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See pages.h. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"

#define CHUNK_BYTES (32UL << 20)
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_BYTES)
#define CHUNKS_MAX 4096U
#define RESERVE_KB (96UL << 10)                 /* stop before the guest has less than this left */
#define NEARLY_FULL_KB (48UL << 10)             /* of the movable zones: watermarks keep some */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)

uint64_t mix64(uint64_t x) {
        x += 0x9e3779b97f4a7c15ULL;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
        return x ^ (x >> 31);
}

uint64_t now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

bool pages_one_in(uint64_t physical, void *one_in) {
        return mix64(physical) % *(const uint64_t *) one_in == 0;
}

int ranges_parse(const char *text, Ranges *ret) {
        Ranges ranges = { .n = 0 };

        for (const char *p = text;;) {
                Range range;
                char *end;

                if (ranges.n == RANGES_MAX)
                        return -EINVAL;
                range.start = strtoull(p, &end, 0);
                if (end == p || *end != '-')
                        return -EINVAL;
                p = end + 1;
                range.end = strtoull(p, &end, 0);
                if (end == p || range.end <= range.start)
                        return -EINVAL;
                ranges.item[ranges.n++] = range;
                if (*end == '\0')
                        break;
                if (*end != ',')
                        return -EINVAL;
                p = end + 1;
        }
        *ret = ranges;
        return 0;
}

bool ranges_contain(const Ranges *ranges, uint64_t physical) {
        for (size_t i = 0; i < ranges->n; i++)
                if (physical >= ranges->item[i].start && physical < ranges->item[i].end)
                        return true;
        return false;
}

static unsigned long available_kb(void) {
        unsigned long kb = 0;
        char line[128];
        FILE *f = fopen("/proc/meminfo", "re");

        if (!f)
                return 0;
        while (fgets(line, sizeof line, f))
                if (sscanf(line, "MemAvailable: %lu kB", &kb) == 1)
                        break;
        fclose(f);
        return kb;
}

/* Free memory of the movable zones; 0 also where there are none. */
static unsigned long movable_free_kb(void) {
        unsigned long pages = 0, n;
        bool movable = false;
        char line[256], zone[32];
        FILE *f = fopen("/proc/zoneinfo", "re");

        if (!f)
                return 0;
        while (fgets(line, sizeof line, f))
                if (sscanf(line, "Node %*u, zone %31s", zone) == 1)
                        movable = strcmp(zone, "Movable") == 0;
                else if (movable && sscanf(line, " pages free %lu", &n) == 1)
                        pages += n;
        fclose(f);
        return pages * (PAGE_BYTES / 1024);
}

int pages_touch_all(void) {
        size_t kb = available_kb(), size;
        char *area;

        if (kb <= RESERVE_KB)
                return 0;
        size = (size_t) (kb - RESERVE_KB) << 10;
        area = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
                return -errno;
        (void) madvise(area, size, MADV_HUGEPAGE);
        for (size_t i = 0; i < size; i += PAGE_BYTES)
                *(volatile uint64_t *) (area + i) = i | 1;
        (void) munmap(area, size);
        return 0;
}

int page_physical(const char *address, uint64_t *ret) {
        off_t offset = (off_t) ((uintptr_t) address / PAGE_BYTES * sizeof(uint64_t));
        int fd = open("/proc/self/pagemap", O_RDONLY|O_CLOEXEC);
        uint64_t entry = 0;
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = pread(fd, &entry, sizeof entry, offset);
        close(fd);
        if (n != sizeof entry)
                return -EIO;
        if (!(entry & PAGEMAP_PRESENT))
                return -ENOENT;
        *ret = (entry & PAGEMAP_PFN) * PAGE_BYTES;
        return *ret == 0 ? -EPERM : 0;
}

static char *chunk_new(bool huge) {
        char *chunk = mmap(NULL, CHUNK_BYTES, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

        if (chunk == MAP_FAILED)
                return NULL;
        (void) madvise(chunk, CHUNK_BYTES, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        for (size_t i = 0; i < CHUNK_BYTES; i += PAGE_BYTES)
                *(volatile uint64_t *) (chunk + i) = i | 1;
        return chunk;
}

/*
 * Room for all pages that there can be, of which only what is written to is memory. An array that grows would
 * be moved, with its huge pages: such a page may come to lie across two page tables, one of which khugepaged
 * makes huge anew, and then Linux 6.1 does not find the rest of it when it is to migrate it.
 */
static Page *items_new(void) {
        const size_t size = CHUNKS_MAX * CHUNK_PAGES * sizeof(Page);
        Page *items = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

        if (items == MAP_FAILED)
                return NULL;
        (void) madvise(items, size, MADV_NOHUGEPAGE);
        return items;
}

/* Appends the chunk's pages that lie in the ranges. Returns how many, or a negative errno. */
static ssize_t chunk_collect(int pagemap, char *chunk, const Ranges *ranges, Pages *pages) {
        static uint64_t entries[CHUNK_PAGES];
        off_t offset = (off_t) ((uintptr_t) chunk / PAGE_BYTES * sizeof entries[0]);
        ssize_t found = 0;

        if (pread(pagemap, entries, sizeof entries, offset) != (ssize_t) sizeof entries)
                return -EIO;
        for (size_t i = 0; i < CHUNK_PAGES; i++) {
                uint64_t physical = (entries[i] & PAGEMAP_PFN) * PAGE_BYTES;

                if (!(entries[i] & PAGEMAP_PRESENT))
                        continue;
                if (physical == 0)              /* no right to see frame numbers */
                        return -EPERM;
                if (ranges->n > 0 && !ranges_contain(ranges, physical))
                        continue;
                pages->item[pages->n++] = (Page) { chunk + i * PAGE_BYTES, physical };
                found++;
        }
        return found;
}

/* Gives back every page of the chunks that is not among the wanted ones (in order of address). */
static void chunk_trim(char *chunk, const Pages *wanted, size_t *cursor) {
        char *end = chunk + CHUNK_BYTES, *from = chunk;

        for (; *cursor < wanted->n; ++*cursor) {
                char *keep = wanted->item[*cursor].address;

                if (keep < chunk || keep >= end)
                        break;
                if (keep > from)
                        (void) madvise(from, (size_t) (keep - from), MADV_DONTNEED);
                from = keep + PAGE_BYTES;
        }
        if (from == chunk)
                (void) munmap(chunk, CHUNK_BYTES);
        else if (end > from)
                (void) madvise(from, (size_t) (end - from), MADV_DONTNEED);
}

static bool is_enough(const Ranges *ranges, uint64_t bytes, const Pages *pages, size_t n_chunks, unsigned dry) {
        if (ranges->n == 0)
                return n_chunks * CHUNK_BYTES >= bytes;
        if (bytes > 0 && pages->n * PAGE_BYTES >= bytes)
                return true;
        /* The movable zone is used first: when little of it is left and two chunks brought no page of the
         * ranges, they are full. */
        return dry >= 2 && movable_free_kb() < NEARLY_FULL_KB;
}

static int capture_chunks(int pagemap, const Ranges *ranges, uint64_t bytes, bool huge, Pages *pages,
                          char **chunks, size_t *n_chunks, size_t max_chunks) {
        unsigned dry = 0;

        while (*n_chunks < max_chunks && available_kb() > RESERVE_KB + CHUNK_BYTES / 1024) {
                char *chunk = chunk_new(huge);
                ssize_t found;

                if (!chunk)
                        return -ENOMEM;
                chunks[(*n_chunks)++] = chunk;
                found = chunk_collect(pagemap, chunk, ranges, pages);
                if (found < 0)
                        return (int) found;
                dry = found == 0 ? dry + 1 : 0;
                if (is_enough(ranges, bytes, pages, *n_chunks, dry))
                        break;
        }
        return 0;
}

int pages_capture(const Ranges *ranges, uint64_t bytes, bool huge, page_filter_t filter, void *userdata, Pages *ret) {
        static char *chunks[CHUNKS_MAX];
        size_t n_chunks = 0, n = 0, cursor = 0;
        Pages pages = { .item = items_new() };
        int pagemap, r;

        if (!pages.item)
                return -ENOMEM;
        pagemap = open("/proc/self/pagemap", O_RDONLY|O_CLOEXEC);
        if (pagemap < 0)
                return -errno;
        r = capture_chunks(pagemap, ranges, bytes, huge, &pages, chunks, &n_chunks, CHUNKS_MAX);
        close(pagemap);
        if (r < 0)
                return r;
        for (size_t i = 0; i < pages.n; i++)
                if (filter(pages.item[i].physical, userdata))
                        pages.item[n++] = pages.item[i];
        pages.n = n;
        for (size_t i = 0; i < n_chunks; i++)   /* pages are in the chunks' order */
                chunk_trim(chunks[i], &pages, &cursor);
        *ret = pages;
        return 0;
}
