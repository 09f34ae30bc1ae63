/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver gives back pieces, of the device's own block size; pieces with a page in the way stay. A look at
 * each piece says what it could take; whole memory blocks of clear pieces can be emptied for it. */
#include "source/shortage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/memunplug.h>

#include "engine/kmod.h"
#include "util/cleanup.h"
#include "util/text.h"

#define OWNERS_SHOWN 3U
#define MINUTE UINT64_C(60000000)
#define SECOND UINT64_C(1000000)

static bool is_of(const BlockTable *table, const Block *block, const Device *device) {
        return block->device != BLOCK_DEVICE_NONE && &table->devices[block->device] == device;
}

/* Its blocks that are online, lowest first: what is offline the driver takes before all else. */
static int list_blocks(const BlockTable *table, const Device *device, EngineBlock **ret, size_t *ret_n) {
        EngineBlock *blocks = calloc(table->n_blocks + 1, sizeof(*blocks));
        size_t n = 0;

        if (!blocks)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_blocks; i++)
                if (is_of(table, &table->blocks[i], device) && table->blocks[i].state == BLOCK_ONLINE)
                        blocks[n++] = (EngineBlock) { table->blocks[i].index, table->blocks[i].zone };
        *ret = blocks;
        *ret_n = n;
        return 0;
}

/* What a block holds that is the device's: the rest was given back already. */
static uint64_t plugged_in(const EngineSurvey *survey, uint64_t size) {
        uint64_t gone = survey->class_bytes[MEMUNPLUG_CLASS_OFFLINE] + survey->hole_bytes;

        return gone < size ? size - gone : 0;
}

/* How many pieces have a page in the way; blockers come by address. */
static uint64_t count_blocked(const EngineSurvey *survey, uint64_t piece) {
        uint64_t last = UINT64_MAX, n = 0;

        for (size_t i = 0; i < survey->n_blockers; i++) {
                uint64_t number = survey->blockers[i].address / piece;

                n += number != last;
                last = number;
        }
        return n;
}

/* What of a block the driver could take, in pieces: only plugged ones can have a page in the way. Nothing if
 * it cannot be said: what is locked or under writeback now will be gone in a moment, as a rule. */
static uint64_t clear_in(const EngineSurvey *survey, uint64_t size, uint64_t piece) {
        uint64_t plugged = plugged_in(survey, size), blocked;

        if (survey->locked_bytes + survey->writeback_bytes > 0 ||
            survey->n_blockers < survey->total_blockers)
                return 0;
        blocked = count_blocked(survey, piece) * piece;
        return plugged > blocked ? plugged - blocked : 0;
}

/* What a look goes through. */
typedef struct Look {
        Engine *engine;
        const BlockTable *table;
        const GuardPolicy *policy;
        const Device *device;
        EngineBlock *blocks; /* lowest first */
        bool *keep;          /* nothing in the way in this one */
        size_t n;
} Look;

static void look_clear(Look *look) {
        free(look->blocks);
        free(look->keep);
}

/* Blocks that one piece of the device reaches over go together. */
static uint64_t span_of(const Look *look) {
        uint64_t piece = look->device->piece_bytes, block = look->table->block_size;

        return piece > block ? piece : block;
}

static uint64_t group_of(const Look *look, size_t i) {
        return look->blocks[i].block * look->table->block_size / span_of(look);
}

static bool may_take(const Look *look, size_t i) {
        Verdict verdict = guard_verdict(block_table_find(look->table, look->blocks[i].block), look->policy);

        return look->keep[i] && (verdict == VERDICT_FREE || verdict == VERDICT_MOVABLE);
}

/* The group [first, end) of the list: what of it could go, and *ret_whole whether all of it. */
static int look_at_group(const Look *look, size_t first, size_t end, uint64_t *ret_clear, bool *ret_whole) {
        uint64_t size = look->table->block_size, piece = look->device->piece_bytes, clear = 0;
        bool whole = (end - first) * size == span_of(look);

        for (size_t i = first; i < end; i++)
                whole = whole && may_take(look, i);
        for (size_t i = first; i < end && (whole || piece <= size); i++) {
                EngineSurvey survey;
                int r = engine_survey_block(look->engine, look->table, look->blocks[i].block,
                                            KMOD_PAGES_MAX, &survey);

                if (r < 0)
                        return r;
                clear += clear_in(&survey, size, piece);
                engine_survey_clear(&survey);
        }
        *ret_clear = clear;
        *ret_whole = whole;
        return 0;
}

