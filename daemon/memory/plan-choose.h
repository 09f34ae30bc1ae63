/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks are taken, and in which order of preference, when there is a choice. */
#pragma once

#include "memory/block.h"
#include "memory/guard.h"

/* candidates: n positions in table->blocks. Afterwards the first *ret_n of them are those to take, the
 * best first; they are at most want. By the policy's order they are the highest, the lowest, or the
 * cheapest: then no other choice of as many costs less (plan-cost.h), and of those that cost the same
 * none leaves more devices in parts, which the firmware could then not take. After that: devices of the
 * node that has most memory, so that the nodes stay alike, the highest devices, and inside a device few
 * long runs. -ENOMEM. */
int plan_choose(const BlockTable *table, const GuardPolicy *policy, size_t *candidates, size_t n,
                size_t want, size_t *ret_n);
