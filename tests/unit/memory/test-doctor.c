/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each finding of the doctor on a made-up system that has just that fault, and none on one that has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../util/tree.h"
#include "memory/doctor.h"
#include "table.h"
#include "util/cleanup.h"

DEFINE_CLEANUP(BlockTable *, block_table_free)

static Findings look_at_blocks(const char *layout, const GuardPolicy *policy) {
        CLEANUP(block_table_freep) BlockTable *table = table_new(layout, 32);
        Findings findings = {};

        table->devices[0].kind = DEVICE_BOOT;
        assert_int_equal(doctor_blocks(&findings, table, policy ?: &(GuardPolicy) {}), 0);
        return findings;
}

static Findings look_at_files(const Tree *tree) {
        CLEANUP(block_table_freep) BlockTable *table = table_new("K|m", 32);
        Findings findings = {};

        assert_int_equal(doctor_onlining(&findings, tree->fd, table), 0);
        assert_int_equal(doctor_holders(&findings, tree->fd), 0);
        assert_int_equal(doctor_version(&findings, tree->fd), 0);
        return findings;
}

static void assert_one(Findings findings, Severity severity, const char *check, const char *file,
                       const char *value) {
        assert_int_equal(findings.n, 1);
        assert_int_equal(findings.items[0].severity, severity);
        assert_string_equal(findings.items[0].check, check);
        assert_string_equal(findings.items[0].file, file);
        assert_string_equal(findings.items[0].value, value);
        assert_true(findings.items[0].message[0] && findings.items[0].advice);
        findings_clear(&findings);
}

static void assert_none(Findings findings) {
        if (findings.n > 0)
                fail_msg("%s: %s", findings.items[0].check, findings.items[0].message);
        findings_clear(&findings);
}

static void blocks_in_order_are_no_finding(void **state) {
        assert_none(look_at_blocks("KKKK|mmmm", NULL));
        assert_none(look_at_blocks("KKKK|mmmm|oooo", NULL)); /* what is offline holds nothing */
}

static void device_outside_of_movable(void **state) {
        Findings findings = look_at_blocks("KKKK|mmmm|mKKo", NULL);

        assert_string_equal(findings.items[0].message, "PNP0C80:02 has 2 of 4 blocks outside of zone Movable: "
                                                       "kernel data in them does not move");
        assert_one(findings, SEVERITY_PROBLEM, "zone", "/sys/devices/system/memory/memory41/valid_zones",
                   "Normal");
}

static void protected_device(void **state) {
        const uint32_t protected[] = { 37 };

        const GuardPolicy policy = { .protected_blocks = protected, .n_protected = 1 };

        assert_one(look_at_blocks("KKKK|mmmm", &policy),
                   SEVERITY_WARNING, "protected", "/etc/memunplug/memunplugd.conf", "ProtectBlocks= 37");
}

static void ratio_of_zones(void **state) {
        assert_none(look_at_blocks("KK|mmmmmm", NULL)); /* 3:1 */
        assert_one(look_at_blocks("KK|mmmmmmm", NULL), SEVERITY_WARNING, "ratio",
                   "/sys/devices/system/memory/memory*/valid_zones", "896M in Movable, 256M in other zones");
        assert_one(look_at_blocks("KKKK", NULL), SEVERITY_PROBLEM, "movable",
                   "/sys/devices/system/memory/memory*/valid_zones", "0B in Movable, 512M in other zones");
}

