/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a pageblock is for, which the kernel exports no function to ask about.
 */
#ifndef MEMUNPLUG_PAGEBLOCK_H
#define MEMUNPLUG_PAGEBLOCK_H

#include <linux/mmzone.h>
#include <linux/pageblock-flags.h>

#include "compat.h"

/*
 * The bits of the pageblock of @pfn. get_pfnblock_flags_mask() is not exported; they
 * are where the section keeps them. The caller knows that the memory map of @pfn is
 * there.
 */
static inline unsigned long mu_pageblock_bits(unsigned long pfn)
{
	unsigned long *map = section_to_usemap(__pfn_to_section(pfn));
	unsigned long bit = ((pfn & (PAGES_PER_SECTION - 1)) >> pageblock_order) *
			    NR_PAGEBLOCK_BITS;

	return READ_ONCE(map[bit / BITS_PER_LONG]) >> (bit % BITS_PER_LONG);
}

/* Is the pageblock of @pfn isolated? Since about 6.17 isolation is a bit of its own. */
static inline bool mu_pageblock_isolated(unsigned long pfn)
{
#ifdef MEMUNPLUG_HAVE_ISOLATE_BIT
	return mu_pageblock_bits(pfn) & BIT(PB_migrate_isolate);
#else
	return (mu_pageblock_bits(pfn) & MIGRATETYPE_MASK) == MIGRATE_ISOLATE;
#endif
}

/* Is the pageblock of @pfn part of a CMA area? */
static inline bool mu_pageblock_cma(unsigned long pfn)
{
#ifdef CONFIG_CMA
	return (mu_pageblock_bits(pfn) & MIGRATETYPE_MASK) == MIGRATE_CMA;
#else
	return false;
#endif
}

#endif /* MEMUNPLUG_PAGEBLOCK_H */
