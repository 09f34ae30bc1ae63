// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what the host wants to what the balloon holds, in steps, and never below the
 * floor: what the guest must keep available. What cannot be had is tried again later
 * and later. The host reads in `actual` what it really has.
 */
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/virtio_config.h>

#include "balloon_parts.h"

#define TARGET_STEP_PAGES	(64UL << (20 - VIRTIO_BALLOON_PFN_SHIFT))
#define TARGET_RETRY_MIN	HZ
#define TARGET_RETRY_MAX	(60 * HZ)

/* A short balloon takes no less than this at a time, lest it follow every free page. */
#define TARGET_LEAST_PAGES	(1UL << (20 - VIRTIO_BALLOON_PFN_SHIFT))

/*
 * A pass of page reporting has so much off the free lists at a time, and puts back what it
 * was not for: the guest lacks that meanwhile. Closer to the floor pages are allocated.
 */
#define TARGET_PASS_PAGES	((unsigned long)PAGE_REPORTING_CAPACITY << (MU_CHUNK_ORDER + 1))

static int floor_mib = -1;
module_param(floor_mib, int, 0644);
MODULE_PARM_DESC(floor_mib,
		 "MiB that stay available to the guest whatever the host wants (-1: by its size)");

static struct workqueue_struct *target_queue;

/**
 * mu_target_init - before the first balloon
 *
 * Return: 0 or -ENOMEM.
 */
int mu_target_init(void)
{
	target_queue = alloc_workqueue("memunplug_balloon", WQ_FREEZABLE | WQ_UNBOUND, 0);
	return target_queue ? 0 : -ENOMEM;
}

/**
 * mu_target_exit - after the last
 */
void mu_target_exit(void)
{
	destroy_workqueue(target_queue);
}

/*
 * What a guest must keep available, in pages, that has @total left. What a machine needs
 * grows with its size, but less and less: straight lines between these points, as the
 * service's policy has them, and 1/32 of what lies beyond.
 */
static unsigned long target_floor_of(unsigned long total, unsigned long leader)
{
	static const struct {
		unsigned int total, floor;	/* MiB */
	} points[] = { { 0, 8 }, { 128, 72 }, { 512, 168 }, { 2048, 360 }, { 8192, 744 },
		       { 32768, 1512 } };
	unsigned long mib = total >> (20 - PAGE_SHIFT);
	int fixed = READ_ONCE(floor_mib);
	size_t i;

	if (fixed >= 0)
		return max(leader, (unsigned long)fixed << (20 - PAGE_SHIFT));
	if (leader)
		return leader;
	for (i = 1; i < ARRAY_SIZE(points) && mib >= points[i].total; i++)
		;
	if (i == ARRAY_SIZE(points))
		mib = points[i - 1].floor + (mib - points[i - 1].total) / 32;
	else
		mib = points[i - 1].floor + (mib - points[i - 1].total) *
			(points[i].floor - points[i - 1].floor) /
			(points[i].total - points[i - 1].total);
	return mib << (20 - PAGE_SHIFT);
}

static unsigned long target_read(const struct mu_balloon *balloon)
{
	u32 pages;

	/* Unlike other devices', this one's fields are little-endian even in legacy mode. */
	virtio_cread_le(balloon->vdev, struct virtio_balloon_config, num_pages, &pages);
	return pages;
}

/**
 * mu_target_publish - tell the host what it has
 * @balloon: the balloon
 */
void mu_target_publish(struct mu_balloon *balloon)
{
	u32 pages = READ_ONCE(balloon->held);

	virtio_cwrite_le(balloon->vdev, struct virtio_balloon_config, actual, &pages);
	mu_control_changed();
}

static unsigned long target_floor(const struct mu_balloon *balloon)
{
	unsigned long total = totalram_pages();

	/* Only then do pages that are held still count. Blocks never do. */
	if (virtio_has_feature(balloon->vdev, VIRTIO_BALLOON_F_DEFLATE_ON_OOM))
		total -= min(total, balloon->held - balloon->block_pages);
	return target_floor_of(total, READ_ONCE(balloon->leader_floor));
}

/* Pages that may be taken without the guest having less than the floor. */
static unsigned long target_room(const struct mu_balloon *balloon)
{
	unsigned long floor = target_floor(balloon);
	long available = si_mem_available();

	return available > 0 && available > floor ? available - floor : 0;
}

static const char *target_shortage_text(u32 shortage)
{
	switch (shortage) {
	case MEMUNPLUG_BALLOON_SHORT_FLOOR:
		return ": more would leave the guest less than its floor";
	case MEMUNPLUG_BALLOON_SHORT_MEMORY:
		return ": there is no more free memory";
	case MEMUNPLUG_BALLOON_SHORT_NEED:
		return ": the guest needed some itself";
	default:
		return "";
	}
}

