/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of blocks and devices: looking things up, names of what is in it, letting it go. Filling it is
 * for scan.c. */
#include "memory/block.h"

#include <stdlib.h>
#include <string.h>

BlockTable *block_table_free(BlockTable *table) {
        if (!table)
                return NULL;
        free(table->blocks);
        free(table->devices);
        free(table->nodes);
        free(table);
        return NULL;
}

Block *block_table_find(const BlockTable *table, uint32_t index) {
        size_t low = 0, high = table->n_blocks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (table->blocks[middle].index == index)
                        return &table->blocks[middle];
                if (table->blocks[middle].index < index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

const Device *block_table_find_device(const BlockTable *table, const char *name) {
        for (size_t i = 0; i < table->n_devices; i++)
                if (strcmp(table->devices[i].name, name) == 0)
                        return &table->devices[i];
        return NULL;
}

Node *block_table_find_node(const BlockTable *table, int node) {
        for (size_t i = 0; i < table->n_nodes; i++) /* few, and mostly one */
                if (table->nodes[i].node == node)
                        return &table->nodes[i];
        return NULL;
}

const char *block_device_name(const BlockTable *table, const Block *block) {
        return block->device < table->n_devices ? table->devices[block->device].name : NULL;
}

const char *block_state_to_string(BlockState state) {
        switch (state) {
        case BLOCK_ONLINE:
                return "online";
        case BLOCK_OFFLINE:
                return "offline";
        case BLOCK_GOING_OFFLINE:
                return "going-offline";
        case BLOCK_ABSENT:
                return "absent";
        case _BLOCK_STATE_MAX:
        case _BLOCK_STATE_INVALID:
                break;
        }
        return NULL;
}

const char *zone_to_string(Zone zone) {
        switch (zone) {
        case ZONE_DMA:
                return "DMA";
        case ZONE_DMA32:
                return "DMA32";
        case ZONE_NORMAL:
                return "Normal";
        case ZONE_MOVABLE:
                return "Movable";
        case ZONE_DEVICE:
                return "Device";
        case ZONE_NONE:
        case _ZONE_MAX:
        case _ZONE_INVALID:
                break;
        }
        return NULL;
}

const char *device_kind_to_string(DeviceKind kind) {
        switch (kind) {
        case DEVICE_ACPI_DIMM:
                return "acpi_dimm";
        case DEVICE_VIRTIO_MEM:
                return "virtio_mem";
        case DEVICE_DAX:
                return "dax";
        case DEVICE_BOOT:
                return "boot";
        case _DEVICE_KIND_MAX:
        case _DEVICE_KIND_INVALID:
                break;
        }
        return NULL;
}
