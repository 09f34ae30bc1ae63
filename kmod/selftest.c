// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does the fence work on this kernel? Tried on a few pageblocks of ZONE_MOVABLE
 * that are mostly free, at load or, if there are none then, before the first
 * evacuation. The verdict is kept here; who obeys it is evacuate.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "memunplug.h"

#define SELFTEST_PAGEBLOCKS	4
/* Ranges looked at before we say that there is none, and ranges tried. */
#define SELFTEST_SEARCH_MAX	1024
#define SELFTEST_TRIES_MAX	4

static DEFINE_MUTEX(selftest_lock);	/* one at a time */
static DEFINE_SPINLOCK(verdict_lock);
static u32 verdict_state = MEMUNPLUG_SELFTEST_PENDING;
static int verdict_error;

/* What is known after some of the ranges were tried. */
struct selftest {
	unsigned int searched;
	unsigned int tried;
	bool over;
};

/**
 * mu_selftest_get - the verdict as it stands
 * @ret_state: MEMUNPLUG_SELFTEST_*
 * @ret_error: negative errno or 0: why it failed
 */
void mu_selftest_get(u32 *ret_state, int *ret_error)
{
	spin_lock(&verdict_lock);
	*ret_state = verdict_state;
	*ret_error = verdict_error;
	spin_unlock(&verdict_lock);
}

/**
 * mu_selftest_set - a verdict; a failure is never taken back
 * @state: MEMUNPLUG_SELFTEST_*
 * @error: negative errno or 0
 */
void mu_selftest_set(u32 state, int error)
{
	spin_lock(&verdict_lock);
	if (verdict_state != MEMUNPLUG_SELFTEST_FAILED) {
		verdict_state = state;
		verdict_error = error;
	}
	spin_unlock(&verdict_lock);
	if (state == MEMUNPLUG_SELFTEST_FAILED)
		pr_warn("self-test failed (%d): evacuation is off on this kernel\n", error);
}

/* Mostly free, nothing in it that waits or cannot move. */
static bool selftest_range_good(unsigned long start, unsigned long end,
				const struct mu_tally *tally)
{
	return tally->used <= (end - start) / 2 && tally->used == tally->movable &&
	       tally->slow == 0 && tally->first_reserved == MU_NO_PFN;
}

/*
 * The fence on one range. Not a verdict if pages were there and none of them
 * moved: they may be busy, another range tells more.
 */
static int selftest_try(unsigned long start, unsigned long end, const struct mu_tally *before)
{
	struct mu_tally after;
	int ret;

	ret = mu_fence_pass(start, end);
	if (ret == 0)
		return -EEXIST;		/* the range was taken */
	if (ret != -EBUSY)
		return -EAGAIN;
	if (mu_range_check_isolated(start, end) < 0)
		return -EUCLEAN;	/* it stayed closed */
	ret = mu_tally(start, end, NULL, &after);
	if (ret < 0)
		return ret;
	if (before->movable && after.movable >= before->movable)
		return -EBUSY;
	return 0;
}

/* Looks at one range and tries it if it is good: sets the verdict if there is one. */
static void selftest_range(struct selftest *test, unsigned long start, unsigned long end)
{
	struct mu_tally tally;
	struct mu_range range;
	int ret;

	if (mu_range_begin(&range, start, end) < 0)
		return;
	if (mu_range_check(start, end) < 0 || mu_range_check_isolated(start, end) < 0)
		goto out;
	test->searched++;
	if (mu_tally(start, end, NULL, &tally) < 0 || !selftest_range_good(start, end, &tally))
		goto out;

	test->tried++;
	ret = selftest_try(start, end, &tally);
	if (ret == -EAGAIN || ret == -EINTR || ret == -EBUSY) {
		if (ret != -EBUSY || test->tried < SELFTEST_TRIES_MAX)
			goto out;
	}
	test->over = true;
	mu_selftest_set(ret ? MEMUNPLUG_SELFTEST_FAILED : MEMUNPLUG_SELFTEST_PASSED, ret);
out:
	mu_range_end(&range);
}

static void selftest_zone(struct selftest *test, struct zone *zone)
{
	const unsigned long nr = SELFTEST_PAGEBLOCKS * pageblock_nr_pages;
	unsigned long start = ALIGN(zone->zone_start_pfn, nr);
	unsigned long end = zone_end_pfn(zone);

	/* From the end: there the memory lies that came last. */
	for (end = ALIGN_DOWN(end, nr); end >= start + nr && !test->over; end -= nr) {
		if (fatal_signal_pending(current) || test->searched >= SELFTEST_SEARCH_MAX ||
		    test->tried >= SELFTEST_TRIES_MAX)
			return;
		selftest_range(test, end - nr, end);
		cond_resched();
	}
}

/**
 * mu_selftest_run - try the fence, unless there is a verdict
 *
 * May move a few pages. The verdict stays PENDING if no range fit.
 */
void mu_selftest_run(void)
{
	struct selftest test = {};
	u32 state;
	int error, nid;

	mutex_lock(&selftest_lock);
	mu_selftest_get(&state, &error);
	if (state == MEMUNPLUG_SELFTEST_PENDING) {
		for_each_node_state(nid, N_MEMORY) {
			struct zone *zone = &NODE_DATA(nid)->node_zones[ZONE_MOVABLE];

			if (zone->present_pages)
				selftest_zone(&test, zone);
			if (test.over)
				break;
		}
	}
	mutex_unlock(&selftest_lock);
}
