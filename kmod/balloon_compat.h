/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels that only the balloon meets, in the way of compat.h.
 */
#ifndef MEMUNPLUG_BALLOON_COMPAT_H
#define MEMUNPLUG_BALLOON_COMPAT_H

#include <linux/virtio.h>
#include <linux/virtio_config.h>

#define MU_VQS_MAX	8

/*
 * Since 6.11 the names and callbacks of queues come in one table. A queue without a
 * name is not looked for.
 */
static inline int mu_find_vqs(struct virtio_device *vdev, unsigned int n, struct virtqueue *vqs[],
			      vq_callback_t *callbacks[], const char *names[])
{
#ifdef MEMUNPLUG_HAVE_VIRTQUEUE_INFO
	struct virtqueue_info infos[MU_VQS_MAX] = {};
	unsigned int i;

	if (n > MU_VQS_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		infos[i].name = names[i];
		infos[i].callback = callbacks[i];
	}
	return virtio_find_vqs(vdev, n, vqs, infos, NULL);
#else
	return virtio_find_vqs(vdev, n, vqs, callbacks, names, NULL);
#endif
}

#endif /* MEMUNPLUG_BALLOON_COMPAT_H */
