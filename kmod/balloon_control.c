// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/memunplug-balloon: how a service leads a balloon. The first device that was
 * bound can be led; a machine has one.
 */
#include <linux/fs.h>
#include <linux/memory.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include <uapi/linux/memunplug_balloon.h>

#include "balloon_parts.h"
#include "call.h"

/* Blocks that one BLOCKS call may ask for. */
#define CONTROL_BLOCKS_MAX	4096U

static DEFINE_MUTEX(control_lock);
static struct mu_balloon *control_balloon;	/* the one that can be led, or NULL */
static const struct file *control_leader;
static DECLARE_WAIT_QUEUE_HEAD(control_wait);
static atomic64_t control_version = ATOMIC64_INIT(1);

/**
 * mu_control_changed - what STATE says is not true any more
 */
void mu_control_changed(void)
{
	atomic64_inc(&control_version);
	wake_up_interruptible_all(&control_wait);
}

/**
 * mu_control_add - a balloon that works
 * @balloon: the balloon
 */
void mu_control_add(struct mu_balloon *balloon)
{
	mutex_lock(&control_lock);
	if (!control_balloon) {
		control_balloon = balloon;
		mu_target_lead(balloon, control_leader);
	}
	mutex_unlock(&control_lock);
	mu_control_changed();
}

/**
 * mu_control_remove - it does not any more, from now on
 * @balloon: the balloon
 */
void mu_control_remove(struct mu_balloon *balloon)
{
	mutex_lock(&control_lock);
	if (control_balloon == balloon)
		control_balloon = NULL;
	mutex_unlock(&control_lock);
	mu_control_changed();
}

static int control_state(struct file *file, void *arg)
{
	struct memunplug_balloon_state *state = arg;
	u64 *seen = file->private_data;

	if (control_leader && control_leader != file)
		return -EBUSY;
	control_leader = file;
	*seen = atomic64_read(&control_version);
	if (!control_balloon)
		return -ENODEV;
	mu_target_lead(control_balloon, true);
	mu_target_state(control_balloon, state);
	return 0;
}

/* For the calls of who leads a balloon that is there. */
static int control_check(const struct file *file)
{
	if (control_leader != file)
		return -EBUSY;
	return control_balloon ? 0 : -ENODEV;
}

/* Whole blocks, or none, of memory that there may be. */
static bool control_blocks_fit(u64 start, u64 size)
{
	unsigned long block = memory_block_size_bytes();

	return !(start % block) && !(size % block) && start + size >= start &&
	       start + size <= BIT_ULL(MAX_PHYSMEM_BITS);
}

static int control_give(struct file *file, void *arg)
{
	const struct memunplug_balloon_range *range = arg;
	int ret;

	if (range->flags || range->reserved || !range->size ||
	    !control_blocks_fit(range->start, range->size))
		return -EINVAL;
	ret = control_check(file);
	if (ret < 0)
		return ret;
	ret = mu_blocks_give(control_balloon, PHYS_PFN(range->start),
			     PHYS_PFN(range->start + range->size));
	if (ret < 0)
		return ret;
	mu_target_publish(control_balloon);
	mu_target_changed(control_balloon);
	return 0;
}

static int control_blocks(struct file *file, void *arg)
{
	struct memunplug_balloon_blocks *blocks = arg;
	unsigned int max = blocks->max;
	u64 *addresses;
	int ret;

	if (blocks->n || max > CONTROL_BLOCKS_MAX)
		return -EINVAL;
	ret = control_check(file);
	if (ret < 0)
		return ret;
	/* The guest is short of memory when it is asked: pages one by one will do. */
	addresses = kvcalloc(max + 1, sizeof(*addresses), GFP_KERNEL_ACCOUNT);
	if (!addresses)
		return -ENOMEM;
	blocks->n = mu_blocks_list(control_balloon, addresses, max);
	if (copy_to_user(u64_to_user_ptr(blocks->addresses), addresses,
			 min(max, blocks->n) * sizeof(*addresses)))
		ret = -EFAULT;
	kvfree(addresses);
	return ret;
}

static int control_pages(struct file *file, void *arg)
{
	const struct memunplug_balloon_pages *pages = arg;
	int ret;

	if (pages->flags & ~MEMUNPLUG_BALLOON_PAGES_PIECES || pages->reserved)
		return -EINVAL;
	ret = control_check(file);
	return ret < 0 ? ret : mu_target_allow_pages(control_balloon, pages->sequence,
						     pages->flags);
}

