/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No choice of as many blocks is cheaper than the planner's: against 1 000 choices by chance on each of many
 * trees, and against every possible one on small trees. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan-choose.h"
#include "memory/plan-cost.h"
#include "memory/plan.h"
#include "table.h"

#define BLOCKS_MAX 96U
#define TREES 400U
#define CHOICES 1000U
#define SMALL_TREES 4000U
#define SMALL_BLOCKS 11U

static uint64_t seed = 88172645463325252;

static uint32_t chance(uint32_t n) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t) ((seed >> 16) % n);
}

typedef struct Cost {
        uint64_t move;
        size_t parts; /* devices that are left in parts */
} Cost;

static bool is_below(Cost a, Cost b) {
        return a.move < b.move || (a.move == b.move && a.parts < b.parts);
}

typedef struct Tree {
        char layout[2 * BLOCKS_MAX + 1];
        BlockTable *table;
        GuardPolicy policy;
        GuardFailure failures[4];
        size_t candidates[BLOCKS_MAX];
        size_t n;
        bool by_node; /* candidates are those of node 0, and so is what is asked for */
} Tree;

/* Said anew, without looking at how the planner counts it. */
static Cost cost_of(const Tree *tree, const bool *gone) {
        size_t in_device[BLOCKS_MAX] = {}, online[BLOCKS_MAX] = {};
        Cost cost = {};

        for (size_t i = 0; i < tree->table->n_blocks; i++) {
                const Block *block = &tree->table->blocks[i];

                online[block->device] += block->state != BLOCK_OFFLINE;
                in_device[block->device] += gone[i];
                if (gone[i])
                        cost.move += plan_block_cost(tree->table, block, &tree->policy);
        }
        for (size_t i = 0; i < tree->table->n_devices; i++)
                cost.parts += tree->table->devices[i].ejectable && in_device[i] > 0 &&
                              in_device[i] < online[i];
        return cost;
}

static void tree_make(Tree *tree, size_t n_blocks, bool by_node) {
        static const char kinds[] = "FFFFFFFFmmmmM?PKo||";
        size_t n = 0;

        while (n < n_blocks)
                tree->layout[n++] = kinds[chance(sizeof(kinds) - 1)];
        tree->layout[n] = 0;
        tree->table = table_new(tree->layout, 40);
        tree->by_node = by_node;
        if (by_node)
                table_set_nodes(tree->table);
        if (tree->table->n_nodes > 0)
                tree->table->nodes[0].node = 0;
        for (size_t i = 0; by_node && i < tree->table->n_blocks; i++) /* half of the devices are node 0 */
                tree->table->blocks[i].node /= (int) tree->table->n_devices / 2 + 1;
        for (size_t i = 0; i < tree->table->n_devices; i++)
                tree->table->devices[i].ejectable = chance(4) > 0;
        tree->policy = (GuardPolicy) { .keep_free_bytes = 0, .failures = tree->failures };
        while (tree->policy.n_failures < chance(4)) {
                size_t k = tree->policy.n_failures++;

                tree->failures[k] = (GuardFailure) { .block = 40 + (uint32_t) k * 2, .weight = 1 + chance(6) };
        }
        tree->n = 0;
        for (size_t i = 0; i < tree->table->n_blocks; i++) {
                Block *block = &tree->table->blocks[i];

                if (block->used_bytes == BS / 10) /* not all alike */
                        block->used_bytes = chance(3) * (BS / 10) + 1;
                if (guard_verdict(block, &tree->policy) <= VERDICT_MOVABLE && (!by_node || block->node == 0))
                        tree->candidates[tree->n++] = i;
        }
}

