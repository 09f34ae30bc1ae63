/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order in which blocks are taken when only a size is asked for. */
#pragma once

#include "memory/block.h"

/* candidates: n positions in table->blocks, ascending. Afterwards the first of them are those to take, in
 * order of preference: blocks that are free first, then by quarters of use (unknown last); among those of
 * one class, whole runs of neighbours on one device, the longest first unless one is enough, and then the
 * highest; inside a run from the top. At most want are put in order, and their number is *ret_n. -ENOMEM. */
int plan_choose(const BlockTable *table, size_t *candidates, size_t n, size_t want, size_t *ret_n);
