/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/block.h"
#include "tree.h"

#define MEMORY "sys/devices/system/memory/"

static void add_block(const Tree *tree, unsigned n, const char *block_state, const char *zones,
                      const char *acpi) {
        tree_write(tree, block_state, MEMORY "memory%u/state", n);
        tree_write(tree, zones, MEMORY "memory%u/valid_zones", n);
        tree_link(tree, "../../../../bus/memory", MEMORY "memory%u/subsystem", n);
        if (acpi)
                tree_link(tree, acpi, MEMORY "memory%u/firmware_node", n);
}

static Tree machine_new(void) {
        Tree tree = tree_new();

        tree_write(&tree, "8000000\n", MEMORY "block_size_bytes");
        tree_write(&tree, "offline\n", MEMORY "auto_online_blocks");
        tree_mkdir(&tree, MEMORY "power");
        return tree;
}

/* Boot memory with a hole, a DIMM given at start, one that came later and cannot be ejected, virtio-mem and
 * dax. */
static void test_machine(void **state) {
        Tree tree = machine_new();
        BlockTable *table;
        const Device *d;

        add_block(&tree, 0, "online\n", "none\n", NULL);
        add_block(&tree, 1, "online\n", "DMA32\n", NULL);
        add_block(&tree, 10, "online\n", "Normal\n", "../../../LNXSYSTM:00/LNXSYBUS:00/PNP0C80:00");
        add_block(&tree, 9, "online\n", "Normal\n", "../../../LNXSYSTM:00/LNXSYBUS:00/PNP0C80:00");
        add_block(&tree, 32, "online\n", "Movable\n", "../../../LNXSYSTM:00/LNXSYBUS:00/PNP0C80:01");
        add_block(&tree, 33, "offline\n", "Normal Movable\n", "../../../LNXSYSTM:00/LNXSYBUS:00/PNP0C80:01");
        add_block(&tree, 40, "going-offline\n", "Movable\n", NULL);
        add_block(&tree, 42, "online\n", "Movable\n", NULL);
        add_block(&tree, 50, "online\n", "Movable\n", NULL);
        tree_write(&tree, "", "sys/bus/acpi/devices/PNP0C80:00/eject");
        tree_write(&tree, "", "sys/bus/acpi/devices/PNP0C80:01/status");
        tree_write(&tree,
                   "00000000-0fffffff : System RAM\n140000000-17fffffff : virtio3\n"
                   "  140000000-147ffffff : System RAM (virtio_mem)\n"
                   "  150000000-157ffffff : System RAM (virtio_mem)\n"
                   "190000000-197ffffff : dax0.0\n  190000000-197ffffff : System RAM (kmem)\n",
                   "proc/iomem");
        for (unsigned i = 0; i < 60; i++)
                tree_link(&tree, "../../memory", "sys/devices/system/node/node%u/memory%u", i >= 32, i);
        tree_write(&tree, "1,3-4\n", "sys/devices/system/node/has_cpu"); /* no blocks in 3 and 4 */

        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(table->n_blocks, 9);
        assert_int_equal(table->n_devices, 5);
        assert_true(table->block_size == 128 << 20);
        assert_true(table->online_bytes == UINT64_C(8) * (128 << 20)); /* going offline is not gone */
        for (size_t i = 1; i < table->n_blocks; i++)
                assert_true(table->blocks[i].index > table->blocks[i - 1].index);
        for (size_t i = 1; i < table->n_devices; i++)
                assert_true(table->devices[i].first_block > table->devices[i - 1].first_block);

        assert_int_equal(block_table_find(table, 0)->zone, ZONE_NONE);
        assert_int_equal(block_table_find(table, 33)->zone, ZONE_NORMAL);
        assert_int_equal(block_table_find(table, 33)->state, BLOCK_OFFLINE);
        assert_int_equal(block_table_find(table, 40)->state, BLOCK_GOING_OFFLINE);
        assert_true(block_table_find(table, 42)->address == UINT64_C(0x150000000));
        assert_true(block_table_find(table, 42)->used_bytes == BLOCK_USAGE_UNKNOWN);
        assert_int_equal(block_table_find(table, 10)->node, 0);
        assert_int_equal(block_table_find(table, 50)->node, 1);

        assert_int_equal(table->n_nodes, 2);
        for (int i = 0; i < 2; i++)
                assert_true(table->nodes[i].node == i && table->nodes[i].has_cpus == (i == 1));
        assert_int_equal(block_table_find_node(table, 0)->n_online, 4);
        assert_int_equal(block_table_find_node(table, 1)->n_online, 4);
        assert_null(block_table_find_node(table, 3));

        d = block_table_find_device(table, "boot");
        assert_int_equal(d->kind, DEVICE_BOOT);
        assert_int_equal(d->n_blocks, 2);
        assert_false(d->ejectable);
        d = block_table_find_device(table, "PNP0C80:00");
        assert_int_equal(d->kind, DEVICE_ACPI_DIMM);
        assert_int_equal(d->first_block, 9);
        assert_true(d->ejectable);
        d = block_table_find_device(table, "PNP0C80:01");
        assert_false(d->ejectable);
        assert_int_equal(d->node, 1);
        assert_true(d->size_bytes == 256 << 20 && d->online_bytes == 128 << 20);
        d = block_table_find_device(table, "virtio3");
        assert_int_equal(d->kind, DEVICE_VIRTIO_MEM);
        assert_int_equal(d->n_blocks, 2);
        assert_int_equal(block_table_find_device(table, "dax0.0")->kind, DEVICE_DAX);
        block_table_free(table);
        tree_remove(&tree);
}

