// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/memunplug: the file, and which call goes where. Structures are taken by
 * the size in the command number, so that both sides may know more or less fields
 * than the other. What the fields mean is checked by those who use them; who may
 * open the file is said by its mode.
 */
#include <linux/fs.h>
#include <linux/memory.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "memunplug.h"

static int device_info(struct file *file, void *arg)
{
	struct memunplug_info *info = arg;

	info->abi = MEMUNPLUG_ABI;
	info->features = MEMUNPLUG_FEATURE_SURVEY;
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

/* One row for each command, in the order of their numbers. */
struct device_call {
	unsigned int command;
	size_t size_ver0;
	int (*function)(struct file *file, void *arg);
};

static const struct device_call device_calls[] = {
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

static const struct device_call *device_find_call(unsigned int command)
{
	size_t i;

	/* The size may differ, the rest of the number may not. */
	for (i = 0; i < ARRAY_SIZE(device_calls); i++)
		if ((device_calls[i].command ^ command) << (32 - _IOC_SIZESHIFT) == 0 &&
		    _IOC_DIR(device_calls[i].command) == _IOC_DIR(command))
			return &device_calls[i];
	return NULL;
}

static int device_copy_in(union device_arg *arg, const struct device_call *call,
			  const void __user *from, size_t user_size)
{
	if (!(_IOC_DIR(call->command) & _IOC_WRITE))
		return 0;
	return copy_struct_from_user(arg, _IOC_SIZE(call->command), from, user_size);
}

/* A caller that knows more fields than we do reads zeros there. */
static int device_copy_out(const union device_arg *arg, const struct device_call *call,
			   void __user *to, size_t user_size)
{
	size_t size = _IOC_SIZE(call->command);

	if (!(_IOC_DIR(call->command) & _IOC_READ))
		return 0;
	if (copy_to_user(to, arg, min(size, user_size)))
		return -EFAULT;
	if (user_size > size && clear_user(to + size, user_size - size))
		return -EFAULT;
	return 0;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long address)
{
	const struct device_call *call = device_find_call(command);
	void __user *user = (void __user *)address;
	size_t user_size = _IOC_SIZE(command);
	union device_arg arg = {};
	int ret;

	if (!call)
		return -ENOTTY;
	if (user_size < call->size_ver0)
		return -EINVAL;
	ret = device_copy_in(&arg, call, user, user_size);
	if (ret < 0)
		return ret;
	ret = call->function(file, &arg);
	if (ret < 0)
		return ret;
	return device_copy_out(&arg, call, user, user_size);
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
