/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emptiest and highest first, in runs. Coarse classes, because a run that is evacuated as one is worth more
 * than a few pages less to move. Which blocks may go at all is for guard.c. */
#include "memory/plan-choose.h"

#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define CLASSES 5U

typedef struct Run {
        size_t first; /* place in the candidates */
        size_t n;
} Run;

static unsigned use_class(const BlockTable *table, const Block *block) {
        uint64_t used = block->used_bytes;

        if (used == 0)
                return 0;
        if (used == BLOCK_USAGE_UNKNOWN || used > table->block_size / 4 * 3)
                return 4;
        return used > table->block_size / 2 ? 3 : used > table->block_size / 4 ? 2 : 1;
}

static bool are_neighbours(const Block *low, const Block *high) {
        return low->index + 1 == high->index && low->device == high->device;
}

/* Longest first, of equal ones the highest: candidates ascend, so a later place is a higher block. */
static int compare_runs(const void *a, const void *b) {
        const Run *x = a, *y = b;

        if (x->n != y->n)
                return x->n < y->n ? 1 : -1;
        return (x->first < y->first) - (x->first > y->first);
}

static size_t find_runs(const BlockTable *table, const size_t *candidates, size_t n, unsigned class,
                        Run *runs) {
        size_t n_runs = 0;

        for (size_t i = 0; i < n; i++) {
                const Block *block = &table->blocks[candidates[i]];
                Run *run = n_runs > 0 ? &runs[n_runs - 1] : NULL;

                if (use_class(table, block) != class)
                        continue;
                if (run && run->first + run->n == i &&
                    are_neighbours(&table->blocks[candidates[i - 1]], block)) {
                        run->n++;
                        continue;
                }
                runs[n_runs++] = (Run) { .first = i, .n = 1 };
        }
        if (n_runs > 0)
                qsort(runs, n_runs, sizeof(*runs), compare_runs);
        return n_runs;
}

/* Takes up to want blocks from the runs of one class, from the top of each. */
static size_t take_runs(const size_t *candidates, const Run *runs, size_t n_runs, size_t want,
                        size_t *chosen) {
        size_t taken = 0;

        for (size_t i = 0; i < n_runs && taken < want; i++) {
                size_t need = want - taken, best = i;

                /* If one run is enough, it is the highest of those that are. */
                for (size_t k = i + 1; runs[i].n >= need && k < n_runs && runs[k].n >= need; k++)
                        if (runs[k].first > runs[best].first)
                                best = k;
                for (size_t k = 0; k < runs[best].n && taken < want; k++)
                        chosen[taken++] = candidates[runs[best].first + runs[best].n - 1 - k];
        }
        return taken;
}

int plan_choose(const BlockTable *table, size_t *candidates, size_t n, size_t want, size_t *ret_n) {
        CLEANUP(freep) size_t *chosen = NULL;
        CLEANUP(freep) Run *runs = NULL;
        size_t taken = 0;

        chosen = calloc(n + 1, sizeof(*chosen));
        runs = calloc(n + 1, sizeof(*runs));
        if (!chosen || !runs)
                return -ENOMEM;
        for (unsigned class = 0; class < CLASSES && taken < want; class ++) {
                size_t n_runs = find_runs(table, candidates, n, class, runs);

                taken += take_runs(candidates, runs, n_runs, want - taken, chosen + taken);
        }
        memcpy(candidates, chosen, taken * sizeof(*chosen));
        *ret_n = taken;
        return 0;
}
