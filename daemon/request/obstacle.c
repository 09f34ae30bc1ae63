/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks into the blocks that an evacuation did not empty, counts what stands in the way by class, and
 * puts it into words. Decisions about it are request.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/memunplug.h>

#include "request/obstacle.h"
#include "util/cleanup.h"
#include "util/text.h"

static const char *const class_words[16] = {
        [MEMUNPLUG_CLASS_RESERVED] = "reserved",     [MEMUNPLUG_CLASS_SLAB] = "slab",
        [MEMUNPLUG_CLASS_PAGE_TABLE] = "page table", [MEMUNPLUG_CLASS_PINNED] = "pinned",
        [MEMUNPLUG_CLASS_HUGETLB] = "hugetlb",       [MEMUNPLUG_CLASS_HWPOISON] = "hardware-poisoned",
        [MEMUNPLUG_CLASS_KERNEL] = "kernel",         [MEMUNPLUG_CLASS_UNKNOWN] = "unknown",
};

static int add_blockers(Obstacle *obstacle, const EngineSurvey *survey) {
        size_t room = JOB_BLOCKERS_MAX - obstacle->n_blockers;
        size_t n = survey->n_blockers < room ? survey->n_blockers : room;
        JobBlocker *blockers;

        if (n == 0)
                return 0;
        blockers = reallocarray(obstacle->blockers, obstacle->n_blockers + n, sizeof(*blockers));
        if (!blockers)
                return -ENOMEM;
        obstacle->blockers = blockers;
        for (size_t i = 0; i < n; i++)
                blockers[obstacle->n_blockers++] = (JobBlocker) {
                        .address = survey->blockers[i].address,
                        .class = survey->blockers[i].class,
                        .ref_count = survey->blockers[i].ref_count,
                        .map_count = survey->blockers[i].map_count,
                };
        return 0;
}

static int add_block(Engine *engine, const BlockTable *table, uint32_t block, Obstacle *obstacle,
                     bool *ret_keep) {
        EngineSurvey survey = {};
        int r;

        r = engine_survey_block(engine, table, block, JOB_BLOCKERS_MAX - obstacle->n_blockers, &survey);
        if (r < 0)
                return r;
        *ret_keep = survey.unmovable_bytes == 0 && survey.locked_bytes == 0 && survey.writeback_bytes == 0;
        obstacle->used_bytes += survey.used_bytes;
        obstacle->unmovable_bytes += survey.unmovable_bytes;
        obstacle->locked_bytes += survey.locked_bytes;
        obstacle->writeback_bytes += survey.writeback_bytes;
        obstacle->pages += survey.total_blockers;
        obstacle->n_blocks += !*ret_keep;
        for (size_t i = 0; i < 16; i++)
                obstacle->class_bytes[i] += survey.class_bytes[i];
        r = add_blockers(obstacle, &survey);
        engine_survey_clear(&survey);
        return r;
}

int obstacle_look(Engine *engine, const BlockTable *table, const EngineBlock *blocks, size_t n, bool *keep,
                  Obstacle *ret) {
        Obstacle obstacle = { .known = true };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                bool dummy;

                r = add_block(engine, table, blocks[i].block, &obstacle, keep ? &keep[i] : &dummy);
        }
        if (r < 0)
                obstacle_clear(&obstacle);
        if (r == -EOPNOTSUPP) { /* no module: nothing is known, which is no error */
                *ret = (Obstacle) {};
                return 0;
        }
        if (r >= 0)
                *ret = obstacle;
        return r;
}

void obstacle_clear(Obstacle *obstacle) {
        free(obstacle->blockers);
        *obstacle = (Obstacle) {};
}

bool obstacle_is_passable(const Obstacle *obstacle) {
        return obstacle->known && obstacle->unmovable_bytes == 0 && obstacle->locked_bytes == 0 &&
               obstacle->writeback_bytes == 0;
}

JobCause obstacle_cause(const Obstacle *obstacle) {
        return obstacle->known && obstacle->unmovable_bytes > 0 ? CAUSE_IN_USE : CAUSE_BUSY;
}

static void print_classes(FILE *f, const Obstacle *obstacle) {
        const char *separator = ": ";

        for (size_t i = 0; i < 16; i++) {
                char size[FORMAT_SIZE_MAX];

                if (!class_words[i] || obstacle->class_bytes[i] == 0)
                        continue;
                fprintf(f, "%s%s %s", separator, format_size(obstacle->class_bytes[i], size),
                        class_words[i]);
                separator = ", ";
        }
}

/* Pages under I/O, by what is being done with them: ": 4K locked, 2M under writeback". */
static void print_held(FILE *f, const Obstacle *obstacle, const char *separator) {
        char size[FORMAT_SIZE_MAX];

        if (obstacle->locked_bytes > 0) {
                fprintf(f, "%s%s locked", separator, format_size(obstacle->locked_bytes, size));
                separator = ", ";
        }
        if (obstacle->writeback_bytes > 0)
                fprintf(f, "%s%s under writeback", separator, format_size(obstacle->writeback_bytes, size));
}

static void print_sentence(FILE *f, const Obstacle *obstacle, size_t n_blocks) {
        char size[FORMAT_SIZE_MAX];

        if (!obstacle->known) {
                fprintf(f, "the kernel could not take all blocks offline, and without the module it does "
                           "not say why");
                return;
        }
        if (obstacle->unmovable_bytes > 0) {
                fprintf(f, "%zu of %zu blocks hold pages that cannot be moved", obstacle->n_blocks,
                        n_blocks);
                print_classes(f, obstacle);
                print_held(f, obstacle, ", ");
                return;
        }
        if (!obstacle_is_passable(obstacle)) {
                fprintf(f, "%zu of %zu blocks hold pages under I/O that does not end", obstacle->n_blocks,
                        n_blocks);
                print_held(f, obstacle, ": ");
                return;
        }
        if (obstacle->used_bytes > 0)
                fprintf(f, "%s are still in use in %zu blocks, but ",
                        format_size(obstacle->used_bytes, size), n_blocks);
        fprintf(f, "nothing visible stands in the way");
}

char *obstacle_sentence(const Obstacle *obstacle, size_t n_blocks) {
        CLEANUP(freep) char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        print_sentence(f, obstacle, n_blocks);
        return fclose(f) == 0 ? STEAL_PTR(text) : NULL;
}
