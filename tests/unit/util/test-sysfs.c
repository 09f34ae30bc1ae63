/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include "tree.h"
#include "util/sysfs.h"

static void test_read(void **state) {
        Tree tree = tree_new();
        char text[8];

        tree_write(&tree, "online\n", "sys/state");
        tree_write(&tree, "1234567", "fits");
        tree_write(&tree, "12345678", "longer");
        tree_write(&tree, "", "empty");
        tree_write_bytes(&tree, "a\0b", 3, "nul");
        tree_link(&tree, "sys/state", "link");
        assert_int_equal(sysfs_read(tree.fd, "sys/state", text, sizeof(text)), 0);
        assert_string_equal(text, "online");
        assert_int_equal(sysfs_read(tree.fd, "link", text, sizeof(text)), 0);
        assert_string_equal(text, "online");
        assert_int_equal(sysfs_read(tree.fd, "fits", text, sizeof(text)), 0);
        assert_string_equal(text, "1234567");
        assert_int_equal(sysfs_read(tree.fd, "longer", text, sizeof(text)), -EFBIG);
        assert_int_equal(sysfs_read(tree.fd, "nul", text, sizeof(text)), -EBADMSG);
        assert_int_equal(sysfs_read(tree.fd, "empty", text, sizeof(text)), 0);
        assert_string_equal(text, "");
        assert_int_equal(sysfs_read(tree.fd, "none", text, sizeof(text)), -ENOENT);
        assert_int_equal(sysfs_read(tree.fd, "sys", text, sizeof(text)), -EISDIR);
        assert_int_equal(sysfs_read(tree.fd, "/etc/hostname", text, sizeof(text)), -EINVAL);
        assert_int_equal(sysfs_readf(tree.fd, text, sizeof(text), "%s/%s", "sys", "state"), 0);
        assert_int_equal(sysfs_readf(tree.fd, text, sizeof(text), "%05000d", 1), -ENAMETOOLONG);
        tree_remove(&tree);
}

static void test_read_all(void **state) {
        enum { SIZE = 3 * SYSFS_TEXT_MAX };
        Tree tree = tree_new();
        char *bytes = calloc(1, SIZE), *text = bytes;
        size_t n = 7;

        memset(bytes, 'x', SIZE);
        tree_write_bytes(&tree, bytes, SIZE, "big");
        tree_write_bytes(&tree, bytes, SYSFS_TEXT_MAX - 1, "edge");
        assert_int_equal(sysfs_read_all(tree.fd, "big", SIZE - 1, &text, &n), -EFBIG);
        assert_ptr_equal(text, bytes);
        assert_int_equal(n, 7);
        assert_int_equal(sysfs_read_all(tree.fd, "big", SIZE, &text, &n), 0);
        assert_int_equal(n, SIZE);
        assert_int_equal(text[SIZE], 0);
        assert_memory_equal(text, bytes, SIZE);
        free(text);
        assert_int_equal(sysfs_read_all(tree.fd, "edge", SIZE, &text, &n), 0);
        assert_int_equal(n, SYSFS_TEXT_MAX - 1);
        free(text);
        free(bytes);
        tree_remove(&tree);
}

static void test_numbers(void **state) {
        Tree tree = tree_new();
        uint64_t value = 5;

        tree_write(&tree, "8000000\n", "size");
        tree_write(&tree, "0x10\n", "prefixed");
        tree_write(&tree, "fffffffffffffffff\n", "huge");
        tree_write(&tree, "\n", "empty");
        assert_int_equal(sysfs_read_u64(tree.fd, "size", 16, &value), 0);
        assert_int_equal(value, 128 << 20);
        assert_int_equal(sysfs_read_u64(tree.fd, "prefixed", 16, &value), -EBADMSG);
        assert_int_equal(sysfs_read_u64(tree.fd, "huge", 16, &value), -ERANGE);
        assert_int_equal(sysfs_read_u64(tree.fd, "empty", 16, &value), -EBADMSG);
        assert_int_equal(value, 128 << 20);
        assert_int_equal(parse_u64("18446744073709551615", 10, &value), 0);
        assert_true(value == UINT64_MAX);
        assert_int_equal(parse_u64("18446744073709551616", 10, &value), -ERANGE);
        assert_int_equal(parse_u64("99999999999999999999999x", 10, &value), -EINVAL);
        assert_int_equal(parse_u64("8", 8, &value), -EINVAL);
        assert_int_equal(parse_u64("-1", 10, &value), -EINVAL);
        assert_int_equal(parse_u64(" 1", 10, &value), -EINVAL);
        assert_int_equal(parse_u64("", 10, &value), -EINVAL);
        assert_string_equal(parse_u64_prefix("12 kB", &value), " kB");
        assert_int_equal(value, 12);
        assert_string_equal(parse_u64_prefix("7", &value), "");
        for (const char *const *bad = (const char *const[]){ "", " 1", "-1", "x", "18446744073709551616 ",
                                                             "000000000000000000000001", NULL };
             *bad; bad++)
                assert_null(parse_u64_prefix(*bad, &value));
        assert_int_equal(value, 7);
        tree_remove(&tree);
}

static void test_write(void **state) {
        Tree tree = tree_new();
        char text[32];

        tree_write(&tree, "offline\n", "state");
        assert_int_equal(sysfs_write(tree.fd, "state", "online"), 0);
        assert_int_equal(sysfs_read(tree.fd, "state", text, sizeof(text)), 0);
        assert_string_equal(text, "online"); /* nothing of the longer text is left */
        assert_int_equal(sysfs_write(tree.fd, "none", "online"), -ENOENT); /* never made */
        assert_int_equal(sysfs_write(tree.fd, "/none", "online"), -EINVAL);
        tree_remove(&tree);
}

static void test_link_name(void **state) {
        Tree tree = tree_new();
        char name[12];

        tree_link(&tree, "../../../LNXSYSTM:00/PNP0C80:00", "firmware_node");
        tree_link(&tree, "plain", "plain_link");
        tree_link(&tree, "a/b/much-too-long-a-name", "long");
        tree_link(&tree, "a/", "slash");
        tree_write(&tree, "x", "file");
        assert_int_equal(sysfs_read_link_name(tree.fd, "firmware_node", name, sizeof(name)), 0);
        assert_string_equal(name, "PNP0C80:00");
        assert_int_equal(sysfs_read_link_name(tree.fd, "plain_link", name, sizeof(name)), 0);
        assert_string_equal(name, "plain");
        assert_int_equal(sysfs_read_link_name(tree.fd, "long", name, sizeof(name)), -EFBIG);
        assert_int_equal(sysfs_read_link_name(tree.fd, "slash", name, sizeof(name)), -EBADMSG);
        assert_int_equal(sysfs_read_link_name(tree.fd, "file", name, sizeof(name)), -EINVAL);
        assert_int_equal(sysfs_read_link_name(tree.fd, "none", name, sizeof(name)), -ENOENT);
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),      cmocka_unit_test(test_read_all),
                cmocka_unit_test(test_numbers),   cmocka_unit_test(test_write),
                cmocka_unit_test(test_link_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
