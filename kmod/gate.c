// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI gate: while a file holds it, eject requests for memory devices are
 * not tried by the kernel.
 *
 * The kernel's hotplug code does nothing, and answers nothing, for a device whose
 * flags.hotplug_notify is clear; our own notify handler gets the request as well.
 * So holding a device is: handler installed, flag clear. An empty slot keeps its
 * flag, or memory could not be hot-added there. The kernel looks at the flag when
 * its work item runs, about when our handler does: a request that comes just as a
 * device is taken or given back may be handled by both.
 *
 * One function, gate_sync(), makes things as they are wanted, in a work item: it
 * takes acpi_scan_lock, which an eject in the kernel may keep for minutes, and
 * callers must be able to die meanwhile. What is wanted: @owner of the gate, and
 * @released of each device. Requests themselves are left to gate_event.c.
 *
 * Locks: acpi_scan_lock, gate_lock, the event lock. The notify handler takes only
 * the last, because removing it waits for it.
 */
#include <linux/acpi.h>
#include <linux/jiffies.h>
#include <linux/memory.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "gate.h"
#include "memunplug.h"
#include "memunplug_trace.h"

#define GATE_HID		"PNP0C80"
/*
 * A device check reaches us when the kernel has queued the hot-add, but perhaps
 * not begun it; once it has, acpi_scan_lock makes us wait for its end.
 */
#define GATE_RECHECKS		50
#define GATE_RECHECK_MSEC	100

static DEFINE_MUTEX(gate_lock);
static LIST_HEAD(gate_devices);		/* only grows, until the module goes */
static struct file *gate_owner;
static u32 gate_held;			/* devices held */
static u64 gate_wanted, gate_done;	/* changes asked for, and made so */
static DECLARE_WAIT_QUEUE_HEAD(gate_wait);
static struct workqueue_struct *gate_wq;
static void gate_sync(struct work_struct *work);
static DECLARE_DELAYED_WORK(gate_work, gate_sync);

/* Counts a change of what is wanted; to be waited for by gate_await(). */
static u64 gate_change(void)
{
	lockdep_assert_held(&gate_lock);
	mod_delayed_work(gate_wq, &gate_work, 0);
	return ++gate_wanted;
}

static int gate_await(u64 change)
{
	return wait_event_killable(gate_wait, READ_ONCE(gate_done) >= change) ? -EINTR : 0;
}

/* Another look without anybody waiting for it. */
static void gate_kick(void)
{
	mod_delayed_work(gate_wq, &gate_work, 0);
}

static void gate_notify(acpi_handle handle, u32 event, void *context)
{
	struct gate_device *device = context;

	switch (event) {
	case ACPI_NOTIFY_EJECT_REQUEST:
		trace_memunplug_gate_notify(device->name, event);
		if (gate_event_requested(device) || !READ_ONCE(device->held))
			break;
		/* On its way back: the kernel may have let it pass. */
		atomic_set(&device->late, 1);
		gate_kick();
		break;
	case ACPI_NOTIFY_BUS_CHECK:
	case ACPI_NOTIFY_DEVICE_CHECK:
		trace_memunplug_gate_notify(device->name, event);
		atomic_set(&device->rechecks, GATE_RECHECKS);
		gate_kick();
		break;
	}
}

/* Memory of a device that was added without a word to its slot comes online. */
static int gate_memory_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == MEM_ONLINE && READ_ONCE(gate_owner))
		gate_kick();
	return NOTIFY_OK;
}

static struct notifier_block gate_memory_notifier = {
	.notifier_call = gate_memory_notify,
};

static acpi_status gate_found(acpi_handle handle, u32 level, void *context, void **ret)
{
	struct gate_device *device;

	list_for_each_entry(device, &gate_devices, node)
		if (device->handle == handle)
			return AE_OK;
	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return AE_NO_MEMORY;
	device->handle = handle;
	gate_event_init(device);
	list_add_tail(&device->node, &gate_devices);
	return AE_OK;
}

