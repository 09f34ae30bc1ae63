/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "55d0c000-55d0e000 r--p 00002000 fe:01 1234 /usr/bin/name": character by character, so that neither the
 * length of a path nor the size of a piece matters. */
#include "owners/maps.h"

#include <errno.h>
#include <stdlib.h>

#include "util/array.h"

enum { PLACE_START, PLACE_START_MORE, PLACE_END, PLACE_END_MORE, PLACE_REST };

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int maps_add(Maps *maps) {
        if (maps->line_end <= maps->line_start)
                return -EBADMSG;
        /* The upper half is the kernel's; [vsyscall] is listed, but no page map reaches it. */
        if (maps->line_start >> 63)
                return 0;
        if (maps->n_ranges == MAPS_RANGES_MAX) {
                maps->truncated = true;
                return 0;
        }
        if (ARRAY_RESERVE(maps->ranges, maps->n_ranges, &maps->n_allocated, 256) < 0)
                return -ENOMEM;
        maps->ranges[maps->n_ranges++] = (MapsRange) { maps->line_start, maps->line_end - maps->line_start };
        return 0;
}

/* One character of an address, or what ends it. There must be a digit at least: the place tells. */
static int feed_address(Maps *maps, char c, uint64_t *address, char end) {
        int value = hex_value(c);

        if (value >= 0) {
                if (*address >> 60)
                        return -EBADMSG;
                *address = *address << 4 | (uint64_t) value;
                if (maps->place == PLACE_START || maps->place == PLACE_END)
                        maps->place++;
                return 0;
        }
        if (c != end || maps->place == PLACE_START || maps->place == PLACE_END)
                return -EBADMSG;
        maps->place++;
        return maps->place == PLACE_REST ? maps_add(maps) : 0;
}

int maps_feed(Maps *maps, const char *text, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                if (maps->place < PLACE_END)
                        r = feed_address(maps, text[i], &maps->line_start, '-');
                else if (maps->place < PLACE_REST)
                        r = feed_address(maps, text[i], &maps->line_end, ' ');
                else if (text[i] == '\n') {
                        maps->line_start = maps->line_end = 0;
                        maps->place = PLACE_START;
                }
        }
        return r;
}

int maps_finish(Maps *maps) {
        return maps->place == PLACE_START ? 0 : -EBADMSG;
}

static int range_compare(const void *a, const void *b) {
        const MapsRange *x = a, *y = b;

        if (x->size != y->size)
                return x->size < y->size ? -1 : 1;
        return (x->start > y->start) - (x->start < y->start);
}

void maps_sort(Maps *maps) {
        if (maps->n_ranges > 1)
                qsort(maps->ranges, maps->n_ranges, sizeof(maps->ranges[0]), range_compare);
}

void maps_reset(Maps *maps) {
        *maps = (Maps) { .ranges = maps->ranges, .n_allocated = maps->n_allocated };
}

void maps_clear(Maps *maps) {
        free(maps->ranges);
        *maps = (Maps) {};
}