static void test_hidden_iomem(void **state) {
        Tree tree = machine_new();
        BlockTable *table;

        add_block(&tree, 8, "online\n", "Movable\n", "PNP0C80:00");
        add_block(&tree, 9, "online\n", "Movable\n", NULL);
        add_block(&tree, 10, "online\n", "Movable\n", "ACPI0016:00"); /* no memory device */
        tree_write(&tree, "00000000-00000000 : virtio0\n  00000000-00000000 : System RAM (virtio_mem)\n",
                   "proc/iomem");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(table->n_devices, 1);
        assert_string_equal(block_device_name(table, block_table_find(table, 8)), "PNP0C80:00");
        assert_null(block_device_name(table, block_table_find(table, 9)));
        assert_int_equal(block_table_find(table, 10)->device, BLOCK_DEVICE_NONE);
        block_table_free(table);

        tree_write(&tree, "not an address\n", "proc/iomem");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_null(block_device_name(table, block_table_find(table, 9)));
        block_table_free(table);
        tree_remove(&tree);
}

static void test_node_links(void **state) {
        Tree tree = machine_new();
        BlockTable *table;

        add_block(&tree, 8, "online\n", "Movable\n", NULL);
        add_block(&tree, 9, "online\n", "none\n", NULL);
        add_block(&tree, 11, "online\n", "none\n", NULL);
        tree_link(&tree, "../../node/node3", MEMORY "memory8/node3");
        tree_link(&tree, "../../node/node2", MEMORY "memory9/node2");
        tree_link(&tree, "../../node/node1", MEMORY "memory9/node1");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(block_table_find(table, 8)->node, 3);
        assert_int_equal(block_table_find(table, 9)->node, 1);
        assert_int_equal(block_table_find(table, 11)->node, -1);
        assert_int_equal(table->devices[0].node, 3);
        block_table_free(table);
        tree_remove(&tree);
}

/* The kernel adds a block in steps. Before the node is there its zones must not even be asked for. */
static void test_block_without_node_yet(void **state) {
        Tree tree = machine_new();
        BlockTable *table;

        add_block(&tree, 8, "online\n", "Movable\n", NULL);
        add_block(&tree, 9, "offline\n", "Normal Movable\n", NULL);
        tree_link(&tree, "../../memory", "sys/devices/system/node/node0/memory8");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(block_table_find(table, 8)->zone, ZONE_MOVABLE);
        assert_int_equal(block_table_find(table, 9)->state, BLOCK_OFFLINE);
        assert_int_equal(block_table_find(table, 9)->zone, ZONE_NONE);
        block_table_free(table);
        tree_link(&tree, "../../memory", "sys/devices/system/node/node0/memory9");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_not_equal(block_table_find(table, 9)->zone, ZONE_NONE);
        block_table_free(table);
        tree_remove(&tree);
}

static void test_vanishing_and_odd(void **state) {
        Tree tree = machine_new();
        BlockTable *table = NULL;

        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(table->n_blocks, 0);
        assert_int_equal(table->n_devices, 0);
        block_table_free(table);

        tree_mkdir(&tree, MEMORY "memory5"); /* its files have gone already */
        tree_write(&tree, "online\n", MEMORY "memory6/state");
        tree_mkdir(&tree, MEMORY "memory007");
        tree_mkdir(&tree, MEMORY "memoryX");
        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        assert_int_equal(table->n_blocks, 1);
        assert_int_equal(table->blocks[0].index, 6);
        assert_int_equal(table->blocks[0].zone, ZONE_NONE); /* a kernel that cannot remove memory */
        block_table_free(table);

        table = NULL;
        tree_write(&tree, "perhaps\n", MEMORY "memory6/state");
        assert_int_equal(block_table_scan(tree.fd, &table), -EBADMSG);
        tree_write(&tree, "online\n", MEMORY "memory6/state");
        tree_write(&tree, "0-\n", "sys/devices/system/node/has_cpu");
        assert_int_equal(block_table_scan(tree.fd, &table), -EBADMSG);
        tree_write(&tree, "\n", "sys/devices/system/node/has_cpu");
        tree_write(&tree, "7654321\n", MEMORY "block_size_bytes");
        assert_int_equal(block_table_scan(tree.fd, &table), -EBADMSG);
        tree_write(&tree, "10000000000\n", MEMORY "block_size_bytes");
        tree_write(&tree, "online\n", MEMORY "memory4294967294/state"); /* its address does not fit */
        assert_int_equal(block_table_scan(tree.fd, &table), -EBADMSG);
        assert_null(table);
        tree_remove(&tree);
}

static void test_no_interface(void **state) {
        Tree tree = tree_new();
        BlockTable *table = NULL;

        assert_int_equal(block_table_scan(tree.fd, &table), -ENOENT);
        tree_mkdir(&tree, MEMORY "power");
        assert_int_equal(block_table_scan(tree.fd, &table), -ENOENT);
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_machine),      cmocka_unit_test(test_hidden_iomem),
                cmocka_unit_test(test_node_links),   cmocka_unit_test(test_vanishing_and_odd),
                cmocka_unit_test(test_no_interface), cmocka_unit_test(test_block_without_node_yet),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
