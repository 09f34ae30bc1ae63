// SPDX-License-Identifier: GPL-2.0-only
/*
 * EVACUATE: which passes of the fence empty a range, and when to stop.
 *
 * One pass over the whole range moves every page once, as a rule. Migration ends
 * early at a page that has been isolated but will not move (a pinned page of a
 * file, one that is busy), with all behind it not yet moved: the next pass begins
 * at the first movable page that is left, and behind it if that is the one that
 * fails. What came in meanwhile gets a second pass, not a third: whoever takes the
 * memory offline next moves a few pages, too.
 *
 * A page that somebody keeps locked makes migration wait, and no signal ends that.
 * A survey shows such pages beforehand; to begin all the same is up to user space.
 */
#include <linux/mm.h>
#include <linux/overflow.h>

#include "compat.h"
#include "memunplug.h"
#define CREATE_TRACE_POINTS
#include "memunplug_trace.h"

#define EVACUATE_PASSES_MAX	64
#define EVACUATE_STRAY_PASSES	1

/* An evacuation under way. */
struct evacuation {
	unsigned long start;
	unsigned long end;
	unsigned long from;	/* all before it has been worked through */
	unsigned long tried;	/* first movable page when the last pass began */
	unsigned long stuck;	/* pageblock of the last page that failed */
	unsigned int strays;	/* passes left for pages that came in meanwhile */
	unsigned int passes;
};

static int evacuate_check(const struct memunplug_evacuate *in)
{
	const u64 mask = PFN_PHYS(pageblock_nr_pages) - 1;
	u64 end;

	if (in->flags || in->reserved)
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
 * The part of [from, end) that the next pass can close: a pageblock with reserved
 * pages cannot be isolated, and the pass goes up to it, or begins behind it.
 */
static unsigned long evacuate_segment(struct evacuation *ev, const struct mu_tally *tally)
{
	unsigned long block;

	if (tally->first_reserved == MU_NO_PFN)
		return ev->end;
	block = ALIGN_DOWN(tally->first_reserved, pageblock_nr_pages);
	if (block > ev->from)
		return block;
	ev->from = block + pageblock_nr_pages;
	return 0;
}

/* Goes on behind a page that was there before the last pass and still is. */
static void evacuate_skip(struct evacuation *ev, const struct mu_tally *tally)
{
	unsigned long block = ALIGN_DOWN(tally->first_movable, pageblock_nr_pages);

	/* The second one of its pageblock: leave the rest of that alone. */
	if (block == ev->stuck)
		ev->from = block + pageblock_nr_pages;
	else
		ev->from = tally->first_movable_end;
	ev->stuck = block;
	ev->tried = MU_NO_PFN;
}

static int evacuate_pass(struct evacuation *ev, unsigned long end)
{
	u32 state;
	int ret, error;

	ret = mu_range_check_isolated(ALIGN_DOWN(ev->from, pageblock_nr_pages), end);
	if (ret < 0)
		return ret;
	ret = mu_fence_pass(ev->from, end);
	ev->passes++;
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
 * One step: looks at what is left behind @ev->from, and either makes a pass, or
 * moves @ev->from on. Returns 1 if there is more to do.
 */
static int evacuate_step(struct evacuation *ev, struct mu_tally *tally)
{
	unsigned long before = tally->movable, end;
	int ret;

	if (ev->tried != MU_NO_PFN) {
		if (tally->first_movable == ev->tried) {
			evacuate_skip(ev, tally);
			goto look;
		}
		if (ev->from != tally->first_movable) {
			ev->from = tally->first_movable;
			if (tally->first_reserved != MU_NO_PFN) {
				ev->tried = MU_NO_PFN;
				goto look;
			}
		}
	}

	end = evacuate_segment(ev, tally);
	if (!end)
		goto look;
	ev->tried = tally->first_movable;
	ret = evacuate_pass(ev, end);
	if (ret == -ENOENT) {	/* nothing of it can move */
		ev->from = end;
		ev->tried = MU_NO_PFN;
		goto look;
	}
	if (ret < 0)
		return ret;
	ret = mu_tally(ev->from, ev->end, tally);
	if (ret < 0)
		return ret;
	/* Nearly all went: it was not stopped, these are strays. */
	if (tally->movable <= before / 4 && end == ev->end && tally->movable && !ev->strays--)
		return 0;
	return 1;
look:
	if (ev->from >= ev->end) {
		tally->movable = 0;
		return 0;
	}
	ret = mu_tally(ev->from, ev->end, tally);
	return ret < 0 ? ret : 1;
}

static int evacuate_run(struct evacuation *ev, struct mu_tally *tally)
{
	int ret = 1;

	while (ret > 0 && tally->movable && ev->passes < EVACUATE_PASSES_MAX)
		ret = evacuate_step(ev, tally);
	return ret < 0 ? ret : 0;
}

/*
 * All passes that the range needs; *@tally is what is left at the end.
 */
static int evacuate_range(struct evacuation *ev, struct mu_tally *tally)
{
	int ret;

	ret = evacuate_run(ev, tally);
	if (ret < 0)
		return ret;
	return mu_tally(ev->start, ev->end, tally);
}

static u64 pfn_to_address(unsigned long pfn)
{
	return pfn == MU_NO_PFN ? MEMUNPLUG_NONE : PFN_PHYS(pfn);
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
	ret = mu_tally(ev->start, ev->end, &tally);
	if (ret < 0)
		return ret;

	used = PFN_PHYS(tally.used);
	trace_memunplug_evacuate_begin(evacuate->start, evacuate->size, used);
	if (tally.used)
		ret = evacuate_range(ev, &tally);
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
	struct evacuation ev = { .tried = MU_NO_PFN, .stuck = MU_NO_PFN };
	struct mu_range range;
	int ret;

	ret = evacuate_check(evacuate);
	if (ret < 0)
		return ret;
	ret = evacuate_allowed();
	if (ret < 0)
		return ret;

	ev.start = PHYS_PFN(evacuate->start);
	ev.end = ev.start + PHYS_PFN(evacuate->size);
	ev.from = ev.start;
	ev.strays = EVACUATE_STRAY_PASSES;
	ret = mu_range_begin(&range, ev.start, ev.end);
	if (ret < 0)
		return ret;
	ret = evacuate_claimed(evacuate, &ev);
	mu_range_end(&range);
	return ret;
}
