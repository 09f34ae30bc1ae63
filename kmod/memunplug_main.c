// SPDX-License-Identifier: GPL-2.0-only
/*
 * memunplug: the things a memory hot-remove service needs and user space cannot
 * do. See include/uapi/linux/memunplug.h for what it offers. Here is only the
 * order in which its parts begin and end.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "memunplug.h"

/* As the project's; dkms.conf must say the same. */
#define MU_VERSION	"0.1.0"

static const char *main_selftest_text(u32 state)
{
	switch (state) {
	case MEMUNPLUG_SELFTEST_PASSED:
		return "passed";
	case MEMUNPLUG_SELFTEST_FAILED:
		return "failed";
	default:
		return "pending";
	}
}

static int __init memunplug_init(void)
{
	u32 state;
	int error, ret;

	ret = mu_range_init();
	if (ret < 0)
		return ret;
	ret = mu_gate_init();
	if (ret < 0)
		goto err_range;
	mu_selftest_run();
	ret = mu_device_init();
	if (ret < 0)
		goto err_gate;

	mu_selftest_get(&state, &error);
	pr_info("version " MU_VERSION ", self-test %s, %s\n", main_selftest_text(state),
		mu_gate_possible() ? "ACPI memory devices can be held" : "no ACPI memory devices");
	return 0;

err_gate:
	mu_gate_exit();
err_range:
	mu_range_exit();
	return ret;
}

static void __exit memunplug_exit(void)
{
	mu_virtio_mem_exit();
	mu_device_exit();
	mu_gate_exit();
	mu_range_exit();
}

module_init(memunplug_init);
module_exit(memunplug_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The memunplug authors");
MODULE_DESCRIPTION("Memory hot-remove helper: evacuation, page survey, ACPI eject gate");
MODULE_VERSION(MU_VERSION);
