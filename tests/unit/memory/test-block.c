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

#include "memory/block-text.h"
#include "table.h"

static void test_find(void **state) {
        BlockTable *table = table_new("F.FF|F...F", 8);

        assert_int_equal(block_table_find(table, 8)->index, 8);
        assert_null(block_table_find(table, 9));
        assert_int_equal(block_table_find(table, 11)->index, 11);
        assert_int_equal(block_table_find(table, 16)->index, 16);
        assert_null(block_table_find(table, 7));
        assert_null(block_table_find(table, 17));
        assert_null(block_table_find(table, UINT32_MAX));
        assert_int_equal(block_table_find_device(table, "PNP0C80:01")->first_block, 12);
        assert_null(block_table_find_device(table, "PNP0C80:02"));
        assert_null(block_table_find_device(table, ""));
        assert_string_equal(block_device_name(table, block_table_find(table, 16)), "PNP0C80:01");
        block_table_find(table, 16)->device = BLOCK_DEVICE_NONE;
        assert_null(block_device_name(table, block_table_find(table, 16)));
        assert_null(block_table_free(table));
        assert_null(block_table_free(NULL));
}

static void test_names(void **state) {
        assert_string_equal(block_state_to_string(BLOCK_GOING_OFFLINE), "going-offline");
        assert_string_equal(zone_to_string(ZONE_MOVABLE), "Movable");
        assert_null(zone_to_string(ZONE_NONE));
        assert_string_equal(device_kind_to_string(DEVICE_VIRTIO_MEM), "virtio_mem");
        for (BlockState s = 0; s < _BLOCK_STATE_MAX; s++)
                assert_non_null(block_state_to_string(s));
        for (Zone z = ZONE_DMA; z < _ZONE_MAX; z++)
                assert_non_null(zone_to_string(z));
        for (DeviceKind k = 0; k < _DEVICE_KIND_MAX; k++)
                assert_non_null(device_kind_to_string(k));
        assert_null(block_state_to_string(_BLOCK_STATE_INVALID));
        assert_null(zone_to_string(_ZONE_MAX));
        assert_null(device_kind_to_string(_DEVICE_KIND_MAX));
}

static void test_parse_words(void **state) {
        BlockState s = BLOCK_ABSENT;
        uint64_t size = 0;
        uint32_t n = 7;

        assert_int_equal(block_state_parse("online", &s), 0);
        assert_int_equal(s, BLOCK_ONLINE);
        assert_int_equal(block_state_parse("going-offline", &s), 0);
        assert_int_equal(s, BLOCK_GOING_OFFLINE);
        assert_int_equal(block_state_parse("absent", &s), -EBADMSG); /* our word, not the kernel's */
        assert_int_equal(block_state_parse("", &s), -EBADMSG);
        assert_int_equal(block_state_parse("online ", &s), -EBADMSG);
        assert_int_equal(block_zone_parse("Normal Movable"), ZONE_NORMAL);
        assert_int_equal(block_zone_parse("DMA32"), ZONE_DMA32);
        assert_int_equal(block_zone_parse("DMA"), ZONE_DMA);
        assert_int_equal(block_zone_parse("Device"), ZONE_DEVICE);
        assert_int_equal(block_zone_parse("none"), ZONE_NONE);
        assert_int_equal(block_zone_parse(""), ZONE_NONE);
        assert_int_equal(block_zone_parse("Mov"), ZONE_NONE);
        assert_int_equal(block_zone_parse("Movables"), ZONE_NONE);
        assert_int_equal(numbered_name_parse("memory40", "memory", &n), 0);
        assert_int_equal(n, 40);
        assert_int_equal(numbered_name_parse("memory0", "memory", &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(numbered_name_parse("memory", "memory", &n), -EBADMSG);
        assert_int_equal(numbered_name_parse("memory01", "memory", &n), -EBADMSG);
        assert_int_equal(numbered_name_parse("memory4294967295", "memory", &n), -EBADMSG);
        assert_int_equal(numbered_name_parse("memoryx", "memory", &n), -EBADMSG);
        assert_int_equal(numbered_name_parse("mem", "memory", &n), -EBADMSG);
        assert_int_equal(block_size_parse("8000000", &size), 0);
        assert_true(size == BS);
        assert_int_equal(block_size_parse("80000000", &size), 0);
        assert_int_equal(block_size_parse("0", &size), -EBADMSG);
        assert_int_equal(block_size_parse("8000001", &size), -EBADMSG);
        assert_int_equal(block_size_parse("1000", &size), -EBADMSG);
        assert_int_equal(block_size_parse("0x8000000", &size), -EBADMSG);
        assert_int_equal(block_size_parse("8000000000000000", &size), -EBADMSG);
        assert_true(acpi_memory_name_is_valid("PNP0C80:00"));
        assert_true(acpi_memory_name_is_valid("PNP0C80:1ff"));
        assert_false(acpi_memory_name_is_valid("PNP0C80:"));
        assert_false(acpi_memory_name_is_valid("PNP0C80:0/.."));
        assert_false(acpi_memory_name_is_valid("LNXSYSTM:00"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_parse_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
