// SPDX-License-Identifier: GPL-2.0-only
/*
 * EVACUATE: which passes of the fence empty a range, and when to stop.
 *
 * One pass over the whole range moves every page once, as a rule. Migration ends
 * early at a page that has been isolated but will not move, with all behind it not
 * yet moved. Pages that are seen to be held are set aside before (aside.c); one that
 * is first of the movable pages before a pass and after it has failed, and is set
 * aside in the next. Passes go over the whole range again, because what is outside
 * of a pass is where the kernel moves the pages of that pass to. Only behind pages
 * that cannot be set aside, or isolated at all, a pass begins later.
 *
 * Hugetlb pages get one pass: they move to free ones of their pool, and those may
 * be in the same range. What came in meanwhile gets a second pass, not a third, and
 * none if it is little: closing the range costs as much as moving a few pages for
 * each pageblock, and whoever takes the memory offline next moves those, too.
 *
 * What moves is not all: alloc_contig_range() gives up clean page cache. If that is to
 * be kept, passes leave it where it is (aside.c), and it is no reason for another pass.
 *
 * A page that somebody keeps locked, or that a device does not write, makes migration
 * wait, and no signal ends that. Such pages are set aside, too; when all others are gone
 * they get a moment, and those that are through by then a pass of their own. What is
 * left is for user space to try again, or to report.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "memunplug.h"
#define CREATE_TRACE_POINTS
#include "memunplug_trace.h"

#define EVACUATE_PASSES_MAX	64
#define EVACUATE_STRAY_PASSES	1
/* Passes in a row that moved nothing: pages fail one by one, or the range does. */
#define EVACUATE_FRUITLESS_MAX	16
/* How long slow pages are given, all together, and between two looks. */
#define EVACUATE_WAIT_MSEC	1000
#define EVACUATE_LOOK_MSEC	4

/* An evacuation under way. */
struct evacuation {
	unsigned long start;
	unsigned long end;
	unsigned long from;	/* where passes begin */
	unsigned long tried;	/* first movable page when the last pass began */
	unsigned int strays;	/* passes left for pages that came in meanwhile */
	unsigned int passes;
	unsigned long patience;	/* until then (jiffies) slow pages are given time */
	bool waited;		/* patience has been set */
	struct mu_pass_over over;
	struct mu_aside aside;
};

static int evacuate_check(const struct memunplug_evacuate *in)
{
	const u64 mask = PFN_PHYS(pageblock_nr_pages) - 1;
	u64 end;

	if (in->flags & ~MEMUNPLUG_EVACUATE_KEEP_CACHE || in->reserved)
		return -EINVAL;
	if (!in->size || (in->start & mask) || (in->size & mask))
		return -EINVAL;
	if (check_add_overflow(in->start, in->size, &end))
		return -EINVAL;
	return 0;
}

/* A verdict on the fence, by trying it now if that has not been possible before. */
static int evacuate_allowed(void)
{
	u32 state;
	int error;

	mu_selftest_run();
	mu_selftest_get(&state, &error);
	return state == MEMUNPLUG_SELFTEST_FAILED ? -EOPNOTSUPP : 0;
}

/*
 * The end of what the next pass can close: a pageblock with reserved pages, or with
 * pages that their driver took out of use, cannot be isolated. The pass goes up to it
 * or, if it is the first, @ev->from goes on behind it and there is no pass (0).
 */
static unsigned long evacuate_segment(struct evacuation *ev, const struct mu_tally *tally)
{
	unsigned long block;

	if (tally->first_reserved == MU_NO_PFN)
		return ev->end;
	block = ALIGN_DOWN(tally->first_reserved, pageblock_nr_pages);
	if (block > ev->from && tally->first_movable < block)
		return block;
	ev->from = block + pageblock_nr_pages;
	return 0;
}

/* The first movable page did not move: pass over it, or begin behind it. */
static void evacuate_failed(struct evacuation *ev, const struct mu_tally *tally)
{
	if (ev->over.n < MU_PASS_OVER_MAX)
		ev->over.pfn[ev->over.n++] = tally->first_movable;
	else
		ev->from = tally->first_movable_end;
}