/*
 * One line for each change, when it has come to rest. False if there were too many: then
 * the last is said later.
 */
static bool target_log(struct mu_balloon *balloon, unsigned long target)
{
	if (target == balloon->logged_target && balloon->shortage == balloon->logged_shortage &&
	    (balloon->shortage || balloon->held == balloon->logged_held))
		return true;
	if (!__ratelimit(&balloon->log_limit))
		return false;
	balloon->logged_target = target;
	balloon->logged_held = balloon->held;
	balloon->logged_shortage = balloon->shortage;
	mu_control_changed();
	dev_info(&balloon->vdev->dev, "the host wants %lu KiB and has %lu KiB%s\n",
		 target << 2, balloon->held << 2, target_shortage_text(balloon->shortage));
	return true;
}

/* Takes one step's worth. Sets the shortage, once: the leader may look at it at any time. */
static bool target_take(struct mu_balloon *balloon, unsigned long want)
{
	unsigned long room = target_room(balloon), got;

	want = min(want, TARGET_STEP_PAGES);
	if (room < min(want, TARGET_LEAST_PAGES)) {
		WRITE_ONCE(balloon->shortage, MEMUNPLUG_BALLOON_SHORT_FLOOR);
		return false;
	}
	got = mu_pages_inflate(balloon, min(want, room), READ_ONCE(balloon->pieces),
			       room >= TARGET_PASS_PAGES);
	if (got)
		mu_target_publish(balloon);
	WRITE_ONCE(balloon->shortage,
		   got ? MEMUNPLUG_BALLOON_SHORT_NONE : MEMUNPLUG_BALLOON_SHORT_MEMORY);
	return got;
}

/* More than the host wants. Pages first; blocks wait for somebody to bring them online. */
static unsigned long target_give_back(struct mu_balloon *balloon, unsigned long surplus)
{
	balloon->shortage = MEMUNPLUG_BALLOON_SHORT_NONE;
	balloon->backoff = TARGET_RETRY_MIN;
	if (!surplus || !mu_pages_deflate(balloon, min(surplus, TARGET_STEP_PAGES)))
		return MAX_SCHEDULE_TIMEOUT;
	mu_target_publish(balloon);
	return 0;
}

/* One step; how long until the next is due, in jiffies, or MAX_SCHEDULE_TIMEOUT. */
static unsigned long target_step(struct mu_balloon *balloon, unsigned long target)
{
	unsigned long held = READ_ONCE(balloon->held), now = jiffies;
	bool waits;

	if (held >= target)
		return target_give_back(balloon, held - target);
	waits = READ_ONCE(balloon->led) && READ_ONCE(balloon->pages_for) != balloon->sequence;
	if (waits && READ_ONCE(balloon->shortage) != MEMUNPLUG_BALLOON_SHORT_NEED)
		return MAX_SCHEDULE_TIMEOUT;
	if (time_before(now, READ_ONCE(balloon->quiet_until))) {
		WRITE_ONCE(balloon->shortage, MEMUNPLUG_BALLOON_SHORT_NEED);
		return balloon->quiet_until - now;
	}
	if (waits) {
		WRITE_ONCE(balloon->shortage, MEMUNPLUG_BALLOON_SHORT_NONE);
		return MAX_SCHEDULE_TIMEOUT;
	}
	if (target_take(balloon, target - held)) {
		balloon->backoff = TARGET_RETRY_MIN;
		return 0;
	}
	now = balloon->backoff;
	balloon->backoff = min(2 * balloon->backoff, (unsigned long)TARGET_RETRY_MAX);
	return now;
}

/**
 * mu_target_work - the worker: one step, and itself again when the next is due
 * @work: target_work of a balloon
 */
void mu_target_work(struct work_struct *work)
{
	struct mu_balloon *balloon = container_of(to_delayed_work(work), struct mu_balloon,
						  target_work);
	unsigned long target = target_read(balloon), delay;
	u32 shortage = balloon->shortage;

	if (target != balloon->target) {
		balloon->sequence++;
		WRITE_ONCE(balloon->target, target);
		mu_control_changed();
	}
	if (mu_blocks_forget_absent(balloon))
		mu_target_publish(balloon);
	delay = target_step(balloon, target);
	if (shortage != balloon->shortage)
		mu_control_changed();
	if (delay && !target_log(balloon, target))
		delay = min(delay, (unsigned long)MU_LOG_INTERVAL);
	if (delay != MAX_SCHEDULE_TIMEOUT) {
		spin_lock_irq(&balloon->stop_lock);
		if (!balloon->stopped)
			queue_delayed_work(target_queue, &balloon->target_work, delay);
		spin_unlock_irq(&balloon->stop_lock);
	}
}

/**
 * mu_target_delay - look at the target again
 * @balloon: the balloon
 * @delay: when, in jiffies; later than it would be anyway is no request at all
 */
