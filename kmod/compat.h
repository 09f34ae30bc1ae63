/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels we build for, each named for the feature.
 * Kbuild asks the headers and defines MEMUNPLUG_HAVE_...; nothing outside this
 * file looks at the kernel's version.
 */
#ifndef MEMUNPLUG_COMPAT_H
#define MEMUNPLUG_COMPAT_H

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page-flags.h>
#include <linux/version.h>

/*
 * The fence rests on how alloc_contig_range() works inside. The self-test finds
 * out if it still does, but a kernel nobody has read and tried is not guessed at.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "memunplug needs Linux 6.1 or later"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0) && !defined(MEMUNPLUG_ANY_KERNEL)
#error "memunplug is tested up to Linux 6.12; -DMEMUNPLUG_ANY_KERNEL builds it all the same"
#endif

/*
 * alloc_contig_range() takes allocation flags instead of a migrate type since
 * about 6.16; none of them is wanted. Goes when older kernels go.
 */
static inline int mu_alloc_contig_range(unsigned long start, unsigned long end)
{
#ifdef MEMUNPLUG_HAVE_ACR_FLAGS
	return alloc_contig_range(start, end, 0, GFP_KERNEL | __GFP_NOWARN);
#else
	return alloc_contig_range(start, end, MIGRATE_MOVABLE, GFP_KERNEL | __GFP_NOWARN);
#endif
}

/*
 * Pages that wait in per-CPU batches for their LRU list hold one reference more.
 * lru_add_drain_all() is not exported, but shake_page() (shake_folio() since
 * 6.10) is, and does no more than that for a page that is neither slab nor
 * hugetlb: the zero page is such a page, and never goes away. Without memory
 * failure handling neither exists, and counts of pinned pages are too high by
 * what stands in the batches: at most 15 pages for each CPU and kind of batch.
 */
static inline void mu_lru_drain(void)
{
#if IS_ENABLED(CONFIG_MEMORY_FAILURE) && defined(MEMUNPLUG_HAVE_SHAKE_FOLIO)
	shake_folio(page_folio(ZERO_PAGE(0)));
#elif IS_ENABLED(CONFIG_MEMORY_FAILURE) && defined(MEMUNPLUG_HAVE_SHAKE_PAGE)
	shake_page(ZERO_PAGE(0));
#endif
}

/*
 * Mappings of a compound page of the given order, a racy sum. Since 6.10 the
 * folio has the total; folio_mapcount() of 6.1 is not exported, and like it this
 * adds up what the pages say. Each mapping, by PTE or PMD, holds one reference.
 */
static inline int mu_large_mapcount(struct page *head, unsigned int order, bool anon)
{
#ifdef MEMUNPLUG_HAVE_LARGE_MAPCOUNT
	return atomic_read(&((struct folio *)head)->_large_mapcount) + 1;
#else
	int entire = atomic_read(compound_mapcount_ptr(head)) + 1;
	int nr = 1 << order;
	int sum = entire;
	int i;

	if (PageHuge(head))
		return entire;
	for (i = 0; i < nr; i++)
		sum += atomic_read(&head[i]._mapcount) + 1;
	if (!anon)
		return sum - entire * nr;
	return PageDoubleMap(head) ? sum - nr : sum;
#endif
}

#endif /* MEMUNPLUG_COMPAT_H */
