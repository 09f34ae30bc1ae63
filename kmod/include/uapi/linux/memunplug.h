/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * memunplug: contract between memunplug.ko and user space.
 *
 * The module offers /dev/memunplug (misc device, mode 0600). It does the few
 * things user space cannot do, and keeps no jobs:
 *
 *  EVACUATE  empties one contiguous physical range of one zone by page
 *            migration. The call blocks, and ends early on a fatal signal
 *            (EINTR): killing the calling process is the cancel. Nothing stays
 *            isolated, allocated or zeroed when it returns: an evacuated range
 *            is ordinary free memory.
 *  SURVEY    counts the pages of a range by class, and lists those that stand
 *            in the way of an evacuation.
 *  the gate  while a file holds it (GATE), ACPI eject requests for memory
 *            devices (PNP0C80) are not tried by the kernel; they are read from
 *            the file as events. ANSWER tells the platform how it goes (_OST),
 *            RELEASE hands one device back to the kernel's own eject path.
 *            Closing the file gives everything back, and answers what is open.
 *  VIRTIO_MEM reads what the hypervisor wants of a virtio-mem device, and what the
 *            device has; if asked, it makes the device's driver look at the request
 *            once more. After its first success, each notification of the
 *            hypervisor to such a device is announced by a uevent of the misc
 *            device: action "change", with MEMUNPLUG_EVENT=virtio_mem.
 *
 * All addresses and sizes are bytes of guest physical memory, times are
 * CLOCK_MONOTONIC nanoseconds. Structures may grow at the end: the kernel takes
 * the size from the command number, accepts shorter and longer ones, and refuses
 * non-zero bytes it does not know (E2BIG). Reserved fields and unknown flags must
 * be zero (EINVAL).
 *
 * Errors common to all calls: ENOTTY unknown command; EFAULT bad pointer; EINVAL
 * a field out of its range, or a structure shorter than its first version; E2BIG
 * a longer structure with unknown non-zero fields.
 */
#ifndef _UAPI_LINUX_MEMUNPLUG_H
#define _UAPI_LINUX_MEMUNPLUG_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MEMUNPLUG_ABI		1
#define MEMUNPLUG_IOC_TYPE	0xBC
#define MEMUNPLUG_NONE		(~(__u64)0)	/* no address */
#define MEMUNPLUG_NAME_SIZE	24		/* ACPI device name with its NUL */

/* memunplug_info.features */
#define MEMUNPLUG_FEATURE_EVACUATE	(1U << 0)	/* the fence passed its self-test */
#define MEMUNPLUG_FEATURE_SURVEY	(1U << 1)
#define MEMUNPLUG_FEATURE_GATE		(1U << 2)	/* ACPI memory devices can be gated */
#define MEMUNPLUG_FEATURE_KEEP_CACHE	(1U << 3)	/* EVACUATE knows KEEP_CACHE */
#define MEMUNPLUG_FEATURE_HELD		(1U << 4)	/* EVACUATE and SURVEY know held pages */

/* memunplug_info.selftest */
#define MEMUNPLUG_SELFTEST_PENDING	0	/* no movable range found yet: done at first use */
#define MEMUNPLUG_SELFTEST_PASSED	1
#define MEMUNPLUG_SELFTEST_FAILED	2	/* EVACUATE answers EOPNOTSUPP */

/**
 * struct memunplug_info - what this module can do on this kernel (GET_INFO)
 * @abi: MEMUNPLUG_ABI the module was built with, for diagnostics only
 * @features: MEMUNPLUG_FEATURE_* bits
 * @selftest: MEMUNPLUG_SELFTEST_*
 * @selftest_error: negative errno or 0: why the self-test failed
 * @block_size: size of a memory block in bytes
 * @pageblock_size: granularity of EVACUATE ranges in bytes
 * @gated_devices: ACPI memory devices held by the gate at present
 * @gate_held: 1 if some file holds the gate
 */
struct memunplug_info {
	__u32 abi;
	__u32 features;
	__u32 selftest;
	__s32 selftest_error;
	__u64 block_size;
	__u64 pageblock_size;
	__u32 gated_devices;
	__u32 gate_held;
};

/* memunplug_evacuate.flags */
#define MEMUNPLUG_EVACUATE_KEEP_CACHE	(1U << 0)	/* leave clean page cache alone */

