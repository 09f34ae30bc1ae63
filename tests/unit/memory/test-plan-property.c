/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold for every plan, on many tables made by chance. The seed is fixed, and said when something
 * fails. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan.h"
#include "table.h"

#define ROUNDS 20000U
#define BLOCKS_MAX 64U

static uint64_t seed;

static uint32_t chance(uint32_t n) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t) ((seed >> 16) % n);
}

#define must(condition)                                                                       \
        do {                                                                                  \
                if (!(condition))                                                             \
                        fail_msg("round %u, layout %s: %s", c->round, c->layout, #condition); \
        } while (false)

typedef struct Case {
        unsigned round;
        char layout[2 * BLOCKS_MAX + 1];
        BlockTable *table;
        GuardPolicy policy;
        MemoryRoom room;
        ZoneRoom zones[3];
        Demand demand;
        uint32_t busy[8], protected[8], listed[16];
} Case;

static int compare(const void *a, const void *b) {
        return (int) *(const uint32_t *) a - (int) *(const uint32_t *) b;
}

static size_t some_blocks(uint32_t *out, size_t max) {
        size_t n = chance((uint32_t) max + 1);

        for (size_t i = 0; i < n; i++)
                out[i] = 40 + chance(BLOCKS_MAX);
        return n;
}

/* Often not known. */
static void make_zones(Case *c) {
        static const struct {
                int node;
                Zone zone;
        } places[3] = { { 0, ZONE_NORMAL }, { 0, ZONE_MOVABLE }, { 1, ZONE_NORMAL } };

        c->room.zones = c->zones;
        c->room.n_zones = chance(2) ? 3 : 0;
        for (size_t i = 0; i < 3; i++)
                c->zones[i] = (ZoneRoom) {
                        .node = places[i].node,
                        .zone = places[i].zone,
                        .free_bytes = chance(64) * BS,
                        .used_bytes = chance(64) * BS,
                        .low_bytes = BS / 8,
                        .kept_bytes = chance(4) * BS / 4,
                        .file_bytes = chance(16) * BS,
                };
}

static void case_make(Case *c) {
        static const char kinds[] = "FFFFFFmmmmmMMMM??PPKNoog..|";
        size_t n = chance(BLOCKS_MAX);

        for (size_t i = 0; i < n; i++)
                c->layout[i] = kinds[chance(sizeof(kinds) - 1)];
        c->layout[n] = 0;
        c->table = table_new(c->layout, 40);
        c->policy = (GuardPolicy) {
                .keep_free_bytes = chance(2) ? UINT64_MAX : chance(16) * BS,
                .busy_blocks = c->busy,
                .n_busy = chance(3) ? 0 : some_blocks(c->busy, 8),
                .protected_blocks = c->protected,
                .n_protected = chance(3) ? 0 : some_blocks(c->protected, 8),
                .try_kernel_zones = chance(4) == 0,
                .empty_nodes = chance(2),
                .order = (PlanOrder) chance(3),
        };
        qsort(c->busy, c->policy.n_busy, sizeof(uint32_t), compare);
        qsort(c->protected, c->policy.n_protected, sizeof(uint32_t), compare);
        c->room = (MemoryRoom) { .total_bytes = 64 * BS,
                                .available_bytes = chance(2) ? 64 * BS : chance(64) * BS };
        make_zones(c);
        c->demand =
                (Demand) { .kind = chance(4) ? DEMAND_UNPLUG : DEMAND_REPLUG, .allow_partial = chance(2) };
        table_set_nodes(c->table);
        for (size_t i = 0; i < c->table->n_nodes; i++)
                c->table->nodes[i].has_cpus = chance(3) == 0;
        c->demand.by_node = chance(3) == 0;
        c->demand.node = chance(4);
        switch (c->demand.by_node ? chance(2) : chance(3)) {
        case 0:
                c->demand.size_bytes = chance(32) * BS + (chance(4) ? 0 : chance(BS));
                break;
        case 1:
                if (c->demand.by_node)
                        break;
                c->demand.blocks = c->listed;
                c->demand.n_blocks = some_blocks(c->listed, 15) + 1;
                c->listed[c->demand.n_blocks - 1] = 40;
                break;
        case 2:
                snprintf(c->demand.device, sizeof(c->demand.device), "PNP0C80:%02X", chance(4));
                break;
        }
}

static bool is_listed(const Case *c, uint32_t index) {
        for (size_t i = 0; i < c->demand.n_blocks; i++)
                if (c->demand.blocks[i] == index)
                        return true;
        return false;
}

static void check_step(const Case *c, const Plan *plan, size_t i) {
        const Block *block = block_table_find(c->table, plan->steps[i].block);
        bool back = c->demand.kind == DEMAND_REPLUG;

        must(block);
        if (back)
                must(block->state == BLOCK_OFFLINE);
        else {
                must(block->state == BLOCK_ONLINE);
                must(guard_verdict(block, &c->policy) == VERDICT_FREE ||
                     guard_verdict(block, &c->policy) == VERDICT_MOVABLE);
                must(plan->steps[i].zone == block->zone && plan->steps[i].move_bytes == block->used_bytes);
        }
        for (size_t k = 0; k < c->policy.n_busy; k++)
                must(c->policy.busy_blocks[k] != block->index);
        if (i > 0)
                must(back ? plan->steps[i].block > plan->steps[i - 1].block
                          : plan->steps[i].block < plan->steps[i - 1].block);
        if (c->demand.device[0])
                must(strcmp(block_device_name(c->table, block), c->demand.device) == 0);
        else if (c->demand.n_blocks > 0)
                must(is_listed(c, block->index));
        if (c->demand.by_node)
                must(block->node == (int) c->demand.node);
}

/* A node with processors that had memory has some afterwards. */
static void check_nodes(const Case *c, const Plan *plan) {
        for (const Node *node = c->table->nodes; node < c->table->nodes + c->table->n_nodes; node++) {
                size_t gone = 0;

                for (size_t i = 0; i < plan->n_steps; i++)
                        gone += plan->steps[i].node == node->node;
                if (!c->policy.empty_nodes && node->has_cpus && c->demand.kind == DEMAND_UNPLUG && gone > 0)
                        must(gone < node->n_online);
        }
}

static void check_room(const Case *c, const Plan *plan) {
        Removal removal;

        assert_int_equal(removal_new(&removal, &c->room), 0);
        for (size_t i = 0; i < plan->n_steps; i++)
                removal_add(&removal, block_table_find(c->table, plan->steps[i].block), BS);
        must(guard_has_room(&c->policy, &removal));
        must(removal.move_bytes == plan->move_bytes);
        removal_clear(&removal);
}

/* By size and place: what stays of what may go, and need not stay for its node, lies on the other side. */
static void check_order(const Case *c, const Plan *plan) {
        const bool highest = c->policy.order == PLAN_ORDER_HIGHEST;
        uint32_t low, high;

        if (c->policy.order == PLAN_ORDER_CHEAPEST || c->demand.kind == DEMAND_REPLUG ||
            c->demand.size_bytes == 0 || !c->policy.empty_nodes || plan->n_steps == 0)
                return;
        low = plan->steps[plan->n_steps - 1].block;
        high = plan->steps[0].block;
        for (size_t i = 0; i < c->table->n_blocks; i++) {
                const Block *block = &c->table->blocks[i];
                Verdict verdict = guard_verdict(block, &c->policy);
                bool taken = false;

                for (size_t k = 0; k < plan->n_steps; k++)
                        taken = taken || plan->steps[k].block == block->index;
                if (taken || (verdict != VERDICT_FREE && verdict != VERDICT_MOVABLE) ||
                    (c->demand.by_node && block->node != (int) c->demand.node))
                        continue;
                must(highest ? block->index < low : block->index > high);
        }
}

static void check_feasible(const Case *c, const Plan *plan) {
        uint64_t remove = plan->n_steps * BS;

        if (c->demand.kind == DEMAND_UNPLUG)
                check_room(c, plan);
        check_nodes(c, plan);
        check_order(c, plan);
        if (c->demand.size_bytes > 0 && !c->demand.allow_partial)
                must(remove == c->demand.size_bytes);
        if (!c->demand.allow_partial || c->demand.device[0])
                must(!plan->reason);
        must(plan->n_steps > 0 || plan->eject);
        if (c->demand.device[0] && c->demand.kind == DEMAND_UNPLUG) {
                const Device *device = block_table_find_device(c->table, c->demand.device);

                must(remove == device->online_bytes); /* all or nothing */
        }
}

static void check_plan(const Case *c, const Plan *plan) {
        must(plan->outcome >= 0 && plan->outcome < _PLAN_OUTCOME_MAX);
        must(plan->removable_bytes == plan->n_steps * BS);
        must(plan->outcome == PLAN_FEASIBLE || plan->reason);
        must(plan->n_refused <= PLAN_REFUSALS_MAX);
        if (c->demand.size_bytes > 0)
                must(plan->removable_bytes <= c->demand.size_bytes); /* never above the request */
        for (size_t i = 0; i < plan->n_steps; i++)
                check_step(c, plan, i);
        for (size_t i = 0; i < plan->n_refused; i++)
                must(plan->refused[i].reason && plan->refused[i].reason[0]);
        if (plan->outcome == PLAN_FEASIBLE)
                check_feasible(c, plan);
}

static bool is_same(const Plan *a, const Plan *b) {
        if (a->outcome != b->outcome || a->n_steps != b->n_steps || a->n_refused != b->n_refused ||
            strcmp(a->reason ?: "", b->reason ?: "") != 0)
                return false;
        for (size_t i = 0; i < a->n_steps; i++)
                if (a->steps[i].block != b->steps[i].block)
                        return false;
        return true;
}

static void test_plans(void **state) {
        unsigned feasible = 0, outcomes = 0;

        seed = 88172645463325252;
        for (unsigned round = 0; round < ROUNDS; round++) {
                Case here = { .round = round }, *c = &here;
                Plan *plan, *again;

                case_make(c);
                assert_int_equal(plan_make(c->table, &c->demand, &c->policy, &c->room, &plan), 0);
                assert_int_equal(plan_make(c->table, &c->demand, &c->policy, &c->room, &again), 0);
                check_plan(c, plan);
                must(is_same(plan, again));
                feasible += plan->outcome == PLAN_FEASIBLE;
                outcomes |= 1U << plan->outcome;
                plan_free(plan);
                plan_free(again);
                block_table_free(c->table);
        }
        assert_true(feasible > ROUNDS / 10); /* else little was tried */
        assert_int_equal(outcomes, (1U << _PLAN_OUTCOME_MAX) - 1);
}

/* 65 536 blocks, every other one used: as fast to plan as to print. */
static void test_large(void **state) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        MemoryRoom room = { .total_bytes = UINT64_MAX / 2, .available_bytes = UINT64_MAX / 2 };
        Demand demand = { .size_bytes = 40000 * BS };
        char *layout = malloc(65537);
        BlockTable *table;
        Plan *plan;

        for (size_t i = 0; i < 65536; i++)
                layout[i] = i % 2 ? 'F' : 'M';
        layout[65536] = 0;
        table = table_new(layout, 0);
        assert_int_equal(plan_make(table, &demand, &policy, &room, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 40000);
        assert_true(plan->move_bytes == (40000 - 32768) * (BS / 10 * 9));
        plan_free(plan);
        block_table_free(table);
        free(layout);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_plans), cmocka_unit_test(test_large) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
