// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory is being worked on, and that it stays while it is.
 *
 * A module cannot take the memory hotplug lock. Two things stand for it, both by
 * the memory notifier: a block that somebody takes offline while an evacuation
 * works on it is refused (-EBUSY), and an evacuation of a range that is going
 * offline is; and a memory map that is looked at under mu_memmap_lock() is not
 * freed before mu_memmap_unlock(), because MEM_OFFLINE, which comes before that,
 * waits for it. Moving pages is left to fence.c.
 */
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>

#include "memunplug.h"
#include "pageblock.h"

static DEFINE_MUTEX(ranges_lock);
static LIST_HEAD(ranges);
/* Offlining is serial in the kernel: there is at most one such range. */
static struct mu_range going_offline;

static DECLARE_RWSEM(memmap_sem);

/**
 * mu_memmap_lock - keep memory maps from being freed
 *
 * What pfn_to_online_page() gives stays valid until mu_memmap_unlock().
 */
void mu_memmap_lock(void)
{
	down_read(&memmap_sem);
}

/**
 * mu_memmap_unlock - end of mu_memmap_lock()
 */
void mu_memmap_unlock(void)
{
	up_read(&memmap_sem);
}

static bool range_overlaps(const struct mu_range *range, unsigned long start, unsigned long end)
{
	return range->start < end && start < range->end;
}

static bool range_is_busy(unsigned long start, unsigned long end)
{
	struct mu_range *range;

	lockdep_assert_held(&ranges_lock);
	list_for_each_entry(range, &ranges, node)
		if (range_overlaps(range, start, end))
			return true;
	return false;
}

/**
 * mu_range_begin - claim a range for an evacuation
 * @range: to be filled; stays with us until mu_range_end()
 * @start: first page frame
 * @end: behind the last one
 *
 * Return: 0, or -EBUSY if part of it is being evacuated or taken offline.
 */
int mu_range_begin(struct mu_range *range, unsigned long start, unsigned long end)
{
	int ret = 0;

	range->start = start;
	range->end = end;
	mutex_lock(&ranges_lock);
	if (range_is_busy(start, end) || range_overlaps(&going_offline, start, end))
		ret = -EBUSY;
	else
		list_add(&range->node, &ranges);
	mutex_unlock(&ranges_lock);
	return ret;
}

/**
 * mu_range_end - give a range back
 * @range: what mu_range_begin() claimed
 */
void mu_range_end(struct mu_range *range)
{
	mutex_lock(&ranges_lock);
	list_del(&range->node);
	mutex_unlock(&ranges_lock);
}

static int range_going_offline(unsigned long start, unsigned long end)
{
	int ret = 0;

	mutex_lock(&ranges_lock);
	if (range_is_busy(start, end)) {
		ret = -EBUSY;
	} else {
		going_offline.start = start;
		going_offline.end = end;
	}
	mutex_unlock(&ranges_lock);
	return ret;
}

static void range_offline_over(void)
{
	mutex_lock(&ranges_lock);
	going_offline.start = 0;
	going_offline.end = 0;
	mutex_unlock(&ranges_lock);
}

static int range_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct memory_notify *notify = data;
	unsigned long start = notify->start_pfn;

	switch (action) {
	case MEM_GOING_OFFLINE:
		return notifier_from_errno(range_going_offline(start, start + notify->nr_pages));
	case MEM_CANCEL_OFFLINE:
		range_offline_over();
		break;
	case MEM_OFFLINE:
		/* Whoever saw these pages online is through when we have the lock. */
		down_write(&memmap_sem);
		up_write(&memmap_sem);
		range_offline_over();
		break;
	}
	return NOTIFY_OK;
}

/*
 * The highest priority: others are not asked to let go of memory that must stay.
 */
static struct notifier_block range_notifier = {
	.notifier_call = range_notify,
	.priority = INT_MAX,
};

/* One pageblock: online, and all of it in *@zone, which is set by the first. */
static int range_check_pageblock(unsigned long pfn, struct zone **zone)
{
	struct page *first, *last;
	int ret = 0;

	mu_memmap_lock();
	first = pfn_to_online_page(pfn);
	last = pfn_to_online_page(pfn + pageblock_nr_pages - 1);
	if (!first || !last)
		ret = -ENXIO;
	else if (*zone && page_zone(first) != *zone)
		ret = -EXDEV;
	else if (page_zone(first) != page_zone(last))
		ret = -EXDEV;
	else
		*zone = page_zone(first);
	mu_memmap_unlock();
	return ret;
}

/**
 * mu_range_check - can this range be evacuated at all?
 * @start: first page frame, pageblock aligned
 * @end: behind the last one, pageblock aligned
 *
 * Return: 0; -ENXIO if part of it is absent or offline, -EXDEV if it is in more
 * than one zone, -EOPNOTSUPP if that is not ZONE_MOVABLE, -EINTR.
 */
int mu_range_check(unsigned long start, unsigned long end)
{
	struct zone *zone = NULL;
	unsigned long pfn;
	int ret, zone_error = 0;

	for (pfn = start; pfn < end; pfn += pageblock_nr_pages) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = range_check_pageblock(pfn, &zone);
		if (ret == -EXDEV)
			zone_error = ret;	/* a hole behind it is the worse news */
		else if (ret < 0)
			return ret;
		cond_resched();
	}
	if (zone_error)
		return zone_error;
	return zone_idx(zone) == ZONE_MOVABLE ? 0 : -EOPNOTSUPP;
}

/**
 * mu_range_check_isolated - has somebody else isolated part of the range?
 * @start: first page frame, pageblock aligned
 * @end: behind the last one
 *
 * Return: 0 if not, -EBUSY if so, -ENXIO if it went away.
 */
int mu_range_check_isolated(unsigned long start, unsigned long end)
{
	unsigned long pfn;
	int ret = 0;

	for (pfn = start; pfn < end && !ret; pfn += pageblock_nr_pages) {
		mu_memmap_lock();
		if (!pfn_to_online_page(pfn))
			ret = -ENXIO;
		else if (mu_pageblock_isolated(pfn))
			ret = -EBUSY;
		mu_memmap_unlock();
		cond_resched();
	}
	return ret;
}

/**
 * mu_range_init - begin to watch memory going offline
 *
 * Return: 0 or a negative errno.
 */
int mu_range_init(void)
{
	return register_memory_notifier(&range_notifier);
}

/**
 * mu_range_exit - end of mu_range_init()
 */
void mu_range_exit(void)
{
	unregister_memory_notifier(&range_notifier);
}