/**
 * struct memunplug_evacuate - empty a range (EVACUATE)
 * @start: in: first byte; multiple of pageblock_size
 * @size: in: bytes; multiple of pageblock_size, not 0
 * @flags: in: MEMUNPLUG_EVACUATE_* bits
 * @reserved: in: 0
 * @used_before: out: bytes in use when the call began
 * @used_after: out: bytes in use when it ended (0: empty)
 * @first_left: out: address of the first used page left, or MEMUNPLUG_NONE
 * @passes: out: isolate-and-migrate passes made
 * @reserved2: out: 0
 *
 * The kernel does not move clean page cache for this, mapped or not, but gives it up:
 * it is read again when it is wanted. With KEEP_CACHE it is neither moved nor given up,
 * but left, which @used_after includes; to take the memory offline moves it.
 *
 * Pages that are locked or under writeback when it begins are left at first. If they
 * are not through in a second, all together, they stay: user space tries again when it
 * likes. One that comes to be locked later makes migration wait, and no signal ends that.
 *
 * Returns 0 when the range was worked through to its end; that pages are left
 * is not an error: @used_after says so. Errors: EINVAL unaligned, empty or
 * wrapping range; ENXIO part of it is absent, offline or a hole; EXDEV more than
 * one zone or node; EOPNOTSUPP the zone is not ZONE_MOVABLE, or the self-test
 * failed; EBUSY somebody else has part of the range isolated, evacuates it or
 * takes it offline; EINTR a fatal signal came; ENOMEM pages have nowhere to go.
 * Outputs are not written when there is an error.
 */
struct memunplug_evacuate {
	__u64 start;
	__u64 size;
	__u32 flags;
	__u32 reserved;
	__u64 used_before;
	__u64 used_after;
	__u64 first_left;
	__u32 passes;
	__u32 reserved2;
};

/* Page classes of SURVEY: index of memunplug_survey.bytes, memunplug_page.class */
#define MEMUNPLUG_CLASS_FREE		0	/* in the buddy allocator or a per-CPU list */
#define MEMUNPLUG_CLASS_MOVABLE		1	/* can be migrated */
#define MEMUNPLUG_CLASS_RESERVED	2	/* PageReserved: boot memory, firmware */
#define MEMUNPLUG_CLASS_SLAB		3
#define MEMUNPLUG_CLASS_PAGE_TABLE	4
#define MEMUNPLUG_CLASS_PINNED		5	/* more references than its mappings explain */
#define MEMUNPLUG_CLASS_HUGETLB		6
#define MEMUNPLUG_CLASS_HWPOISON	7
#define MEMUNPLUG_CLASS_OFFLINE		8	/* PageOffline: virtio-mem and the like */
#define MEMUNPLUG_CLASS_BALLOON		9	/* movable balloon page */
#define MEMUNPLUG_CLASS_KERNEL		10	/* allocated, not on the LRU, owner unknown */
#define MEMUNPLUG_CLASS_UNKNOWN		11
/* Only in the list of pages, with HELD; their bytes are counted as MOVABLE. */
#define MEMUNPLUG_CLASS_LOCKED		12	/* movable, but locked: mostly for I/O */
#define MEMUNPLUG_CLASS_WRITEBACK	13	/* movable, but being written */
#define MEMUNPLUG_CLASS_MAX		16	/* size of the array; the rest is 0 */

/* memunplug_page.flags */
#define MEMUNPLUG_PAGE_LOCKED		(1U << 0)
#define MEMUNPLUG_PAGE_WRITEBACK	(1U << 1)
#define MEMUNPLUG_PAGE_DIRTY		(1U << 2)
#define MEMUNPLUG_PAGE_ANON		(1U << 3)
#define MEMUNPLUG_PAGE_SWAPCACHE	(1U << 4)
#define MEMUNPLUG_PAGE_UNEVICTABLE	(1U << 5)
#define MEMUNPLUG_PAGE_COMPOUND		(1U << 6)
#define MEMUNPLUG_PAGE_DMA_PINNED	(1U << 7)

