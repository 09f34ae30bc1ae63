/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * memunplug_balloon: contract between memunplug_balloon.ko and a service that gives
 * memory to the host in whole blocks.
 *
 * The module offers /dev/memunplug-balloon (misc device, mode 0600), also while no
 * device is bound. One file at a time leads the balloon: from its first STATE on the
 * driver takes no pages by itself. The service takes memory blocks offline and hands
 * them over (GIVE); for what is left, or when it cannot do better, it lets the driver
 * go on page by page (PAGES). What the balloon has too much of, the driver gives back
 * at once, pages first; blocks come back by being brought online, by whomever: before a
 * block goes online the driver takes it back from the host. When the guest needs memory
 * for something else, the service has the driver give back pages (RELEASE). What must
 * stay available to the guest the service may say (FLOOR).
 *
 * Where the host agreed to it (DEFLATE_ON_OOM), the driver gives back pages before a
 * process is killed for want of memory. It cannot do that with blocks: the service
 * leaves some of the target to pages, and brings back a block for each such time.
 *
 * When the file is closed, the driver is alone again: it goes on page by page, and
 * keeps the blocks that it was given. The next service finds them by BLOCKS.
 *
 * All addresses and sizes are bytes. Structures may grow at the end: the kernel takes
 * the size from the command number, accepts shorter and longer ones, and refuses
 * non-zero bytes it does not know (E2BIG). Reserved fields must be zero (EINVAL).
 *
 * poll(2): EPOLLIN while the state differs from what the last STATE of this file said.
 *
 * Errors common to all calls: ENOTTY unknown command; EFAULT bad pointer; EINVAL a
 * field out of its range, or a structure shorter than its first version; E2BIG; ENODEV
 * no balloon device is bound to the driver; EBUSY another file leads.
 */
#ifndef _UAPI_LINUX_MEMUNPLUG_BALLOON_H
#define _UAPI_LINUX_MEMUNPLUG_BALLOON_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MEMUNPLUG_BALLOON_IOC_TYPE	0xBC

/* memunplug_balloon_state.shortage: why the balloon has less than the host wants */
#define MEMUNPLUG_BALLOON_SHORT_NONE		0
#define MEMUNPLUG_BALLOON_SHORT_FLOOR		1	/* the guest would have too little left */
#define MEMUNPLUG_BALLOON_SHORT_MEMORY		2	/* no free pages could be had */
#define MEMUNPLUG_BALLOON_SHORT_NEED		3	/* the guest needed some itself, lately */

/* memunplug_balloon_state.flags */
#define MEMUNPLUG_BALLOON_DEFLATE_ON_OOM	(1U << 0)	/* see above */

/**
 * struct memunplug_balloon_state - what is wanted and what there is (STATE)
 * @target: what the host wants to have
 * @held: what it has, blocks and pages
 * @blocks: what of that is blocks
 * @floor: what the driver leaves available to the guest, going page by page
 * @sequence: number of the target: another one for each that differs
 * @shortage: MEMUNPLUG_BALLOON_SHORT_*
 * @flags: MEMUNPLUG_BALLOON_DEFLATE_ON_OOM
 * @needs: how often a process was about to be killed for want of memory
 */
struct memunplug_balloon_state {
	__u64 target;
	__u64 held;
	__u64 blocks;
	__u64 floor;
	__u64 sequence;
	__u32 shortage;
	__u32 flags;
	__u64 needs;
};

/**
 * struct memunplug_balloon_range - blocks to give to the host (GIVE)
 * @start: in: first byte; multiple of the memory block size
 * @size: in: bytes; multiple of the memory block size, not 0
 * @flags: in: 0
 * @reserved: in: 0
 *
 * Pages that the balloon then has too much of, the driver gives back. Errors: ENXIO
 * there is no memory, or not all of it is; EBUSY a part of it is online; EEXIST a part
 * of it has been given already; ENOSPC the host does not want that much; ENOMEM.
 */
struct memunplug_balloon_range {
	__u64 start;
	__u64 size;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct memunplug_balloon_blocks - which blocks the host has (BLOCKS)
 * @addresses: in: user pointer to an array of __u64: first bytes of blocks, ascending
 * @max: in: its length
 * @n: out: blocks there are; if more than @max, only the first are written
 */
struct memunplug_balloon_blocks {
	__u64 addresses;
	__u32 max;
	__u32 n;
};

/* memunplug_balloon_pages.flags */
#define MEMUNPLUG_BALLOON_PAGES_PIECES		(1U << 0)	/* pieces of 2 MiB only */

/**
 * struct memunplug_balloon_pages - let the driver go on page by page (PAGES)
 * @sequence: in: that of the target which this is for
 * @flags: in: MEMUNPLUG_BALLOON_PAGES_*
 * @reserved: in: 0
 *
 * Until the next target, PAGES or RELEASE. There is no shortage at first: when free
 * pieces run out there is one. Errors: ESTALE there is another target by now.
 */
struct memunplug_balloon_pages {
	__u64 sequence;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct memunplug_balloon_release - pages are needed by the guest itself (RELEASE)
 * @start: in: first byte of a range; multiple of the memory block size
 * @size: in: bytes; multiple of the memory block size, or 0
 * @bytes: in: what is to come back wherever it is; out: what has come back, all in all
 *
 * All pages that are held of the range come back, then the others, as far as there are
 * any. Whatever the host wants, the driver takes no pages from then on, until PAGES is
 * called. Blocks are not touched.
 */
struct memunplug_balloon_release {
	__u64 start;
	__u64 size;
	__u64 bytes;
};

/**
 * struct memunplug_balloon_floor - what must stay available to the guest (FLOOR)
 * @bytes: in: whatever the host wants; 0: what the driver itself leaves
 * @reserved: in: 0
 *
 * In the place of what the driver leaves by the size of the guest; where its parameter
 * floor_mib says how much, the greater of the two. Holds until the next FLOOR, also
 * when the file is closed.
 */
struct memunplug_balloon_floor {
	__u64 bytes;
	__u64 reserved;
};

#define MEMUNPLUG_BALLOON_IOC_STATE \
	_IOR(MEMUNPLUG_BALLOON_IOC_TYPE, 64, struct memunplug_balloon_state)
#define MEMUNPLUG_BALLOON_IOC_GIVE \
	_IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 65, struct memunplug_balloon_range)
#define MEMUNPLUG_BALLOON_IOC_BLOCKS \
	_IOWR(MEMUNPLUG_BALLOON_IOC_TYPE, 66, struct memunplug_balloon_blocks)
#define MEMUNPLUG_BALLOON_IOC_PAGES \
	_IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 67, struct memunplug_balloon_pages)
#define MEMUNPLUG_BALLOON_IOC_RELEASE \
	_IOWR(MEMUNPLUG_BALLOON_IOC_TYPE, 68, struct memunplug_balloon_release)
#define MEMUNPLUG_BALLOON_IOC_FLOOR \
	_IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 69, struct memunplug_balloon_floor)

#endif /* _UAPI_LINUX_MEMUNPLUG_BALLOON_H */
