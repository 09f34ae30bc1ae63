/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines as text (trees/): each file says what sysfs and /proc/iomem have there, "state|zones|nodes|firmware"
 * for a run of blocks, and behind "==" what the planner makes of it: blocks, devices, nodes, and a plan for each
 * thing that may be asked for. Those of guests are made by tests/vm/capture. What is seen otherwise is printed
 * whole, to be put there if it is right. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan.h"
#include "tree.h"
#include "util/cleanup.h"
#include "util/text.h"

#define MEMORY "sys/devices/system/memory/"
#define NODE "sys/devices/system/node/"

static char **file_names;
static int n_files;

static char *read_file(const char *path) {
        char *text = calloc(1, 65536);
        FILE *f = fopen(path, "re");

        assert_non_null(f);
        assert_true(fread(text, 1, 65535, f) > 0);
        fclose(f);
        return text;
}

/* "online|Movable|node0 node1|PNP0C80:00" of one block. */
static void make_block(const Tree *tree, unsigned index, char *line) {
        char *state = strsep(&line, "|"), *zones = strsep(&line, "|"), *nodes = strsep(&line, "|");

        assert_non_null(line);
        tree_write(tree, state, MEMORY "memory%u/state", index);
        tree_write(tree, zones, MEMORY "memory%u/valid_zones", index);
        if (*line)
                tree_link(tree, line, MEMORY "memory%u/firmware_node", index);
        for (char *node; (node = strsep(&nodes, " "));)
                if (*node)
                        tree_mkdir(tree, NODE "%s/memory%u", node, index);
}

static void make_blocks(const Tree *tree, const char *range, const char *line) {
        unsigned first, last;
        int n = sscanf(range, "memory%u-%u", &first, &last);

        assert_true(n > 0);
        for (unsigned i = first; i <= (n > 1 ? last : first); i++) {
                CLEANUP(freep) char *copy = strdup(line);

                make_block(tree, i, copy);
        }
}

/* Takes the lines up to "==" out of *text. */
static Tree make_tree(char **text) {
        Tree tree = tree_new();
        char *line;

        tree_write(&tree, "", "proc/iomem");
        while ((line = strsep(text, "\n")) && strcmp(line, "==") != 0) {
                char *value = strchr(line, ' ');

                if (*line == '#')
                        continue;
                if (strcmp(line, "iomem:") == 0) {
                        char *end = strstr(*text, "==\n");

                        assert_non_null(end);
                        tree_write_bytes(&tree, *text, (size_t) (end - *text), "proc/iomem");
                        *text = end;
                        continue;
                }
                assert_non_null(value);
                *value++ = '\0';
                if (strcmp(line, "block_size_bytes") == 0)
                        tree_write(&tree, value, MEMORY "block_size_bytes");
                else if (strcmp(line, "has_cpu") == 0)
                        tree_write(&tree, value, NODE "has_cpu");
                else if (strcmp(line, "eject") == 0)
                        tree_write(&tree, "", "sys/bus/acpi/devices/%s/eject", value);
                else
                        make_blocks(&tree, line, value);
        }
        assert_non_null(line);
        return tree;
}

static void tell_range(FILE *f, uint32_t from, uint32_t to) {
        fprintf(f, from == to ? "%" PRIu32 : "%" PRIu32 "-%" PRIu32, from, to);
}

static bool are_alike(const Block *a, const Block *b) {
        return a->index + 1 == b->index && a->device == b->device && a->state == b->state &&
               a->zone == b->zone && a->node == b->node;
}

static void tell_blocks(FILE *f, const BlockTable *table, const GuardPolicy *policy) {
        for (size_t i = 0, first = 0; i < table->n_blocks; i++) {
                const Block *block = &table->blocks[i];

                if (i + 1 < table->n_blocks && are_alike(block, block + 1))
                        continue;
                fprintf(f, "blocks ");
                tell_range(f, table->blocks[first].index, block->index);
                fprintf(f, ": %s, zone %s, node %d, of %s, %s\n", block_state_to_string(block->state),
                        zone_to_string(block->zone) ?: "none", block->node,
                        block_device_name(table, block) ?: "nothing",
                        verdict_to_string(guard_verdict(block, policy)));
                first = i + 1;
        }
}