static Cost planned(const Tree *tree, size_t want) {
        const MemoryRoom room = { .total_bytes = UINT64_MAX / 4, .available_bytes = UINT64_MAX / 4 };
        Demand demand = { .size_bytes = want * BS, .by_node = tree->by_node };
        bool gone[BLOCKS_MAX] = {};
        Plan *plan;

        assert_int_equal(plan_make(tree->table, &demand, &tree->policy, &room, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, want);
        for (size_t i = 0; i < plan->n_steps; i++)
                gone[block_table_find(tree->table, plan->steps[i].block) - tree->table->blocks] = true;
        plan_free(plan);
        return cost_of(tree, gone);
}

static Cost by_chance(const Tree *tree, size_t want) {
        size_t order[BLOCKS_MAX];
        bool gone[BLOCKS_MAX] = {};

        memcpy(order, tree->candidates, sizeof(order));
        for (size_t i = 0; i < want; i++) {
                size_t k = i + chance((uint32_t) (tree->n - i)), other = order[i];

                order[i] = order[k];
                order[k] = other;
                gone[order[i]] = true;
        }
        return cost_of(tree, gone);
}

static void test_by_chance(void **state) {
        size_t compared = 0;

        for (unsigned i = 0; i < TREES; i++) {
                Tree tree = {};
                size_t want;
                Cost mine;

                tree_make(&tree, 1 + chance(BLOCKS_MAX), i % 3 == 0);
                want = tree.n > 0 ? 1 + chance((uint32_t) tree.n) : 0;
                if (want > 0)
                        mine = planned(&tree, want);
                for (unsigned k = 0; want > 0 && k < CHOICES; k++, compared++)
                        if (is_below(by_chance(&tree, want), mine))
                                fail_msg("tree %u, %s, %zu blocks: there is a cheaper choice", i, tree.layout,
                                         want);
                block_table_free(tree.table);
        }
        assert_true(compared > TREES * CHOICES / 10 * 9);
}

/* The best of all choices of want candidates. */
static Cost best_of_all(const Tree *tree, size_t want) {
        Cost best = { .move = UINT64_MAX };

        for (unsigned set = 0; set < 1U << tree->n; set++) {
                bool gone[BLOCKS_MAX] = {};
                Cost cost;

                if ((size_t) __builtin_popcount(set) != want)
                        continue;
                for (size_t i = 0; i < tree->n; i++)
                        if (set & 1U << i)
                                gone[tree->candidates[i]] = true;
                cost = cost_of(tree, gone);
                if (is_below(cost, best))
                        best = cost;
        }
        return best;
}

static void test_small(void **state) {
        unsigned with_parts = 0;

        for (unsigned i = 0; i < SMALL_TREES; i++) {
                Tree tree = {};
                Cost mine, best;
                size_t want;

                tree_make(&tree, 1 + chance(SMALL_BLOCKS), i % 3 == 0);
                want = tree.n > 0 ? 1 + chance((uint32_t) tree.n) : 0;
                if (want > 0) {
                        mine = planned(&tree, want);
                        best = best_of_all(&tree, want);
                        if (mine.move != best.move || mine.parts != best.parts)
                                fail_msg("tree %u, %s, %zu blocks: moves %ju, leaves %zu in parts; the best is "
                                         "%ju and %zu",
                                         i, tree.layout, want, (uintmax_t) mine.move, mine.parts,
                                         (uintmax_t) best.move, best.parts);
                        with_parts += best.parts > 0;
                }
                block_table_free(tree.table);
        }
        assert_true(with_parts > SMALL_TREES / 10); /* else little was tried */
}

/* nodes: of each device, "0011"; NULL for none. */
static void put_on_nodes(BlockTable *table, const char *nodes) {
        if (!nodes)
                return;
        table->n_nodes = 2;
        table->nodes = calloc(table->n_nodes, sizeof(*table->nodes));
        table->nodes[1].node = 1;
        for (size_t i = 0; i < table->n_devices; i++)
                table->devices[i].node = nodes[i] - '0';
        for (size_t i = 0; i < table->n_blocks; i++) {
                Block *block = &table->blocks[i];

                block->node = table->devices[block->device].node;
                table->nodes[block->node].n_online++;
        }
}

static void choose_on_nodes(const char *layout, const char *nodes, size_t want, const char *expected) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        BlockTable *table = table_new(layout, 40);
        size_t *candidates = calloc(table->n_blocks, sizeof(*candidates)), n = 0;
        char *got = calloc(table->n_blocks + 1, 1);

        put_on_nodes(table, nodes);
        for (size_t i = 0; i < table->n_blocks; i++)
                if (guard_verdict(&table->blocks[i], &policy) <= VERDICT_MOVABLE)
                        candidates[n++] = i;
        assert_int_equal(plan_choose(table, &policy, candidates, n, want, &n), 0);
        memset(got, '.', table->n_blocks);
        for (size_t i = 0; i < n; i++)
                got[candidates[i]] = 'x';
        assert_string_equal(got, expected);
        free(got);
        free(candidates);
        block_table_free(table);
}

static void choose(const char *layout, size_t want, const char *expected) {
        choose_on_nodes(layout, NULL, want, expected);
}

