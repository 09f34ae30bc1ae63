/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of a process at chosen physical addresses, for the test guest's helpers.
 * Owns the reading of pagemap; what the pages are used for is the helpers' business.
 */
#ifndef MEMUNPLUG_TEST_PAGES_H
#define MEMUNPLUG_TEST_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096UL
#define RANGES_MAX 16

typedef struct Range {
        uint64_t start, end;                    /* physical bytes, end excluded */
} Range;

typedef struct Ranges {
        Range item[RANGES_MAX];
        size_t n;
} Ranges;

typedef struct Page {
        char *address;                          /* in this process */
        uint64_t physical;
} Page;

typedef struct Pages {
        Page *item;
        size_t n;
} Pages;

/* START-END[,START-END...], any base. 0 or -EINVAL. */
int ranges_parse(const char *text, Ranges *ret);
bool ranges_contain(const Ranges *ranges, uint64_t physical);

typedef bool (*page_filter_t)(uint64_t physical, void *userdata);

/* A filter: one page in so many, scattered; userdata is a uint64_t. */
bool pages_one_in(uint64_t physical, void *one_in);

/*
 * Allocates until the ranges give no more or have given `bytes` (0: no limit), keeps
 * the pages the filter wants and gives all others back. No range at all means anywhere:
 * then `bytes` are allocated. With huge they are asked for as huge pages.
 * 0 or a negative errno.
 */
int pages_capture(const Ranges *ranges, uint64_t bytes, bool huge, page_filter_t filter, void *userdata, Pages *ret);

/* Where a mapped page of this process is. 0, -ENOENT nowhere, or another negative errno. */
int page_physical(const char *address, uint64_t *ret);

/* Writes to all free memory and gives it back: the hypervisor has then backed all of it. */
int pages_touch_all(void);

/* A well-mixed number for each input: the only randomness here, the same in every run. */
uint64_t mix64(uint64_t x);

/* CLOCK_MONOTONIC. */
uint64_t now_usec(void);

#endif
