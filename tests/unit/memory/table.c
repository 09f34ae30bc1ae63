/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_device(BlockTable *table) {
        Device *device = &table->devices[table->n_devices];

        *device = (Device) { .kind = DEVICE_ACPI_DIMM, .ejectable = true };
        snprintf(device->name, sizeof(device->name), "PNP0C80:%02zX", table->n_devices);
        table->n_devices++;
}

static Block make_block(char c) {
        Block block = { .state = BLOCK_ONLINE, .zone = ZONE_MOVABLE };

        if (c == 'o' || c == 'g')
                block.state = c == 'o' ? BLOCK_OFFLINE : BLOCK_GOING_OFFLINE;
        if (c == 'K' || c == 'N')
                block.zone = c == 'K' ? ZONE_NORMAL : ZONE_NONE;
        if (c == 'm' || c == 'M')
                block.used_bytes = BS / 10 * (c == 'm' ? 1 : 9);
        if (c == 'P')
                block.used_bytes = block.unmovable_bytes = 12 << 20;
        if (strchr("?og", c))
                block.used_bytes = block.unmovable_bytes = BLOCK_USAGE_UNKNOWN;
        return block;
}

BlockTable *table_new(const char *layout, uint32_t first) {
        BlockTable *table = calloc(1, sizeof(*table));
        uint32_t index = first;

        table->block_size = BS;
        table->blocks = calloc(strlen(layout) + 1, sizeof(Block));
        table->devices = calloc(strlen(layout) + 1, sizeof(Device));
        add_device(table);
        for (const char *p = layout; *p; p++) {
                Device *device;
                Block *block;

                if (*p == '|') {
                        add_device(table);
                        continue;
                }
                if (*p == '.') {
                        index++;
                        continue;
                }
                device = &table->devices[table->n_devices - 1];
                block = &table->blocks[table->n_blocks++];
                *block = make_block(*p);
                block->index = index++;
                block->address = block->index * BS;
                block->device = (uint32_t) (table->n_devices - 1);
                if (device->n_blocks++ == 0)
                        device->first_block = block->index;
                device->size_bytes += BS;
                if (block->state != BLOCK_OFFLINE) {
                        device->online_bytes += BS;
                        table->online_bytes += BS;
                }
        }
        return table;
}

void table_set_nodes(BlockTable *table) {
        free(table->nodes);
        table->nodes = calloc(table->n_devices, sizeof(*table->nodes));
        table->n_nodes = 0;
        for (size_t i = 0; i < table->n_blocks; i++) {
                Block *block = &table->blocks[i];

                block->node = (int) block->device;
                if (table->n_nodes == 0 || table->nodes[table->n_nodes - 1].node != block->node)
                        table->nodes[table->n_nodes++] = (Node) { .node = block->node };
                table->nodes[table->n_nodes - 1].n_online += block->state != BLOCK_OFFLINE;
        }
        for (size_t i = 0; i < table->n_devices; i++)
                table->devices[i].node = (int) i;
}
