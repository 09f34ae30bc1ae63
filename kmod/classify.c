// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a page is, seen without locks and without taking references: a reference
 * of ours would make a migration under way fail. Everything is a snapshot that
 * may be wrong a moment later; only words of struct page are read, no mapping or
 * driver behind them. Who counts and reports is survey.c.
 *
 * A page is PINNED if it has more references than its mappings and caches
 * explain. For a page on an LRU list that is exact, but for batches: pages wait
 * in per-CPU batches (to be added, activated, rotated) with one reference more.
 * A page that is not on an LRU list, but mapped or cached, is in such a batch or
 * isolated by somebody, and is granted that one reference. For pages on a list
 * survey.c drains the batches (mu_lru_drain()) when it meets the first excess,
 * and looks again. Pages held by vmsplice() or by direct I/O show either way.
 */
#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "memunplug.h"

/* The largest compound page: gigantic hugetlb. */
#define MU_ORDER_MAX	(PUD_SHIFT - PAGE_SHIFT)

static bool snapshot_has(unsigned long flags, enum pageflags bit)
{
	return flags & BIT(bit);
}

static bool snapshot_in_swapcache(unsigned long flags)
{
	return snapshot_has(flags, PG_swapbacked) && snapshot_has(flags, PG_swapcache);
}

static unsigned long page_mapping_bits(const struct page *page)
{
	return (unsigned long)READ_ONCE(page->mapping);
}