/* Looks for slots. Only adds to the list. */
static int gate_find(void)
{
	acpi_status status;

	lockdep_assert_held(&gate_lock);
	status = acpi_get_devices(GATE_HID, gate_found, NULL, NULL);
	if (status == AE_NO_MEMORY)
		return -ENOMEM;
	return list_empty(&gate_devices) ? -ENODEV : 0;
}

static void gate_listen(struct gate_device *device)
{
	acpi_status status;

	if (device->listening)
		return;
	status = acpi_install_notify_handler(device->handle, ACPI_SYSTEM_NOTIFY, gate_notify,
					     device);
	if (ACPI_FAILURE(status))
		acpi_handle_warn(device->handle, "memunplug: cannot listen (0x%x)\n", status);
	else
		device->listening = true;
}

static void gate_answer_send(struct gate_device *device, u32 status)
{
	trace_memunplug_gate_answer(device->name, status);
	acpi_evaluate_ost(device->handle, ACPI_NOTIFY_EJECT_REQUEST, status, NULL);
}

static void gate_hold(struct gate_device *device, struct acpi_device *adev, bool hold)
{
	if (device->held == hold)
		return;
	/* Clear and not by us: the kernel does not eject such a device anyway. */
	if (hold && !adev->flags.hotplug_notify)
		return;
	adev->flags.hotplug_notify = !hold;
	WRITE_ONCE(device->held, hold);
	trace_memunplug_gate_held(device->name, hold);
}

static bool gate_wants(const struct gate_device *device)
{
	return gate_owner && device->listening && device->present && !device->released;
}

/*
 * Makes one device as it is wanted: takes it, gives it back, answers for a holder
 * that has gone. Returns true if it must be looked at again soon.
 */
static bool gate_sync_device(struct gate_device *device)
{
	struct acpi_device *adev = acpi_fetch_acpi_dev(device->handle);
	bool recheck = atomic_read(&device->rechecks) > 0;

	if (!adev) {
		device->present = false;
		WRITE_ONCE(device->held, false);
		gate_event_close(device);
		return recheck && atomic_dec_if_positive(&device->rechecks) > 0;
	}

	gate_event_set_name(device, dev_name(&adev->dev));
	device->present = acpi_device_enumerated(adev) && adev->handler;
	/* The device has gone, with what was asked for it; another may be there. */
	if (!device->present || (recheck && device->released)) {
		gate_event_close(device);
		gate_event_set_released(device, false);
		device->orphaned = false;
		atomic_set(&device->late, 0);
	}
	if (gate_owner)
		gate_listen(device);
	gate_hold(device, adev, gate_wants(device));
	/* After that: what comes from now on, the kernel sees. */
	if (atomic_xchg(&device->late, 0) || device->orphaned)
		gate_answer_send(device, MEMUNPLUG_OST_BUSY);
	device->orphaned = false;
	if (!recheck)
		return false;
	if (device->present)
		atomic_set(&device->rechecks, 0);
	return atomic_dec_if_positive(&device->rechecks) > 0;
}

static void gate_sync(struct work_struct *work)
{
	struct gate_device *device;
	bool again = false;
	u32 held = 0;

	acpi_scan_lock_acquire();
	mutex_lock(&gate_lock);
	list_for_each_entry(device, &gate_devices, node) {
		again |= gate_sync_device(device);
		held += device->held;
	}
	gate_held = held;
	WRITE_ONCE(gate_done, gate_wanted);
	mutex_unlock(&gate_lock);
	acpi_scan_lock_release();

	wake_up_all(&gate_wait);
	if (again)
		queue_delayed_work(gate_wq, &gate_work, msecs_to_jiffies(GATE_RECHECK_MSEC));
}

