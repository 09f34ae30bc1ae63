// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts: the survey that user space asks for, with a list of the pages in the
 * way, and the tally an evacuation works by. Nothing here changes memory, but
 * that a survey may flush the per-CPU LRU batches once. What a page is, is said
 * by classify.c.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "memunplug.h"

#define SURVEY_SIZE_MAX		(2ULL << 30)
#define SURVEY_PAGES_MAX	4096
/* So many suspicious pages get a moment before the second look; then it is a fact. */
#define SURVEY_WAITS_MAX	1024
#define SURVEY_WAIT_USEC	2

/* A survey under way: the answer, and the list before it goes to user space. */
struct survey {
	struct memunplug_survey *out;
	struct memunplug_page *list;
	u32 list_size;
	u64 walked_bytes;	/* of the pages that were looked at: not of most free ones */
	unsigned int waits;
	bool drained;
};

/*
 * Pages in migration, just allocated, or in an LRU batch look like held ones.
 * Give them a moment and look again. Outside of ZONE_MOVABLE the kernel's own pages
 * are no surprise, and no moment makes them go.
 */
static void survey_look_again(struct survey *survey, unsigned long pfn, struct mu_page *page)
{
	if (page->class != MEMUNPLUG_CLASS_PINNED && !is_zone_movable_page(pfn_to_page(pfn)))
		return;
	if (!survey->drained) {
		survey->drained = true;
		mu_lru_drain();
	} else if (survey->waits < SURVEY_WAITS_MAX) {
		survey->waits++;
		udelay(SURVEY_WAIT_USEC);
	}
	mu_classify(pfn_to_page(pfn), page);
}

/* May this be a page caught at a bad moment, so that a second look is worth it? */
static bool survey_suspicious(u32 class)
{
	return class == MEMUNPLUG_CLASS_PINNED || class == MEMUNPLUG_CLASS_KERNEL ||
	       class == MEMUNPLUG_CLASS_UNKNOWN;
}

/* What the page is at a second look, if that is still the same page; or at the first. */
static void survey_settle(struct survey *survey, unsigned long pfn, struct mu_page *page)
{
	struct mu_page again = *page;

	survey_look_again(survey, pfn, &again);
	/* Another page by now: what is known of it holds for one frame. */
	if (again.pfn == page->pfn && again.order == page->order)
		*page = again;
	if (page->class == MEMUNPLUG_CLASS_KERNEL &&
	    is_zone_movable_page(pfn_to_page(pfn)) && mu_fence_is(pfn))
		page->class = MEMUNPLUG_CLASS_FREE;
}

static bool survey_in_the_way(const struct survey *survey, const struct mu_page *page)
{
	switch (page->class) {
	case MEMUNPLUG_CLASS_MOVABLE:
		return page->slow && survey->out->flags & MEMUNPLUG_SURVEY_HELD;
	case MEMUNPLUG_CLASS_FREE:
	case MEMUNPLUG_CLASS_BALLOON:
	case MEMUNPLUG_CLASS_OFFLINE:
		return false;
	case MEMUNPLUG_CLASS_HUGETLB:
		return page->ref_count > 0;
	default:
		return true;
	}
}

/* What the page is called in the list: what keeps a movable one is no class that is counted. */
static u32 survey_class(const struct mu_page *page)
{
	if (page->class != MEMUNPLUG_CLASS_MOVABLE)
		return page->class;
	return page->flags & MEMUNPLUG_PAGE_WRITEBACK ? MEMUNPLUG_CLASS_WRITEBACK :
							MEMUNPLUG_CLASS_LOCKED;
}

static void survey_list(struct survey *survey, const struct mu_page *page, unsigned long pfn)
{
	struct memunplug_survey *out = survey->out;

	/* A compound page is listed where it, or its part in the range, begins. */
	if (pfn != page->pfn && pfn != PHYS_PFN(out->start))
		return;
	out->total_blockers++;
	if (out->n_pages >= survey->list_size)
		return;
	survey->list[out->n_pages++] = (struct memunplug_page) {
		.address = PFN_PHYS(page->pfn),
		.class = survey_class(page),
		.flags = page->flags,
		.ref_count = page->ref_count,
		.map_count = page->map_count,
		.expected_count = page->expected_count,
		.order = page->order,
	};
}

static void survey_page(const struct mu_page *page, unsigned long pfn, unsigned long nr,
			void *data)
{
	struct survey *survey = data;
	struct memunplug_survey *out = survey->out;
	struct mu_page settled;
	u64 bytes = PFN_PHYS(nr);

	if (survey_suspicious(page->class)) {
		settled = *page;
		survey_settle(survey, pfn, &settled);
		page = &settled;
	}

	out->bytes[page->class] += bytes;
	survey->walked_bytes += bytes;
	if (page->class == MEMUNPLUG_CLASS_MOVABLE) {
		if (page->flags & MEMUNPLUG_PAGE_LOCKED)
			out->locked_bytes += bytes;
		if (page->flags & MEMUNPLUG_PAGE_WRITEBACK)
			out->writeback_bytes += bytes;
	}
	if (survey_in_the_way(survey, page))
		survey_list(survey, page, pfn);
}

