/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctls on /dev/memunplug. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/kmod.h"

#define GRANULE_MIN UINT64_C(4096) /* no page is smaller */
#define ORDER_MAX 32U                /* of a folio: more than any kernel has */
#define SURVEY_TRIES 3U
#define CLASS(name) (UINT32_C(1) << MEMUNPLUG_CLASS_##name)

struct Kmod {
        int fd;
        const KmodOps *ops;
        struct memunplug_info info;
};

/* Non-blocking for whoever reads the gate's events from this file; the calls take no notice of it. */
static int real_open(const char *path) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        return fd < 0 ? -errno : fd;
}

static int real_ioctl(int fd, unsigned long request, void *argument) {
        return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

static const KmodOps real_ops = { .open = real_open, .ioctl = real_ioctl };

static bool is_power_of_two(uint64_t n) {
        return n != 0 && (n & (n - 1)) == 0;
}

static bool info_makes_sense(const struct memunplug_info *info) {
        if (!is_power_of_two(info->block_size) || !is_power_of_two(info->pageblock_size))
                return false;
        if (info->pageblock_size < GRANULE_MIN || info->pageblock_size > info->block_size)
                return false;
        return info->abi > 0 && info->selftest <= MEMUNPLUG_SELFTEST_FAILED && info->selftest_error <= 0;
}

int kmod_refresh(Kmod *kmod) {
        struct memunplug_info info = {};
        int r;

        r = kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_GET_INFO, &info);
        if (r < 0)
                return r;
        if (!info_makes_sense(&info))
                return -EBADMSG;
        kmod->info = info;
        return 0;
}

int kmod_new(Kmod **ret, const char *path, const KmodOps *ops) {
        CLEANUP(kmod_freep) Kmod *kmod = NULL;
        int r;

        assert(ret && path);
        kmod = calloc(1, sizeof(*kmod));
        if (!kmod)
                return -ENOMEM;
        kmod->ops = ops ?: &real_ops;
        kmod->fd = r = kmod->ops->open(path);
        if (r < 0)
                return r;
        r = kmod_refresh(kmod);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(kmod);
        return 0;
}

Kmod *kmod_free(Kmod *kmod) {
        if (!kmod)
                return NULL;
        (void) close_fd(kmod->fd);
        free(kmod);
        return NULL;
}

int kmod_fd(const Kmod *kmod) {
        return kmod->fd;
}

const struct memunplug_info *kmod_info(const Kmod *kmod) {
        return &kmod->info;
}

bool kmod_can_evacuate(const Kmod *kmod) {
        switch (kmod->info.selftest) {
        case MEMUNPLUG_SELFTEST_PENDING:
                return true;
        case MEMUNPLUG_SELFTEST_PASSED:
                return kmod->info.features & MEMUNPLUG_FEATURE_EVACUATE;
        }
        return false;
}

bool kmod_can_survey(const Kmod *kmod) {
        return kmod->info.features & MEMUNPLUG_FEATURE_SURVEY;
}

bool kmod_can_keep_cache(const Kmod *kmod) {
        return kmod->info.features & MEMUNPLUG_FEATURE_KEEP_CACHE;
}

int kmod_evacuate(const Kmod *kmod, uint64_t start, uint64_t size, uint32_t flags,
                  struct memunplug_evacuate *ret) {
        struct memunplug_evacuate call = { .start = start, .size = size, .flags = flags };
        int r;

        r = kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_EVACUATE, &call);
        if (r < 0)
                return r;
        if (call.used_before > size || call.used_after > size)
                return -EBADMSG;
        /* Below start it wraps to a large number. */
        if (call.first_left != MEMUNPLUG_NONE && call.first_left - start >= size)
                return -EBADMSG;
        *ret = call;
        return 0;
}

/* A page of a large folio may begin before the range, if it reaches into it. */
static bool page_makes_sense(const struct memunplug_page *page, uint64_t start, uint64_t size) {
        if (page->class >= MEMUNPLUG_CLASS_MAX || page->order > ORDER_MAX)
                return false;
        if (page->address >= start)
                return page->address - start < size;
        return start - page->address < (uint64_t) sysconf(_SC_PAGESIZE) << page->order;
}

/* Counts are taken without locks and may contradict each other a little; each alone must stay within the
 * range. */
