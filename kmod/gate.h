/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between gate.c (who holds which device) and gate_event.c (what the platform
 * asked for, and who reads it).
 */
#ifndef MEMUNPLUG_GATE_H
#define MEMUNPLUG_GATE_H

#include <linux/acpi.h>
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>

#include <uapi/linux/memunplug.h>

/**
 * struct gate_device - a PNP0C80 object: one slot for a memory device
 * @node: in the list of gate.c, for good
 * @handle: its ACPI handle
 * @listening: our notify handler is installed
 * @present: a memory device is in the slot, and the kernel knows it
 * @held: we have cleared flags.hotplug_notify of it, and must set it again
 * @released: user space wants the kernel's own path for it
 * @orphaned: its holder went away with the request open: an answer is due
 * @late: a request came while the device was on its way back to the kernel
 * @rechecks: looks still to be taken after a device check
 * @name: device name; empty if there has been no device yet
 * @event_node: in the queue of unread events, or empty
 * @open: a request is open
 * @count: notifications that the unread event stands for
 * @seq: its number
 * @time: when it came
 *
 * @name and what follows belong to the lock of gate_event.c, @released is written
 * under both; the rest belongs to the mutex of gate.c.
 */
struct gate_device {
	struct list_head node;
	acpi_handle handle;
	bool listening;
	bool present;
	bool held;
	bool released;
	bool orphaned;
	atomic_t late;
	atomic_t rechecks;

	char name[MEMUNPLUG_NAME_SIZE];
	struct list_head event_node;
	bool open;
	u32 count;
	u64 seq;
	u64 time;
};

void gate_event_init(struct gate_device *device);
void gate_event_set_name(struct gate_device *device, const char *name);
void gate_event_set_released(struct gate_device *device, bool released);
void gate_event_set_owner(const struct file *owner);
bool gate_event_requested(struct gate_device *device);
bool gate_event_is_open(const struct gate_device *device);
bool gate_event_close(struct gate_device *device);

#endif /* MEMUNPLUG_GATE_H */
