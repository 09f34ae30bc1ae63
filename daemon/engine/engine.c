/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine itself: which way of doing things this machine has, what it can see of pages, what an errno
 * means for a step, and the workers that did not come back. Operations are in op.c. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/op.h"
#include "engine/virtio-mem.h"
#include "util/cleanup.h"
#include "util/index-list.h"
#include "util/log.h"

DEFINE_CLEANUP(Engine *, engine_free)

typedef struct Aside {
        struct Aside *next;
        Engine *engine;
        Worker *worker;
        size_t n;
        EngineBlock blocks[];
} Aside;

struct Engine {
        sd_event *event;
        int root_fd;
        EngineHooks hooks;
        Kmod *kmod;
        char *reason;
        Aside *asides;
        uint32_t *stuck; /* sorted blocks of all asides */
        size_t n_stuck;
        size_t n_ops;
        EngineReleasedCallback released;
        void *released_userdata;
};

StepResult engine_step_result(int error) {
        switch (-error) {
        case 0:
                return STEP_OK;
        case EBUSY:
        case EAGAIN:
        case EINTR:
                return STEP_BUSY;
        case ENOMEM:
                return STEP_NO_MEMORY;
        case EPERM:
        case EACCES:
        case EROFS:
        case EINVAL:
        case EXDEV:
        case EOPNOTSUPP:
        case ENXIO:
        case ENODEV:
        case ENOENT:
                return STEP_REFUSED;
        }
        return STEP_FAILED;
}

static void __attribute__((format(printf, 2, 3))) set_reason(Engine *engine, const char *format, ...) {
        char *reason = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&reason, format, ap) < 0)
                reason = NULL;
        va_end(ap);
        free(engine->reason);
        engine->reason = reason;
}

/* Changes: the reason, for a module that could not be used. */
static void explain_no_module(Engine *engine, const char *path, int error) {
        switch (-error) {
        case ENOENT:
        case ENXIO:
        case ENODEV:
                return set_reason(engine, "kernel module memunplug is not loaded");
        case ENOTTY:
                return set_reason(engine, "'%s' does not belong to kernel module memunplug", path);
        case EBADMSG:
                return set_reason(engine, "kernel module memunplug gives information that makes no sense");
        }
        set_reason(engine, "kernel module memunplug cannot be used: %s", strerror(-error));
}

/* Changes: the reason, for a module that is used. */
static void explain_no_fence(Engine *engine) {
        const struct memunplug_info *info = kmod_info(engine->kmod);

        if (!kmod_can_evacuate(engine->kmod) && info->selftest_error < 0)
                set_reason(engine, "evacuation self-test failed: %s", strerror(-info->selftest_error));
        else if (!kmod_can_evacuate(engine->kmod))
                set_reason(engine, "kernel module memunplug cannot evacuate on this kernel");
        else if (!kmod_can_survey(engine->kmod))
                set_reason(engine, "kernel module memunplug cannot survey on this kernel");
        else {
                free(engine->reason);
                engine->reason = NULL;
        }
}

void engine_refresh(Engine *engine) {
        int r;

        if (!engine->kmod)
                return;
        r = kmod_refresh(engine->kmod);
        if (r < 0) /* what it said before stands */
                (void) log_debug_errno(r, "Failed to ask the kernel module for its state again: %m");
        explain_no_fence(engine);
}

int engine_new_hooked(Engine **ret, sd_event *event, int root_fd, const char *device_path,
                      const EngineHooks *hooks) {
        CLEANUP(engine_freep) Engine *engine = NULL;
        int r;

        assert(ret && event);
        engine = calloc(1, sizeof(*engine));
        if (!engine)
                return -ENOMEM;
        engine->event = sd_event_ref(event);
        engine->root_fd = root_fd;
        if (hooks)
                engine->hooks = *hooks;
        if (device_path) {
                r = kmod_new(&engine->kmod, device_path, engine->hooks.kmod_ops);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        explain_no_module(engine, device_path, r);
                else
                        explain_no_fence(engine);
        } else
                set_reason(engine, "kernel module memunplug is not to be used");
        *ret = STEAL_PTR(engine);
        return 0;
}

int engine_new(Engine **ret, sd_event *event, int root_fd, const char *device_path) {
        return engine_new_hooked(ret, event, root_fd, device_path, /* hooks= */ NULL);
}

Engine *engine_free(Engine *engine) {
        if (!engine)
                return NULL;
        assert(engine->n_ops == 0);
        /* All at once first, so that their ends are waited for together. */
        for (Aside *aside = engine->asides; aside; aside = aside->next)
                worker_kill(aside->worker, ENGINE_PATIENCE_USEC);
        while (engine->asides) {
                Aside *aside = engine->asides;

                engine->asides = aside->next;
                (void) worker_free(aside->worker);
                free(aside);
        }
        (void) kmod_free(engine->kmod);
        (void) sd_event_unref(engine->event);
        free(engine->stuck);
        free(engine->reason);
        free(engine);
        return NULL;
}