static void test_nodes_in_proportion(void **state) {
        const char *layout = "FF|FF|FF|FF|FF|FF", *nodes = "000011"; /* eight and four */

        choose_on_nodes(layout, nodes, 2, "......xx...."); /* of the larger node */
        choose_on_nodes(layout, nodes, 4, "......xx..xx");
        choose_on_nodes(layout, nodes, 6, "....xxxx..xx"); /* four and two */
        choose_on_nodes(layout, nodes, 8, "..xxxxxx..xx");
        choose_on_nodes(layout, nodes, 10, "..xxxxxxxxxx");
        choose_on_nodes("mm|mm|mm|FF", "0011", 4, "..xx..xx"); /* the free one goes in any case */
        choose_on_nodes("mm|mm|mm|FF", "1100", 4, "..xx..xx");
        choose_on_nodes("MM|MM|mm|mm", "0011", 4, "....xxxx"); /* bytes come first */
        choose_on_nodes("FFFF|FFFF|FF", "001", 2, "........xx"); /* and so do whole devices */
}

static void test_ranges(void **state) {
        choose("FFmmFmF", 4, "xx..x.x");
        choose("FFmmFmF", 5, "xx..xxx");         /* the short gap */
        choose("FFmmFmF", 6, "xx.xxxx");         /* beside what goes */
        choose("MFmMmmm", 2, ".xx....");         /* rather than alone */
        choose("mmMmmmMm", 2, "....xx..");       /* one long run */
        choose("mmmMmMmm", 4, "xxx....x");       /* the longest, then the top */
        choose("mm|mmm|mmmm", 5, "xxxxx....");   /* two whole rather than parts of one */
        choose("mm|mmm|mmmm", 3, "..xxx....");
        choose("mm|mmm|mmmm", 4, ".....xxxx");
        choose("mm|mmm|mmmm", 8, ".xxxxxxxx"); /* one in parts cannot be helped */
        choose("Fm|mm", 2, "xx..");              /* whole with one more */
        choose("FM|mm", 2, "x..x");              /* nothing makes up for bytes */
}

static void test_large(void **state) {
        const size_t n_devices = 512, per_device = 128;
        char *layout = malloc(n_devices * (per_device + 1) + 1), *p = layout;
        char *expected = malloc(n_devices * per_device + 1);

        for (size_t i = 0; i < n_devices; i++) {
                p += i > 0 ? sprintf(p, "|") : 0;
                memset(p, 'm', per_device);
                p += per_device;
        }
        *p = 0;
        memset(expected, '.', n_devices * per_device);
        memset(expected + 12 * per_device, 'x', 500 * per_device);
        expected[n_devices * per_device] = 0;
        choose(layout, 500 * per_device, expected);
        free(layout);
        free(expected);
}

static void test_cheapest_device(void **state) {
        const MemoryRoom room = { .total_bytes = 64 * BS, .available_bytes = 64 * BS };
        GuardPolicy policy = { .keep_free_bytes = 0 };
        BlockTable *table = table_new("MM|mM|mm|PF|mm|KF", 40);
        const Demand demand = { .device = "PNP0C80:03" };
        Plan *plan;
        Node nodes[] = { { .node = 0, .n_online = 8 }, { .node = 1, .n_online = 4 } };

        assert_string_equal(plan_cheapest_device(table, &policy, &room)->name, "PNP0C80:04");
        assert_int_equal(plan_make(table, &demand, &policy, &room, &plan), 0);
        assert_string_equal(plan->cheapest_device, "PNP0C80:04"); /* also if something else was asked for */
        plan_free(plan);
        table->nodes = nodes;
        table->n_nodes = 2;
        table->devices[4].node = 1; /* its node has less */
        assert_string_equal(plan_cheapest_device(table, &policy, &room)->name, "PNP0C80:02");
        assert_true(plan_device_move(table, &table->devices[2]) == BS / 10 * 2);
        table->devices[2].ejectable = table->devices[4].ejectable = false;
        assert_string_equal(plan_cheapest_device(table, &policy, &room)->name, "PNP0C80:01");
        policy.keep_free_bytes = 63 * BS; /* none has room */
        assert_null(plan_cheapest_device(table, &policy, &room));
        table->nodes = NULL;
        table->n_nodes = 0;
        block_table_free(table);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_by_chance), cmocka_unit_test(test_small),
                cmocka_unit_test(test_ranges),    cmocka_unit_test(test_large),
                cmocka_unit_test(test_cheapest_device), cmocka_unit_test(test_nodes_in_proportion),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
