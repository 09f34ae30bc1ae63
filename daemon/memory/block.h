/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory blocks and devices of this machine, read once into a table. Only usage is filled in later. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_USAGE_UNKNOWN UINT64_MAX
#define BLOCK_DEVICE_NONE UINT32_MAX
#define DEVICE_NAME_SIZE 64U

typedef enum BlockState {
        BLOCK_ONLINE,
        BLOCK_OFFLINE,
        BLOCK_GOING_OFFLINE,
        BLOCK_ABSENT,
        _BLOCK_STATE_MAX,
        _BLOCK_STATE_INVALID = -EINVAL,
} BlockState;

typedef enum Zone {
        ZONE_NONE,   /* none, or several: such a block cannot go offline */
        ZONE_DMA,
        ZONE_DMA32,
        ZONE_NORMAL,
        ZONE_MOVABLE,
        ZONE_DEVICE,
        _ZONE_MAX,
        _ZONE_INVALID = -EINVAL,
} Zone;

typedef enum DeviceKind {
        DEVICE_ACPI_DIMM,
        DEVICE_VIRTIO_MEM,
        DEVICE_DAX,
        DEVICE_BOOT,
        _DEVICE_KIND_MAX,
        _DEVICE_KIND_INVALID = -EINVAL,
} DeviceKind;

typedef struct Block {
        uint32_t index;
        uint32_t device;          /* index into BlockTable.devices, or BLOCK_DEVICE_NONE */
        uint64_t address;         /* bytes */
        BlockState state;
        Zone zone;                /* of an online block; of an offline one its default zone */
        int node;                 /* -1: unknown */
        bool crash_kernel;        /* reserved in part, as far as that is shown */
        uint64_t used_bytes;      /* BLOCK_USAGE_UNKNOWN without a survey */
        uint64_t unmovable_bytes; /* part of used_bytes; BLOCK_USAGE_UNKNOWN likewise */
        uint64_t huge_bytes;      /* part of used_bytes: pages of hugetlb, free ones of its pools too */
} Block;

typedef struct Device {
        char name[DEVICE_NAME_SIZE]; /* "PNP0C80:00"; "boot" for what firmware gave at start */
        DeviceKind kind;
        uint32_t first_block;     /* lowest block index that belongs to it */
        uint32_t n_blocks;
        uint64_t size_bytes;
        uint64_t online_bytes;
        int node;                 /* of its first block */
        bool ejectable;           /* the firmware can take it away */
        bool target_known;        /* virtio-mem, with the module: the three below are filled in */
        uint64_t requested_bytes; /* what the hypervisor wants it to have */
        uint64_t plugged_bytes;   /* what it has */
        uint64_t piece_bytes;     /* in which its driver gives back */
} Device;

typedef struct Node {
        int node;
        bool has_cpus;
        size_t n_online;          /* its blocks that are online */
} Node;

typedef struct BlockTable {
        uint64_t block_size;      /* bytes */
        Block *blocks;            /* sorted by index */
        size_t n_blocks;
        Device *devices;          /* sorted by first_block */
        size_t n_devices;
        Node *nodes;              /* that have blocks; sorted */
        size_t n_nodes;
        uint64_t online_bytes;
} BlockTable;

/* Reads everything below root_fd (a directory that holds "sys"). Errors: -ENOENT no memory block interface,
 * -EBADMSG sysfs text that cannot be understood, -ENOMEM. A block that disappears meanwhile is left out. */
int block_table_scan(int root_fd, BlockTable **ret);
BlockTable *block_table_free(BlockTable *table);

Block *block_table_find(const BlockTable *table, uint32_t index);
const Device *block_table_find_device(const BlockTable *table, const char *name);
Node *block_table_find_node(const BlockTable *table, int node);
const char *block_device_name(const BlockTable *table, const Block *block); /* or NULL */

const char *block_state_to_string(BlockState state);
const char *zone_to_string(Zone zone); /* as valid_zones spells it: "Movable"; NULL for ZONE_NONE */
const char *device_kind_to_string(DeviceKind kind);
