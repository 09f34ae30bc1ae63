/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The module's calls, one function each. What the module answers is checked like any other outside input;
 * what to make of it is left to the rest of the engine. The gate's events are read by source/acpi. */
#pragma once

#include <linux/memunplug.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define KMOD_SURVEY_MAX (UINT64_C(2) << 30) /* bytes that one SURVEY may cover */
#define KMOD_PAGES_MAX 4096U                /* pages that one SURVEY may list */

typedef struct Kmod Kmod;

/* The two ways out to the kernel; tests put their own in. Both return negative errno. */
typedef struct KmodOps {
        int (*open)(const char *path);
        int (*ioctl)(int fd, unsigned long request, void *argument);
} KmodOps;

/* ops NULL: the real ones. Errors: those of open(2); -ENOTTY not our module; -EBADMSG it answers
 * nonsense. */
int kmod_new(Kmod **ret, const char *path, const KmodOps *ops);
Kmod *kmod_free(Kmod *kmod);
DEFINE_CLEANUP(Kmod *, kmod_free)

int kmod_fd(const Kmod *kmod);
const struct memunplug_info *kmod_info(const Kmod *kmod);
bool kmod_can_evacuate(const Kmod *kmod); /* a self-test still to be made counts as passed */
bool kmod_can_survey(const Kmod *kmod);
bool kmod_can_keep_cache(const Kmod *kmod);

/* Changes: kmod_info(). */
int kmod_refresh(Kmod *kmod);
/* Changes: moves pages out of the range. May block for long: workers only. flags: MEMUNPLUG_EVACUATE_*. */
int kmod_evacuate(const Kmod *kmod, uint64_t start, uint64_t size, uint32_t flags,
                  struct memunplug_evacuate *ret);
/* size at most KMOD_SURVEY_MAX; pages may be NULL. Pages that are locked or under writeback are in the way,
 * too, unless the module is too old for that. */
int kmod_survey(const Kmod *kmod, uint64_t start, uint64_t size, struct memunplug_page *pages,
                size_t max_pages, struct memunplug_survey *ret);
/* Used bytes of a range of any size. */
int kmod_used(const Kmod *kmod, uint64_t start, uint64_t size, uint64_t *ret);
/* The sizes of a bound virtio-mem device ("virtio3"). -ENODEV there is none, -EBUSY not just now, -ENOTTY
 * the module is too old, -EBADMSG it answers nonsense. */
int kmod_virtio_mem(const Kmod *kmod, const char *device, struct memunplug_virtio_mem *ret);
/* Changes: tells its driver to look at what is requested once more. Errors as above; -EINVAL the module is
 * too old for that. */
int kmod_virtio_mem_retry(const Kmod *kmod, const char *device);
/* Changes: the device leaves the gate. 1 if it did, 0 if it was not in a gate that is ours. */
int kmod_release(const Kmod *kmod, const char *device);
/* Changes: what was released comes back into the gate, which this file must hold. */
int kmod_take_back(const Kmod *kmod);

/* Bytes of all classes that count as used: everything but what is free, and what its owner has taken out
 * of use (PageOffline: virtio-mem and balloons); holes have no class. */
uint64_t kmod_survey_used(const struct memunplug_survey *survey);
/* The part of it that does not move as it is. Huge pages do when another is free, and poisoned pages are
 * passed over. */
uint64_t kmod_survey_unmovable(const struct memunplug_survey *survey);