static bool mapping_has_movable_ops(unsigned long mapping)
{
	return (mapping & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_MOVABLE;
}

static bool mapping_is_anon(unsigned long mapping)
{
	return mapping & PAGE_MAPPING_ANON;
}

/* An order read from a page that may be changing: only used if it makes sense. */
static unsigned int order_checked(unsigned long pfn, unsigned long order)
{
	if (order > MU_ORDER_MAX || !IS_ALIGNED(pfn, 1UL << order))
		return 0;
	return order;
}

/* Of a page that PageBuddy() says is free. */
static unsigned int order_free(const struct page *page, unsigned long pfn)
{
	return order_checked(pfn, READ_ONCE(page->private));
}

/* What alloc_contig_range() gives up: see reclaim_clean_pages_from_list() of the kernel. */
static bool page_is_clean_cache(unsigned long flags, unsigned long mapping)
{
	const unsigned long others = BIT(PG_swapbacked) | BIT(PG_dirty) | BIT(PG_unevictable);

	return snapshot_has(flags, PG_lru) && !(flags & others) && mapping &&
	       !(mapping & PAGE_MAPPING_FLAGS);
}

static u32 page_report_flags(unsigned long flags, unsigned long mapping)
{
	u32 ret = 0;

	/* Not a loop over a table: this is done for each used page of a range, time and again. */
	if (snapshot_has(flags, PG_locked))
		ret |= MEMUNPLUG_PAGE_LOCKED;
	if (snapshot_has(flags, PG_writeback))
		ret |= MEMUNPLUG_PAGE_WRITEBACK;
	if (snapshot_has(flags, PG_dirty))
		ret |= MEMUNPLUG_PAGE_DIRTY;
	if (snapshot_has(flags, PG_unevictable))
		ret |= MEMUNPLUG_PAGE_UNEVICTABLE;
	if (snapshot_has(flags, PG_head))
		ret |= MEMUNPLUG_PAGE_COMPOUND;
	if (mapping_is_anon(mapping))
		ret |= MEMUNPLUG_PAGE_ANON;
	if (snapshot_in_swapcache(flags))
		ret |= MEMUNPLUG_PAGE_SWAPCACHE;
	return ret;
}

/* Mappings, and the references that they, the caches and buffers explain. */
static void page_count_expected(struct page *head, unsigned long flags, unsigned long mapping,
				struct mu_page *ret_page)
{
	unsigned long nr = 1UL << ret_page->order;
	int expected;

	if (ret_page->order)
		ret_page->map_count = mu_large_mapcount(head, ret_page->order,
							mapping_is_anon(mapping));
	else
		ret_page->map_count = atomic_read(&head->_mapcount) + 1;
	if (ret_page->map_count < 0)	/* it is a page type */
		ret_page->map_count = 0;

	expected = ret_page->map_count;
	if (snapshot_in_swapcache(flags))
		expected += nr;
	else if (mapping && !mapping_is_anon(mapping))
		expected += nr;
	if (snapshot_has(flags, PG_private))
		expected++;
	if (snapshot_has(flags, PG_private_2) && !mapping_is_anon(mapping))
		expected++;	/* a network filesystem is copying it to its cache */
	ret_page->expected_count = expected;
}

/* What is on an LRU list has no type: memory of processes and files. Most pages are that. */
static bool page_is_listed_only(unsigned long flags)
{
	unsigned long others = BIT(PG_reserved) | BIT(PG_head);

#ifdef CONFIG_MEMORY_FAILURE
	others |= BIT(PG_hwpoison);
#endif
	return (flags & (BIT(PG_lru) | others)) == BIT(PG_lru);
}

static u32 page_class_typed(struct page *head, unsigned long flags, unsigned long mapping)
{
	if (page_is_listed_only(flags))
		return MEMUNPLUG_CLASS_UNKNOWN;
	if (snapshot_has(flags, PG_reserved))
		return MEMUNPLUG_CLASS_RESERVED;
#ifdef CONFIG_MEMORY_FAILURE
	if (snapshot_has(flags, PG_hwpoison))
		return MEMUNPLUG_CLASS_HWPOISON;
#endif
	if (snapshot_has(flags, PG_head) && PageHuge(head))
		return MEMUNPLUG_CLASS_HUGETLB;
	if (PageOffline(head))
		return mapping_has_movable_ops(mapping) ? MEMUNPLUG_CLASS_BALLOON :
							  MEMUNPLUG_CLASS_OFFLINE;
	if (PageTable(head))
		return MEMUNPLUG_CLASS_PAGE_TABLE;
	if (PageSlab(head))
		return MEMUNPLUG_CLASS_SLAB;
	return MEMUNPLUG_CLASS_UNKNOWN;
}

/* A page that has no type of its own: user memory, page cache, or the kernel's. */
static u32 page_class_plain(unsigned long flags, unsigned long mapping, const struct mu_page *page)
{
	int granted = page->expected_count;

	if (page->ref_count == 0)
		return MEMUNPLUG_CLASS_FREE;	/* on a per-CPU list, or in migration */
	if (mapping_has_movable_ops(mapping))
		return MEMUNPLUG_CLASS_MOVABLE;
	if (!snapshot_has(flags, PG_lru)) {
		if (!mapping && !snapshot_in_swapcache(flags) && !page->map_count)
			return MEMUNPLUG_CLASS_KERNEL;
		granted++;
	}
	return page->ref_count > granted ? MEMUNPLUG_CLASS_PINNED : MEMUNPLUG_CLASS_MOVABLE;
}

/* The class, flags and counts of a page that is not free; its order is known. */
static void classify_used(struct page *head, unsigned long flags, struct mu_page *ret_page)
{
	unsigned long mapping = page_mapping_bits(head);
	u32 class;

	ret_page->ref_count = page_ref_count(head);
	ret_page->flags = page_report_flags(flags, mapping);
	class = page_class_typed(head, flags, mapping);
	if (class == MEMUNPLUG_CLASS_UNKNOWN || class == MEMUNPLUG_CLASS_HUGETLB)
		page_count_expected(head, flags, mapping, ret_page);
	if (class == MEMUNPLUG_CLASS_UNKNOWN) {
		if (folio_maybe_dma_pinned((struct folio *)head))
			ret_page->flags |= MEMUNPLUG_PAGE_DMA_PINNED;
		class = page_class_plain(flags, mapping, ret_page);
	}
	ret_page->class = class;
	ret_page->clean_cache = class == MEMUNPLUG_CLASS_MOVABLE &&
				page_is_clean_cache(flags, mapping);
	ret_page->slow = ret_page->flags & (MEMUNPLUG_PAGE_LOCKED | MEMUNPLUG_PAGE_WRITEBACK) &&
			 (class == MEMUNPLUG_CLASS_MOVABLE || class == MEMUNPLUG_CLASS_PINNED) &&
			 !mapping_has_movable_ops(mapping);
}

/**
 * mu_classify - say what a page is
 * @page: any page of an online section; the caller holds mu_memmap_lock()
 * @ret_page: about the free or compound page it belongs to
 */
void mu_classify(struct page *page, struct mu_page *ret_page)
{
	struct page *head;
	unsigned long flags;

	*ret_page = (struct mu_page) { .pfn = page_to_pfn(page) };
	if (PageBuddy(page)) {
		ret_page->class = MEMUNPLUG_CLASS_FREE;
		ret_page->order = order_free(page, ret_page->pfn);
		return;
	}

	head = compound_head(page);
	flags = READ_ONCE(head->flags);
	if (head != page || snapshot_has(flags, PG_head)) {
		unsigned long pfn = page_to_pfn(head);
		unsigned int order = snapshot_has(flags, PG_head) ?
					     order_checked(pfn, compound_order(head)) : 0;

		if (pfn + (1UL << order) > ret_page->pfn) {
			ret_page->pfn = pfn;
			ret_page->order = order;
		} else {	/* torn apart while we looked: it is what it is by itself */
			head = page;
			flags = READ_ONCE(page->flags);
		}
	}
	classify_used(head, flags, ret_page);
}

/**
 * mu_pfn_is_slow - is a page locked or under writeback?
 * @pfn: any page frame
 *
 * Return: true if so; false also if it is gone.
 */
bool mu_pfn_is_slow(unsigned long pfn)
{
	struct mu_page page = {};
	struct page *p;

	mu_memmap_lock();
	p = pfn_to_online_page(pfn);
	if (p)
		mu_classify(p, &page);
	mu_memmap_unlock();
	return page.slow;
}

/* The largest free page: up to 6.3 MAX_ORDER is one more, later one less is still right. */
#ifdef MAX_PAGE_ORDER
#define MU_FREE_ORDER_MAX	MAX_PAGE_ORDER
#else
#define MU_FREE_ORDER_MAX	(MAX_ORDER - 1)
#endif

/*
 * Behind a page of this order: a free one may reach over the end (never into a hole, nor
 * @limit). One entered in its middle would be looked at frame by frame: only its head is
 * marked.
 */
static unsigned long walk_behind(unsigned long pfn, unsigned int order, bool free,
				 unsigned long end, unsigned long limit)
{
	return min(free && order <= MU_FREE_ORDER_MAX ? limit : end, pfn + (1UL << order));
}

/*
 * Pages of one subsection, the unit in which memory comes and goes. Returns where
 * to go on.
 */
static unsigned long walk_subsection(unsigned long pfn, unsigned long end, unsigned long limit,
				     const struct mu_walk *walk)
{
	struct mu_page page;
	unsigned long next;

	mu_memmap_lock();
	if (!pfn_to_online_page(pfn)) {
		mu_memmap_unlock();
		if (walk->hole)
			walk->hole(end - pfn, walk->data);
		return end;
	}
	for (; pfn < end; pfn = next) {
		struct page *p = pfn_to_page(pfn);

		if (walk->used_only && PageBuddy(p)) {
			next = walk_behind(pfn, order_free(p, pfn), true, end, limit);
			continue;
		}
		mu_classify(p, &page);
		next = walk_behind(page.pfn, page.order, page.class == MEMUNPLUG_CLASS_FREE, end,
				   limit);
		walk->page(&page, pfn, next - pfn, walk->data);
	}
	mu_memmap_unlock();
	return pfn;
}

/**
 * mu_walk - look at each page of a range
 * @start: first page frame
 * @end: behind the last one
 * @walk: what to do with them
 *
 * A compound page that reaches over a subsection comes in parts.
 *
 * Return: 0, or -EINTR.
 */
int mu_walk(unsigned long start, unsigned long end, const struct mu_walk *walk)
{
	unsigned long next;

	while (start < end) {
		next = min(end, ALIGN(start + 1, PAGES_PER_SUBSECTION));
		if (fatal_signal_pending(current))
			return -EINTR;
		if (walk->any_signal && signal_pending(current))
			return -EINTR;
		start = walk_subsection(start, next, end, walk);
		cond_resched();
	}
	return 0;
}
