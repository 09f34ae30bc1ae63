// SPDX-License-Identifier: GPL-2.0-only
/*
 * memunplug_balloon: a driver for virtio-balloon devices that takes memory in large
 * pieces and untouched, and keeps a floor. Here is how a device comes and goes.
 *
 * The module has no alias for the device: it is loaded because an administrator wants
 * it, and takes what no other driver is bound to. See memunplug_balloon(4).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "balloon_parts.h"

/* As the project's; dkms.conf must say the same. */
#define MU_VERSION	"0.1.0"

#define MAIN_LOG_BURST		10
#define MAIN_DEFLATE_PAGES	MU_PFNS_MAX

static const struct virtio_device_id main_ids[] = {
	{ VIRTIO_ID_BALLOON, VIRTIO_DEV_ANY_ID },
	{},
};

/* Not among them: free page hints, which are for a host that migrates the guest. */
static const unsigned int main_features[] = {
	VIRTIO_BALLOON_F_MUST_TELL_HOST,
	VIRTIO_BALLOON_F_STATS_VQ,
	VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
	VIRTIO_BALLOON_F_PAGE_POISON,
	VIRTIO_BALLOON_F_REPORTING,
};

/*
 * A host that took a reported page gives back one of zeros. Where the kernel expects
 * another pattern in free pages, the host must know it, or must not take them.
 */
static int main_validate(struct virtio_device *vdev)
{
	bool poisoned = page_poisoning_enabled_static() && !want_init_on_free();

	if (!poisoned && !want_init_on_free())
		__virtio_clear_bit(vdev, VIRTIO_BALLOON_F_PAGE_POISON);
	else if (poisoned && !virtio_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_POISON))
		__virtio_clear_bit(vdev, VIRTIO_BALLOON_F_REPORTING);
	__virtio_clear_bit(vdev, VIRTIO_F_ACCESS_PLATFORM);
	return 0;
}

static void main_tell_poison(struct virtio_device *vdev)
{
	u32 value = 0;

	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_POISON))
		return;
	if (!want_init_on_free())
		memset(&value, PAGE_POISON, sizeof(value));
	virtio_cwrite_le(vdev, struct virtio_balloon_config, poison_val, &value);
}

/* The device in use: queues, notifiers, then what the host may have asked for already. */
static int main_start(struct mu_balloon *balloon)
{
	struct virtio_device *vdev = balloon->vdev;
	int ret;

	ret = mu_queues_init(balloon);
	if (ret < 0)
		return ret;
	main_tell_poison(vdev);
	ret = mu_notify_init(balloon);
	if (ret < 0)
		goto err_queues;
	virtio_device_ready(vdev);
	ret = mu_stats_start(balloon);
	if (ret < 0)
		goto err_notify;
	ret = mu_reporting_init(balloon);
	if (ret < 0)
		goto err_notify;

	mu_blocks_retell(balloon);
	mu_target_publish(balloon);
	spin_lock_irq(&balloon->stop_lock);
	balloon->stopped = false;
	spin_unlock_irq(&balloon->stop_lock);
	mu_control_add(balloon);
	mu_target_changed(balloon);
	return 0;

err_notify:
	mu_notify_exit(balloon);
err_queues:
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	return ret;
}

/* Out of use: all pages held are the guest's again. Blocks stay what they are: offline. */
static void main_stop(struct mu_balloon *balloon)
{
	struct virtio_device *vdev = balloon->vdev;

	mu_control_remove(balloon);
	spin_lock_irq(&balloon->stop_lock);
	balloon->stopped = true;
	spin_unlock_irq(&balloon->stop_lock);
	cancel_delayed_work_sync(&balloon->target_work);
	cancel_work_sync(&balloon->stats_work);
	mu_reporting_exit(balloon);
	mu_notify_exit(balloon);
	while (mu_pages_deflate(balloon, MAIN_DEFLATE_PAGES))
		cond_resched();
	mu_target_publish(balloon);
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
}

static void main_init_state(struct mu_balloon *balloon, struct virtio_device *vdev)
{
	balloon->vdev = vdev;
	balloon->stopped = true;
	balloon->backoff = HZ;
	balloon->quiet_until = jiffies;
	init_waitqueue_head(&balloon->acked);
	spin_lock_init(&balloon->stop_lock);
	mutex_init(&balloon->lock);
	INIT_LIST_HEAD(&balloon->chunks);
	INIT_LIST_HEAD(&balloon->singles);
	INIT_LIST_HEAD(&balloon->blocks);
	INIT_DELAYED_WORK(&balloon->target_work, mu_target_work);
	INIT_WORK(&balloon->stats_work, mu_stats_work);
	ratelimit_state_init(&balloon->log_limit, MU_LOG_INTERVAL, MAIN_LOG_BURST);
	ratelimit_set_flags(&balloon->log_limit, RATELIMIT_MSG_ON_RELEASE);
}

static int main_probe(struct virtio_device *vdev)
{
	struct mu_balloon *balloon;
	int ret;

	if (!vdev->config->get)
		return -EINVAL;
	balloon = kzalloc(sizeof(*balloon), GFP_KERNEL);
	if (!balloon)
		return -ENOMEM;
	balloon->pfns = kmalloc_array(MU_PFNS_MAX, sizeof(*balloon->pfns), GFP_KERNEL);
	if (!balloon->pfns) {
		kfree(balloon);
		return -ENOMEM;
	}
	main_init_state(balloon, vdev);
	vdev->priv = balloon;
	ret = main_start(balloon);
	if (ret < 0) {
		vdev->priv = NULL;
		kfree(balloon->pfns);
		kfree(balloon);
	}
	return ret;
}

static void main_remove(struct virtio_device *vdev)
{
	struct mu_balloon *balloon = vdev->priv;

	main_stop(balloon);
	mu_blocks_exit(balloon);
	kfree(balloon->pfns);
	kfree(balloon);
}

static void main_config_changed(struct virtio_device *vdev)
{
	mu_target_changed(vdev->priv);
}

#ifdef CONFIG_PM_SLEEP
/* A device that has been off has forgotten what it has. */
static int main_freeze(struct virtio_device *vdev)
{
	main_stop(vdev->priv);
	return 0;
}

static int main_restore(struct virtio_device *vdev)
{
	return main_start(vdev->priv);
}
#endif

static struct virtio_driver main_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = main_ids,
	.feature_table = main_features,
	.feature_table_size = ARRAY_SIZE(main_features),
	.validate = main_validate,
	.probe = main_probe,
	.remove = main_remove,
	.config_changed = main_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = main_freeze,
	.restore = main_restore,
#endif
};

static int __init memunplug_balloon_init(void)
{
	int ret;

	BUILD_BUG_ON(PAGE_SHIFT != VIRTIO_BALLOON_PFN_SHIFT);
	ret = mu_target_init();
	if (ret < 0)
		return ret;
	ret = mu_control_init();
	if (ret < 0)
		goto err_target;
	ret = register_virtio_driver(&main_driver);
	if (ret < 0)
		goto err_control;
	return 0;

err_control:
	mu_control_exit();
err_target:
	mu_target_exit();
	return ret;
}

static void __exit memunplug_balloon_exit(void)
{
	unregister_virtio_driver(&main_driver);
	mu_control_exit();
	mu_target_exit();
}

module_init(memunplug_balloon_init);
module_exit(memunplug_balloon_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The memunplug authors");
MODULE_DESCRIPTION("Virtio balloon driver that gives memory in large pieces and keeps a floor");
MODULE_VERSION(MU_VERSION);