EngineKind engine_kind(const Engine *engine) {
        return engine->kmod ? ENGINE_KMOD : ENGINE_SYSFS;
}

const char *engine_reason(const Engine *engine) {
        return engine->reason;
}

bool engine_can_evacuate(const Engine *engine) {
        return engine->kmod && kmod_can_evacuate(engine->kmod);
}

int engine_device_fd(const Engine *engine) {
        return engine->kmod ? kmod_fd(engine->kmod) : -EOPNOTSUPP;
}

sd_event *engine_event(const Engine *engine) {
        return engine->event;
}

int engine_root_fd(const Engine *engine) {
        return engine->root_fd;
}

Kmod *engine_kmod(const Engine *engine) {
        return engine->kmod;
}

WorkerKill engine_kill(const Engine *engine) {
        return engine->hooks.kill;
}

void engine_count_op(Engine *engine, int change) {
        engine->n_ops += (size_t) change;
}

/* Changes: engine_stuck_blocks(). stuck was made large enough when the last worker was set aside. */
static void collect_stuck(Engine *engine) {
        size_t n = 0;

        for (const Aside *aside = engine->asides; aside; aside = aside->next)
                for (size_t i = 0; i < aside->n; i++)
                        engine->stuck[n++] = aside->blocks[i].block;
        engine->n_stuck = n;
        index_list_sort(engine->stuck, n);
}

/* Changes: the worker that was set aside has ended at last; what it held is free. */
static void on_aside_gone(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata) {
        Aside *gone = userdata, **link = &gone->engine->asides;

        while (*link != gone)
                link = &(*link)->next;
        *link = gone->next;
        collect_stuck(gone->engine);
        (void) worker_free(worker);
        if (gone->engine->released && gone->n > 0)
                gone->engine->released(gone->blocks, gone->n, gone->engine->released_userdata);
        free(gone);
}

void engine_on_released(Engine *engine, EngineReleasedCallback callback, void *userdata) {
        engine->released = callback;
        engine->released_userdata = userdata;
}

static Aside *aside_new(Engine *engine, size_t n) {
        uint32_t *stuck;
        Aside *aside;

        stuck = reallocarray(engine->stuck, engine->n_stuck + n + 1, sizeof(*stuck));
        if (!stuck)
                return NULL;
        engine->stuck = stuck;
        aside = calloc(1, sizeof(*aside) + n * sizeof(aside->blocks[0]));
        if (!aside)
                return NULL;
        aside->engine = engine;
        aside->n = n;
        return aside;
}

void engine_set_aside(Engine *engine, Worker *worker, const EngineBlock *blocks, size_t n) {
        Aside *aside;

        aside = aside_new(engine, n);
        if (!aside) { /* without memory it cannot be watched, only be killed and forgotten */
                log_debug("No memory to watch a worker that is set aside.");
                (void) worker_free(worker);
                return;
        }
        for (size_t i = 0; i < n; i++)
                aside->blocks[i] = blocks[i];
        aside->worker = worker;
        aside->next = engine->asides;
        engine->asides = aside;
        worker_set_aside(worker, on_aside_gone, aside);
        collect_stuck(engine);
}

const uint32_t *engine_stuck_blocks(const Engine *engine, size_t *ret_n) {
        *ret_n = engine->n_stuck;
        return engine->stuck;
}

static void fill_usage(Block *block, const EngineSurvey *survey) {
        block->used_bytes = survey->used_bytes;
        block->unmovable_bytes = survey->unmovable_bytes;
        block->huge_bytes = survey->class_bytes[MEMUNPLUG_CLASS_HUGETLB];
}

/* Adds one part of a block to the whole; keeps the first blockers only. */
static void add_survey(EngineSurvey *sum, const struct memunplug_survey *part,
                       const struct memunplug_page *pages) {
        _Static_assert(sizeof(sum->class_bytes) == sizeof(part->bytes), "one sum for each class");

        for (size_t i = 0; i < MEMUNPLUG_CLASS_MAX; i++)
                sum->class_bytes[i] += part->bytes[i];
        sum->used_bytes += kmod_survey_used(part);
        sum->unmovable_bytes += kmod_survey_unmovable(part);
        sum->hole_bytes += part->hole_bytes;
        sum->locked_bytes += part->locked_bytes;
        sum->writeback_bytes += part->writeback_bytes;
        sum->total_blockers += part->total_blockers;
        for (size_t i = 0; i < part->n_pages; i++)
                sum->blockers[sum->n_blockers++] = (EngineBlocker) {
                        .address = pages[i].address,
                        .class = pages[i].class,
                        .ref_count = pages[i].ref_count,
                        .map_count = pages[i].map_count,
                        .flags = pages[i].flags,
                };
}

