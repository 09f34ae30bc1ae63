/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block tables made by hand, one character for a block:
 *   F free  m used a tenth  M used nine tenths  ? use unknown  P has 12 MiB pinned  (all zone Movable)
 *   K kernel zone  N no single zone  o offline  g going offline  . hole (no such block)
 *   | begins the next device */
#pragma once

#include "memory/block.h"

#define BS (UINT64_C(128) << 20)

/* The first block has the index first. Devices are DIMMs "PNP0C80:00" and so on, ejectable. */
BlockTable *table_new(const char *layout, uint32_t first);
/* Device n is node n. */
void table_set_nodes(BlockTable *table);
