/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A few frames, sorted, against very many page map entries: nearly all of them end at the first two
 * comparisons, since the pages asked for lie in the same few blocks. */
#include "owners/match.h"

#include <stdlib.h>

/* Documentation/admin-guide/mm/pagemap.rst of the kernel */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_FRAME_MASK ((UINT64_C(1) << 55) - 1)

_Static_assert(OWNERS_PAGES_MAX <= 32, "the pages of a request are the bits of a word");

/* What is swapped out has other things in place of the frame. */
uint64_t match_entry_frame(uint64_t entry) {
        return entry & ENTRY_PRESENT ? entry & ENTRY_FRAME_MASK : 0;
}

static int match_compare(const void *a, const void *b) {
        const Match *x = a, *y = b;

        return (x->frame > y->frame) - (x->frame < y->frame);
}

void match_set_init(MatchSet *set, const OwnersRequest *request, uint64_t page_size) {
        size_t n = 0;

        for (size_t i = 0; i < request->n_addresses; i++)
                set->matches[i] = (Match) { request->addresses[i] / page_size, UINT32_C(1) << i };
        qsort(set->matches, request->n_addresses, sizeof(set->matches[0]), match_compare);
        for (size_t i = 0; i < request->n_addresses; i++) {
                if (n > 0 && set->matches[n - 1].frame == set->matches[i].frame)
                        set->matches[n - 1].pages |= set->matches[i].pages;
                else
                        set->matches[n++] = set->matches[i];
        }
        set->n_matches = n;
}

static uint32_t match_frame(const MatchSet *set, uint64_t frame) {
        const Match *match;

        match = bsearch(&(Match) { .frame = frame }, set->matches, set->n_matches, sizeof(set->matches[0]),
                        match_compare);
        return match ? match->pages : 0;
}

uint32_t match_entries(const MatchSet *set, const uint64_t *entries, size_t n) {
        uint64_t low, high;
        uint32_t found = 0;

        if (set->n_matches == 0)
                return 0;
        low = set->matches[0].frame;
        high = set->matches[set->n_matches - 1].frame;
        for (size_t i = 0; i < n; i++) {
                uint64_t frame = match_entry_frame(entries[i]);

                if (frame >= low && frame <= high)
                        found |= match_frame(set, frame);
        }
        return found;
}