static int control_release_pages(struct file *file, void *arg)
{
	struct memunplug_balloon_release *release = arg;
	u64 start = release->start, size = release->size;
	unsigned long want;
	int ret;

	if (!control_blocks_fit(start, size))
		return -EINVAL;
	ret = control_check(file);
	if (ret < 0)
		return ret;
	want = min_t(u64, DIV_ROUND_UP_ULL(release->bytes, PAGE_SIZE), U32_MAX);
	release->bytes = PFN_PHYS((u64)mu_target_release(control_balloon, PHYS_PFN(start),
							 PHYS_PFN(start + size), want));
	return 0;
}

static int control_floor(struct file *file, void *arg)
{
	const struct memunplug_balloon_floor *floor = arg;
	int ret;

	if (floor->reserved)
		return -EINVAL;
	ret = control_check(file);
	if (!ret)
		mu_target_set_floor(control_balloon,
				    min_t(u64, floor->bytes >> PAGE_SHIFT, LONG_MAX >> PAGE_SHIFT));
	return ret;
}

#define STATE_SIZE_VER0		48
#define GIVE_SIZE_VER0		24
#define BLOCKS_SIZE_VER0	16
#define PAGES_SIZE_VER0		8
#define RELEASE_SIZE_VER0	24
#define FLOOR_SIZE_VER0		16

static_assert(sizeof(struct memunplug_balloon_state) == STATE_SIZE_VER0 + 8);
static_assert(sizeof(struct memunplug_balloon_range) == GIVE_SIZE_VER0);
static_assert(sizeof(struct memunplug_balloon_blocks) == BLOCKS_SIZE_VER0);
static_assert(sizeof(struct memunplug_balloon_pages) == PAGES_SIZE_VER0 + 8);
static_assert(sizeof(struct memunplug_balloon_release) == RELEASE_SIZE_VER0);
static_assert(sizeof(struct memunplug_balloon_floor) == FLOOR_SIZE_VER0);

static const struct mu_call control_calls[] = {
	{ MEMUNPLUG_BALLOON_IOC_STATE, STATE_SIZE_VER0, control_state },
	{ MEMUNPLUG_BALLOON_IOC_GIVE, GIVE_SIZE_VER0, control_give },
	{ MEMUNPLUG_BALLOON_IOC_BLOCKS, BLOCKS_SIZE_VER0, control_blocks },
	{ MEMUNPLUG_BALLOON_IOC_PAGES, PAGES_SIZE_VER0, control_pages },
	{ MEMUNPLUG_BALLOON_IOC_RELEASE, RELEASE_SIZE_VER0, control_release_pages },
	{ MEMUNPLUG_BALLOON_IOC_FLOOR, FLOOR_SIZE_VER0, control_floor },
};

static long control_ioctl(struct file *file, unsigned int command, unsigned long address)
{
	union {
		struct memunplug_balloon_state state;
		struct memunplug_balloon_range range;
		struct memunplug_balloon_blocks blocks;
		struct memunplug_balloon_pages pages;
		struct memunplug_balloon_release release;
		struct memunplug_balloon_floor floor;
	} arg = {};
	long ret;

	mutex_lock(&control_lock);
	ret = mu_call_run(control_calls, ARRAY_SIZE(control_calls), &arg, file, command, address);
	mutex_unlock(&control_lock);
	return ret;
}

static __poll_t control_poll(struct file *file, poll_table *wait)
{
	const u64 *seen = file->private_data;

	poll_wait(file, &control_wait, wait);
	return READ_ONCE(*seen) != atomic64_read(&control_version) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int control_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(u64), GFP_KERNEL);
	return file->private_data ? stream_open(inode, file) : -ENOMEM;
}

static int control_release(struct inode *inode, struct file *file)
{
	mutex_lock(&control_lock);
	if (control_leader == file) {
		control_leader = NULL;
		if (control_balloon)
			mu_target_lead(control_balloon, false);
	}
	mutex_unlock(&control_lock);
	kfree(file->private_data);
	return 0;
}

static const struct file_operations control_operations = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.poll = control_poll,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice control_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "memunplug-balloon",
	.mode = 0600,
	.fops = &control_operations,
};

/**
 * mu_control_init - offer the node
 *
 * Return: 0 or a negative errno.
 */
int mu_control_init(void)
{
	return misc_register(&control_misc);
}

/**
 * mu_control_exit - take it away; no file is open any more
 */
void mu_control_exit(void)
{
	misc_deregister(&control_misc);
}
