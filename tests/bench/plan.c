/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the blocks below a directory and plans to take some: what a request costs before anything is done.
 * "plan DIRECTORY BLOCKS": prints blocks, steps, and microseconds of processor
 * time: of reading, of planning, and of refusing to take more than there is. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "memory/plan.h"

#define REFUSALS 5U /* the quickest counts: the others were disturbed */

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* The steps of a plan; 0 if it cannot be done. */
static size_t make(const BlockTable *table, const Demand *demand) {
        const MemoryRoom room = { .total_bytes = UINT64_MAX / 4, .available_bytes = UINT64_MAX / 4 };
        const GuardPolicy policy = { .keep_free_bytes = 0 };
        size_t n = 0;
        Plan *plan;

        if (plan_make(table, demand, &policy, &room, &plan) < 0)
                return 0;
        if (plan->outcome == PLAN_FEASIBLE)
                n = plan->n_steps;
        (void) plan_free(plan);
        return n;
}

int main(int argc, char **argv) {
        uint64_t begin = now_usec(), read, planned, refused = UINT64_MAX;
        BlockTable *table;
        Demand demand = {};
        size_t n_steps;
        int fd;

        if (argc != 3)
                return EXIT_FAILURE;
        fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || block_table_scan(fd, &table) < 0)
                return EXIT_FAILURE;
        read = now_usec();
        /* No survey: blocks in use to different degrees, so that there is a choice to make. */
        for (size_t i = 0; i < table->n_blocks; i++) {
                table->blocks[i].used_bytes = table->block_size / 97 * (i * 31 % 97);
                table->blocks[i].unmovable_bytes = 0;
        }
        demand.size_bytes = strtoull(argv[2], NULL, 10) * table->block_size;
        n_steps = make(table, &demand);
        planned = now_usec();
        demand.size_bytes = (table->n_blocks + 1) * table->block_size; /* one too many */
        for (unsigned i = 0; i < REFUSALS; i++) {
                uint64_t start = now_usec(), took;

                if (make(table, &demand) != 0)
                        return EXIT_FAILURE;
                took = now_usec() - start;
                refused = took < refused ? took : refused;
        }
        printf("%zu %zu %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", table->n_blocks, n_steps, read - begin,
               planned - read, refused);
        (void) block_table_free(table);
        return EXIT_SUCCESS;
}
