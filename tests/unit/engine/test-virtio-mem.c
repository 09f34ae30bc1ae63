/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "engine/virtio-mem.h"
#include "fake.h"

#define BLOCK (UINT64_C(128) << 20)

/* Blocks 8 to 15, without owner but the last, which is a DIMM's. */
static BlockTable *make_table(void) {
        BlockTable *table = calloc(1, sizeof(*table));

        assert_non_null(table);
        table->block_size = BLOCK;
        table->n_blocks = 8;
        table->blocks = calloc(table->n_blocks, sizeof(*table->blocks));
        table->n_devices = 1;
        table->devices = calloc(table->n_devices, sizeof(*table->devices));
        assert_true(table->blocks && table->devices);
        for (uint32_t i = 0; i < table->n_blocks; i++)
                table->blocks[i] = (Block) { .index = 8 + i, .address = (8 + i) * BLOCK, .node = 0,
                                             .device = BLOCK_DEVICE_NONE };
        table->blocks[7].device = 0;
        table->devices[0] = (Device) { .name = "PNP0C80:00", .first_block = 15, .n_blocks = 1 };
        table->blocks[5].state = BLOCK_OFFLINE;
        return table;
}

static int setup(void **state) {
        fake_module_reset();
        fake_module->virtio_mem = (struct memunplug_virtio_mem) {
                .name = "virtio3", .start = 12 * BLOCK, .region_size = 4 * BLOCK, .block_size = 2 << 20,
                .requested_size = 0, .plugged_size = 300 << 20,
        };
        return 0;
}

static int fill(const char *type, BlockTable *table) {
        int root = fake_root_new(), r;
        Kmod *kmod = NULL;

        fake_write(root, "sys/bus/virtio/devices/virtio2/device", "0x0018\n"); /* the module has none */
        fake_write(root, "sys/bus/virtio/devices/virtio3/device", type);
        fake_write(root, "sys/bus/virtio/devices/odd/device", "0x0018\n");
        assert_int_equal(kmod_new(&kmod, "/dev/memunplug", &fake_ops), 0);
        r = virtio_mem_fill(kmod, root, table);
        (void) kmod_free(kmod);
        fake_root_free(root);
        return r;
}

static void check_device(const BlockTable *table) {
        const Device *device = block_table_find_device(table, "virtio3");

        assert_int_equal(table->n_devices, 2);
        assert_ptr_equal(device, &table->devices[0]); /* before the DIMM */
        assert_int_equal(device->kind, DEVICE_VIRTIO_MEM);
        assert_int_equal(device->first_block, 12);
        assert_int_equal(device->n_blocks, 3);
        assert_int_equal(device->size_bytes, 3 * BLOCK);
        assert_int_equal(device->online_bytes, 2 * BLOCK);
        assert_true(device->target_known && !device->ejectable);
        assert_int_equal(device->requested_bytes, 0);
        assert_int_equal(device->plugged_bytes, 300 << 20);
        assert_true(device->piece_bytes == fake_module->info.pageblock_size && device->piece_bytes > 0);
        for (size_t i = 0; i < table->n_blocks; i++)
                assert_int_equal(table->blocks[i].device, i < 4 ? BLOCK_DEVICE_NONE : i < 7 ? 0 : 1);
}

static void test_hidden(void **state) {
        BlockTable *table = make_table();

        assert_int_equal(fill("0x0018\n", table), 0);
        check_device(table);
        fake_module->virtio_mem.requested_size = BLOCK; /* known by now: only the sizes are new */
        assert_int_equal(fill("0x0018\n", table), 0);
        assert_int_equal(table->devices[0].requested_bytes, BLOCK);
        assert_int_equal(table->n_devices, 2);
        (void) block_table_free(table);
}

static void test_not_there(void **state) {
        BlockTable *table = make_table();

        assert_int_equal(fill("0x0005\n", table), 0); /* a balloon */
        fake_module->virtio_mem.start = 100 * BLOCK;  /* has nothing */
        assert_int_equal(fill("0x0018\n", table), 0);
        fake_module->virtio_mem.start = UINT64_MAX - BLOCK;
        assert_int_equal(fill("0x0018\n", table), 0);
        fake_module->virtio_mem_error = -ENOTTY; /* an older module */
        assert_int_equal(fill("0x0018\n", table), 0);
        assert_int_equal(table->n_devices, 1);
        assert_int_equal(table->blocks[7].device, 0);
        (void) block_table_free(table);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_hidden, setup),
                cmocka_unit_test_setup(test_not_there, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
