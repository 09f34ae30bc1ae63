/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A balloon, as all parts of memunplug_balloon.ko know it. Memory is counted in pages
 * of the balloon interface: 4 KiB, as the kernel's own on x86.
 */
#ifndef MEMUNPLUG_BALLOON_H
#define MEMUNPLUG_BALLOON_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/page_reporting.h>
#include <linux/ratelimit.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_balloon.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define MU_CHUNK_ORDER		9		/* 2 MiB: what the host maps as one */
#define MU_CHUNK_PAGES		BIT(MU_CHUNK_ORDER)
#define MU_PFNS_MAX		16384U		/* told to the host at a time: 64 MiB of pages */
#define MU_STATS_MAX		24U
#define MU_LOG_INTERVAL		(5 * HZ)	/* for a burst of lines */

/* Free memory on its way from the free lists to the balloon: see balloon_gather.c. */
struct mu_gather {
	bool active;
	unsigned int n;
	struct page *pages[PAGE_REPORTING_CAPACITY];
	unsigned char orders[PAGE_REPORTING_CAPACITY];
	unsigned long want;			/* chunks */
};

struct mu_balloon {
	struct virtio_device *vdev;
	struct virtqueue *inflate_vq, *deflate_vq, *stats_vq, *reporting_vq;
	wait_queue_head_t acked;

	spinlock_t stop_lock;			/* protects stopped against new work */
	bool stopped;
	struct delayed_work target_work;
	struct work_struct stats_work;

	struct mutex lock;			/* protects what follows */
	struct list_head chunks, singles;	/* what is held: 2 MiB each, 4 KiB each */
	struct list_head blocks;		/* and what a service gave, ascending */
	unsigned long held, block_pages;	/* all of it, blocks among it */
	unsigned long coming_start, coming_end;	/* what is being brought online */
	unsigned int n_pfns;
	__virtio32 *pfns;			/* MU_PFNS_MAX of them */
	struct virtio_balloon_stat stats[MU_STATS_MAX];

	/* the target worker's own */
	unsigned long target;
	u64 sequence;				/* of the target */
	u64 pages_for;				/* the target that the leader leaves to us */
	bool pieces;				/* of it only chunks */
	bool led;				/* somebody leads: take nothing else by yourself */
	unsigned long backoff;			/* jiffies */
	unsigned long quiet_until;		/* jiffies: after pressure, take nothing */
	unsigned long leader_floor;		/* pages that stay available, or 0 */
	u64 needs;				/* times that pages were to come back in need */
	u32 shortage;				/* MEMUNPLUG_BALLOON_SHORT_* */
	unsigned long logged_target, logged_held;
	u32 logged_shortage;
	struct ratelimit_state log_limit;

	struct mu_gather gather;
	bool reporting;				/* page_reporting is registered for the host */
	struct page_reporting_dev_info reporter;
	struct notifier_block oom_nb, memory_nb;
};

#endif /* MEMUNPLUG_BALLOON_H */
