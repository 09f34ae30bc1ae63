// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that would stop a pass are set aside for its time.
 *
 * Migration passes over a page that is not on an LRU list, but ends at one that
 * was on it, was isolated, and then does not move: a file's page with references
 * nobody accounts for, say one in a pipe. To set a page aside is to hold it and to
 * clear its LRU flag: what a page is like that waits in a per-CPU LRU batch. It
 * stays linked to its list; whoever else wants to isolate it passes on.
 *
 * Clean page cache is set aside as well if it is to be kept: alloc_contig_range() does
 * not move such pages, mapped or not, but gives them up. They stay where they are until
 * their block goes offline, which does move them.
 *
 * Which pages these are is said by classify.c and, of those that fail without
 * looking like it, by evacuate.c.
 *
 * Pages that are locked or under writeback are set aside, too: migration would wait for
 * them, where no signal reaches. One that is on no list by now is somebody else's, or
 * has come in since the batches were drained; a pass does not find it, or waits.
 */
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/page_ref.h>
#include <linux/slab.h>

#include "compat.h"
#include "memunplug.h"

struct aside_walk {
	struct mu_aside *aside;
	const struct mu_pass_over *over;
};

/**
 * mu_aside_init - make room
 * @aside: zeroed
 * @more: pages that are known to be set aside: clean page cache, slow ones
 *
 * Return: 0, or -ENOMEM.
 */
int mu_aside_init(struct mu_aside *aside, unsigned long more)
{
	aside->max = MU_ASIDE_MAX + more;
	aside->folio = kvmalloc_array(aside->max, sizeof(*aside->folio), GFP_KERNEL_ACCOUNT);
	return aside->folio ? 0 : -ENOMEM;
}

/**
 * mu_aside_exit - end of mu_aside_init()
 * @aside: with nothing set aside
 */
void mu_aside_exit(struct mu_aside *aside)
{
	kvfree(aside->folio);
}

/**
 * mu_pass_over_pfn - is this one of those that have failed?
 * @over: what is passed over
 * @pfn: the page frame
 *
 * Return: true if so.
 */
bool mu_pass_over_pfn(const struct mu_pass_over *over, unsigned long pfn)
{
	unsigned int i;

	for (i = 0; i < over->n; i++)
		if (over->pfn[i] == pfn)
			return true;
	return false;
}

static bool aside_is_listed(struct page *page)
{
	return folio_test_lru(page_folio(page));
}

/* Takes the page's LRU flag, and a reference so that it stays; false if it has none. */
static bool aside_take(struct mu_aside *aside, struct page *page)
{
	struct folio *folio = page_folio(page);

	if (aside->n == aside->max || !folio_try_get(folio))
		return false;
	/* Not the mlocked: what munlock finds without the flag, it strands. */
	if (page_folio(page) != folio || folio_test_unevictable(folio) ||
	    folio_test_mlocked(folio) || !folio_test_clear_lru(folio)) {
		folio_put(folio);
		return false;
	}
	aside->folio[aside->n++] = folio;
	return true;
}

/* Did it fail to move before, without looking like it? */
static bool aside_failed(const struct mu_page *page, unsigned long pfn,
			 const struct mu_pass_over *over)
{
	return page->class == MEMUNPLUG_CLASS_MOVABLE && mu_pass_over_pfn(over, pfn);
}

/**
 * mu_aside_wants - would this page stop a pass?
 * @page: what it is
 * @pfn: the page frame at which it, or its part in the range, begins
 * @over: pages that did not move before
 *
 * Return: true if it is to be set aside.
 */
bool mu_aside_wants(const struct mu_page *page, unsigned long pfn, const struct mu_pass_over *over)
{
	bool has_mapping = !(page->flags & MEMUNPLUG_PAGE_ANON) ||
			   (page->flags & MEMUNPLUG_PAGE_SWAPCACHE);

	/* Pinned anonymous pages are seen by migration itself. */
	if (page->class == MEMUNPLUG_CLASS_PINNED)
		return has_mapping;
	return page->slow || aside_failed(page, pfn, over) || (over->cache && page->clean_cache);
}

static void aside_page(const struct mu_page *page, unsigned long pfn, unsigned long nr, void *data)
{
	struct aside_walk *walk = data;
	struct mu_aside *aside = walk->aside;

	if (!mu_aside_wants(page, pfn, walk->over) || aside_take(aside, pfn_to_page(pfn)))
		return;
	if (page->slow ? aside_is_listed(pfn_to_page(pfn)) : aside_failed(page, pfn, walk->over))
		aside->behind = pfn + nr;
}

/**
 * mu_aside_collect - set aside what would stop a pass over a range
 * @aside: empty, its behind is 0; what was set aside, and behind what should have been
 *	   and could not
 * @start: first page frame
 * @end: behind the last one
 * @over: pages that did not move before
 *
 * To be followed by mu_aside_return(), also after an error.
 *
 * Return: 0, or -EINTR.
 */
int mu_aside_collect(struct mu_aside *aside, unsigned long start, unsigned long end,
		     const struct mu_pass_over *over)
{
	struct aside_walk data = { .aside = aside, .over = over };
	const struct mu_walk walk = { .page = aside_page, .data = &data, .used_only = true };

	return mu_walk(start, end, &walk);
}

/**
 * mu_aside_return - end of mu_aside_collect()
 * @aside: what was set aside
 */
void mu_aside_return(struct mu_aside *aside)
{
	while (aside->n > 0) {
		struct folio *folio = aside->folio[--aside->n];

		folio_set_lru(folio);
		folio_put(folio);
	}
}