/* From the top, as the driver itself. */
static int look_at_all(const Look *look, Shortage *shortage) {
        uint64_t left = shortage->plugged_bytes - shortage->requested_bytes;

        for (size_t end = look->n, first; end > 0; end = first) {
                uint64_t clear;
                bool whole;
                int r;

                for (first = end - 1; first > 0 && group_of(look, first - 1) == group_of(look, first);)
                        first--;
                r = look_at_group(look, first, end, &clear, &whole);
                if (r < 0)
                        return r;
                shortage->clear_bytes += clear;
                if (!whole || clear == 0 || clear > left)
                        continue;
                left -= clear;
                for (size_t i = end; i > first; i--)
                        shortage->ready[shortage->n_ready++] = look->blocks[i - 1].block;
        }
        return 0;
}

int shortage_look(Engine *engine, const BlockTable *table, const GuardPolicy *policy, const Device *device,
                  bool whole, Shortage *ret) {
        CLEANUP(look_clear) Look look = { engine, table, policy, device, NULL, NULL, 0 };
        CLEANUP(shortage_clear) Shortage shortage = {
                .requested_bytes = device->requested_bytes,
                .plugged_bytes = device->plugged_bytes,
        };
        int r;

        r = list_blocks(table, device, &look.blocks, &look.n);
        if (r < 0)
                return r;
        look.keep = calloc(look.n + 1, sizeof(*look.keep));
        shortage.ready = calloc(look.n + 1, sizeof(*shortage.ready));
        if (!look.keep || !shortage.ready)
                return -ENOMEM;
        shortage.n_blocks = look.n;
        r = obstacle_look(engine, table, look.blocks, look.n, look.keep, &shortage.obstacle);
        if (r >= 0 && !shortage.obstacle.known)
                r = -EOPNOTSUPP;
        if (r >= 0 && whole && device->plugged_bytes > device->requested_bytes)
                r = look_at_all(&look, &shortage);
        if (r < 0)
                return r;
        *ret = shortage;
        shortage = (Shortage) {};
        return 0;
}

void shortage_clear(Shortage *shortage) {
        obstacle_clear(&shortage->obstacle);
        free(shortage->ready);
        *shortage = (Shortage) {};
}

/* Whole seconds, above a minute whole minutes. */
static const char *age(uint64_t usec, char buffer[static FORMAT_SIZE_MAX]) {
        return format_duration(usec - usec % (usec >= MINUTE ? MINUTE : SECOND), buffer);
}

static bool is_told(const JobBlocker *blockers, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (blockers[k].n_pids > 0 && blockers[k].pids[0] == blockers[i].pids[0])
                        return true;
        return false;
}

/* Where the first page in the way is, and a few of those that have such pages. */
static void print_blockers(FILE *f, const Obstacle *obstacle, uint64_t block_size) {
        size_t shown = 0;

        if (obstacle->n_blockers == 0)
                return;
        fprintf(f, "; the first in block %" PRIu64, obstacle->blockers[0].address / block_size);
        for (size_t i = 0; i < obstacle->n_blockers && shown < OWNERS_SHOWN; i++) {
                const JobBlocker *blocker = &obstacle->blockers[i];

                if (blocker->n_pids == 0 || is_told(obstacle->blockers, i))
                        continue;
                fprintf(f, "%s%s (pid %" PRIi32 ")", shown == 0 ? ", held by " : ", ",
                        blocker->owner[0] ? blocker->owner : "a process", blocker->pids[0]);
                shown++;
        }
}

char *shortage_sentence(const Shortage *shortage, uint64_t block_size, uint64_t usec) {
        char requested[FORMAT_SIZE_MAX], plugged[FORMAT_SIZE_MAX], since[FORMAT_SIZE_MAX];
        CLEANUP(freep) char *text = NULL, *why = obstacle_sentence(&shortage->obstacle, shortage->n_blocks);
        size_t size = 0;
        FILE *f = why ? open_memstream(&text, &size) : NULL;

        if (!f)
                return NULL;
        fprintf(f, "requested %s, plugged %s for %s, ", format_size(shortage->requested_bytes, requested),
                format_size(shortage->plugged_bytes, plugged), age(usec, since));
        if (obstacle_is_passable(&shortage->obstacle))
                fprintf(f, "its driver is still at it: %s", why);
        else
                fprintf(f, "because %s", why);
        print_blockers(f, &shortage->obstacle, block_size);
        return fclose(f) == 0 ? STEAL_PTR(text) : NULL;
}