static const struct {
        const char *path, *text;
        Severity severity;
        const char *check, *value;
} faults[] = {
        { "sys/devices/system/memory/auto_online_blocks", "online\n", SEVERITY_WARNING, "auto_online", "online" },
        { "sys/devices/system/memory/auto_online_blocks", "online_kernel\n", SEVERITY_PROBLEM, "auto_online",
          "online_kernel" },
        { "proc/cmdline", "root=/dev/vda quiet\n", SEVERITY_NOTE, "movable_node", "no movable_node" },
        { "proc/cmdline", "xmovable_node movable_nodes\n", SEVERITY_NOTE, "movable_node", "no movable_node" },
        { "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n", SEVERITY_WARNING, "hugepages", "64" },
        { "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n", SEVERITY_PROBLEM, "hugepages",
          "1" },
        { "sys/module/vfio_iommu_type1/refcnt", "2\n", SEVERITY_WARNING, "pins", "2" },
        { "sys/module/ib_uverbs/refcnt", "1\n", SEVERITY_WARNING, "pins", "1" },
        { "proc/version",
          "Linux version 6.1.0-28-amd64 (x@y) (gcc) #1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)\n",
          SEVERITY_WARNING, "kernel", "6.1.119" },
        { "proc/version", "Linux version 6.5.3 (x@y)\n", SEVERITY_WARNING, "kernel", "6.5.3" },
        { "proc/version", "Linux version 6.3.0 (x@y)\n", SEVERITY_WARNING, "kernel", "6.3.0" },
        { "proc/version", "Linux version 6.6.14 (x@y)\n", SEVERITY_WARNING, "kernel", "6.6.14" },
        { "proc/version", "Linux version 6.7.2 (x@y)\n", SEVERITY_WARNING, "kernel", "6.7.2" },
        { "proc/version", "Linux version 6.1.191 (x@y)\n", SEVERITY_WARNING, "kernel", "6.1.191" },
        { "sys/kernel/kexec_crash_loaded", "1\n", SEVERITY_NOTE, "crash_kernel", "1" },
};

/* Files that are as they should be. */
static const struct {
        const char *path, *text;
} good[] = {
        { "sys/devices/system/memory/auto_online_blocks", "online_movable\n" },
        { "sys/devices/system/memory/auto_online_blocks", "offline\n" },
        { "proc/cmdline", "quiet movable_node root=/dev/vda\n" },
        { "proc/cmdline", "movable_node\n" },
        { "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n" },
        { "sys/module/vfio_iommu_type1/refcnt", "0\n" },
        { "sys/module/memory_hotplug/parameters/auto_movable_ratio", "0\n" }, /* without the policy */
        { "proc/version", "Linux version 6.1.0-50-amd64 (x@y) (gcc) #1 SMP Debian 6.1.192-1 (2026-01-01)\n" },
        { "proc/version", "Linux version 6.1.118 (x@y)\n" },
        { "proc/version", "Linux version 6.12.1 (x@y)\n" },
        { "proc/version", "Linux version 6.6.15 (x@y)\n" },
        { "proc/version", "Linux version 6.7.3 (x@y)\n" },
        { "proc/version", "Linux version 6.8.0 (x@y)\n" },
        { "proc/version", "Linux version 6.2.16 (x@y)\n" },
        { "proc/version", "Linux version 5.4.0 (x@y)\n" },
        { "sys/kernel/kexec_crash_loaded", "0\n" },
        { "proc/version", "Linux version next\n" },
        { "proc/version", "" },
};

static void each_file_by_itself(void **state) {
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
                Tree tree = tree_new();
                char file[128];

                tree_write(&tree, faults[i].text, "%s", faults[i].path);
                (void) snprintf(file, sizeof(file), "/%s", faults[i].path);
                assert_one(look_at_files(&tree), faults[i].severity, faults[i].check, file, faults[i].value);
                tree_remove(&tree);
        }
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                Tree tree = tree_new();

                tree_write(&tree, good[i].text, "%s", good[i].path);
                assert_none(look_at_files(&tree));
                tree_remove(&tree);
        }
}

