// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eject requests on their way to user space: one open request for each device,
 * at most one unread event for each request, so the queue needs no limit of its
 * own. Runs under a spinlock alone, because the ACPI notify handler comes here,
 * and gate.c waits for that handler. Who holds the gate is decided there.
 */
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "gate.h"
#include "memunplug.h"

static DEFINE_SPINLOCK(event_lock);
static DECLARE_WAIT_QUEUE_HEAD(event_wait);
static LIST_HEAD(unread);		/* devices with an unread event, in order */
static const struct file *event_owner;	/* the file that holds the gate */
static u64 event_seq;

/**
 * gate_event_init - a device without requests
 * @device: the device, not yet known to anybody
 */
void gate_event_init(struct gate_device *device)
{
	INIT_LIST_HEAD(&device->event_node);
}

/**
 * gate_event_set_name - the name that events of a device carry
 * @device: the device
 * @name: its name; cut if it is too long
 */
void gate_event_set_name(struct gate_device *device, const char *name)
{
	spin_lock(&event_lock);
	strscpy_pad(device->name, name, sizeof(device->name));
	spin_unlock(&event_lock);
}

/**
 * gate_event_set_released - do requests for a device go to user space?
 * @device: the device
 * @released: true if they are the kernel's own business
 */
void gate_event_set_released(struct gate_device *device, bool released)
{
	spin_lock(&event_lock);
	device->released = released;
	spin_unlock(&event_lock);
}

/**
 * gate_event_set_owner - who may read events
 * @owner: the file, or NULL: nobody, and readers that wait are sent away
 */
void gate_event_set_owner(const struct file *owner)
{
	spin_lock(&event_lock);
	event_owner = owner;
	spin_unlock(&event_lock);
	wake_up_interruptible_all(&event_wait);
}

/**
 * gate_event_requested - the platform wants a device back
 * @device: the device
 *
 * Opens a request and queues an event, or joins it with the one that is unread.
 *
 * Return: false if nobody holds the gate, or the device has been released: then
 * the request is the kernel's own business.
 */
bool gate_event_requested(struct gate_device *device)
{
	bool ours;

	spin_lock(&event_lock);
	ours = event_owner && !device->released;
	if (ours && list_empty(&device->event_node)) {
		device->open = true;
		device->count = 1;
		device->seq = ++event_seq;
		device->time = ktime_get_ns();
		list_add_tail(&device->event_node, &unread);
	} else if (ours && device->count < U32_MAX) {
		device->count++;
	}
	spin_unlock(&event_lock);
	if (ours)
		wake_up_interruptible_all(&event_wait);
	return ours;
}

/**
 * gate_event_is_open - does a device have an open request?
 * @device: the device
 *
 * Return: true if so.
 */
bool gate_event_is_open(const struct gate_device *device)
{
	return READ_ONCE(device->open);
}

/**
 * gate_event_close - end of a request, and of its event if nobody has read it
 * @device: the device
 *
 * Return: true if there was one.
 */
bool gate_event_close(struct gate_device *device)
{
	bool open;

	spin_lock(&event_lock);
	open = device->open;
	WRITE_ONCE(device->open, false);
	list_del_init(&device->event_node);
	spin_unlock(&event_lock);
	return open;
}

/*
 * Takes the next event of @file. -EAGAIN if there is none, -EPERM if the file
 * does not hold the gate (any more).
 */
static int event_take(const struct file *file, struct memunplug_event *ret_event,
		      struct gate_device **ret_device)
{
	struct gate_device *device;
	int ret = -EAGAIN;

	spin_lock(&event_lock);
	if (event_owner != file) {
		ret = -EPERM;
	} else if (!list_empty(&unread)) {
		device = list_first_entry(&unread, struct gate_device, event_node);
		list_del_init(&device->event_node);
		*ret_event = (struct memunplug_event) {
			.type = MEMUNPLUG_EVENT_EJECT,
			.size = sizeof(*ret_event),
			.seq = device->seq,
			.time = device->time,
			.count = device->count,
		};
		memcpy(ret_event->name, device->name, sizeof(ret_event->name));
		*ret_device = device;
		ret = 0;
	}
	spin_unlock(&event_lock);
	return ret;
}

/* What could not be given to user space goes back to the front. */
static void event_put_back(struct gate_device *device)
{
	spin_lock(&event_lock);
	if (device->open && list_empty(&device->event_node))
		list_add(&device->event_node, &unread);
	spin_unlock(&event_lock);
}

static bool event_ready(const struct file *file)
{
	bool ready;

	spin_lock(&event_lock);
	ready = event_owner != file || !list_empty(&unread);
	spin_unlock(&event_lock);
	return ready;
}

/**
 * mu_gate_read - read(2): whole event records, as many as fit and are there
 * @file: the open file
 * @buf: where to
 * @size: its size
 *
 * Return: bytes read, or a negative errno as documented in the uapi header.
 */
ssize_t mu_gate_read(struct file *file, char __user *buf, size_t size)
{
	struct memunplug_event event;
	struct gate_device *device;
	size_t done = 0;
	int ret;

	if (size < sizeof(event))
		return -EINVAL;
	while (size - done >= sizeof(event)) {
		ret = event_take(file, &event, &device);
		if (ret == -EAGAIN && !done && !(file->f_flags & O_NONBLOCK)) {
			ret = wait_event_interruptible(event_wait, event_ready(file));
			if (!ret)
				continue;
		}
		if (!ret && copy_to_user(buf + done, &event, sizeof(event))) {
			event_put_back(device);
			ret = -EFAULT;
		}
		if (ret)
			return done ? done : ret;
		done += sizeof(event);
	}
	return done;
}

/**
 * mu_gate_poll - poll(2)
 * @file: the open file
 * @wait: the poll table
 *
 * Return: EPOLLIN if read() would give an event, EPOLLOUT if nobody holds the gate.
 */
__poll_t mu_gate_poll(struct file *file, poll_table *wait)
{
	__poll_t mask = 0;

	poll_wait(file, &event_wait, wait);
	spin_lock(&event_lock);
	if (!event_owner)
		mask = EPOLLOUT | EPOLLWRNORM;
	else if (event_owner == file && !list_empty(&unread))
		mask = EPOLLIN | EPOLLRDNORM;
	spin_unlock(&event_lock);
	return mask;
}
