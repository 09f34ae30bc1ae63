// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free page reporting, and by the same way free memory for the balloon. An allocator
 * zeroes what it gives (init_on_alloc), which costs thousands of instructions a page
 * and makes the host provide the memory that it is about to be given. Page reporting
 * takes large pieces off the free lists untouched, shows them to a callback and puts
 * back those that are in the list then. The callback keeps what the balloon wants by
 * leaving it out of the list. What was kept is looked at before it is used: on a
 * kernel that puts it back all the same, this is never tried again.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_reporting.h>
#include <linux/scatterlist.h>
#include <linux/virtio_config.h>

#include "balloon_parts.h"
#include "pageblock.h"

/* What page reporting waits between its passes, in jiffies. */
#define GATHER_PAUSE	(2 * HZ)

static bool gather_broken;

static bool gather_wants(const struct mu_gather *gather, struct page *page, unsigned int order)
{
	return gather->n < ARRAY_SIZE(gather->pages) && gather->want && order >= MU_CHUNK_ORDER &&
	       page_zonenum(page) >= ZONE_DMA32 && !mu_pageblock_cma(page_to_pfn(page));
}

/*
 * Keeps what is wanted, all but one: the list must not become empty. Whatever is left
 * moves to its front.
 */
static unsigned int gather_keep(struct mu_gather *gather, struct scatterlist *sgl,
				unsigned int nents)
{
	unsigned int left = 0, i;

	for (i = 0; i < nents; i++) {
		struct page *page = sg_page(&sgl[i]);
		unsigned int length = sgl[i].length;
		unsigned int order = get_order(length);

		if ((i < nents - 1 || left) && gather_wants(gather, page, order)) {
			gather->want -= min(gather->want, 1UL << (order - MU_CHUNK_ORDER));
			gather->orders[gather->n] = order;
			gather->pages[gather->n++] = page;
		} else {
			sg_set_page(&sgl[left++], page, length, 0);
		}
	}
	sg_mark_end(&sgl[left - 1]);
	return nents - left;
}

/* The callback. An error ends the pass, and says that what goes back has not been reported. */
static int gather_report(struct page_reporting_dev_info *reporter, struct scatterlist *sgl,
			 unsigned int nents)
{
	struct mu_balloon *balloon = container_of(reporter, struct mu_balloon, reporter);

	if (READ_ONCE(balloon->gather.active) &&
	    gather_keep(&balloon->gather, sgl, nents))
		return -EAGAIN;
	return balloon->reporting ? mu_queue_report(balloon, sgl, nents) : 0;
}

/* Chunks out of one piece, each with one reference, as an allocator gives them. */
static unsigned long gather_split(struct page *page, unsigned int order, unsigned long want,
				  struct list_head *list)
{
	unsigned long n = 1UL << (order - MU_CHUNK_ORDER), i;

	for (i = 0; i < n; i++, page += MU_CHUNK_PAGES) {
		init_page_count(page);
		if (i < want)
			list_add_tail(&page->lru, list);
		else
			__free_pages(page, MU_CHUNK_ORDER);
	}
	return min(n, want);
}

static unsigned long gather_collect(struct mu_balloon *balloon, unsigned long want,
				    struct list_head *list)
{
	struct mu_gather *gather = &balloon->gather;
	unsigned long got = 0;
	unsigned int i;

	for (i = 0; i < gather->n; i++)
		if (PageBuddy(gather->pages[i]) || page_count(gather->pages[i]))
			gather_broken = true;
	if (gather_broken) {
		dev_warn(&balloon->vdev->dev,
			 "this kernel keeps its free memory: pages are allocated instead\n");
		return 0;
	}
	for (i = 0; i < gather->n; i++)
		got += gather_split(gather->pages[i], gather->orders[i], want - got, list);
	return got;
}

/*
 * One pass over the free lists, at once: by itself it would come two seconds later. One
 * that came by itself after it would mark as reported what nobody was told of.
 */
static unsigned long gather_pass(struct mu_balloon *balloon, unsigned long want,
				 struct list_head *list)
{
	struct mu_gather *gather = &balloon->gather;

	gather->n = 0;
	gather->want = want;
	WRITE_ONCE(gather->active, true);
	/* Not on the queue of its own passes: that one may be freezing while this waits. */
	mod_delayed_work(system_unbound_wq, &balloon->reporter.work, 0);
	flush_delayed_work(&balloon->reporter.work);
	cancel_delayed_work_sync(&balloon->reporter.work);
	WRITE_ONCE(gather->active, false);
	return gather_collect(balloon, want, list);
}

/**
 * mu_gather - take large free pieces off the kernel's free lists, untouched
 * @balloon: the balloon; the target worker calls
 * @want: chunks at most
 * @list: where they are added, by their lru
 *
 * One pass only, which may end before it has all: while it runs, more than is wanted is
 * off the free lists, and the caller knows whether there is room for that once more.
 *
 * Return: chunks taken.
 */
unsigned long mu_gather(struct mu_balloon *balloon, unsigned long want, struct list_head *list)
{
	unsigned long got;

	if (gather_broken || !want)
		return 0;
	if (!balloon->reporting && page_reporting_register(&balloon->reporter))
		return 0;
	got = gather_pass(balloon, want, list);
	if (balloon->reporting)
		mod_delayed_work(system_freezable_wq, &balloon->reporter.work, GATHER_PAUSE);
	else
		page_reporting_unregister(&balloon->reporter);
	return got;
}

/**
 * mu_reporting_init - begin to report free pages, if the host wants it
 * @balloon: the balloon
 *
 * Return: 0 or a negative errno.
 */
int mu_reporting_init(struct mu_balloon *balloon)
{
	int ret;

	balloon->reporter.report = gather_report;
	balloon->reporter.order = MU_CHUNK_ORDER;
	if (!balloon->reporting_vq)
		return 0;
	balloon->reporting = true;
	ret = page_reporting_register(&balloon->reporter);
	balloon->reporting = !ret;
	return ret;
}

/**
 * mu_reporting_exit - end it
 * @balloon: the balloon
 */
void mu_reporting_exit(struct mu_balloon *balloon)
{
	if (balloon->reporting)
		page_reporting_unregister(&balloon->reporter);
	balloon->reporting = false;
}
