/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All blocks as a picture: a row for each device, a mark for each block, or for several where there are more
 * than the terminal has room for. */
#pragma once

#include <json-c/json.h>

#include "ctl/ctl.h"

typedef struct BlockMap BlockMap;

int block_map_new(BlockMap **ret);
BlockMap *block_map_free(BlockMap *map);

int block_map_put(BlockMap *map, json_object *block); /* as it is now; -ENOMEM */
/* What comes between these is the whole list: blocks that it does not have are gone. */
void block_map_begin(BlockMap *map);
void block_map_end(BlockMap *map);

/* Prints at most so many rows and columns, with colours only in place. Returns the number of rows. */
unsigned block_map_draw(const BlockMap *map, const Ctl *ctl, unsigned max_rows, unsigned columns,
                        bool in_place);
