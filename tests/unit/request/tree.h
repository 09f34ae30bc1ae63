/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up machine in a temporary directory: eight blocks of boot memory and DIMMs of four blocks each, all
 * online, with 4 GiB of memory available. Blocks are 128 MiB. */
#pragma once

#define TREE_BLOCK_SIZE (128ULL << 20)
#define TREE_BOOT_BLOCKS 8U
#define TREE_DIMM_BLOCKS 4U
#define TREE_FIRST_DIMM_BLOCK 32U /* of PNP0C80:00; the next DIMM follows it */

typedef struct Tree {
        char path[64];
        int fd;
} Tree;

void tree_make(Tree *tree, unsigned n_dimms);
void tree_remove(Tree *tree);
/* 1: the block's state is "online". */
int tree_is_online(const Tree *tree, unsigned block);
