// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the hypervisor wants of a virtio-mem device and what the device has. Only
 * the bound driver's configuration space says it, and user space cannot read that.
 * The device stays its driver's: the space is read, and the driver may be told to
 * read it once more. It is looked for below the buses that carry virtio devices, so
 * that virtio need not be there at all.
 *
 * Nothing in the kernel says that the hypervisor has changed the request, but to the
 * driver. So a probe sits where the virtio core takes the device's interrupt; that
 * comes a few times in a machine's life.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <linux/workqueue.h>

#include "memunplug.h"

/* What virtio_mem_visit_child() looks for, and what it found. */
struct virtio_mem_search {
	struct memunplug_virtio_mem *arg;
	int result;
};

static void virtio_mem_announce(struct work_struct *work)
{
	char *env[2] = { "MEMUNPLUG_EVENT=virtio_mem", NULL };

	mu_device_announce(env);
}

static DECLARE_WORK(virtio_mem_work, virtio_mem_announce);

static void virtio_mem_queue(struct irq_work *irq_work)
{
	schedule_work(&virtio_mem_work);
}

static DEFINE_IRQ_WORK(virtio_mem_irq_work, virtio_mem_queue);

/* Before the driver is told. As in an NMI: a work queue has locks that must not be taken here. */
static int virtio_mem_notified(struct kprobe *probe, struct pt_regs *regs)
{
	struct virtio_device *vdev = (void *)regs_get_kernel_argument(regs, 0);

	if (vdev->id.device == VIRTIO_ID_MEM)
		irq_work_queue(&virtio_mem_irq_work);
	return 0;
}

static struct kprobe virtio_mem_probe = {
	.symbol_name = "virtio_config_changed",
	.pre_handler = virtio_mem_notified,
};

static DEFINE_MUTEX(virtio_mem_lock);
static bool virtio_mem_tried;	/* to register the probe, and not in vain for want of memory */
static bool virtio_mem_probed;

/* Not before there is such a device: then the virtio core is there. */
static void virtio_mem_watch(void)
{
	int ret;

	mutex_lock(&virtio_mem_lock);
	if (!virtio_mem_tried) {
		virtio_mem_probe.addr = NULL;	/* or a second try is refused */
		ret = register_kprobe(&virtio_mem_probe);
		virtio_mem_tried = ret != -ENOMEM;
		virtio_mem_probed = ret == 0;
		if (virtio_mem_tried && ret)
			pr_notice("requests to virtio-mem devices are not announced: %d\n", ret);
	}
	mutex_unlock(&virtio_mem_lock);
}

/* By the core's own way, looked up: the module does not depend on it. */
static int virtio_mem_tell_driver(struct virtio_device *vdev)
{
	void (*changed)(struct virtio_device *vdev) = symbol_get(virtio_config_changed);

	if (!changed)
		return -ENODEV;
	changed(vdev);
	symbol_put(virtio_config_changed);
	return 0;
}

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
		if (arg->flags & MEMUNPLUG_VIRTIO_MEM_RETRY)
			ret = virtio_mem_tell_driver(vdev);
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
 * mu_virtio_mem - read a virtio-mem device's sizes, tell its driver
 * @arg: the call's structure
 *
 * Return: 0, -EINVAL, -ENODEV no such device with a driver, or -EBUSY its driver comes
 * or goes.
 */
int mu_virtio_mem(struct memunplug_virtio_mem *arg)
{
	struct virtio_mem_search search = { .arg = arg, .result = -ENODEV };

	if ((arg->flags & ~MEMUNPLUG_VIRTIO_MEM_RETRY) || arg->reserved ||
	    !memchr(arg->name, 0, sizeof(arg->name)))
		return -EINVAL;
	if (!bus_for_each_dev(&pci_bus_type, NULL, &search, virtio_mem_visit_parent))
		bus_for_each_dev(&platform_bus_type, NULL, &search, virtio_mem_visit_parent);
	if (search.result == 0)
		virtio_mem_watch();
	return search.result;
}

/**
 * mu_virtio_mem_exit - announce nothing any more; no file is open
 */
void mu_virtio_mem_exit(void)
{
	if (virtio_mem_probed)
		unregister_kprobe(&virtio_mem_probe);
	irq_work_sync(&virtio_mem_irq_work);
	cancel_work_sync(&virtio_mem_work);
}