/* Only what the tally saw just now, by looking at the same pages, would stop a pass. */
static int evacuate_pass(struct evacuation *ev, unsigned long end, const struct mu_tally *tally)
{
	u32 state;
	int ret, error;

	ret = mu_range_check_isolated(ALIGN_DOWN(ev->from, pageblock_nr_pages), end);
	if (ret < 0)
		return ret;
	if (tally->aside)
		ret = mu_aside_collect(&ev->aside, ev->from, end, &ev->over);
	if (ret < 0 || ev->aside.behind) {
		mu_aside_return(&ev->aside);
		ev->from = max(ev->from, ev->aside.behind);
		ev->aside.behind = 0;
		return ret;
	}
	ret = mu_fence_pass(ev->from, end);
	mu_aside_return(&ev->aside);
	ev->passes++;
	ev->over.hugetlb = true;
	if (ret == 0) {
		mu_selftest_set(MEMUNPLUG_SELFTEST_FAILED, -EEXIST);
		return -EOPNOTSUPP;
	}
	if (ret != -EBUSY)
		return ret;
	mu_selftest_get(&state, &error);
	if (state == MEMUNPLUG_SELFTEST_PENDING)
		mu_selftest_set(MEMUNPLUG_SELFTEST_PASSED, 0);
	return 0;
}

/*
 * One step by the tally of [@ev->from, @ev->end): a pass, or a decision that the
 * next one will be another. Returns 1 if there may be more to do.
 */
static int evacuate_step(struct evacuation *ev, const struct mu_tally *tally)
{
	unsigned long end;
	int ret;

	if (tally->first_movable == ev->tried) {
		evacuate_failed(ev, tally);
		ev->tried = MU_NO_PFN;
		return 1;
	}
	end = evacuate_segment(ev, tally);
	if (!end)
		return 1;
	/* Those that are new to the cache wait in batches, where they cannot be set aside. */
	if (tally->slow)
		mu_lru_drain();
	ret = evacuate_pass(ev, end, tally);
	ev->tried = tally->first_movable;
	if (ret == -ENOENT) {	/* nothing of it can move */
		ev->from = end;
		ret = 0;
	}
	return ret < 0 ? ret : 1;
}

/* Nearly all went: the pass was not stopped, these are strays. Shall they stay? */
static bool evacuate_is_enough(struct evacuation *ev, const struct mu_tally *tally,
			       unsigned long before)
{
	if (tally->movable > before / 4)
		return false;
	if (tally->movable < (ev->end - ev->start) / pageblock_nr_pages)
		return true;
	return !ev->strays--;
}

/* The passes that it takes to move what is not slow; @tally is of [@ev->from, @ev->end). */
static int evacuate_range(struct evacuation *ev, struct mu_tally *tally)
{
	unsigned int passes, fruitless = 0;
	unsigned long before;
	int ret;

	while (tally->movable && ev->from < ev->end && ev->passes < EVACUATE_PASSES_MAX &&
	       fruitless < EVACUATE_FRUITLESS_MAX) {
		passes = ev->passes;
		before = tally->movable;
		ret = evacuate_step(ev, tally);
		if (ret < 0)
			return ret;
		ret = mu_tally(ev->from, ev->end, &ev->over, tally);
		if (ret < 0)
			return ret;
		if (ev->passes == passes)
			continue;
		if (evacuate_is_enough(ev, tally, before))
			break;
		fruitless = tally->movable < before ? 0 : fruitless + 1;
	}
	return 0;
}

