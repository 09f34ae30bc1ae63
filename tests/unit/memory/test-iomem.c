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

#include "memory/iomem.h"

static int parse(const char *text, IomemMap *ret) {
        return iomem_parse(text, strlen(text), ret);
}

static void test_devices(void **state) {
        static const char text[] =
                "00001000-0009fbff : System RAM\n"
                "100000000-13fffffff : System RAM\n"
                "  101000000-1018031d0 : Kernel code\n"
                "140000000-23fffffff : virtio0\n"
                "  140000000-147ffffff : System RAM (virtio_mem)\n"
                "  150000000-157ffffff : System RAM (virtio_mem)\n"
                "240000000-43fffffff : Persistent Memory\n"
                "  240000000-2401fffff : namespace0.0\n"
                "  248000000-43fffffff : dax0.0\n"
                "    248000000-43fffffff : System RAM (kmem)\n"
                "440000000-47fffffff : System RAM (virtio_mem)"; /* nobody's, no newline */
        IomemMap map;

        assert_int_equal(parse(text, &map), 0);
        assert_false(map.hidden);
        assert_int_equal(map.n_ranges, 3);
        assert_string_equal(map.ranges[0].name, "virtio0");
        assert_int_equal(map.ranges[0].kind, DEVICE_VIRTIO_MEM);
        assert_string_equal(map.ranges[2].name, "dax0.0");
        assert_int_equal(map.ranges[2].kind, DEVICE_DAX);
        assert_null(iomem_map_find(&map, 0x100000000, 0x8000000));
        assert_ptr_equal(iomem_map_find(&map, 0x140000000, 0x8000000), &map.ranges[0]);
        assert_null(iomem_map_find(&map, 0x148000000, 0x8000000));
        assert_ptr_equal(iomem_map_find(&map, 0x150000000, 0x8000000), &map.ranges[1]);
        assert_ptr_equal(iomem_map_find(&map, 0x140000000, 0x40000000), &map.ranges[0]);
        assert_ptr_equal(iomem_map_find(&map, 0x438000000, 0x8000000), &map.ranges[2]);
        assert_null(iomem_map_find(&map, 0x440000000, 0x8000000));
        iomem_map_clear(&map);
        assert_null(iomem_map_find(&map, 0x140000000, 0x8000000));
}

static void test_crash_kernel(void **state) {
        IomemMap map;

        assert_int_equal(parse("00100000-bfffffff : System RAM\n"
                               "  01000000-0180ffff : Kernel code\n"
                               "  a8000000-afffffff : Crash kernel\n"
                               "100000000-23fffffff : System RAM\n"
                               "  22f000000-22fffffff : Crash kernel\n"
                               "  230000000-230ffffff : Crash kernels\n"
                               "  00000000-00000000 : Crash kernel\n",
                               &map),
                         0);
        assert_int_equal(map.n_crash, 2);
        assert_true(iomem_map_has_crash_kernel(&map, 0xa8000000, 0x8000000));
        assert_true(iomem_map_has_crash_kernel(&map, 0xafffffff, 1));
        assert_false(iomem_map_has_crash_kernel(&map, 0xa0000000, 0x8000000));
        assert_false(iomem_map_has_crash_kernel(&map, 0xb0000000, 0x8000000));
        assert_true(iomem_map_has_crash_kernel(&map, 0x228000000, 0x8000000));
        assert_false(iomem_map_has_crash_kernel(&map, 0x230000000, 0x8000000));
        iomem_map_clear(&map);
}

static void test_hidden(void **state) {
        IomemMap map;

        assert_int_equal(parse("00000000-00000000 : System RAM\n00000000-00000000 : virtio0\n"
                               "  00000000-00000000 : System RAM (virtio_mem)\n",
                               &map),
                         0);
        assert_true(map.hidden);
        assert_int_equal(map.n_ranges, 0);
        assert_int_equal(parse("00000000-00000000 : System RAM\n", &map), 0);
        assert_false(map.hidden); /* nothing there to be hidden */
}

static void test_refuses(void **state) {
        static const char *const bad[] = {
                "\n",
                "x\n",
                "0-1\n",
                "0-1 System RAM\n",
                "0-1 :System RAM\n",
                "0 : x\n",
                "-1 : x\n",
                "2-1 : x\n",
                "0x0-0x1 : x\n",
                "10000000000000000-10000000000000001 : x\n",
                " 0-1 : odd blanks\n",
                "  0-1 : no parent\n",
                "0-f : a\n    0-1 : skips a level\n",
                "0-f : virtio0\n  0-8 : System RAM (virtio_mem)\n  8-f : System RAM (virtio_mem)\n",
        };
        IomemMap map = { .n_ranges = 9 };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(parse(bad[i], &map), -EBADMSG);
        assert_int_equal(map.n_ranges, 9);
}

static void test_odd_parents(void **state) {
        IomemMap map;

        assert_int_equal(
                parse("0-f : a name\n  0-7 : System RAM (kmem)\n10-1f : a/b\n  10-1f : System RAM (kmem)\n"
                      "20-2f : 0123456789012345678901234567890123456789012345678901234567890123\n"
                      "  20-2f : System RAM (kmem)\n30-3f : ok\n  30-3f : System RAM (kmem)\n",
                      &map),
                0);
        assert_int_equal(map.n_ranges, 1);
        assert_string_equal(map.ranges[0].name, "ok");
        iomem_map_clear(&map);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_devices), cmocka_unit_test(test_crash_kernel),
                cmocka_unit_test(test_hidden),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_odd_parents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