static u64 gate_take(struct file *file)
{
	struct gate_device *device;

	WRITE_ONCE(gate_owner, file);
	list_for_each_entry(device, &gate_devices, node)
		gate_event_set_released(device, false);
	gate_event_set_owner(file);
	return gate_change();
}

/* Gives everything back; what is open is answered by gate_sync(). */
static u64 gate_give(void)
{
	struct gate_device *device;

	WRITE_ONCE(gate_owner, NULL);
	gate_event_set_owner(NULL);
	list_for_each_entry(device, &gate_devices, node)
		device->orphaned |= gate_event_close(device);
	return gate_change();
}

/**
 * mu_gate_set - GATE: take the gate, look for new devices, or give it back
 * @file: the open file
 * @gate: the request as it came from user space, and the answer
 *
 * Return: 0 or a negative errno as documented in the uapi header, -EINTR if a
 * fatal signal came while the kernel was busy with a device.
 */
int mu_gate_set(struct file *file, struct memunplug_gate *gate)
{
	u64 change = 0;
	int ret = 0;

	if (gate->hold > 1 || gate->flags)
		return -EINVAL;
	mutex_lock(&gate_lock);
	if (gate_owner && gate_owner != file)
		ret = -EBUSY;
	else if (gate->hold)
		ret = gate_find();
	if (!ret) {
		if (gate->hold)
			change = gate_take(file);
		else if (gate_owner)
			change = gate_give();
	}
	mutex_unlock(&gate_lock);
	if (!ret && change)
		ret = gate_await(change);
	if (ret < 0)
		return ret;

	mutex_lock(&gate_lock);
	gate->devices = gate_owner == file ? gate_held : 0;
	mutex_unlock(&gate_lock);
	gate->reserved = 0;
	return 0;
}

/**
 * mu_gate_close - the file is closed for good
 * @file: the file
 *
 * If it held the gate, everything is given back when this returns, unless the
 * task is dying while the kernel is busy with a device: then soon after.
 */
void mu_gate_close(struct file *file)
{
	u64 change = 0;

	mutex_lock(&gate_lock);
	if (gate_owner == file)
		change = gate_give();
	mutex_unlock(&gate_lock);
	if (change)
		gate_await(change);
}

static bool gate_name_valid(const char *name)
{
	size_t length = strnlen(name, MEMUNPLUG_NAME_SIZE);

	return length > 0 && length < MEMUNPLUG_NAME_SIZE &&
	       !memchr_inv(name + length, 0, MEMUNPLUG_NAME_SIZE - length);
}

/* The device of that name, for the file that holds the gate. */
static int gate_lookup(const struct file *file, const char *name, struct gate_device **ret_device)
{
	struct gate_device *device;

	lockdep_assert_held(&gate_lock);
	if (gate_owner != file)
		return -EPERM;
	list_for_each_entry(device, &gate_devices, node) {
		if (strncmp(device->name, name, sizeof(device->name)))
			continue;
		*ret_device = device;
		return 0;
	}
	return -ENODEV;
}

static bool gate_status_valid(u32 status)
{
	switch (status) {
	case MEMUNPLUG_OST_SUCCESS:
	case MEMUNPLUG_OST_FAILURE:
	case MEMUNPLUG_OST_NOT_SUPPORTED:
	case MEMUNPLUG_OST_IN_USE:
	case MEMUNPLUG_OST_BUSY:
	case MEMUNPLUG_OST_DEPENDENCY:
	case MEMUNPLUG_OST_IN_PROGRESS:
		return true;
	default:
		return false;
	}
}

/**
 * mu_gate_answer - ANSWER: tell the platform how a request goes
 * @file: the open file
 * @answer: the request as it came from user space
 *
 * Any status but IN_PROGRESS closes the request.
 *
 * Return: 0 or a negative errno as documented in the uapi header.
 */
