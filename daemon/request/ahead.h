/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks of a plan go offline before the others are evacuated. */
#pragma once

#include <stddef.h>

#include "memory/plan.h"

/* Blocks that are as good as empty need no evacuation, which costs some 2 million instructions for each
 * block just to close and scan it; and once they are offline, nothing moves into them. Changes: the plan's
 * steps, which begin with those, least used first; the others keep their order. What they have moves with
 * each block in turn, at worst once more for each that is still to go: together that stays below 1/128 of
 * all that moves. None goes from between two that stay. Returns their number; 0 also without a survey, or
 * short of memory. */
size_t ahead_take(Plan *plan);