/* In parts that the module takes; pages has room for max_blockers, as sum has. */
static int survey_range(const Kmod *kmod, uint64_t start, uint64_t size, struct memunplug_page *pages,
                        size_t max_blockers, EngineSurvey *sum) {
        while (size > 0) {
                uint64_t part = size < KMOD_SURVEY_MAX ? size : KMOD_SURVEY_MAX;
                struct memunplug_survey survey;
                int r;

                r = kmod_survey(kmod, start, part, pages, max_blockers - sum->n_blockers, &survey);
                if (r < 0)
                        return r;
                add_survey(sum, &survey, pages);
                start += part;
                size -= part;
        }
        return 0;
}

int engine_survey_block(Engine *engine, const BlockTable *table, uint32_t block, size_t max_blockers,
                        EngineSurvey *ret) {
        CLEANUP(engine_survey_clear) EngineSurvey survey = {};
        CLEANUP(freep) struct memunplug_page *pages = NULL;
        const Block *b;
        int r;

        if (!engine->kmod)
                return -EOPNOTSUPP;
        b = block_table_find(table, block);
        if (!b)
                return -ENOENT;
        if (max_blockers > KMOD_PAGES_MAX)
                max_blockers = KMOD_PAGES_MAX;
        if (max_blockers > 0) {
                pages = calloc(max_blockers, sizeof(*pages));
                survey.blockers = calloc(max_blockers, sizeof(*survey.blockers));
                if (!pages || !survey.blockers)
                        return -ENOMEM;
        }
        r = survey_range(engine->kmod, b->address, table->block_size, pages, max_blockers, &survey);
        if (r < 0)
                return r;
        *ret = survey;
        survey = (EngineSurvey) {};
        return 0;
}

int engine_survey_page(Engine *engine, uint64_t address) {
        struct memunplug_survey survey;
        int r;

        if (!engine->kmod)
                return -EOPNOTSUPP;
        r = kmod_survey(engine->kmod, address, (uint64_t) sysconf(_SC_PAGESIZE), NULL, 0, &survey);
        if (r < 0)
                return r;
        return survey.total_blockers > 0 || survey.locked_bytes > 0 || survey.writeback_bytes > 0;
}

void engine_survey_clear(EngineSurvey *survey) {
        free(survey->blockers);
        *survey = (EngineSurvey) {};
}

int engine_complete_table(Engine *engine, BlockTable *table) {
        return engine->kmod ? virtio_mem_fill(engine->kmod, engine->root_fd, table) : 0;
}

int engine_retry_virtio_mem(Engine *engine, const char *device) {
        return engine->kmod ? kmod_virtio_mem_retry(engine->kmod, device) : -EOPNOTSUPP;
}

/* In parts as large as what may be in use: one that is used all over ends it. 1: there is more. */
static int survey_up_to(const Kmod *kmod, const Block *block, uint64_t size, uint64_t most_used,
                        EngineSurvey *sum) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
        uint64_t part = most_used == 0 ? size : (most_used + page - 1) / page * page;

        for (uint64_t done = 0; done < size; done += part) {
                uint64_t n = part < size - done ? part : size - done;
                int r = survey_range(kmod, block->address + done, n, NULL, 0, sum);

                if (r < 0)
                        return r;
                if (most_used > 0 && sum->used_bytes > most_used)
                        return 1;
        }
        return 0;
}

int engine_survey_table(Engine *engine, BlockTable *table, const bool *wanted, uint64_t most_used_bytes) {
        int error = 0, r;

        if (!engine->kmod || !kmod_can_survey(engine->kmod))
                return -EOPNOTSUPP;
        for (size_t i = 0; i < table->n_blocks; i++) {
                Block *block = &table->blocks[i];
                EngineSurvey survey = {};

                if (block->state != BLOCK_ONLINE || block->used_bytes != BLOCK_USAGE_UNKNOWN ||
                    (wanted && !wanted[i]))
                        continue;
                r = survey_up_to(engine->kmod, block, table->block_size, most_used_bytes, &survey);
                if (r == 0)
                        fill_usage(block, &survey);
                else if (r < 0 && error == 0)
                        error = r;
        }
        return error;
}

const char *engine_kind_to_string(EngineKind kind) {
        switch (kind) {
        case ENGINE_KMOD:
                return "kmod";
        case ENGINE_SYSFS:
                return "sysfs";
        case _ENGINE_KIND_MAX:
                break;
        }
        return NULL;
}

static const char *const step_results[_STEP_RESULT_MAX] = {
        [STEP_OK] = "ok",
        [STEP_LEFT] = "left",
        [STEP_BUSY] = "busy",
        [STEP_REFUSED] = "refused",
        [STEP_NO_MEMORY] = "no-memory",
        [STEP_KILLED] = "killed",
        [STEP_STUCK] = "stuck",
        [STEP_FAILED] = "failed",
};

const char *step_result_to_string(StepResult result) {
        return result >= 0 && result < _STEP_RESULT_MAX ? step_results[result] : NULL;
}
