/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cheapest blocks go. Where the price leaves a choice, plan-share.c says how many of each device, and
 * here it is decided which: so that those that go lie together. Which may go at all is for guard.c. */
#include "memory/plan-choose.h"

#include <stdlib.h>
#include <string.h>

#include "memory/plan-cost.h"
#include "memory/plan-order.h"
#include "memory/plan-share.h"
#include "util/cleanup.h"

/* How candidates of the same price lie: with neighbours that go in any case on both sides, one, or none. */
typedef enum SegmentKind {
        SEGMENT_BETWEEN,
        SEGMENT_BESIDE,
        SEGMENT_ALONE,
} SegmentKind;

typedef struct Segment {
        size_t first, n; /* places in the candidates, which are neighbours */
        uint32_t device;
        SegmentKind kind;
        bool above; /* the neighbour that goes is the one above */
        bool done;
} Segment;

typedef struct Candidate {
        size_t block; /* position in table->blocks */
        unsigned cost;
        bool taken;
} Candidate;

typedef struct Choice {
        const BlockTable *table;
        Candidate *candidates;
        size_t n;
        unsigned limit; /* what costs less goes, what costs more stays */
        size_t n_open;  /* of those that cost just this, so many go */
        Share *shares;  /* one for each device in the order of the table, and one for blocks of none */
        Segment *segments;
        size_t n_segments;
} Choice;

static void choice_clear(Choice *choice) {
        free(choice->candidates);
        free(choice->shares);
        free(choice->segments);
}

static const Block *block_at(const Choice *c, size_t place) {
        return &c->table->blocks[c->candidates[place].block];
}

/* Counted by price instead of sorted. */
static void find_limit(Choice *c, size_t want) {
        size_t counts[COST_MAX + 1] = {}, below = 0;

        for (size_t i = 0; i < c->n; i++)
                counts[c->candidates[i].cost]++;
        while (below + counts[c->limit] < want)
                below += counts[c->limit++];
        c->n_open = want - below;
        for (size_t i = 0; i < c->n; i++)
                c->candidates[i].taken = c->candidates[i].cost < c->limit;
}

static Share *share_of(const Choice *c, const Block *block) {
        return &c->shares[block->device < c->table->n_devices ? block->device : c->table->n_devices];
}

static int make_shares(Choice *c) {
        const size_t n = c->table->n_devices + 1;

        c->shares = calloc(n, sizeof(*c->shares));
        if (!c->shares)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                c->shares[i] = (Share) {
                        .device = i + 1 < n ? (uint32_t) i : BLOCK_DEVICE_NONE,
                        .ejectable = i + 1 < n && c->table->devices[i].ejectable,
                };
        for (size_t i = 0; i < c->table->n_blocks; i++)
                share_of(c, &c->table->blocks[i])->n_online += c->table->blocks[i].state != BLOCK_OFFLINE;
        for (size_t i = 0; i < c->n; i++) {
                Share *share = share_of(c, block_at(c, i));

                share->n_taken += c->candidates[i].cost < c->limit;
                share->n_offered += c->candidates[i].cost == c->limit;
        }
        return 0;
}

static int share_out(Choice *c) {
        CLEANUP(freep) Share *order = NULL;
        size_t n = 0;
        int r;

        r = make_shares(c);
        if (r < 0)
                return r;
        r = plan_order(c->table, c->shares, c->table->n_devices + 1, &order, &n);
        if (r < 0)
                return r;
        r = plan_share(order, n, c->n_open);
        for (size_t i = 0; r >= 0 && i < n; i++)
                c->shares[order[i].device < c->table->n_devices ? order[i].device : c->table->n_devices] =
                                order[i];
        return r;
}

static bool are_neighbours(const Block *low, const Block *high) {
        return low->index + 1 == high->index && low->device == high->device;
}

static bool is_taken_neighbour(const Choice *c, size_t place, size_t other) {
        if (other >= c->n || !c->candidates[other].taken)
                return false;
        return place < other ? are_neighbours(block_at(c, place), block_at(c, other)) :
                               are_neighbours(block_at(c, other), block_at(c, place));
}

static void end_segment(const Choice *c, Segment *segment) {
        bool below = is_taken_neighbour(c, segment->first, segment->first - 1); /* of 0: none, it wraps */

        segment->above = is_taken_neighbour(c, segment->first + segment->n - 1, segment->first + segment->n);
        segment->kind = below && segment->above ? SEGMENT_BETWEEN :
                        below || segment->above ? SEGMENT_BESIDE :
                                                  SEGMENT_ALONE;
}

/* To close a gap makes one range of two, so as many as can be, the short ones first; alone, few and long. */
static int compare_segments(const void *a, const void *b) {
        const Segment *x = a, *y = b;

        if (x->device != y->device)
                return x->device < y->device ? -1 : 1;
        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        if (x->n != y->n)
                return (x->n < y->n) == (x->kind == SEGMENT_BETWEEN) ? -1 : 1;
        return (x->first < y->first) - (x->first > y->first);
}

