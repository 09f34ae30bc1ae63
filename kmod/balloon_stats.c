// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host may know of the guest's memory. One buffer is always at the host: it
 * comes back when the host wants new figures, and goes there again with them.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/swap.h>
#include <linux/virtio_config.h>
#include <linux/vmstat.h>

#include "balloon_parts.h"

#ifdef CONFIG_VM_EVENT_COUNTERS
/* Which counters of the kernel add up to which figure. */
static const struct {
	u16 tag;
	u16 event;
	bool pages;			/* told in bytes */
} stats_events[] = {
	{ VIRTIO_BALLOON_S_SWAP_IN, PSWPIN, true },
	{ VIRTIO_BALLOON_S_SWAP_OUT, PSWPOUT, true },
	{ VIRTIO_BALLOON_S_MAJFLT, PGMAJFAULT },
	{ VIRTIO_BALLOON_S_MINFLT, PGFAULT },
#ifdef CONFIG_HUGETLB_PAGE
	{ VIRTIO_BALLOON_S_HTLB_PGALLOC, HTLB_BUDDY_PGALLOC },
	{ VIRTIO_BALLOON_S_HTLB_PGFAIL, HTLB_BUDDY_PGALLOC_FAIL },
#endif
#ifdef VIRTIO_BALLOON_S_OOM_KILL
	{ VIRTIO_BALLOON_S_OOM_KILL, OOM_KILL },
#endif
#ifdef VIRTIO_BALLOON_S_ALLOC_STALL
#ifdef CONFIG_ZONE_DMA32
	{ VIRTIO_BALLOON_S_ALLOC_STALL, ALLOCSTALL_DMA32 },
#endif
	{ VIRTIO_BALLOON_S_ALLOC_STALL, ALLOCSTALL_NORMAL },
	{ VIRTIO_BALLOON_S_ALLOC_STALL, ALLOCSTALL_MOVABLE },
	{ VIRTIO_BALLOON_S_ASYNC_SCAN, PGSCAN_KSWAPD, true },
	{ VIRTIO_BALLOON_S_ASYNC_SCAN, PGSCAN_KHUGEPAGED, true },
	{ VIRTIO_BALLOON_S_DIRECT_SCAN, PGSCAN_DIRECT, true },
	{ VIRTIO_BALLOON_S_ASYNC_RECLAIM, PGSTEAL_KSWAPD, true },
	{ VIRTIO_BALLOON_S_ASYNC_RECLAIM, PGSTEAL_KHUGEPAGED, true },
	{ VIRTIO_BALLOON_S_DIRECT_RECLAIM, PGSTEAL_DIRECT, true },
#endif
};
#endif

static unsigned int stats_add(struct mu_balloon *balloon, unsigned int n, u16 tag, u64 value)
{
	if (WARN_ON_ONCE(n >= MU_STATS_MAX))
		return n;
	balloon->stats[n].tag = cpu_to_virtio16(balloon->vdev, tag);
	balloon->stats[n].val = cpu_to_virtio64(balloon->vdev, value);
	return n + 1;
}

static unsigned int stats_add_events(struct mu_balloon *balloon, unsigned int n)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	unsigned long events[NR_VM_EVENT_ITEMS];
	size_t i;
	u64 sum = 0;

	all_vm_events(events);
	events[PGMAJFAULT] = min(events[PGMAJFAULT], events[PGFAULT]);
	for (i = 0; i < ARRAY_SIZE(stats_events); i++) {
		u64 value = events[stats_events[i].event];

		sum += stats_events[i].pages ? value << PAGE_SHIFT : value;
		if (i + 1 < ARRAY_SIZE(stats_events) &&
		    stats_events[i + 1].tag == stats_events[i].tag)
			continue;
		n = stats_add(balloon, n, stats_events[i].tag, sum);
		sum = 0;
	}
#endif
	return n;
}

static unsigned int stats_fill(struct mu_balloon *balloon)
{
	long available = si_mem_available();
	struct sysinfo info;
	unsigned int n;

	si_meminfo(&info);
	n = stats_add_events(balloon, 0);
	n = stats_add(balloon, n, VIRTIO_BALLOON_S_MEMFREE, PFN_PHYS(info.freeram));
	n = stats_add(balloon, n, VIRTIO_BALLOON_S_MEMTOT, PFN_PHYS(info.totalram));
	n = stats_add(balloon, n, VIRTIO_BALLOON_S_AVAIL, PFN_PHYS(max(available, 0L)));
	return stats_add(balloon, n, VIRTIO_BALLOON_S_CACHES,
			 PFN_PHYS(global_node_page_state(NR_FILE_PAGES)));
}

static int stats_send(struct mu_balloon *balloon)
{
	struct scatterlist sg;
	int ret;

	sg_init_one(&sg, balloon->stats, stats_fill(balloon) * sizeof(balloon->stats[0]));
	ret = virtqueue_add_outbuf(balloon->stats_vq, &sg, 1, balloon, GFP_KERNEL);
	if (ret < 0)
		return ret;
	virtqueue_kick(balloon->stats_vq);
	return 0;
}

/**
 * mu_stats_start - give the host the buffer, which means that there are statistics
 * @balloon: the balloon
 *
 * Return: 0 or a negative errno.
 */
int mu_stats_start(struct mu_balloon *balloon)
{
	return balloon->stats_vq ? stats_send(balloon) : 0;
}

/**
 * mu_stats_work - the host has given the buffer back
 * @work: stats_work of a balloon
 */
void mu_stats_work(struct work_struct *work)
{
	struct mu_balloon *balloon = container_of(work, struct mu_balloon, stats_work);
	unsigned int len;

	if (virtqueue_get_buf(balloon->stats_vq, &len) && stats_send(balloon) < 0)
		dev_warn(&balloon->vdev->dev, "the host gets no more statistics\n");
}
