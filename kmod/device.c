// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/memunplug: the file, and which call goes where. What the fields of a call mean
 * is checked by those who use them; who may open the file is said by its mode.
 */
#include <linux/fs.h>
#include <linux/memory.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

#include "call.h"
#include "memunplug.h"

static int device_info(struct file *file, void *arg)
{
	struct memunplug_info *info = arg;

	info->abi = MEMUNPLUG_ABI;
	info->features = MEMUNPLUG_FEATURE_SURVEY | MEMUNPLUG_FEATURE_KEEP_CACHE |
			 MEMUNPLUG_FEATURE_HELD;
	mu_selftest_get(&info->selftest, &info->selftest_error);
	if (info->selftest == MEMUNPLUG_SELFTEST_PASSED)
		info->features |= MEMUNPLUG_FEATURE_EVACUATE;
	info->block_size = memory_block_size_bytes();
	info->pageblock_size = PFN_PHYS(pageblock_nr_pages);
	mu_gate_info(info);
	return 0;
}

static int device_evacuate(struct file *file, void *arg)
{
	return mu_evacuate(arg);
}

static int device_survey(struct file *file, void *arg)
{
	return mu_survey(arg);
}

static int device_gate(struct file *file, void *arg)
{
	return mu_gate_set(file, arg);
}

static int device_answer(struct file *file, void *arg)
{
	return mu_gate_answer(file, arg);
}

static int device_release_gated(struct file *file, void *arg)
{
	return mu_gate_release(file, arg);
}

static int device_virtio_mem(struct file *file, void *arg)
{
	return mu_virtio_mem(arg);
}

/* The sizes of the first version, as contract: the least that is accepted. */
#define INFO_SIZE_VER0		40
#define EVACUATE_SIZE_VER0	56
#define SURVEY_SIZE_VER0	200
#define GATE_SIZE_VER0		16
#define ANSWER_SIZE_VER0	32
#define RELEASE_SIZE_VER0	32
#define VIRTIO_MEM_SIZE_VER0	72

static_assert(sizeof(struct memunplug_info) == INFO_SIZE_VER0);
static_assert(sizeof(struct memunplug_evacuate) == EVACUATE_SIZE_VER0);
static_assert(sizeof(struct memunplug_survey) == SURVEY_SIZE_VER0);
static_assert(sizeof(struct memunplug_gate) == GATE_SIZE_VER0);
static_assert(sizeof(struct memunplug_answer) == ANSWER_SIZE_VER0);
static_assert(sizeof(struct memunplug_release) == RELEASE_SIZE_VER0);
static_assert(sizeof(struct memunplug_virtio_mem) == VIRTIO_MEM_SIZE_VER0);
static_assert(sizeof(struct memunplug_page) == 32);
static_assert(sizeof(struct memunplug_event) == 56);

/* In the order of their numbers. */
static const struct mu_call device_calls[] = {
	{ MEMUNPLUG_IOC_GET_INFO, INFO_SIZE_VER0, device_info },
	{ MEMUNPLUG_IOC_EVACUATE, EVACUATE_SIZE_VER0, device_evacuate },
	{ MEMUNPLUG_IOC_SURVEY, SURVEY_SIZE_VER0, device_survey },
	{ MEMUNPLUG_IOC_GATE, GATE_SIZE_VER0, device_gate },
	{ MEMUNPLUG_IOC_ANSWER, ANSWER_SIZE_VER0, device_answer },
	{ MEMUNPLUG_IOC_RELEASE, RELEASE_SIZE_VER0, device_release_gated },
	{ MEMUNPLUG_IOC_VIRTIO_MEM, VIRTIO_MEM_SIZE_VER0, device_virtio_mem },
};

/* The structure of any command. */
union device_arg {
	struct memunplug_info info;
	struct memunplug_evacuate evacuate;
	struct memunplug_survey survey;
	struct memunplug_gate gate;
	struct memunplug_answer answer;
	struct memunplug_release release;
	struct memunplug_virtio_mem virtio_mem;
};

static long device_ioctl(struct file *file, unsigned int command, unsigned long address)
{
	union device_arg arg = {};

	return mu_call_run(device_calls, ARRAY_SIZE(device_calls), &arg, file, command, address);
}

static ssize_t device_read(struct file *file, char __user *buf, size_t size, loff_t *offset)
{
	return mu_gate_read(file, buf, size);
}

static __poll_t device_poll(struct file *file, poll_table *wait)
{
	return mu_gate_poll(file, wait);
}

static int device_open(struct inode *inode, struct file *file)
{
	return stream_open(inode, file);
}

static int device_release(struct inode *inode, struct file *file)
{
	mu_gate_close(file);
	return 0;
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.read = device_read,
	.poll = device_poll,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "memunplug",
	.mode = 0600,
	.fops = &device_operations,
};

/**
 * mu_device_init - offer /dev/memunplug; all else must be ready
 *
 * Return: 0 or a negative errno.
 */
int mu_device_init(void)
{
	return misc_register(&device_misc);
}

/**
 * mu_device_exit - take it away; no file is open any more
 */
void mu_device_exit(void)
{
	misc_deregister(&device_misc);
}

/**
 * mu_device_announce - tell user space by a uevent of the misc device
 * @env: variables of the event, NULL at the end
 *
 * Between mu_device_init() and mu_device_exit(), in process context.
 */
void mu_device_announce(char *env[])
{
	/* Without memory for it nobody hears; they look again by themselves. */
	kobject_uevent_env(&device_misc.this_device->kobj, KOBJ_CHANGE, env);
}
