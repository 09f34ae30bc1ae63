/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device is whole, gone, or in parts, and only the last has a price. Dynamic programming over the devices
 * and the number of blocks given finds the least of it exactly. */
#include "memory/plan-share.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

#define CELLS_MAX (UINT64_C(4) << 20) /* beyond so many numbers whole devices are given first */
#define IMPOSSIBLE UINT32_MAX

/* One row for each share in reverse order of preference, after one for none of them: the least number of
 * devices in parts if so many blocks have been given. */
typedef struct Rows {
        uint32_t *cells;
        size_t width;
        size_t *window; /* places, for the least of a range that moves */
} Rows;

static bool completes(const Share *share) {
        return share->n_taken + share->n_offered == share->n_online;
}

static unsigned price(const Share *share, size_t n_given) {
        size_t gone = share->n_taken + n_given;

        return share->ejectable && gone > 0 && gone < share->n_online;
}

static unsigned plus(unsigned a, unsigned b) {
        return a >= IMPOSSIBLE ? IMPOSSIBLE : a + b;
}

/* Some, but not all: the least of the n_offered - 1 cells left of each. */
static void add_parts(const Share *share, const uint32_t *before, uint32_t *row, const Rows *rows) {
        const unsigned cost = price(share, 1);
        size_t head = 0, tail = 0;

        for (size_t x = 1; x < rows->width && share->n_offered > 1; x++) {
                while (tail > head && before[rows->window[tail - 1]] >= before[x - 1])
                        tail--;
                rows->window[tail++] = x - 1;
                if (rows->window[head] + share->n_offered - 1 < x)
                        head++;
                if (plus(before[rows->window[head]], cost) < row[x])
                        row[x] = plus(before[rows->window[head]], cost);
        }
}

static void fill_row(const Share *share, const uint32_t *before, uint32_t *row, const Rows *rows) {
        const size_t all = share->n_offered;

        for (size_t x = 0; x < rows->width; x++) {
                unsigned none = plus(before[x], price(share, 0));
                unsigned whole = x < all ? IMPOSSIBLE : plus(before[x - all], price(share, all));

                row[x] = none < whole ? none : whole;
        }
        add_parts(share, before, row, rows);
}

/* The most that this share can give on a cheapest way to cell x of its row. */
static size_t trace(const Share *share, const uint32_t *before, const uint32_t *row, size_t x) {
        for (size_t given = share->n_offered < x ? share->n_offered : x; given > 0; given--)
                if (plus(before[x - given], price(share, given)) == row[x])
                        return given;
        return 0;
}

static int share_exactly(Share *shares, size_t n, size_t want) {
        CLEANUP(freep) uint32_t *cells = NULL;
        CLEANUP(freep) size_t *window = NULL;
        Rows rows = { .width = want + 1 };

        rows.cells = cells = calloc((n + 1) * rows.width, sizeof(*cells));
        rows.window = window = calloc(rows.width, sizeof(*window));
        if (!cells || !window)
                return -ENOMEM;
        for (size_t x = 1; x < rows.width; x++)
                cells[x] = IMPOSSIBLE;
        for (size_t i = 0; i < n; i++)
                fill_row(&shares[n - 1 - i], cells + i * rows.width, cells + (i + 1) * rows.width, &rows);
        for (size_t i = n, x = want; i > 0; i--) {
                Share *share = &shares[n - i];

                share->n_given = trace(share, cells + (i - 1) * rows.width, cells + i * rows.width, x);
                x -= share->n_given;
        }
        return 0;
}

/* The next one that gives all it offers before the rest is worked out; n if there is none. */
static size_t find_whole(const Share *shares, size_t n, size_t want) {
        size_t found = n;

        for (size_t i = 0; i < n; i++) {
                if (shares[i].n_given > 0 || shares[i].n_offered == 0 || shares[i].n_offered > want)
                        continue;
                if (completes(&shares[i]))
                        return i;
                found = found < n ? found : i;
        }
        return found;
}

int plan_share(Share *shares, size_t n, size_t want) {
        CLEANUP(freep) Share *rest = NULL;
        size_t n_rest = 0, left = want, i;
        int r;

        while ((uint64_t) (n + 1) * (left + 1) > CELLS_MAX && (i = find_whole(shares, n, left)) < n) {
                shares[i].n_given = shares[i].n_offered;
                left -= shares[i].n_given;
        }
        rest = calloc(n + 1, sizeof(*rest));
        if (!rest)
                return -ENOMEM;
        for (i = 0; i < n; i++)
                if (shares[i].n_given == 0 && shares[i].n_offered > 0)
                        rest[n_rest++] = shares[i];
        if ((uint64_t) (n_rest + 1) * (left + 1) > CELLS_MAX)
                rest[0].n_given = left; /* each of them offers more than that */
        else {
                r = share_exactly(rest, n_rest, left);
                if (r < 0)
                        return r;
        }
        for (i = 0, n_rest = 0; i < n; i++)
                if (shares[i].n_given == 0 && shares[i].n_offered > 0)
                        shares[i].n_given = rest[n_rest++].n_given;
        return 0;
}
