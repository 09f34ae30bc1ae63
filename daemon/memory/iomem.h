/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory in /proc/iomem that a driver added, virtio-mem and dax, and what a crash kernel is to have. */
#pragma once

#include "memory/block.h"

#define IOMEM_TEXT_MAX (16U * 1024 * 1024)

typedef struct IomemRange {
        uint64_t start, last;        /* addresses, last is part of it */
        DeviceKind kind;             /* DEVICE_VIRTIO_MEM or DEVICE_DAX */
        char name[DEVICE_NAME_SIZE]; /* of the device, "virtio0", "dax0.0" */
} IomemRange;

#define IOMEM_CRASH_MAX 4U /* the kernel makes two: low memory, and the rest */

typedef struct IomemMap {
        struct {
                uint64_t start, last;
        } crash[IOMEM_CRASH_MAX]; /* reserved for a crash kernel */
        size_t n_crash;
        IomemRange *ranges; /* sorted by start, not overlapping */
        size_t n_ranges;
        bool hidden; /* there are such ranges, but their addresses are kept from us */
} IomemMap;

/* -EBADMSG, -ENOMEM. */
int iomem_parse(const char *text, size_t n, IomemMap *ret);
void iomem_map_clear(IomemMap *map);

/* Is a byte of [start, start + size) reserved for a crash kernel? */
bool iomem_map_has_crash_kernel(const IomemMap *map, uint64_t start, uint64_t size);
/* A range that has a byte of [start, start + size), or NULL. */
const IomemRange *iomem_map_find(const IomemMap *map, uint64_t start, uint64_t size);
