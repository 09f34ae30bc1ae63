// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one way pages are moved: the fence.
 *
 * alloc_contig_range() closes a range to new allocations, migrates every used
 * page out of it, and would then allocate and zero it whole. With one page in it
 * that cannot move, the fence, it stops before that, opens the range again and
 * says -EBUSY: every other page has been moved once, and the range is ordinary
 * free memory. The fence is a page that we have taken; migration passes over it
 * because it is not on an LRU list.
 *
 * What to work on, and how often, is decided in evacuate.c.
 */
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sort.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "memunplug.h"
#include "memunplug_trace.h"

#define FENCE_CANDIDATES	16

/* A fence that stands, one for each pass under way. */
struct fence {
	struct list_head node;
	unsigned long pfn;
};

static DEFINE_SPINLOCK(fences_lock);
static LIST_HEAD(fences);

/* Where the fence could stand; taking it may fail. */
struct fence_candidate {
	unsigned long pfn;
	unsigned int order;
};

struct fence_search {
	bool movable;			/* movable pages, not free ones */
	struct fence_candidate best;	/* of the pageblock looked at */
};

static void fence_page(const struct mu_page *page, unsigned long pfn, unsigned long nr,
		       void *data)
{
	struct fence_search *search = data;
	u32 class = search->movable ? MEMUNPLUG_CLASS_MOVABLE : MEMUNPLUG_CLASS_FREE;

	if (page->class != class)
		return;
	if (page->flags & (MEMUNPLUG_PAGE_LOCKED | MEMUNPLUG_PAGE_WRITEBACK))
		return;
	if (search->best.pfn != MU_NO_PFN && search->best.order <= page->order)
		return;
	search->best.pfn = pfn + nr - 1;
	search->best.order = page->order;
}

static int fence_compare(const void *a, const void *b)
{
	const struct fence_candidate *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/*
 * Candidates of the range, one for each pageblock, from its end. The kernel takes
 * a free page of any size whole before it gives back the rest, and zeroes it by
 * the way: the smallest comes first, that the host's memory may stay untouched.
 */
static int fence_find(unsigned long start, unsigned long end, bool movable,
		      struct fence_candidate *candidates)
{
	struct fence_search search = { .movable = movable };
	const struct mu_walk walk = { .page = fence_page, .data = &search };
	int ret, n = 0;

	while (end > start && n < FENCE_CANDIDATES) {
		unsigned long begin = max(start, ALIGN_DOWN(end - 1, pageblock_nr_pages));

		search.best.pfn = MU_NO_PFN;
		ret = mu_walk(begin, end, &walk);
		if (ret < 0)
			return ret;
		if (search.best.pfn != MU_NO_PFN)
			candidates[n++] = search.best;
		end = begin;
	}
	sort(candidates, n, sizeof(*candidates), fence_compare, NULL);
	return n;
}

/*
 * Takes one page of the range. -ENOENT if none can be had: then nothing in the
 * range is free or can be moved.
 */
static int fence_take(unsigned long start, unsigned long end, unsigned long *ret_pfn)
{
	struct fence_candidate candidates[FENCE_CANDIDATES];
	int movable, i, n, ret;

	for (movable = 0; movable <= 1; movable++) {
		n = fence_find(start, end, movable, candidates);
		if (n < 0)
			return n;
		for (i = 0; i < n; i++) {
			unsigned long pfn = candidates[i].pfn;

			if (fatal_signal_pending(current))
				return -EINTR;
			ret = mu_alloc_contig_range(pfn, pfn + 1);
			if (!ret) {
				*ret_pfn = pfn;
				return 0;
			}
			if (ret != -EBUSY)
				return ret;
		}
	}
	return -ENOENT;
}

static void fence_remember(struct fence *fence)
{
	spin_lock(&fences_lock);
	list_add(&fence->node, &fences);
	spin_unlock(&fences_lock);
}

static void fence_forget(struct fence *fence)
{
	spin_lock(&fences_lock);
	list_del(&fence->node);
	spin_unlock(&fences_lock);
}

/**
 * mu_fence_is - is a page the fence of a pass under way?
 * @pfn: any page frame
 *
 * Such a page looks like one of the kernel's own, but is free when the pass ends.
 *
 * Return: true if so.
 */
bool mu_fence_is(unsigned long pfn)
{
	const struct fence *fence;
	bool ret = false;

	spin_lock(&fences_lock);
	list_for_each_entry(fence, &fences, node)
		ret |= fence->pfn == pfn;
	spin_unlock(&fences_lock);
	return ret;
}

/**
 * mu_fence_pass - move what can be moved out of a range, once
 * @start: first page frame; the range has been claimed by mu_range_begin() and
 *	   checked by mu_range_check(), no pageblock of it has reserved pages
 * @end: behind the last one
 *
 * Moves pages as the calling task. Nothing is isolated, held or zeroed when it
 * returns, but for what the fence page cost.
 *
 * Return: -EBUSY when it worked, which does not say that all pages are gone;
 * -ENOENT no page can serve as the fence; -EINTR fatal signal; -ENOMEM nowhere to
 * move pages to; 0 if the kernel took the range in spite of the fence: it has been
 * freed again, and the method is not to be used any more.
 */
int mu_fence_pass(unsigned long start, unsigned long end)
{
	struct fence fence;
	int ret;

	ret = fence_take(start, end, &fence.pfn);
	if (ret < 0)
		return ret;
	fence_remember(&fence);

	ret = mu_alloc_contig_range(start, end);
	fence_forget(&fence);
	if (ret == 0)
		free_contig_range(start, end - start);	/* the fence too */
	else
		free_contig_range(fence.pfn, 1);
	trace_memunplug_evacuate_pass(PFN_PHYS(start), PFN_PHYS(end - start), PFN_PHYS(fence.pfn),
				      ret);
	return ret;
}
