/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls of a device file by ioctl(2). Structures are taken by the size in the command
 * number, so that both sides may know more or less fields than the other.
 */
#ifndef MEMUNPLUG_CALL_H
#define MEMUNPLUG_CALL_H

#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/uaccess.h>

/* One row for each command. The size of the first version is the least that is accepted. */
struct mu_call {
	unsigned int command;
	size_t size_ver0;
	int (*function)(struct file *file, void *arg);
};

/* The size may differ, the rest of the number may not. */
static inline const struct mu_call *mu_call_find(const struct mu_call *calls, size_t n,
						 unsigned int command)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((calls[i].command ^ command) << (32 - _IOC_SIZESHIFT) == 0 &&
		    _IOC_DIR(calls[i].command) == _IOC_DIR(command))
			return &calls[i];
	return NULL;
}

static inline int mu_call_copy_in(void *arg, const struct mu_call *call, const void __user *from,
				  size_t user_size)
{
	if (!(_IOC_DIR(call->command) & _IOC_WRITE))
		return 0;
	return copy_struct_from_user(arg, _IOC_SIZE(call->command), from, user_size);
}

/* A caller that knows more fields than we do reads zeros there. */
static inline int mu_call_copy_out(const void *arg, const struct mu_call *call, void __user *to,
				   size_t user_size)
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

/**
 * mu_call_run - unlocked_ioctl of a device
 * @calls: its table
 * @n: rows
 * @arg: room for the structure of any of them, zeroed
 * @file: the open file
 * @command: as the caller gave it
 * @address: of the caller's structure
 *
 * Return: 0 or a negative errno.
 */
static inline long mu_call_run(const struct mu_call *calls, size_t n, void *arg,
			       struct file *file, unsigned int command, unsigned long address)
{
	const struct mu_call *call = mu_call_find(calls, n, command);
	void __user *user = (void __user *)address;
	size_t user_size = _IOC_SIZE(command);
	int ret;

	if (!call)
		return -ENOTTY;
	if (user_size < call->size_ver0)
		return -EINVAL;
	ret = mu_call_copy_in(arg, call, user, user_size);
	if (ret < 0)
		return ret;
	ret = call->function(file, arg);
	if (ret < 0)
		return ret;
	return mu_call_copy_out(arg, call, user, user_size);
}

#endif /* MEMUNPLUG_CALL_H */