static bool survey_makes_sense(const struct memunplug_survey *s, size_t max_pages,
                               const struct memunplug_page *pages) {
        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                if (s->bytes[i] > s->size)
                        return false;
        if (s->locked_bytes > s->size || s->writeback_bytes > s->size || s->hole_bytes > s->size)
                return false;
        if (s->n_pages > max_pages || s->n_pages > s->total_blockers)
                return false;
        if (s->total_blockers > s->size / GRANULE_MIN)
                return false;
        for (size_t i = 0; i < s->n_pages; i++)
                if (!page_makes_sense(&pages[i], s->start, s->size))
                        return false;
        return true;
}

int kmod_survey(const Kmod *kmod, uint64_t start, uint64_t size, struct memunplug_page *pages,
                size_t max_pages, struct memunplug_survey *ret) {
        struct memunplug_survey call;
        int r = -EINTR;

        assert(size <= KMOD_SURVEY_MAX && max_pages <= KMOD_PAGES_MAX && (pages || max_pages == 0));
        if (!kmod_can_survey(kmod))
                return -EOPNOTSUPP;
        for (unsigned i = 0; i < SURVEY_TRIES && r == -EINTR; i++) {
                call = (struct memunplug_survey) {
                        .start = start,
                        .size = size,
                        .pages = (uintptr_t) pages,
                        .max_pages = (uint32_t) max_pages,
                        .flags = kmod->info.features & MEMUNPLUG_FEATURE_HELD ? MEMUNPLUG_SURVEY_HELD : 0,
                };
                r = kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_SURVEY, &call);
        }
        if (r < 0)
                return r;
        call.start = start;
        call.size = size;
        if (!survey_makes_sense(&call, max_pages, pages))
                return -EBADMSG;
        *ret = call;
        return 0;
}

static uint64_t survey_sum(const struct memunplug_survey *survey, uint32_t classes) {
        uint64_t sum = 0;

        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                if (classes & (UINT32_C(1) << i))
                        sum += survey->bytes[i]; /* none is above KMOD_SURVEY_MAX: no overflow */
        return sum < survey->size ? sum : survey->size;
}

uint64_t kmod_survey_used(const struct memunplug_survey *survey) {
        return survey_sum(survey, ~(CLASS(FREE) | CLASS(OFFLINE)));
}

uint64_t kmod_survey_unmovable(const struct memunplug_survey *survey) {
        return survey_sum(survey, CLASS(RESERVED) | CLASS(SLAB) | CLASS(PAGE_TABLE) | CLASS(PINNED) |
                                  CLASS(KERNEL) | CLASS(UNKNOWN));
}

int kmod_used(const Kmod *kmod, uint64_t start, uint64_t size, uint64_t *ret) {
        uint64_t used = 0;

        while (size > 0) {
                uint64_t part = size < KMOD_SURVEY_MAX ? size : KMOD_SURVEY_MAX;
                struct memunplug_survey survey;
                int r;

                r = kmod_survey(kmod, start, part, NULL, 0, &survey);
                if (r < 0)
                        return r;
                used += kmod_survey_used(&survey);
                start += part;
                size -= part;
        }
        *ret = used;
        return 0;
}

int kmod_release(const Kmod *kmod, const char *device) {
        struct memunplug_release call = {};
        int r;

        if (strlen(device) >= sizeof(call.name)) /* no name that the gate can have */
                return 0;
        memcpy(call.name, device, strlen(device));
        r = kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_RELEASE, &call);
        if (r == -EPERM || r == -ENODEV || r == -EOPNOTSUPP)
                return 0;
        return r < 0 ? r : 1;
}

static int call_virtio_mem(const Kmod *kmod, const char *device, struct memunplug_virtio_mem *call) {
        if (strlen(device) >= sizeof(call->name))
                return -ENODEV;
        memcpy(call->name, device, strlen(device));
        return kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_VIRTIO_MEM, call);
}

int kmod_virtio_mem_retry(const Kmod *kmod, const char *device) {
        struct memunplug_virtio_mem call = { .flags = MEMUNPLUG_VIRTIO_MEM_RETRY };

        return call_virtio_mem(kmod, device, &call);
}

int kmod_virtio_mem(const Kmod *kmod, const char *device, struct memunplug_virtio_mem *ret) {
        struct memunplug_virtio_mem call = {};
        int r;

        r = call_virtio_mem(kmod, device, &call);
        if (r < 0)
                return r;
        if (!is_power_of_two(call.block_size) || call.plugged_size > call.region_size ||
            call.requested_size > call.region_size || call.region_size > UINT64_MAX - call.start)
                return -EBADMSG;
        *ret = call;
        return 0;
}

int kmod_take_back(const Kmod *kmod) {
        struct memunplug_gate call = { .hold = 1 };

        return kmod->ops->ioctl(kmod->fd, MEMUNPLUG_IOC_GATE, &call);
}
