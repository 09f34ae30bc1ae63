/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which devices give first, when all would cost the same. Used by plan-choose.c only. */
#pragma once

#include "memory/block.h"
#include "memory/plan-share.h"

/* Those of the shares that offer something, in order of preference: ejectable devices first, of the nodes in
 * turn so that their memory stays in proportion, of a node the highest. To be freed. -ENOMEM. */
int plan_order(const BlockTable *table, const Share *shares, size_t n, Share **ret, size_t *ret_n);