void mu_target_delay(struct mu_balloon *balloon, unsigned long delay)
{
	unsigned long flags;

	spin_lock_irqsave(&balloon->stop_lock, flags);
	if (!balloon->stopped && !delay)
		mod_delayed_work(target_queue, &balloon->target_work, 0);
	else if (!balloon->stopped)
		queue_delayed_work(target_queue, &balloon->target_work, delay);
	spin_unlock_irqrestore(&balloon->stop_lock, flags);
}

/**
 * mu_target_changed - the host may want something else now
 * @balloon: the balloon
 */
void mu_target_changed(struct mu_balloon *balloon)
{
	mu_target_delay(balloon, 0);
}

/**
 * mu_stats_request - the host asks for statistics
 * @balloon: the balloon
 */
void mu_stats_request(struct mu_balloon *balloon)
{
	unsigned long flags;

	spin_lock_irqsave(&balloon->stop_lock, flags);
	if (!balloon->stopped)
		queue_work(target_queue, &balloon->stats_work);
	spin_unlock_irqrestore(&balloon->stop_lock, flags);
}

/**
 * mu_target_state - what is wanted and what there is
 * @balloon: the balloon
 * @state: the call's structure
 */
void mu_target_state(struct mu_balloon *balloon, struct memunplug_balloon_state *state)
{
	mutex_lock(&balloon->lock);
	state->target = PFN_PHYS((u64)READ_ONCE(balloon->target));
	state->held = PFN_PHYS((u64)balloon->held);
	state->blocks = PFN_PHYS((u64)balloon->block_pages);
	state->floor = PFN_PHYS((u64)target_floor(balloon));
	state->sequence = READ_ONCE(balloon->sequence);
	state->shortage = READ_ONCE(balloon->shortage);
	if (virtio_has_feature(balloon->vdev, VIRTIO_BALLOON_F_DEFLATE_ON_OOM))
		state->flags |= MEMUNPLUG_BALLOON_DEFLATE_ON_OOM;
	state->needs = READ_ONCE(balloon->needs);
	mutex_unlock(&balloon->lock);
}

/**
 * mu_target_lead - somebody leads the balloon, or nobody does any more
 * @balloon: the balloon
 * @led: which of them
 */
void mu_target_lead(struct mu_balloon *balloon, bool led)
{
	if (READ_ONCE(balloon->led) == led)
		return;
	WRITE_ONCE(balloon->pages_for, 0);
	WRITE_ONCE(balloon->pieces, false);
	WRITE_ONCE(balloon->led, led);
	if (!led)
		mu_target_changed(balloon);
}

/**
 * mu_target_set_floor - what the leader says must stay available
 * @balloon: the balloon
 * @pages: how much, or 0
 */
void mu_target_set_floor(struct mu_balloon *balloon, unsigned long pages)
{
	if (READ_ONCE(balloon->leader_floor) == pages)
		return;
	WRITE_ONCE(balloon->leader_floor, pages);
	mu_target_changed(balloon);
	mu_control_changed();
}

/**
 * mu_target_allow_pages - the leader leaves the rest of a target to the driver
 * @balloon: the balloon
 * @sequence: of that target
 * @flags: MEMUNPLUG_BALLOON_PAGES_*
 *
 * What the worker was short of before says nothing of this: it is waited for.
 *
 * Return: 0 or -ESTALE.
 */
int mu_target_allow_pages(struct mu_balloon *balloon, u64 sequence, u32 flags)
{
	if (sequence != READ_ONCE(balloon->sequence))
		return -ESTALE;
	cancel_delayed_work_sync(&balloon->target_work);
	balloon->shortage = MEMUNPLUG_BALLOON_SHORT_NONE;
	WRITE_ONCE(balloon->pieces, flags & MEMUNPLUG_BALLOON_PAGES_PIECES);
	WRITE_ONCE(balloon->pages_for, sequence);
	mu_target_changed(balloon);
	return 0;
}

/**
 * mu_target_release - the guest needs pages itself, and for how long the leader says
 * @balloon: the balloon, led
 * @start: first page frame of a range that is to be left
 * @end: the one after the last
 * @want: pages that are to come back besides
 *
 * The worker may be in the midst of a step: it is waited for, and takes nothing after it.
 *
 * Return: pages that are the guest's again.
 */
unsigned long mu_target_release(struct mu_balloon *balloon, unsigned long start,
				unsigned long end, unsigned long want)
{
	unsigned long got;

	WRITE_ONCE(balloon->pages_for, 0);
	cancel_delayed_work_sync(&balloon->target_work);
	got = mu_pages_deflate_range(balloon, start, end);
	got += mu_pages_deflate(balloon, want);
	if (got)
		mu_target_publish(balloon);
	mu_target_changed(balloon);
	return got;
}
