/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of memunplug_balloon.ko and what each offers to the others.
 */
#ifndef MEMUNPLUG_BALLOON_PARTS_H
#define MEMUNPLUG_BALLOON_PARTS_H

#include <uapi/linux/memunplug_balloon.h>

#include "balloon.h"

/* balloon_target.c */
int mu_target_init(void);
void mu_target_exit(void);
void mu_target_changed(struct mu_balloon *balloon);
void mu_target_delay(struct mu_balloon *balloon, unsigned long delay);
void mu_target_work(struct work_struct *work);
void mu_target_publish(struct mu_balloon *balloon);
void mu_target_state(struct mu_balloon *balloon, struct memunplug_balloon_state *state);
void mu_target_lead(struct mu_balloon *balloon, bool led);
void mu_target_set_floor(struct mu_balloon *balloon, unsigned long pages);
int mu_target_allow_pages(struct mu_balloon *balloon, u64 sequence, u32 flags);
unsigned long mu_target_release(struct mu_balloon *balloon, unsigned long start,
				unsigned long end, unsigned long want);
void mu_stats_request(struct mu_balloon *balloon);

/* balloon_pages.c */
unsigned long mu_pages_inflate(struct mu_balloon *balloon, unsigned long want, bool pieces,
			       bool untouched);
unsigned long mu_pages_deflate(struct mu_balloon *balloon, unsigned long want);
unsigned long mu_pages_deflate_range(struct mu_balloon *balloon, unsigned long start,
				     unsigned long end);

/* balloon_gather.c */
unsigned long mu_gather(struct mu_balloon *balloon, unsigned long want, struct list_head *list);
int mu_reporting_init(struct mu_balloon *balloon);
void mu_reporting_exit(struct mu_balloon *balloon);

/* balloon_queue.c */
int mu_queues_init(struct mu_balloon *balloon);
void mu_queue_flush(struct mu_balloon *balloon, struct virtqueue *vq);
void mu_queue_add(struct mu_balloon *balloon, struct virtqueue *vq, unsigned long pfn,
		  unsigned long n);
int mu_queue_report(struct mu_balloon *balloon, struct scatterlist *sg, unsigned int nents);

/* balloon_stats.c */
int mu_stats_start(struct mu_balloon *balloon);
void mu_stats_work(struct work_struct *work);

/* balloon_blocks.c */
int mu_blocks_give(struct mu_balloon *balloon, unsigned long start, unsigned long end);
bool mu_blocks_coming(struct mu_balloon *balloon, unsigned long start, unsigned long end);
bool mu_blocks_forget_absent(struct mu_balloon *balloon);
unsigned int mu_blocks_list(struct mu_balloon *balloon, u64 *addresses, unsigned int max);
void mu_blocks_retell(struct mu_balloon *balloon);
void mu_blocks_exit(struct mu_balloon *balloon);

/* balloon_control.c */
int mu_control_init(void);
void mu_control_exit(void);
void mu_control_add(struct mu_balloon *balloon);
void mu_control_remove(struct mu_balloon *balloon);
void mu_control_changed(void);

/* balloon_notify.c */
int mu_notify_init(struct mu_balloon *balloon);
void mu_notify_exit(struct mu_balloon *balloon);

#endif /* MEMUNPLUG_BALLOON_PARTS_H */