/**
 * struct memunplug_page - one page in the way
 * @address: its physical address
 * @class: MEMUNPLUG_CLASS_*
 * @page_class: the same, for C++
 * @flags: MEMUNPLUG_PAGE_*
 * @ref_count: reference count of its folio
 * @map_count: mappings of its folio
 * @expected_count: references that its mappings and caches explain
 * @order: order of its folio
 */
struct memunplug_page {
	__u64 address;
	union {
#ifndef __cplusplus
		__u32 class;
#endif
		__u32 page_class;
	};
	__u32 flags;
	__s32 ref_count;
	__s32 map_count;
	__s32 expected_count;
	__u32 order;
};

/* memunplug_survey.flags */
#define MEMUNPLUG_SURVEY_HELD		(1U << 0)	/* locked, written: in the way, too */

/**
 * struct memunplug_survey - what is in a range (SURVEY)
 * @start: in: first byte; multiple of the page size
 * @size: in: bytes; multiple of the page size, not 0, at most 2 GiB
 * @pages: in: user pointer to an array of struct memunplug_page, or 0
 * @max_pages: in: its length in elements, at most 4096; 0 for counts only
 * @flags: in: MEMUNPLUG_SURVEY_* bits
 * @n_pages: out: elements written: the first pages in the way, by address; a
 *	     compound page is one element
 * @reserved: out: 0
 * @bytes: out: bytes by class
 * @locked_bytes: out: bytes of movable pages that are locked
 * @writeback_bytes: out: bytes of movable pages under writeback
 * @hole_bytes: out: bytes of absent or offline memory
 * @total_blockers: out: pages in the way, listed or not; a compound page is one
 *
 * Counts are a snapshot taken without locks: advisory. A page is in the way if
 * its class is neither FREE nor MOVABLE (BALLOON pages are movable and are not
 * listed, free HUGETLB pages neither; nor are OFFLINE pages, for which their driver
 * answers). With HELD movable pages that are locked or under writeback now are in the
 * way, too: most are through in a moment. Errors: EINVAL; EINTR a signal is pending;
 * ENOMEM; EFAULT.
 */
struct memunplug_survey {
	__u64 start;
	__u64 size;
	__u64 pages;
	__u32 max_pages;
	__u32 flags;
	__u32 n_pages;
	__u32 reserved;
	__u64 bytes[MEMUNPLUG_CLASS_MAX];
	__u64 locked_bytes;
	__u64 writeback_bytes;
	__u64 hole_bytes;
	__u64 total_blockers;
};

/**
 * struct memunplug_gate - take or give back the ACPI gate (GATE)
 * @hold: in: 1 take (again: look for new devices, and take back the released), 0
 *	  give back (nothing happens if nobody holds it)
 * @flags: in: 0
 * @devices: out: memory devices held now
 * @reserved: out: 0
 *
 * Devices that are hot-added meanwhile are held without another call. Empty slots
 * are never held. Errors: EBUSY another file holds it; ENODEV no ACPI memory
 * devices here; ENOMEM; EINTR a fatal signal came while the kernel was busy with a
 * device.
 */
struct memunplug_gate {
	__u32 hold;
	__u32 flags;
	__u32 devices;
	__u32 reserved;
};

/* _OST status codes for ANSWER, ejection request (ACPI 6.5, table 6-90) */
#define MEMUNPLUG_OST_SUCCESS		0x00
#define MEMUNPLUG_OST_FAILURE		0x01
#define MEMUNPLUG_OST_NOT_SUPPORTED	0x80
#define MEMUNPLUG_OST_IN_USE		0x81
#define MEMUNPLUG_OST_BUSY		0x82
#define MEMUNPLUG_OST_DEPENDENCY	0x83
#define MEMUNPLUG_OST_IN_PROGRESS	0x84

/**
 * struct memunplug_answer - tell the platform how an eject request goes (ANSWER)
 * @name: in: device name as in the event, NUL padded
 * @status: in: MEMUNPLUG_OST_*; any but IN_PROGRESS closes the request
 * @flags: in: 0
 *
 * Errors: EPERM this file does not hold the gate; ENODEV no such device; ENOENT
 * it has no open request.
 */
struct memunplug_answer {
	char name[MEMUNPLUG_NAME_SIZE];
	__u32 status;
	__u32 flags;
};