static void onlining_policy(void **state) {
        Tree tree = tree_new();

        tree_write(&tree, "online\n", "sys/devices/system/memory/auto_online_blocks");
        tree_write(&tree, "auto-movable\n", "sys/module/memory_hotplug/parameters/online_policy");
        tree_write(&tree, "301\n", "sys/module/memory_hotplug/parameters/auto_movable_ratio");
        assert_none(look_at_files(&tree));
        tree_write(&tree, "0\n", "sys/module/memory_hotplug/parameters/auto_movable_ratio");
        assert_one(look_at_files(&tree), SEVERITY_PROBLEM, "auto_movable_ratio",
                   "/sys/module/memory_hotplug/parameters/auto_movable_ratio", "0");
        tree_write(&tree, "1000\n", "sys/module/memory_hotplug/parameters/auto_movable_ratio");
        assert_one(look_at_files(&tree), SEVERITY_WARNING, "auto_movable_ratio",
                   "/sys/module/memory_hotplug/parameters/auto_movable_ratio", "1000");
        tree_remove(&tree);
}

static void balloons(void **state) {
        Tree tree = tree_new();

        tree_mkdir(&tree, "sys/module/virtio_balloon");
        assert_one(look_at_files(&tree), SEVERITY_NOTE, "balloon", "/sys/module/virtio_balloon", "loaded");
        tree_remove(&tree);
        tree = tree_new();
        tree_mkdir(&tree, "sys/module/vmw_balloon");
        assert_one(look_at_files(&tree), SEVERITY_NOTE, "balloon", "/sys/module/vmw_balloon", "loaded");
        tree_remove(&tree);
        tree = tree_new();
        tree_mkdir(&tree, "sys/module/hv_balloon");
        assert_one(look_at_files(&tree), SEVERITY_WARNING, "balloon", "/sys/module/hv_balloon", "loaded");
        tree_remove(&tree);
}

static void kernel_without_pressure(void **state) {
        Tree tree = tree_new();

        tree_write(&tree, "MemTotal: 1 kB\n", "proc/meminfo");
        assert_one(look_at_files(&tree), SEVERITY_NOTE, "pressure", "/proc/pressure/memory", "not there");
        tree_write(&tree, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", "proc/pressure/memory");
        assert_none(look_at_files(&tree));
        tree_remove(&tree);
}

static void versions(void **state) {
        unsigned v[3];

        assert_int_equal(kernel_version_parse("Linux version 6.12.3-rc1 x", v), 0);
        assert_true(v[0] == 6 && v[1] == 12 && v[2] == 3);
        assert_int_equal(kernel_version_parse("Linux version 7.0", v), 0);
        assert_true(v[0] == 7 && v[1] == 0 && v[2] == 0);
        assert_int_equal(kernel_version_parse("Linux version 6.1.0 Debian 6.1.164-1 (x)", v), 0);
        assert_int_equal(v[2], 164);
        assert_int_equal(kernel_version_parse("Linux version 6.1.7 Debian sid", v), 0);
        assert_int_equal(v[2], 7);
        assert_int_equal(kernel_version_parse("Linux version 6", v), -EINVAL);
        assert_int_equal(kernel_version_parse("Linux version 99999999999999999999.1", v), -EINVAL);
        assert_int_equal(kernel_version_parse("6.1", v), -EINVAL);
}

static void there_is_a_limit(void **state) {
        Findings findings = {};

        for (unsigned i = 0; i < 2 * FINDINGS_MAX; i++)
                assert_int_equal(findings_add(&findings, SEVERITY_NOTE, "x", NULL, NULL, NULL, "%u", i), 0);
        assert_int_equal(findings.n, FINDINGS_MAX);
        findings_clear(&findings);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(blocks_in_order_are_no_finding),
                cmocka_unit_test(device_outside_of_movable),
                cmocka_unit_test(protected_device),
                cmocka_unit_test(ratio_of_zones),
                cmocka_unit_test(each_file_by_itself),
                cmocka_unit_test(onlining_policy),
                cmocka_unit_test(balloons),
                cmocka_unit_test(kernel_without_pressure),
                cmocka_unit_test(versions),
                cmocka_unit_test(there_is_a_limit),
        };

        return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
