/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arguments by chance for the parts of kmod_test that call at random: good ones, bad ones, and those at an edge. */

#include <string.h>

#include "kmod_test.h"
#include "pages.h"

uint64_t roll(Dice *dice, uint64_t sides) {
        return mix64(dice->seed ^ mix64(dice->n++)) % sides;
}

uint64_t roll_address(Dice *dice, const Machine *m) {
        uint64_t blocks = (m->end - m->start) / m->pageblock;
        const uint64_t base[] = {
                m->start, m->start + roll(dice, blocks) * m->pageblock, m->start + roll(dice, blocks) * m->pageblock,
                m->end - m->pageblock, m->end, 0, 1ULL << 63, ~0ULL, roll(dice, ~0ULL),
        };
        const uint64_t off[] = { 0, 0, 0, 0, 1, PAGE_BYTES, m->pageblock };

        return base[roll(dice, sizeof base / sizeof base[0])] + off[roll(dice, sizeof off / sizeof off[0])];
}

uint64_t roll_size(Dice *dice, const Machine *m) {
        const uint64_t base[] = {
                m->pageblock, m->pageblock * (1 + roll(dice, 64)), m->block, m->end - m->start,
                PAGE_BYTES, 0, 1, ~0ULL, 1ULL << 63,
        };

        return base[roll(dice, sizeof base / sizeof base[0])];
}

uint32_t roll_flags(Dice *dice) {
        return roll(dice, 8) == 0 ? (uint32_t) roll(dice, ~0ULL) : 0;
}

bool errno_allowed(int r, const int *allowed, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (r == allowed[i])
                        return true;
        note("not a documented error: %s", strerror(-r));
        return false;
}