static int find_segments(Choice *c) {
        c->segments = calloc(c->n + 1, sizeof(*c->segments));
        if (!c->segments)
                return -ENOMEM;
        for (size_t i = 0; i < c->n; i++) {
                Segment *last = c->n_segments > 0 ? &c->segments[c->n_segments - 1] : NULL;

                if (c->candidates[i].cost != c->limit)
                        continue;
                if (last && last->first + last->n == i &&
                    are_neighbours(block_at(c, i - 1), block_at(c, i))) {
                        last->n++;
                        continue;
                }
                c->segments[c->n_segments++] =
                                (Segment) { .first = i, .n = 1, .device = block_at(c, i)->device };
        }
        for (size_t i = 0; i < c->n_segments; i++)
                end_segment(c, &c->segments[i]);
        if (c->n_segments > 0)
                qsort(c->segments, c->n_segments, sizeof(*c->segments), compare_segments);
        return 0;
}

static void take(Choice *c, Segment *segment) {
        Share *share = share_of(c, block_at(c, segment->first));
        size_t n = segment->n < share->n_given ? segment->n : share->n_given;
        /* From the end where a neighbour goes; else from the top. */
        size_t first = segment->kind == SEGMENT_BESIDE && !segment->above ? segment->first
                                                                          : segment->first + segment->n - n;

        for (size_t i = first; i < first + n; i++)
                c->candidates[i].taken = true;
        share->n_given -= n;
        segment->done = true;
}

/* If one that lies alone is enough, the highest of those that are. */
static Segment *best_alone(const Choice *c, Segment *segment, size_t need) {
        Segment *best = segment;

        for (Segment *s = segment; segment->kind == SEGMENT_ALONE && s < c->segments + c->n_segments; s++) {
                if (s->device != segment->device || s->n < need)
                        break;
                if (s->first > best->first)
                        best = s;
        }
        return best;
}

static void take_segments(Choice *c) {
        for (size_t i = 0; i < c->n_segments; i++) {
                Segment *segment = &c->segments[i];

                if (segment->kind == SEGMENT_BETWEEN &&
                    segment->n <= share_of(c, block_at(c, segment->first))->n_given)
                        take(c, segment);
        }
        for (size_t i = 0; i < c->n_segments; i++) {
                Segment *segment = &c->segments[i];
                size_t need = share_of(c, block_at(c, segment->first))->n_given;

                if (need > 0 && !segment->done)
                        take(c, best_alone(c, segment, need));
        }
}

static int compare_cost(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        if (x->cost != y->cost)
                return x->cost < y->cost ? -1 : 1;
        return (x->block < y->block) - (x->block > y->block);
}

static int compare_positions(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        return (x->block > y->block) - (x->block < y->block);
}

static int choose(Choice *c, size_t want) {
        int r;

        if (c->n > 0)
                qsort(c->candidates, c->n, sizeof(*c->candidates), compare_positions);
        find_limit(c, want);
        r = share_out(c);
        if (r >= 0)
                r = find_segments(c);
        if (r >= 0)
                take_segments(c);
        return r;
}

static int compare_up(const void *a, const void *b) {
        size_t x = *(const size_t *) a, y = *(const size_t *) b;

        return (x > y) - (x < y);
}

static int compare_down(const void *a, const void *b) {
        return compare_up(b, a);
}

/* Whatever they cost. */
static void choose_by_place(size_t *candidates, size_t n, PlanOrder order) {
        if (n > 0)
                qsort(candidates, n, sizeof(*candidates),
                      order == PLAN_ORDER_HIGHEST ? compare_down : compare_up);
}

int plan_choose(const BlockTable *table, const GuardPolicy *policy, size_t *candidates, size_t n,
                size_t want, size_t *ret_n) {
        CLEANUP(choice_clear) Choice c = { .table = table, .n = n };
        size_t taken = 0;
        int r;

        if (policy->order != PLAN_ORDER_CHEAPEST) {
                choose_by_place(candidates, n, policy->order);
                *ret_n = want < n ? want : n;
                return 0;
        }
        c.candidates = calloc(n + 1, sizeof(*c.candidates));
        if (!c.candidates)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                c.candidates[i] = (Candidate) {
                        .block = candidates[i],
                        .cost = plan_block_cost(table, &table->blocks[candidates[i]], policy),
                };
        r = choose(&c, want < n ? want : n);
        if (r < 0)
                return r;
        if (n > 0)
                qsort(c.candidates, n, sizeof(*c.candidates), compare_cost);
        for (size_t i = 0; i < n; i++)
                if (c.candidates[i].taken)
                        candidates[taken++] = c.candidates[i].block;
        *ret_n = taken;
        return 0;
}