static void tell_table(FILE *f, const BlockTable *table) {
        char size[FORMAT_SIZE_MAX], online[FORMAT_SIZE_MAX];

        fprintf(f, "blocks of %s, %s online\n", format_size(table->block_size, size),
                format_size(table->online_bytes, online));
        for (const Device *d = table->devices; d < table->devices + table->n_devices; d++)
                fprintf(f, "device %s: %s, %" PRIu32 " blocks, %s of %s online, node %d%s\n", d->name,
                        device_kind_to_string(d->kind), d->n_blocks, format_size(d->online_bytes, online),
                        format_size(d->size_bytes, size), d->node, d->ejectable ? ", ejectable" : "");
        for (const Node *node = table->nodes; node < table->nodes + table->n_nodes; node++)
                fprintf(f, "node %d: %zu blocks online%s\n", node->node, node->n_online,
                        node->has_cpus ? ", processors" : "");
}

static void tell_plan(FILE *f, const BlockTable *table, const GuardPolicy *policy, const Demand *demand,
                      const char *what) {
        const MemoryRoom room = { .available_bytes = UINT64_C(1) << 50, .total_bytes = UINT64_C(1) << 40 };
        Plan *plan;

        assert_int_equal(plan_make(table, demand, policy, &room, &plan), 0);
        fprintf(f, "plan %s:", what);
        for (size_t i = 0, first = 0; i < plan->n_steps; i++) {
                if (i + 1 < plan->n_steps && plan->steps[i + 1].block + 1 == plan->steps[i].block)
                        continue;
                fprintf(f, " ");
                tell_range(f, plan->steps[first].block, plan->steps[i].block);
                first = i + 1;
        }
        fprintf(f, "%s%s%s\n", plan->eject ? ", eject" : "", plan->reason ? " " : "", plan->reason ?: "");
        plan_free(plan);
}

static void tell_plans(FILE *f, const BlockTable *table, const GuardPolicy *policy) {
        char what[80];

        for (unsigned n = 1; n <= 4; n += 3) {
                char size[FORMAT_SIZE_MAX];

                (void) snprintf(what, sizeof(what), "%s", format_size(n * table->block_size, size));
                tell_plan(f, table, policy, &(Demand) { .size_bytes = n * table->block_size }, what);
        }
        for (const Device *d = table->devices; d < table->devices + table->n_devices; d++) {
                Demand demand = {};

                (void) snprintf(demand.device, sizeof(demand.device), "%s", d->name);
                tell_plan(f, table, policy, &demand, d->name);
        }
        for (const Node *node = table->nodes; node < table->nodes + table->n_nodes; node++) {
                (void) snprintf(what, sizeof(what), "node %d", node->node);
                tell_plan(f, table, policy, &(Demand) { .by_node = true, .node = (uint32_t) node->node }, what);
        }
}

static void check_file(const char *path) {
        CLEANUP(freep) char *text = read_file(path), *seen = NULL;
        const GuardPolicy policy = { .keep_free_bytes = 0 };
        char *expected = text;
        Tree tree = make_tree(&expected);
        BlockTable *table;
        size_t size;
        FILE *f;

        assert_int_equal(block_table_scan(tree.fd, &table), 0);
        f = open_memstream(&seen, &size);
        assert_non_null(f);
        tell_table(f, table);
        tell_blocks(f, table, &policy);
        tell_plans(f, table, &policy);
        assert_int_equal(fclose(f), 0);
        block_table_free(table);
        tree_remove(&tree);
        if (strcmp(expected ?: "", seen) != 0) {
                fputs(seen, stderr); /* whole, which a message may not be */
                fail_msg("%s is seen otherwise", path);
        }
}

static void test_trees(void **state) {
        assert_true(n_files >= 4);
        for (int i = 0; i < n_files; i++)
                check_file(file_names[i]);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_trees) };

        file_names = argv + 1;
        n_files = argc - 1;
        return cmocka_run_group_tests_name("trees", tests, NULL, NULL);
}