/* Until a page is not slow any more, or patience is over: 1 or 0. */
static int evacuate_wait(struct evacuation *ev, unsigned long pfn)
{
	if (!ev->waited)
		ev->patience = jiffies + msecs_to_jiffies(EVACUATE_WAIT_MSEC);
	ev->waited = true;
	while (mu_pfn_is_slow(pfn)) {
		if (time_after(jiffies, ev->patience))
			return 0;
		schedule_timeout_killable(msecs_to_jiffies(EVACUATE_LOOK_MSEC));
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 1;
}

/*
 * What moves at once, then the slow ones, as far as they are through in time. While the
 * first of them is waited for, others get through: a last look is for them. Few are left
 * to whoever takes the memory offline, as strays are.
 */
static int evacuate_all(struct evacuation *ev, struct mu_tally *tally)
{
	bool more = true;
	int ret;

	for (;;) {
		if (!ev->waited || tally->movable >= (ev->end - ev->start) / pageblock_nr_pages) {
			ret = evacuate_range(ev, tally);
			if (ret < 0)
				return ret;
		}
		if (!tally->slow || !more)
			break;
		ret = evacuate_wait(ev, tally->first_slow);
		if (ret < 0)
			return ret;
		more = ret;
		ret = mu_tally(ev->from, ev->end, &ev->over, tally);
		if (ret < 0)
			return ret;
	}
	return mu_tally(ev->start, ev->end, NULL, tally);
}

static u64 pfn_to_address(unsigned long pfn)
{
	return pfn == MU_NO_PFN ? MEMUNPLUG_NONE : PFN_PHYS(pfn);
}

/* The passes, if there is anything to do for them. @tally is brought up to date. */
static int evacuate_work(struct evacuation *ev, struct mu_tally *tally)
{
	int ret;

	if (!tally->used)
		return 0;
	ret = mu_aside_init(&ev->aside, tally->slow + (ev->over.cache ? tally->cache : 0));
	if (ret < 0)
		return ret;
	ret = evacuate_all(ev, tally);
	mu_aside_exit(&ev->aside);
	return ret;
}

static int evacuate_claimed(struct memunplug_evacuate *evacuate, struct evacuation *ev)
{
	struct mu_tally tally;
	u64 used;
	int ret;

	ret = mu_range_check(ev->start, ev->end);
	if (ret < 0)
		return ret;
	ret = mu_range_check_isolated(ev->start, ev->end);
	if (ret < 0)
		return ret;
	ret = mu_tally(ev->start, ev->end, &ev->over, &tally);
	if (ret < 0)
		return ret;

	used = PFN_PHYS(tally.used);
	trace_memunplug_evacuate_begin(evacuate->start, evacuate->size, used);
	ret = evacuate_work(ev, &tally);
	trace_memunplug_evacuate_end(evacuate->start, evacuate->size, PFN_PHYS(tally.used),
				     ev->passes, ret);
	if (ret < 0)
		return ret;
	evacuate->used_before = used;
	evacuate->used_after = PFN_PHYS(tally.used);
	evacuate->first_left = pfn_to_address(tally.first_used);
	evacuate->passes = ev->passes;
	evacuate->reserved2 = 0;
	return 0;
}

/**
 * mu_evacuate - empty a range of ZONE_MOVABLE
 * @evacuate: the request as it came from user space, and the answer
 *
 * Moves pages as the calling task, and blocks meanwhile; ends early on a fatal
 * signal. Changes nothing but where pages are.
 *
 * Return: 0 or a negative errno as documented in the uapi header.
 */
int mu_evacuate(struct memunplug_evacuate *evacuate)
{
	struct evacuation *ev;
	struct mu_range range;
	int ret;

	ret = evacuate_check(evacuate);
	if (ret < 0)
		return ret;
	ret = evacuate_allowed();
	if (ret < 0)
		return ret;

	ev = kvzalloc(sizeof(*ev), GFP_KERNEL_ACCOUNT);
	if (!ev)
		return -ENOMEM;
	ev->start = PHYS_PFN(evacuate->start);
	ev->end = ev->start + PHYS_PFN(evacuate->size);
	ev->from = ev->start;
	ev->tried = MU_NO_PFN;
	ev->strays = EVACUATE_STRAY_PASSES;
	ev->over.cache = evacuate->flags & MEMUNPLUG_EVACUATE_KEEP_CACHE;
	ret = mu_range_begin(&range, ev->start, ev->end);
	if (!ret) {
		ret = evacuate_claimed(evacuate, ev);
		mu_range_end(&range);
	}
	kvfree(ev);
	return ret;
}