/**
 * struct memunplug_release - let the kernel's own path eject a device (RELEASE)
 * @name: in: device name, NUL padded
 * @flags: in: 0
 * @reserved: in: 0
 *
 * After it, writing 1 to the device's sysfs attribute "eject" acts again. The
 * device is taken back into the gate by GATE (not before it is gone, or the eject is
 * lost), or when memory is hot-added to it; then its request is closed, too. A
 * request that stays open is answered BUSY when the file is closed, if the device is
 * still there. Errors: EPERM this file does not hold the gate; ENODEV no such device,
 * or nothing in its slot; EINTR as for GATE.
 */
struct memunplug_release {
	char name[MEMUNPLUG_NAME_SIZE];
	__u32 flags;
	__u32 reserved;
};

/* memunplug_event.type */
#define MEMUNPLUG_EVENT_EJECT		1	/* the platform asks for a device back */
#define MEMUNPLUG_EVENT_OVERRUN		2	/* @count events were lost; not sent by ABI 1 */

/**
 * struct memunplug_event - what read(2) returns, whole records only
 * @type: MEMUNPLUG_EVENT_*
 * @size: size of this record in bytes
 * @seq: number of the event since the module was loaded
 * @time: when it came
 * @name: device name, NUL padded
 * @count: notifications this record stands for (repeats are joined while the
 *         request is open and unread)
 * @reserved: 0
 *
 * read(2): EINVAL the buffer is shorter than one record; EAGAIN none and
 * O_NONBLOCK; EPERM this file does not hold the gate. poll(2): EPOLLIN, or EPOLLOUT
 * when nobody holds the gate.
 */
struct memunplug_event {
	__u32 type;
	__u32 size;
	__u64 seq;
	__u64 time;
	char name[MEMUNPLUG_NAME_SIZE];
	__u32 count;
	__u32 reserved;
};

/* memunplug_virtio_mem.flags */
#define MEMUNPLUG_VIRTIO_MEM_RETRY	(1U << 0)	/* tell the driver to look again */

/**
 * struct memunplug_virtio_mem - sizes of a virtio-mem device (VIRTIO_MEM)
 * @name: in: device name on the virtio bus ("virtio3"), NUL padded
 * @flags: in: MEMUNPLUG_VIRTIO_MEM_* bits
 * @reserved: in: 0
 * @start: out: first byte of the device's region
 * @region_size: out: what it can have at most
 * @block_size: out: granularity of the sizes
 * @requested_size: out: what the hypervisor wants it to have
 * @plugged_size: out: what it has
 *
 * A driver that could not give back enough tries again by itself only after 50
 * seconds, later after up to five minutes. With RETRY it is told that the device's
 * configuration may have changed, which it may be told at any time; the sizes are
 * those before it acts.
 *
 * Errors: ENODEV no virtio-mem device of this name has a driver, or it is on a bus
 * other than PCI and platform; EBUSY its driver comes or goes at this moment.
 */
struct memunplug_virtio_mem {
	char name[MEMUNPLUG_NAME_SIZE];
	__u32 flags;
	__u32 reserved;
	__u64 start;
	__u64 region_size;
	__u64 block_size;
	__u64 requested_size;
	__u64 plugged_size;
};

#define MEMUNPLUG_IOC_GET_INFO	_IOR(MEMUNPLUG_IOC_TYPE, 0, struct memunplug_info)
#define MEMUNPLUG_IOC_EVACUATE	_IOWR(MEMUNPLUG_IOC_TYPE, 1, struct memunplug_evacuate)
#define MEMUNPLUG_IOC_SURVEY	_IOWR(MEMUNPLUG_IOC_TYPE, 2, struct memunplug_survey)
#define MEMUNPLUG_IOC_GATE	_IOWR(MEMUNPLUG_IOC_TYPE, 3, struct memunplug_gate)
#define MEMUNPLUG_IOC_ANSWER	_IOW(MEMUNPLUG_IOC_TYPE, 4, struct memunplug_answer)
#define MEMUNPLUG_IOC_RELEASE	_IOW(MEMUNPLUG_IOC_TYPE, 5, struct memunplug_release)
#define MEMUNPLUG_IOC_VIRTIO_MEM \
	_IOWR(MEMUNPLUG_IOC_TYPE, 6, struct memunplug_virtio_mem)

#endif /* _UAPI_LINUX_MEMUNPLUG_H */
