// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory blocks that a service took offline for the host. They are the host's until
 * somebody brings them online: the kernel says so before it uses a page of them, and
 * then they are taken back.
 */
#include <linux/list_sort.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "balloon_parts.h"

struct blocks_given {
	struct list_head node;
	unsigned long pfn;
};

static unsigned long blocks_pages(void)
{
	return memory_block_size_bytes() >> PAGE_SHIFT;
}

static bool blocks_overlap(unsigned long start, unsigned long end, unsigned long other_start,
			   unsigned long other_end)
{
	return start < other_end && other_start < end;
}

static struct blocks_given *blocks_find(const struct mu_balloon *balloon, unsigned long start,
					unsigned long end)
{
	struct blocks_given *given;

	list_for_each_entry(given, &balloon->blocks, node)
		if (blocks_overlap(given->pfn, given->pfn + blocks_pages(), start, end))
			return given;
	return NULL;
}

/* There, whole, and offline, and nobody is bringing it online at this moment. */
static int blocks_check(const struct mu_balloon *balloon, unsigned long start, unsigned long end)
{
	unsigned long pfn;

	if (blocks_overlap(start, end, balloon->coming_start, balloon->coming_end))
		return -EBUSY;
	if (blocks_find(balloon, start, end))
		return -EEXIST;
	for (pfn = start; pfn < end; pfn += PAGES_PER_SECTION) {
		if (!present_section_nr(pfn_to_section_nr(pfn)))
			return -ENXIO;
		if (pfn_to_online_page(pfn))
			return -EBUSY;
	}
	return 0;
}

static int blocks_compare(void *unused, const struct list_head *a, const struct list_head *b)
{
	return list_entry(a, struct blocks_given, node)->pfn >
	       list_entry(b, struct blocks_given, node)->pfn;
}

static int blocks_allocate(unsigned long start, unsigned long end, struct list_head *list)
{
	struct blocks_given *given;
	unsigned long pfn;

	for (pfn = start; pfn < end; pfn += blocks_pages()) {
		given = kmalloc(sizeof(*given), GFP_KERNEL);
		if (!given)
			return -ENOMEM;
		given->pfn = pfn;
		list_add_tail(&given->node, list);
	}
	return 0;
}

static void blocks_free(struct list_head *list)
{
	struct blocks_given *given, *next;

	list_for_each_entry_safe(given, next, list, node)
		kfree(given);
}

/**
 * mu_blocks_give - offline blocks become the host's
 * @balloon: the balloon, not locked
 * @start: first page frame, that of a block
 * @end: the one after the last
 *
 * Return: 0 or a negative errno as documented in the uapi header.
 */
int mu_blocks_give(struct mu_balloon *balloon, unsigned long start, unsigned long end)
{
	LIST_HEAD(list);
	int ret;

	/* Before the lock: an allocation may end in the OOM notifier. */
	if (end - start > balloon->target)
		return -ENOSPC;
	ret = blocks_allocate(start, end, &list);
	if (!ret) {
		mutex_lock(&balloon->lock);
		ret = blocks_check(balloon, start, end);
		if (!ret && balloon->block_pages + (end - start) > balloon->target)
			ret = -ENOSPC;
		if (!ret) {
			mu_queue_add(balloon, balloon->inflate_vq, start, end - start);
			mu_queue_flush(balloon, balloon->inflate_vq);
			list_splice_init(&list, &balloon->blocks);
			list_sort(NULL, &balloon->blocks, blocks_compare);
			balloon->block_pages += end - start;
			balloon->held += end - start;
		}
		mutex_unlock(&balloon->lock);
	}
	blocks_free(&list);
	return ret;
}

static void blocks_take_back(struct mu_balloon *balloon, struct blocks_given *given)
{
	mu_queue_add(balloon, balloon->deflate_vq, given->pfn, blocks_pages());
	mu_queue_flush(balloon, balloon->deflate_vq);
	list_del(&given->node);
	kfree(given);
	balloon->block_pages -= blocks_pages();
	balloon->held -= blocks_pages();
}

/**
 * mu_blocks_coming - memory is about to be the guest's again
 * @balloon: the balloon, not locked
 * @start: first page frame
 * @end: the one after the last; @start: nothing is coming any more
 *
 * Return: true if some of it was the host's until now.
 */
bool mu_blocks_coming(struct mu_balloon *balloon, unsigned long start, unsigned long end)
{
	struct blocks_given *given;
	bool found = false;

	mutex_lock(&balloon->lock);
	balloon->coming_start = start;
	balloon->coming_end = end;
	while ((given = blocks_find(balloon, start, end))) {
		blocks_take_back(balloon, given);
		found = true;
	}
	mutex_unlock(&balloon->lock);
	return found;
}

/**
 * mu_blocks_forget_absent - blocks that have left the machine are no longer given
 * @balloon: the balloon, not locked
 *
 * Return: true if there were any.
 */
bool mu_blocks_forget_absent(struct mu_balloon *balloon)
{
	struct blocks_given *given, *next;
	bool found = false;

	mutex_lock(&balloon->lock);
	list_for_each_entry_safe(given, next, &balloon->blocks, node) {
		if (present_section_nr(pfn_to_section_nr(given->pfn)))
			continue;
		blocks_take_back(balloon, given);
		found = true;
	}
	mutex_unlock(&balloon->lock);
	return found;
}

/**
 * mu_blocks_list - which blocks are given
 * @balloon: the balloon, not locked
 * @addresses: where to, ascending
 * @max: room there
 *
 * Return: how many there are, perhaps more than @max.
 */
unsigned int mu_blocks_list(struct mu_balloon *balloon, u64 *addresses, unsigned int max)
{
	struct blocks_given *given;
	unsigned int n = 0;

	mutex_lock(&balloon->lock);
	list_for_each_entry(given, &balloon->blocks, node) {
		if (n < max)
			addresses[n] = PFN_PHYS(given->pfn);
		n++;
	}
	mutex_unlock(&balloon->lock);
	return n;
}

/**
 * mu_blocks_retell - the device has been reset: tell it anew what it has
 * @balloon: the balloon, not locked
 */
void mu_blocks_retell(struct mu_balloon *balloon)
{
	struct blocks_given *given;

	mutex_lock(&balloon->lock);
	list_for_each_entry(given, &balloon->blocks, node)
		mu_queue_add(balloon, balloon->inflate_vq, given->pfn, blocks_pages());
	mu_queue_flush(balloon, balloon->inflate_vq);
	mutex_unlock(&balloon->lock);
}

/**
 * mu_blocks_exit - the driver goes: blocks stay offline, and are nobody's
 * @balloon: the balloon; its device is out of use
 */
void mu_blocks_exit(struct mu_balloon *balloon)
{
	blocks_free(&balloon->blocks);
}
