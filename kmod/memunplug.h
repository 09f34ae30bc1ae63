/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of memunplug.ko share. One unit per file, named by its noun:
 * main -> device -> evacuate, survey, gate -> selftest -> fence, aside -> range, classify.
 */
#ifndef MEMUNPLUG_H
#define MEMUNPLUG_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/types.h>

#include <uapi/linux/memunplug.h>

#define MU_NO_PFN	ULONG_MAX

/* range.c: which memory we work on, and that it stays while we do */

/**
 * struct mu_range - a range that is being evacuated
 * @node: in the list of such ranges
 * @start: first page frame
 * @end: behind the last one
 */
struct mu_range {
	struct list_head node;
	unsigned long start;
	unsigned long end;
};

int mu_range_init(void);
void mu_range_exit(void);
int mu_range_begin(struct mu_range *range, unsigned long start, unsigned long end);
void mu_range_end(struct mu_range *range);
int mu_range_check(unsigned long start, unsigned long end);
int mu_range_check_isolated(unsigned long start, unsigned long end);
void mu_memmap_lock(void);
void mu_memmap_unlock(void);

/* classify.c: what a page is */

/**
 * struct mu_page - what a page, or the compound page it belongs to, is
 * @class: MEMUNPLUG_CLASS_*
 * @flags: MEMUNPLUG_PAGE_*
 * @ref_count: references
 * @map_count: mappings
 * @expected_count: references that mappings and caches explain
 * @order: of the compound or free page
 * @pfn: its first page frame
 * @clean_cache: a file's, of a disk or the like, on an LRU list and not dirty
 * @slow: locked or under writeback: migration would wait for it, and no signal ends that
 */
struct mu_page {
	u32 class;
	u32 flags;
	int ref_count;
	int map_count;
	int expected_count;
	unsigned int order;
	unsigned long pfn;
	bool clean_cache;
	bool slow;
};

/**
 * struct mu_walk - what to do with the pages of a range
 * @page: called for each compound, free or single page with the number of its
 *	  page frames inside of the range; the memory map is locked
 * @hole: called for @nr page frames of absent or offline memory, or NULL
 * @data: theirs
 * @any_signal: stop at any signal, not only at fatal ones
 * @used_only: pass over what the buddy allocator has
 */
struct mu_walk {
	void (*page)(const struct mu_page *page, unsigned long pfn, unsigned long nr, void *data);
	void (*hole)(unsigned long nr, void *data);
	void *data;
	bool any_signal;
	bool used_only;
};

void mu_classify(struct page *page, struct mu_page *ret_page);
bool mu_pfn_is_slow(unsigned long pfn);
int mu_walk(unsigned long start, unsigned long end, const struct mu_walk *walk);

/* aside.c: pages that would stop a pass */

#define MU_ASIDE_MAX	4096
#define MU_PASS_OVER_MAX	64

/**
 * struct mu_pass_over - pages that are movable, but not for us
 * @pfn: page frames of those that have failed
 * @n: their number
 * @hugetlb: all hugetlb pages
 * @cache: clean page cache, which a pass would not move but give up
 */
struct mu_pass_over {
	unsigned long pfn[MU_PASS_OVER_MAX];
	unsigned int n;
	bool hugetlb;
	bool cache;
};

/**
 * struct mu_aside - pages set aside
 * @behind: end of the last page that would stop a pass and could not be set aside, or 0
 * @n: their number
 * @max: room for so many
 * @folio: they, each with a reference of ours
 */
struct mu_aside {
	unsigned long behind;
	unsigned long n;
	unsigned long max;
	struct folio **folio;
};

int mu_aside_init(struct mu_aside *aside, unsigned long more);
void mu_aside_exit(struct mu_aside *aside);
bool mu_pass_over_pfn(const struct mu_pass_over *over, unsigned long pfn);
bool mu_aside_wants(const struct mu_page *page, unsigned long pfn, const struct mu_pass_over *over);
int mu_aside_collect(struct mu_aside *aside, unsigned long start, unsigned long end,
		     const struct mu_pass_over *over);
void mu_aside_return(struct mu_aside *aside);

/* survey.c: counts */

/**
 * struct mu_tally - what an evacuation wants to know of a range
 * @used: pages that are not free
 * @movable: those of them that ought to move; not those to be passed over, nor, with
 *	     a list of these, the slow ones
 * @first_used: first used page frame, or MU_NO_PFN
 * @first_movable: first movable one, or MU_NO_PFN
 * @first_movable_end: behind the (compound) page that has it
 * @first_reserved: first reserved or offline one, or MU_NO_PFN
 * @first_slow: first slow one, or MU_NO_PFN
 * @slow: movable or pinned pages that are locked or under writeback
 * @cache: clean page cache
 * @aside: those that would stop a pass and are to be set aside
 */
struct mu_tally {
	unsigned long used;
	unsigned long movable;
	unsigned long first_used;
	unsigned long first_movable;
	unsigned long first_movable_end;
	unsigned long first_reserved;
	unsigned long first_slow;
	unsigned long slow;
	unsigned long cache;
	unsigned long aside;
};

int mu_tally(unsigned long start, unsigned long end, const struct mu_pass_over *over,
	     struct mu_tally *ret_tally);
int mu_survey(struct memunplug_survey *survey);

/* fence.c: the one way pages are moved */
int mu_fence_pass(unsigned long start, unsigned long end);
bool mu_fence_is(unsigned long pfn);

/* selftest.c: does the fence work on this kernel? */
void mu_selftest_run(void);
void mu_selftest_set(u32 state, int error);
void mu_selftest_get(u32 *ret_state, int *ret_error);

/* evacuate.c */
int mu_evacuate(struct memunplug_evacuate *evacuate);

/* gate.c: the ACPI gate */
int mu_gate_init(void);
void mu_gate_exit(void);
bool mu_gate_possible(void);
void mu_gate_info(struct memunplug_info *info);
int mu_gate_set(struct file *file, struct memunplug_gate *gate);
int mu_gate_answer(struct file *file, const struct memunplug_answer *answer);
int mu_gate_release(struct file *file, const struct memunplug_release *release);
void mu_gate_close(struct file *file);
ssize_t mu_gate_read(struct file *file, char __user *buf, size_t size);
__poll_t mu_gate_poll(struct file *file, poll_table *wait);

/* virtio_mem.c: sizes of virtio-mem devices */
int mu_virtio_mem(struct memunplug_virtio_mem *arg);
void mu_virtio_mem_exit(void);

/* device.c */
int mu_device_init(void);
void mu_device_exit(void);
void mu_device_announce(char *env[]);

#endif /* MEMUNPLUG_H */
