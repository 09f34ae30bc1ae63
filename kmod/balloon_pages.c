// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages that the balloon holds: chunks of 2 MiB as long as they can be had, single
 * pages for the rest. Each is marked PageOffline, so that nobody saves, dumps or reads
 * it, which would make the host provide memory for it again. Pages are had without the
 * lock: an allocation may end in the OOM notifier, which takes it.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/virtio_config.h>

#include "balloon_parts.h"

/* What is allocated, perhaps zeroed, before the host is told of it. */
#define PAGES_ALLOCATED_MAX	(4096UL)

#define PAGES_GFP	(GFP_HIGHUSER | __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)

/* Held pages that are no longer the guest's memory, unless it may take them back in need. */
static bool pages_counted(const struct mu_balloon *balloon)
{
	return virtio_has_feature(balloon->vdev, VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
}

static void pages_mark(const struct mu_balloon *balloon, struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		__SetPageOffline(page + i);
	if (!pages_counted(balloon))
		adjust_managed_page_count(page, -(1L << order));
}

static void pages_free(const struct mu_balloon *balloon, struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		__ClearPageOffline(page + i);
	if (!pages_counted(balloon))
		adjust_managed_page_count(page, 1L << order);
	__free_pages(page, order);
}

/* Pages that somebody had before: a chunk in one go costs as much as its pages one by one. */
static unsigned long pages_allocate(unsigned long want, unsigned int order, struct list_head *list)
{
	unsigned long got = 0;
	struct page *page;

	want = min(want, PAGES_ALLOCATED_MAX);
	while (got + (1UL << order) <= want) {
		page = alloc_pages(PAGES_GFP, order);
		if (!page)
			break;
		list_add_tail(&page->lru, list);
		got += 1UL << order;
		cond_resched();
	}
	return got;
}

static void pages_tell(struct mu_balloon *balloon, struct virtqueue *vq, struct list_head *list,
		       unsigned int order)
{
	struct page *page;

	list_for_each_entry(page, list, lru)
		mu_queue_add(balloon, vq, page_to_pfn(page), 1UL << order);
}

static void pages_take_in(struct mu_balloon *balloon, struct list_head *list, unsigned int order,
			  struct list_head *held)
{
	struct page *page;

	list_for_each_entry(page, list, lru)
		pages_mark(balloon, page, order);
	pages_tell(balloon, balloon->inflate_vq, list, order);
	list_splice_tail(list, held);
}

/**
 * mu_pages_inflate - take memory and give it to the host
 * @balloon: the balloon, not locked; the target worker calls
 * @want: pages at most
 * @pieces: chunks only
 * @untouched: free memory as it is, as far as there are chunks; or all is allocated
 *
 * Return: pages given; less than @want may mean that more can be had at once.
 */
unsigned long mu_pages_inflate(struct mu_balloon *balloon, unsigned long want, bool pieces,
			       bool untouched)
{
	LIST_HEAD(chunks);
	LIST_HEAD(singles);
	unsigned long got = 0;

	if (untouched)
		got = mu_gather(balloon, want / MU_CHUNK_PAGES, &chunks) * MU_CHUNK_PAGES;
	if (!got)
		got = pages_allocate(want, MU_CHUNK_ORDER, &chunks);
	if (!pieces && (!got || want - got < MU_CHUNK_PAGES))
		got += pages_allocate(want - got, 0, &singles);
	mutex_lock(&balloon->lock);
	pages_take_in(balloon, &chunks, MU_CHUNK_ORDER, &balloon->chunks);
	pages_take_in(balloon, &singles, 0, &balloon->singles);
	mu_queue_flush(balloon, balloon->inflate_vq);
	balloon->held += got;
	mutex_unlock(&balloon->lock);
	return got;
}

/* Moves up to @want pages to the front of a list of their own. */
static unsigned long pages_pick(struct list_head *held, unsigned long want, unsigned int order,
				struct list_head *list)
{
	unsigned long got = 0;

	while (got + (1UL << order) <= want && !list_empty(held)) {
		list_move_tail(held->next, list);
		got += 1UL << order;
	}
	return got;
}

/* One chunk becomes single pages. */
static void pages_split_chunk(struct mu_balloon *balloon)
{
	struct page *page = list_first_entry(&balloon->chunks, struct page, lru);
	unsigned long i;

	list_del(&page->lru);
	split_page(page, MU_CHUNK_ORDER);
	for (i = 0; i < MU_CHUNK_PAGES; i++)
		list_add_tail(&page[i].lru, &balloon->singles);
}

/* The host is told first: from then on the pages are the guest's. */
static void pages_give_back(struct mu_balloon *balloon, struct list_head *chunks,
			    struct list_head *singles)
{
	struct page *page, *next;

	pages_tell(balloon, balloon->deflate_vq, chunks, MU_CHUNK_ORDER);
	pages_tell(balloon, balloon->deflate_vq, singles, 0);
	mu_queue_flush(balloon, balloon->deflate_vq);
	list_for_each_entry_safe(page, next, chunks, lru)
		pages_free(balloon, page, MU_CHUNK_ORDER);
	list_for_each_entry_safe(page, next, singles, lru)
		pages_free(balloon, page, 0);
}

/**
 * mu_pages_deflate - take memory back from the host
 * @balloon: the balloon, not locked
 * @want: pages at most
 *
 * Allocates nothing: it is called in need, too.
 *
 * Return: pages that are the guest's again.
 */
unsigned long mu_pages_deflate(struct mu_balloon *balloon, unsigned long want)
{
	LIST_HEAD(chunks);
	LIST_HEAD(singles);
	unsigned long got;

	mutex_lock(&balloon->lock);
	got = pages_pick(&balloon->singles, want, 0, &singles);
	got += pages_pick(&balloon->chunks, want - got, MU_CHUNK_ORDER, &chunks);
	if (got < want && !list_empty(&balloon->chunks)) {
		pages_split_chunk(balloon);
		got += pages_pick(&balloon->singles, want - got, 0, &singles);
	}
	pages_give_back(balloon, &chunks, &singles);
	balloon->held -= got;
	mutex_unlock(&balloon->lock);
	return got;
}

static unsigned long pages_pick_range(struct list_head *held, unsigned long start,
				      unsigned long end, unsigned int order,
				      struct list_head *list)
{
	unsigned long got = 0;
	struct page *page, *next;

	list_for_each_entry_safe(page, next, held, lru) {
		if (page_to_pfn(page) < start || page_to_pfn(page) >= end)
			continue;
		list_move_tail(&page->lru, list);
		got += 1UL << order;
	}
	return got;
}

/**
 * mu_pages_deflate_range - take back what is held of a range of memory
 * @balloon: the balloon, not locked
 * @start: first page frame
 * @end: the one after the last
 *
 * Return: pages that are the guest's again.
 */
unsigned long mu_pages_deflate_range(struct mu_balloon *balloon, unsigned long start,
				     unsigned long end)
{
	LIST_HEAD(chunks);
	LIST_HEAD(singles);
	unsigned long got;

	mutex_lock(&balloon->lock);
	got = pages_pick_range(&balloon->chunks, start, end, MU_CHUNK_ORDER, &chunks);
	got += pages_pick_range(&balloon->singles, start, end, 0, &singles);
	pages_give_back(balloon, &chunks, &singles);
	balloon->held -= got;
	mutex_unlock(&balloon->lock);
	return got;
}
