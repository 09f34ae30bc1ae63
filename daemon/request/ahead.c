/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pure decision on what a survey saw. When it is old, it is for unplug.c not to act on it. */
#include "request/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define LITTLE_SHARE 64U /* of a block: of 128 MiB 2 MiB */
#define MORE_SHARE 128U  /* of all that moves */

static bool is_little(const Plan *plan, const PlanStep *step) {
        return step->move_bytes != BLOCK_USAGE_UNKNOWN &&
               step->move_bytes <= plan->block_size / LITTLE_SHARE;
}

/* Least used first; of equal ones, in the plan's order. */
static int compare_places(const void *a, const void *b, void *userdata) {
        const size_t *x = a, *y = b;
        const PlanStep *steps = userdata;

        if (steps[*x].move_bytes != steps[*y].move_bytes)
                return steps[*x].move_bytes < steps[*y].move_bytes ? -1 : 1;
        return *x < *y ? -1 : 1;
}

/* How many of these places, in their order, go ahead. */
static size_t count_ahead(const Plan *plan, const size_t *places, size_t n) {
        uint64_t more = 0;

        for (size_t i = 0; i < n; i++) {
                more += plan->steps[places[i]].move_bytes * (plan->n_steps - 1 - i);
                if (more > plan->move_bytes / MORE_SHARE)
                        return i;
        }
        return n;
}

/* Of blocks next to each other none goes from between two that stay: they would be two ranges then, and when
 * the one with less in it is empty, what is in the other moves there. Steps are in descending order. */
static void keep_between(const Plan *plan, bool *ahead) {
        for (size_t begin = 0, end; begin < plan->n_steps; begin = end) {
                size_t first, last;

                for (end = begin + 1; end < plan->n_steps; end++)
                        if (plan->steps[end].block + 1 != plan->steps[end - 1].block)
                                break;
                for (first = begin; first < end && ahead[first]; first++)
                        ;
                for (last = end; last > first && ahead[last - 1]; last--)
                        ;
                for (size_t i = first; i < last; i++)
                        ahead[i] = false;
        }
}

/* Those that go ahead come first, least used first; the others keep their order. */
static size_t put_first(Plan *plan, const size_t *places, size_t n, const bool *ahead, PlanStep *steps) {
        size_t at = 0, n_ahead;

        for (size_t i = 0; i < n; i++)
                if (ahead[places[i]])
                        steps[at++] = plan->steps[places[i]];
        n_ahead = at;
        for (size_t i = 0; i < plan->n_steps; i++)
                if (!ahead[i])
                        steps[at++] = plan->steps[i];
        memcpy(plan->steps, steps, plan->n_steps * sizeof(*steps));
        return n_ahead;
}

size_t ahead_take(Plan *plan) {
        CLEANUP(freep) size_t *places = calloc(plan->n_steps + 1, sizeof(*places));
        CLEANUP(freep) PlanStep *steps = calloc(plan->n_steps + 1, sizeof(*steps));
        CLEANUP(freep) bool *ahead = calloc(plan->n_steps + 1, sizeof(*ahead));
        size_t n = 0;

        if (!places || !steps || !ahead)
                return 0;
        for (size_t i = 0; i < plan->n_steps; i++)
                if (is_little(plan, &plan->steps[i]))
                        places[n++] = i;
        if (n == 0)
                return 0;
        qsort_r(places, n, sizeof(*places), compare_places, plan->steps);
        n = count_ahead(plan, places, n);
        for (size_t i = 0; i < n; i++)
                ahead[places[i]] = true;
        keep_between(plan, ahead);
        return put_first(plan, places, n, ahead, steps);
}