int mu_gate_answer(struct file *file, const struct memunplug_answer *answer)
{
	struct gate_device *device;
	int ret;

	if (answer->flags || !gate_name_valid(answer->name) || !gate_status_valid(answer->status))
		return -EINVAL;
	mutex_lock(&gate_lock);
	ret = gate_lookup(file, answer->name, &device);
	if (!ret) {
		if (answer->status == MEMUNPLUG_OST_IN_PROGRESS)
			ret = gate_event_is_open(device) ? 0 : -ENOENT;
		else
			ret = gate_event_close(device) ? 0 : -ENOENT;
	}
	if (!ret)
		gate_answer_send(device, answer->status);
	mutex_unlock(&gate_lock);
	return ret;
}

/**
 * mu_gate_release - RELEASE: let the kernel's own path eject a device
 * @file: the open file
 * @release: the request as it came from user space
 *
 * Return: 0 or a negative errno as documented in the uapi header, -EINTR if a
 * fatal signal came while the kernel was busy with a device.
 */
int mu_gate_release(struct file *file, const struct memunplug_release *release)
{
	struct gate_device *device;
	u64 change = 0;
	int ret;

	if (release->flags || release->reserved || !gate_name_valid(release->name))
		return -EINVAL;
	mutex_lock(&gate_lock);
	ret = gate_lookup(file, release->name, &device);
	if (!ret && !device->present)
		ret = -ENODEV;
	if (!ret) {
		gate_event_set_released(device, true);
		change = gate_change();
	}
	mutex_unlock(&gate_lock);
	return ret < 0 ? ret : gate_await(change);
}

/**
 * mu_gate_possible - does this machine have slots for memory devices?
 *
 * Return: true if so.
 */
bool mu_gate_possible(void)
{
	bool possible;

	mutex_lock(&gate_lock);
	possible = !list_empty(&gate_devices);
	mutex_unlock(&gate_lock);
	return possible;
}

/**
 * mu_gate_info - fill in what GET_INFO says of the gate
 * @info: to be filled
 */
void mu_gate_info(struct memunplug_info *info)
{
	mutex_lock(&gate_lock);
	if (!list_empty(&gate_devices))
		info->features |= MEMUNPLUG_FEATURE_GATE;
	info->gate_held = gate_owner ? 1 : 0;
	info->gated_devices = gate_held;
	mutex_unlock(&gate_lock);
}

/* No handler runs any more when this returns. */
static void gate_ignore(void)
{
	struct gate_device *device;

	list_for_each_entry(device, &gate_devices, node)
		if (device->listening)
			acpi_remove_notify_handler(device->handle, ACPI_SYSTEM_NOTIFY, gate_notify);
}

static void gate_free(void)
{
	struct gate_device *device, *next;

	list_for_each_entry_safe(device, next, &gate_devices, node) {
		list_del(&device->node);
		kfree(device);
	}
}

/**
 * mu_gate_init - look for slots; nothing is held or listened to before GATE
 *
 * Return: 0, also if there are none, or a negative errno.
 */
int mu_gate_init(void)
{
	int ret;

	gate_wq = alloc_ordered_workqueue("memunplug", 0);
	if (!gate_wq)
		return -ENOMEM;
	mutex_lock(&gate_lock);
	ret = gate_find();
	mutex_unlock(&gate_lock);
	if (!ret || ret == -ENODEV)
		ret = register_memory_notifier(&gate_memory_notifier);
	if (ret < 0) {
		gate_free();
		destroy_workqueue(gate_wq);
	}
	return ret;
}

/**
 * mu_gate_exit - end of mu_gate_init(); no file is open any more
 */
void mu_gate_exit(void)
{
	unregister_memory_notifier(&gate_memory_notifier);
	/* A holder that was killed may have left its devices to the work item. */
	flush_delayed_work(&gate_work);
	gate_ignore();
	/* Handlers queued it until now, and it queues itself after a hot-add. */
	cancel_delayed_work_sync(&gate_work);
	gate_free();
	destroy_workqueue(gate_wq);
}
