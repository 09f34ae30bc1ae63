// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the hypervisor wants of a virtio-mem device and what the device has. Only
 * the bound driver's configuration space says it, and user space cannot read that.
 * It is read and nothing else: the device stays its driver's. It is looked for below
 * the buses that carry virtio devices, so that virtio need not be there at all.
 */
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>

#include "memunplug.h"

/* What virtio_mem_visit_child() looks for, and what it found. */
struct virtio_mem_search {
	struct memunplug_virtio_mem *arg;
	int result;
};

static void virtio_mem_read(struct virtio_device *vdev, struct memunplug_virtio_mem *arg)
{
	virtio_cread_le(vdev, struct virtio_mem_config, addr, &arg->start);
	virtio_cread_le(vdev, struct virtio_mem_config, region_size, &arg->region_size);
	virtio_cread_le(vdev, struct virtio_mem_config, block_size, &arg->block_size);
	virtio_cread_le(vdev, struct virtio_mem_config, requested_size, &arg->requested_size);
	virtio_cread_le(vdev, struct virtio_mem_config, plugged_size, &arg->plugged_size);
}

/* The lock keeps the driver bound. Who holds it probes or removes: that takes long. */
static int virtio_mem_read_bound(struct device *dev, struct memunplug_virtio_mem *arg)
{
	struct virtio_device *vdev = dev_to_virtio(dev);
	int ret = -ENODEV;

	if (!device_trylock(dev))
		return -EBUSY;
	if (dev->driver && vdev->id.device == VIRTIO_ID_MEM) {
		virtio_mem_read(vdev, arg);
		ret = 0;
	}
	device_unlock(dev);
	return ret;
}

static int virtio_mem_visit_child(struct device *dev, void *data)
{
	struct virtio_mem_search *search = data;

	if (!dev->bus || strcmp(dev->bus->name, "virtio") ||
	    strcmp(dev_name(dev), search->arg->name))
		return 0;
	search->result = virtio_mem_read_bound(dev, search->arg);
	return 1;
}

static int virtio_mem_visit_parent(struct device *dev, void *data)
{
	return device_for_each_child(dev, data, virtio_mem_visit_child);
}

/**
 * mu_virtio_mem - read a virtio-mem device's sizes
 * @arg: the call's structure
 *
 * Return: 0, -EINVAL, -ENODEV no such device with a driver, or -EBUSY its driver comes
 * or goes.
 */
int mu_virtio_mem(struct memunplug_virtio_mem *arg)
{
	struct virtio_mem_search search = { .arg = arg, .result = -ENODEV };

	if (arg->flags || arg->reserved || !memchr(arg->name, 0, sizeof(arg->name)))
		return -EINVAL;
	if (!bus_for_each_dev(&pci_bus_type, NULL, &search, virtio_mem_visit_parent))
		bus_for_each_dev(&platform_bus_type, NULL, &search, virtio_mem_visit_parent);
	return search.result;
}
