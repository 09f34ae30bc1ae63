// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device's queues: found, filled, waited for. Page frames go to the host in bulk:
 * the host does its part once for each buffer, and a guest exits once for each, too.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/virtio_config.h>

#include "balloon_parts.h"
#include "balloon_compat.h"

/* Numbers of the queues, as the device has them. */
enum {
	QUEUE_INFLATE,
	QUEUE_DEFLATE,
	QUEUE_STATS,
	QUEUE_HINT,
	QUEUE_REPORTING,
	QUEUE_MAX,
};

static void queue_acked(struct virtqueue *vq)
{
	struct mu_balloon *balloon = vq->vdev->priv;

	wake_up(&balloon->acked);
}

static void queue_stats_wanted(struct virtqueue *vq)
{
	mu_stats_request(vq->vdev->priv);
}

/**
 * mu_queues_init - find the queues
 * @balloon: the balloon
 *
 * The free page hint queue is not used. Where it is not there, hosts that follow the
 * standard give the next queue its own number, and others the free one; kernels, too,
 * have had it both ways. The free one comes first: virtio_pci of some kernels loses
 * track of a queue behind one that is left out, and crashes when the device goes.
 *
 * Return: 0 or a negative errno.
 */
int mu_queues_init(struct mu_balloon *balloon)
{
	struct virtio_device *vdev = balloon->vdev;
	const char *names[QUEUE_MAX] = { "inflate", "deflate" };
	vq_callback_t *callbacks[QUEUE_MAX] = { queue_acked, queue_acked };
	struct virtqueue *vqs[QUEUE_MAX] = {};
	bool reporting = virtio_has_feature(vdev, VIRTIO_BALLOON_F_REPORTING);
	bool hint = reporting && vdev->config->get_features(vdev) &
			BIT_ULL(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	unsigned int at;
	int ret;

	if (virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ)) {
		names[QUEUE_STATS] = "stats";
		callbacks[QUEUE_STATS] = queue_stats_wanted;
	}
	if (hint)
		names[QUEUE_HINT] = "hint";
	at = hint ? QUEUE_REPORTING : QUEUE_HINT;
	if (reporting) {
		names[at] = "reporting";
		callbacks[at] = queue_acked;
	}
	ret = mu_find_vqs(vdev, QUEUE_MAX, vqs, callbacks, names);
	if (ret < 0 && reporting && !hint) {
		swap(names[QUEUE_HINT], names[QUEUE_REPORTING]);
		swap(callbacks[QUEUE_HINT], callbacks[QUEUE_REPORTING]);
		at = QUEUE_REPORTING;
		ret = mu_find_vqs(vdev, QUEUE_MAX, vqs, callbacks, names);
	}
	if (ret < 0)
		return ret;
	balloon->inflate_vq = vqs[QUEUE_INFLATE];
	balloon->deflate_vq = vqs[QUEUE_DEFLATE];
	balloon->stats_vq = names[QUEUE_STATS] ? vqs[QUEUE_STATS] : NULL;
	balloon->reporting_vq = reporting ? vqs[at] : NULL;
	return 0;
}

/* Until the host has taken what is in @vq, or the device is gone. */
static void queue_wait(struct mu_balloon *balloon, struct virtqueue *vq)
{
	unsigned int len;

	virtqueue_kick(vq);
	wait_event_idle(balloon->acked, virtqueue_get_buf(vq, &len) || virtqueue_is_broken(vq));
}

/**
 * mu_queue_flush - tell the host what mu_queue_add() has gathered, and wait for it
 * @balloon: the balloon, locked
 * @vq: its inflate or deflate queue
 */
void mu_queue_flush(struct mu_balloon *balloon, struct virtqueue *vq)
{
	struct scatterlist sg;

	lockdep_assert_held(&balloon->lock);
	if (!balloon->n_pfns)
		return;
	sg_init_one(&sg, balloon->pfns, balloon->n_pfns * sizeof(*balloon->pfns));
	balloon->n_pfns = 0;
	/* The queue is empty and one entry needs no memory: it fails for a broken device only. */
	if (!virtqueue_add_outbuf(vq, &sg, 1, balloon, GFP_NOWAIT))
		queue_wait(balloon, vq);
}

/**
 * mu_queue_add - add page frames to what the host is told next
 * @balloon: the balloon, locked
 * @vq: its inflate or deflate queue, for the case that the buffer is full
 * @pfn: the first
 * @n: how many
 */
void mu_queue_add(struct mu_balloon *balloon, struct virtqueue *vq, unsigned long pfn,
		  unsigned long n)
{
	for (; n; n--, pfn++) {
		if (balloon->n_pfns == MU_PFNS_MAX)
			mu_queue_flush(balloon, vq);
		balloon->pfns[balloon->n_pfns++] = cpu_to_virtio32(balloon->vdev, pfn);
	}
}

/**
 * mu_queue_report - tell the host of free pages it may take the memory of
 * @balloon: the balloon
 * @sg: the pages
 * @nents: how many entries
 *
 * Return: 0 when the host has taken them, or a negative errno.
 */
int mu_queue_report(struct mu_balloon *balloon, struct scatterlist *sg, unsigned int nents)
{
	struct virtqueue *vq = balloon->reporting_vq;

	if (virtqueue_add_inbuf(vq, sg, nents, balloon, GFP_NOWAIT | __GFP_NOWARN))
		return -ENOSPC;
	queue_wait(balloon, vq);
	return virtqueue_is_broken(vq) ? -EIO : 0;
}
