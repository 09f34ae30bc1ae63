/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the pages asked for appear among entries of a page map. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/owners-protocol.h"

typedef struct Match {
        uint64_t frame;
        uint32_t pages; /* bits: indexes in the request */
} Match;

typedef struct MatchSet {
        Match matches[OWNERS_PAGES_MAX]; /* by frame, each once */
        size_t n_matches;
} MatchSet;

/* 0: not present, or hidden from us. */
uint64_t match_entry_frame(uint64_t entry);
void match_set_init(MatchSet *set, const OwnersRequest *request, uint64_t page_size);
/* entries as in /proc/PID/pagemap. Bits of the pages found. */
uint32_t match_entries(const MatchSet *set, const uint64_t *entries, size_t n);