static void survey_hole(unsigned long nr, void *data)
{
	struct survey *survey = data;

	survey->out->hole_bytes += PFN_PHYS(nr);
}

static int survey_check(const struct memunplug_survey *in)
{
	u64 end;

	if (in->flags & ~MEMUNPLUG_SURVEY_HELD)
		return -EINVAL;
	if (!in->size || in->size > SURVEY_SIZE_MAX)
		return -EINVAL;
	if (!PAGE_ALIGNED(in->start) || !PAGE_ALIGNED(in->size))
		return -EINVAL;
	if (check_add_overflow(in->start, in->size, &end))
		return -EINVAL;
	if (in->max_pages > SURVEY_PAGES_MAX)
		return -EINVAL;
	return 0;
}

/**
 * mu_survey - count the pages of a range, list those in the way
 * @out: the request as it came from user space; the answer is written to it, and
 *	 the list to where it points
 *
 * Return: 0; -EINVAL, -EINTR, -EFAULT, -ENOMEM.
 */
int mu_survey(struct memunplug_survey *out)
{
	struct survey survey = { .out = out, .list_size = out->pages ? out->max_pages : 0 };
	const struct mu_walk walk = {
		.page = survey_page, .hole = survey_hole, .data = &survey,
		.any_signal = true, .used_only = true,
	};
	unsigned long start = PHYS_PFN(out->start);
	int ret;

	ret = survey_check(out);
	if (ret < 0)
		return ret;
	out->n_pages = 0;
	out->reserved = 0;
	memset(out->bytes, 0, sizeof(out->bytes));
	out->locked_bytes = 0;
	out->writeback_bytes = 0;
	out->hole_bytes = 0;
	out->total_blockers = 0;

	if (survey.list_size) {
		survey.list = kvcalloc(survey.list_size, sizeof(*survey.list), GFP_KERNEL_ACCOUNT);
		if (!survey.list)
			return -ENOMEM;
	}
	ret = mu_walk(start, start + PHYS_PFN(out->size), &walk);
	out->bytes[MEMUNPLUG_CLASS_FREE] += out->size - out->hole_bytes - survey.walked_bytes;
	if (!ret && out->n_pages &&
	    copy_to_user(u64_to_user_ptr(out->pages), survey.list,
			 array_size(out->n_pages, sizeof(*survey.list))))
		ret = -EFAULT;
	kvfree(survey.list);
	return ret;
}

/* A tally under way. */
struct tally {
	struct mu_tally *out;
	const struct mu_pass_over *over;
};

static bool tally_moves(const struct tally *tally, const struct mu_page *page, unsigned long pfn)
{
	if (tally->over && (page->slow || (tally->over->cache && page->clean_cache)))
		return false;
	switch (page->class) {
	case MEMUNPLUG_CLASS_MOVABLE:
	case MEMUNPLUG_CLASS_BALLOON:
		return !tally->over || !mu_pass_over_pfn(tally->over, pfn);
	case MEMUNPLUG_CLASS_HUGETLB:
		return !tally->over || !tally->over->hugetlb;
	default:
		return false;
	}
}

static void tally_page(const struct mu_page *page, unsigned long pfn, unsigned long nr,
		       void *data)
{
	struct tally *tally = data;
	struct mu_tally *out = tally->out;

	if (page->class == MEMUNPLUG_CLASS_FREE)
		return;
	out->used += nr;
	if (out->first_used == MU_NO_PFN)
		out->first_used = pfn;
	if ((page->class == MEMUNPLUG_CLASS_RESERVED || page->class == MEMUNPLUG_CLASS_OFFLINE) &&
	    out->first_reserved == MU_NO_PFN)
		out->first_reserved = pfn;
	if (page->clean_cache)
		out->cache += nr;
	if (page->slow) {
		out->slow += nr;
		if (out->first_slow == MU_NO_PFN)
			out->first_slow = pfn;
	}
	if (tally->over && mu_aside_wants(page, pfn, tally->over))
		out->aside += nr;
	if (!tally_moves(tally, page, pfn))
		return;
	out->movable += nr;
	if (out->first_movable == MU_NO_PFN) {
		out->first_movable = pfn;
		out->first_movable_end = pfn + nr;
	}
}

/**
 * mu_tally - count what an evacuation has to do
 * @start: first page frame
 * @end: behind the last one
 * @over: pages not to be counted as movable, nor are slow ones then, or NULL; without
 *	  it none is counted as to be set aside
 * @ret_tally: the counts
 *
 * Return: 0, or -EINTR if a fatal signal is pending.
 */
int mu_tally(unsigned long start, unsigned long end, const struct mu_pass_over *over,
	     struct mu_tally *ret_tally)
{
	struct mu_tally out = {
		.first_used = MU_NO_PFN,
		.first_movable = MU_NO_PFN,
		.first_reserved = MU_NO_PFN,
		.first_slow = MU_NO_PFN,
	};
	struct tally tally = { .out = &out, .over = over };
	const struct mu_walk walk = { .page = tally_page, .data = &tally, .used_only = true };
	int ret;

	ret = mu_walk(start, end, &walk);
	if (ret < 0)
		return ret;
	*ret_tally = out;
	return 0;
}
