// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the kernel needs what the balloon holds: memory that is about to go offline
 * cannot while pages of it are held, and before a process is killed for want of memory
 * the balloon gives some back, if the host agreed to that.
 */
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/oom.h>
#include <linux/virtio_config.h>

#include "balloon_parts.h"

/* What is given back each time, and how long nothing is taken after it. */
#define NOTIFY_OOM_PAGES	(16UL << (20 - VIRTIO_BALLOON_PFN_SHIFT))
#define NOTIFY_OOM_QUIET	(60 * HZ)

/* After those that lose nothing by giving: as the stock driver. */
#define NOTIFY_OOM_PRIORITY	80

/* The same for memory that goes offline, and what must be free elsewhere beyond its size. */
#define NOTIFY_OFFLINE_QUIET	(10 * HZ)
#define NOTIFY_OFFLINE_SPARE	(32UL << (20 - PAGE_SHIFT))

static int notify_oom(struct notifier_block *nb, unsigned long unused, void *freed)
{
	struct mu_balloon *balloon = container_of(nb, struct mu_balloon, oom_nb);
	unsigned long got;

	/* Set first: the worker must not take again what this gives. */
	WRITE_ONCE(balloon->quiet_until, jiffies + NOTIFY_OOM_QUIET);
	got = mu_pages_deflate(balloon, NOTIFY_OOM_PAGES);
	if (!got && !READ_ONCE(balloon->block_pages))
		return NOTIFY_OK;
	WRITE_ONCE(balloon->shortage, MEMUNPLUG_BALLOON_SHORT_NEED);
	/* Calls for this are one at a time: the kernel kills for one allocation only. */
	WRITE_ONCE(balloon->needs, balloon->needs + 1);
	mu_target_publish(balloon);
	mu_target_changed(balloon);
	*(unsigned long *)freed += got;
	return NOTIFY_OK;
}

/*
 * Memory goes offline: what is held of it is in its way, and what is in use there must
 * find room elsewhere. Free pages of the range do not count as free any more.
 */
static void notify_going_offline(struct mu_balloon *balloon, const struct memory_notify *range)
{
	unsigned long got, room = global_zone_page_state(NR_FREE_PAGES);
	unsigned long needed = range->nr_pages + NOTIFY_OFFLINE_SPARE;

	got = mu_pages_deflate_range(balloon, range->start_pfn,
				     range->start_pfn + range->nr_pages);
	needed -= min(needed, got);
	if (needed > room) {
		WRITE_ONCE(balloon->quiet_until, jiffies + NOTIFY_OFFLINE_QUIET);
		got += mu_pages_deflate(balloon, needed - room);
	}
	if (got)
		mu_target_publish(balloon);
}

static int notify_memory(struct notifier_block *nb, unsigned long action, void *data)
{
	struct mu_balloon *balloon = container_of(nb, struct mu_balloon, memory_nb);

	const struct memory_notify *range = data;

	switch (action) {
	case MEM_GOING_OFFLINE:
		notify_going_offline(balloon, range);
		break;
	case MEM_GOING_ONLINE:
		if (mu_blocks_coming(balloon, range->start_pfn,
				     range->start_pfn + range->nr_pages))
			mu_target_publish(balloon);
		break;
	case MEM_CANCEL_ONLINE:
	case MEM_ONLINE:
		mu_blocks_coming(balloon, 0, 0);
		mu_target_delay(balloon, HZ);
		break;
	case MEM_OFFLINE:
	case MEM_CANCEL_OFFLINE:
		/* Elsewhere there may be what the host wants. */
		mu_target_delay(balloon, HZ);
		break;
	default:
		break;
	}
	return NOTIFY_OK;
}

/**
 * mu_notify_init - from now on the kernel gets what it needs
 * @balloon: the balloon
 *
 * Return: 0 or a negative errno.
 */
int mu_notify_init(struct mu_balloon *balloon)
{
	int ret;

	balloon->memory_nb.notifier_call = notify_memory;
	ret = register_memory_notifier(&balloon->memory_nb);
	if (ret < 0)
		return ret;
	if (!virtio_has_feature(balloon->vdev, VIRTIO_BALLOON_F_DEFLATE_ON_OOM))
		return 0;
	balloon->oom_nb.notifier_call = notify_oom;
	balloon->oom_nb.priority = NOTIFY_OOM_PRIORITY;
	ret = register_oom_notifier(&balloon->oom_nb);
	if (ret < 0) {
		unregister_memory_notifier(&balloon->memory_nb);
		balloon->oom_nb.notifier_call = NULL;
	}
	return ret;
}

/**
 * mu_notify_exit - the balloon is about to give everything back
 * @balloon: the balloon
 */
void mu_notify_exit(struct mu_balloon *balloon)
{
	if (balloon->oom_nb.notifier_call)
		unregister_oom_notifier(&balloon->oom_nb);
	balloon->oom_nb.notifier_call = NULL;
	unregister_memory_notifier(&balloon->memory_nb);
}
