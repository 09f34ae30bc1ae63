/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/plan.h"
#include "table.h"

static const MemoryRoom plenty = { .available_bytes = UINT64_C(1) << 50, .total_bytes = UINT64_C(1) << 30 };

static Plan *make(const char *layout, Demand demand, const MemoryRoom *room) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        BlockTable *table = table_new(layout, 40);
        Plan *plan = NULL;

        assert_int_equal(plan_make(table, &demand, &policy, room ?: &plenty, &plan), 0);
        assert_true(plan->removable_bytes == plan->n_steps * BS);
        for (size_t i = 0; i < plan->n_refused; i++)
                assert_non_null(plan->refused[i].reason);
        block_table_free(table);
        return plan;
}

/* The steps as "43 42 41", or the outcome and the sentence. */
static void check(const char *layout, Demand demand, const MemoryRoom *room, PlanOutcome outcome,
                  const char *steps, const char *reason) {
        Plan *plan = make(layout, demand, room);
        char got[512] = "";
        size_t used = 0;

        for (size_t i = 0; i < plan->n_steps; i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%u", i ? " " : "",
                                          plan->steps[i].block);
        if (plan->outcome != outcome || (steps && strcmp(got, steps) != 0))
                fail_msg("%s: outcome %d, steps %s, %s", layout, (int) plan->outcome, got, plan->reason);
        if (reason && (!plan->reason || !strstr(plan->reason, reason)))
                fail_msg("'%s' is not in '%s'", reason, plan->reason);
        if (!reason)
                assert_null(plan->reason);
        plan_free(plan);
}

static Demand size(unsigned blocks) {
        return (Demand) { .size_bytes = blocks * BS };
}

static Demand partial(Demand demand) {
        demand.allow_partial = true;
        return demand;
}

static Demand back(Demand demand) {
        demand.kind = DEMAND_REPLUG;
        return demand;
}

static Demand device(const char *name) {
        Demand demand = {};

        snprintf(demand.device, sizeof(demand.device), "%s", name);
        return demand;
}

#define BLOCKS(...)                                       \
        ((Demand) { .blocks = (uint32_t[]) { __VA_ARGS__ }, \
                   .n_blocks = sizeof((uint32_t[]) { __VA_ARGS__ }) / sizeof(uint32_t) })

static void test_size_choice(void **state) {
        check("FFFFFFFF", size(2), NULL, PLAN_FEASIBLE, "47 46", NULL);
        check("mmmmmmmm", size(3), NULL, PLAN_FEASIBLE, "47 46 45", NULL);
        check("????????", size(2), NULL, PLAN_FEASIBLE, "47 46", NULL);
        check("FFMMmm??", size(4), NULL, PLAN_FEASIBLE, "45 44 41 40", NULL); /* free, then emptier */
        check("FMFFFMMF", size(3), NULL, PLAN_FEASIBLE, "44 43 42", NULL); /* one run rather than the top */
        check("FFFFMFFF", size(2), NULL, PLAN_FEASIBLE, "47 46", NULL);    /* both would do: the higher */
        check("FMFFMFFF", size(5), NULL, PLAN_FEASIBLE, "47 46 45 43 42", NULL);
        check("FF|FF|FF", size(3), NULL, PLAN_FEASIBLE, "45 44 43", NULL); /* a device at a time */
        check("KKFFogPN", size(2), NULL, PLAN_FEASIBLE, "43 42", NULL);
}

static void test_size_refused(void **state) {
        Demand odd = { .size_bytes = 3 * BS / 2 };

        check("FFFF", odd, NULL, PLAN_REFUSED, "",
              "192M is not a multiple of the memory block size, which is 128M");
        check("FFFF", partial(odd), NULL, PLAN_FEASIBLE, "43", NULL);
        odd.size_bytes = 1;
        check("FFFF", partial(odd), NULL, PLAN_REFUSED, "", "1B is not a multiple");
        check("FFFF", (Demand) {}, NULL, PLAN_REFUSED, "", "0B is not a multiple");
        check("FKPo", size(2), NULL, PLAN_TOO_LITTLE, "40",
              "256M asked for, but 128M can go (blocks that cannot: 1 guarded, 1 unmovable, 0 busy, 1 "
              "offline already)");
        check("FKPo", partial(size(2)), NULL, PLAN_FEASIBLE, "40", "256M asked for, but 128M can go");
        check("KKPo", size(1), NULL, PLAN_NOTHING_REMOVABLE, "", "128M asked for, but nothing can go");
        check("KKPo", partial(size(1)), NULL, PLAN_NOTHING_REMOVABLE, "", "nothing can go");
        check("Fg", size(2), NULL, PLAN_BUSY, "40", "1 busy");
        check("Fg", size(3), NULL, PLAN_TOO_LITTLE, "40", "1 busy");
        check("", size(1), NULL, PLAN_NOTHING_REMOVABLE, "", "nothing can go");
        check("F", (Demand) { .size_bytes = UINT64_MAX / BS * BS }, NULL, PLAN_TOO_LITTLE, "40",
              "16E asked for");
}

/* Blocks 40 to 43 are in node 0, the others in node 1, and both have processors. */
static void check_nodes(Demand demand, bool empty, PlanOutcome outcome, const char *steps,
                        const char *reason) {
        GuardPolicy policy = { .keep_free_bytes = 0, .empty_nodes = empty };
        BlockTable *table = table_new("MFFF|FmF", 40);
        char got[128] = "";
        size_t used = 0;
        Plan *plan;

        table->nodes = calloc(2, sizeof(*table->nodes));
        table->n_nodes = 2;
        for (size_t i = 0; i < 2; i++)
                table->nodes[i] = (Node) { .node = (int) i, .has_cpus = true, .n_online = 4 - i };
        for (size_t i = 0; i < table->n_blocks; i++)
                table->blocks[i].node = i < 4 ? 0 : 1;
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        for (size_t i = 0; i < plan->n_steps; i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%u", i ? " " : "",
                                          plan->steps[i].block);
        if (plan->outcome != outcome || (steps && strcmp(got, steps) != 0) ||
            (reason && (!plan->reason || !strstr(plan->reason, reason))))
                fail_msg("outcome %d, steps %s, %s", (int) plan->outcome, got, plan->reason);
        plan_free(plan);
        block_table_free(table);
}

static void test_nodes(void **state) {
        const char *last = "the last memory of node 1, which has processors, stays there (KeepNodeMemory=)";

        check_nodes(size(5), false, PLAN_FEASIBLE, "46 44 43 42 41", NULL); /* the costliest of node 1 stays */
        check_nodes(size(6), false, PLAN_TOO_LITTLE, NULL, "768M asked for, but 640M can go");
        check_nodes(size(7), true, PLAN_FEASIBLE, "46 45 44 43 42 41 40", NULL);
        check_nodes(device("PNP0C80:01"), false, PLAN_REFUSED, NULL, last);
        check_nodes(device("PNP0C80:01"), true, PLAN_FEASIBLE, "46 45 44", NULL);
        check_nodes(BLOCKS(44, 45, 46), false, PLAN_REFUSED, NULL, last);
        check_nodes(partial(BLOCKS(44, 45, 46)), false, PLAN_FEASIBLE, "46 44", last);
        check_nodes(BLOCKS(44, 46), false, PLAN_FEASIBLE, "46 44", NULL);
}

static Demand of_node(Demand demand, uint32_t node) {
        demand.by_node = true;
        demand.node = node;
        return demand;
}

/* All of a node that may go, or so much of it. */
static void test_by_node(void **state) {
        check_nodes(of_node((Demand) {}, 1), true, PLAN_FEASIBLE, "46 45 44", NULL);
        check_nodes(of_node((Demand) {}, 1), false, PLAN_FEASIBLE, "46 44", NULL); /* the costliest stays */
        check_nodes(of_node(size(2), 0), true, PLAN_FEASIBLE, "43 42", NULL);
        check_nodes(of_node(size(1), 1), true, PLAN_FEASIBLE, "46", NULL);
        check_nodes(of_node(size(3), 1), false, PLAN_TOO_LITTLE, NULL,
                    "384M asked for, but 256M of node 1 can go");
        check_nodes(partial(of_node(size(9), 1)), true, PLAN_FEASIBLE, "46 45 44",
                    "384M of node 1 can go");
        check_nodes(of_node((Demand) {}, 2), true, PLAN_NO_SUCH_NODE, "", "no memory on a node 2");
        check_nodes(of_node(size(1), UINT32_MAX), true, PLAN_NO_SUCH_NODE, "", "node 4294967295");
        check_nodes(back(of_node((Demand) {}, 2)), true, PLAN_NO_SUCH_NODE, "", "no memory on a node 2");
        check_nodes(back(of_node((Demand) {}, 1)), true, PLAN_NOTHING_REMOVABLE, "",
                    "node 1: online already");
        check_nodes(back(of_node(size(1), 1)), true, PLAN_NOTHING_REMOVABLE, "",
                    "of what is offline of node 1 nothing can come back");
}

static void check_order(PlanOrder order, Demand demand, const MemoryRoom *room, const char *steps) {
        GuardPolicy policy = { .keep_free_bytes = 0, .order = order };
        BlockTable *table = table_new("mFFM|MFm", 40);
        char got[128] = "";
        size_t used = 0;
        Plan *plan;

        table_set_nodes(table);
        table->nodes[1].has_cpus = true; /* and must keep a block */
        assert_int_equal(plan_make(table, &demand, &policy, room, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        for (size_t i = 0; i < plan->n_steps; i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%s%u", i ? " " : "",
                                          plan->steps[i].block);
        assert_string_equal(got, steps);
        plan_free(plan);
        block_table_free(table);
}

static void test_order(void **state) {
        MemoryRoom room = { .total_bytes = 8 * BS, .available_bytes = 2 * BS };

        check_order(PLAN_ORDER_CHEAPEST, size(3), &plenty, "45 42 41");
        check_order(PLAN_ORDER_HIGHEST, size(3), &plenty, "46 45 43"); /* 44 is node 1's last */
        check_order(PLAN_ORDER_LOWEST, size(3), &plenty, "42 41 40");
        check_order(PLAN_ORDER_CHEAPEST, size(6), &plenty, "46 45 43 42 41 40"); /* the fullest stays */
        check_order(PLAN_ORDER_HIGHEST, size(6), &plenty, "46 45 43 42 41 40");  /* the lowest */
        check_order(PLAN_ORDER_LOWEST, size(6), &plenty, "45 44 43 42 41 40");   /* the highest */
        check_order(PLAN_ORDER_HIGHEST, partial(size(6)), &room, "46 45");
        check_order(PLAN_ORDER_LOWEST, partial(size(6)), &room, "41 40");
        check_order(PLAN_ORDER_HIGHEST, of_node(size(2), 0), &plenty, "43 42");
        check_order(PLAN_ORDER_LOWEST, of_node(size(2), 0), &plenty, "41 40");
        check_order(PLAN_ORDER_LOWEST, of_node((Demand) {}, 1), &plenty, "45 44");
        check_order(PLAN_ORDER_HIGHEST, device("PNP0C80:00"), &plenty, "43 42 41 40");
}

/* One node per device; what cannot go of it is listed, what is elsewhere is not. */
static Plan *make_by_node(const char *layout, Demand demand, const GuardPolicy *policy,
                          const MemoryRoom *room) {
        BlockTable *table = table_new(layout, 40);
        Plan *plan;

        table_set_nodes(table);
        assert_int_equal(plan_make(table, &demand, policy, room, &plan), 0);
        block_table_free(table);
        return plan;
}

static void test_by_node_refused(void **state) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        MemoryRoom room = { .total_bytes = 8 * BS, .available_bytes = 3 * BS };
        Plan *plan;

        plan = make_by_node("KK|KFPo", of_node((Demand) {}, 1), &policy, &plenty);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_null(plan->reason);
        assert_int_equal(plan->n_steps, 1);
        assert_int_equal(plan->steps[0].block, 43);
        assert_int_equal(plan->n_refused, 3);
        plan_free(plan);
        plan = make_by_node("FF|KK", of_node((Demand) {}, 1), &policy, &plenty);
        assert_int_equal(plan->outcome, PLAN_REFUSED);
        assert_string_equal(plan->reason, "nothing of node 1 can go: in zone Normal, where the kernel keeps its "
                                          "own data; only zone Movable is tried (TryKernelZones=)");
        plan_free(plan);
        plan = make_by_node("FF|mmmm", of_node((Demand) {}, 1), &policy, &room);
        assert_int_equal(plan->outcome, PLAN_NO_ROOM);
        plan_free(plan);
        plan = make_by_node("FF|mmMm", partial(of_node((Demand) {}, 1)), &policy, &room);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 3); /* and not the fuller one */
        assert_true(plan->move_bytes == 3 * (BS / 10));
        plan_free(plan);
        plan = make_by_node("oo|oFo", back(of_node((Demand) {}, 1)), &policy, &plenty);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 2);
        assert_int_equal(plan->steps[0].block, 42);
        plan_free(plan);
        plan = make_by_node("oo|oFo", back(of_node(size(1), 1)), &policy, &plenty);
        assert_int_equal(plan->n_steps, 1);
        assert_int_equal(plan->steps[0].block, 42);
        plan_free(plan);
}

static void test_room(void **state) {
        MemoryRoom room = { .total_bytes = 8 * BS, .available_bytes = 3 * BS };
        Plan *plan;

        check("FFmmmm", size(3), &room, PLAN_FEASIBLE, NULL, NULL);
        check("FFmmmm", size(4), &room, PLAN_NO_ROOM, NULL, "free elsewhere, has");
        check("FFmmmm", partial(size(4)), &room, PLAN_FEASIBLE, "42 41 40", "all of it needs");
        check("MMMM", device("PNP0C80:00"), &room, PLAN_NO_ROOM, NULL, "free elsewhere");
        check("MMMM", partial(device("PNP0C80:00")), &room, PLAN_NO_ROOM, NULL, "free elsewhere");
        check("MMMM", BLOCKS(40, 41, 42, 43), &room, PLAN_NO_ROOM, NULL, "free elsewhere");
        check("MFMm", partial(BLOCKS(40, 41, 42, 43)), &room, PLAN_FEASIBLE, "43 42 41", "all of it needs");
        room.available_bytes = BS - 1;
        check("MFMm", partial(size(1)), &room, PLAN_NO_ROOM, NULL, "free elsewhere");

        room.available_bytes = 3 * BS;
        plan = make("FMm", size(2), &room);
        assert_true(plan->move_bytes == BS / 10);
        assert_true(plan->free_bytes == 3 * BS - 2 * BS + BS / 10);
        assert_true(plan->reserve_bytes == 0);
        plan_free(plan);
}

static void test_blocks(void **state) {
        Plan *plan;

        check("FmM?", BLOCKS(41, 43, 41, 40), NULL, PLAN_FEASIBLE, "43 41 40", NULL);
        check("FF.F", BLOCKS(43, 42), NULL, PLAN_NO_SUCH_BLOCK, "", "no memory block 42");
        check("FKKF", BLOCKS(41, 42), NULL, PLAN_REFUSED, "",
              "2 of 2 blocks cannot go, the first is block 41: in zone");
        check("FKKF", BLOCKS(40, 41), NULL, PLAN_REFUSED, "40", "block 41: in zone Normal");
        check("FPPF", BLOCKS(40, 41), NULL, PLAN_TOO_LITTLE, "40", "block 41: 12M of it cannot be moved");
        check("FPPF", partial(BLOCKS(40, 41)), NULL, PLAN_FEASIBLE, "40", "block 41: 12M");
        check("FPPF", partial(BLOCKS(41)), NULL, PLAN_NOTHING_REMOVABLE, "", "block 41: 12M");
        check("FoF", BLOCKS(41), NULL, PLAN_NOTHING_REMOVABLE, "", "block 41: offline already");
        check("FgP", BLOCKS(41, 42), NULL, PLAN_BUSY, "", "2 of 2 blocks cannot go");
        plan = make("FFF.F", BLOCKS(41, 50, 60), NULL);
        assert_int_equal(plan->missing_block, 50);
        plan_free(plan);
}

static void test_device(void **state) {
        Plan *plan;

        check("FFF|mMo|FF", device("PNP0C80:01"), NULL, PLAN_FEASIBLE, "44 43", NULL);
        check("FFF|FF", device("PNP0C80:02"), NULL, PLAN_NO_SUCH_DEVICE, "",
              "no memory device 'PNP0C80:02'");
        check("mPm|FF", device("PNP0C80:00"), NULL, PLAN_NOTHING_REMOVABLE, "42 40",
              "PNP0C80:00: 12M in 1 of its 3 blocks cannot be moved, the first in block 41");
        check("mPm|FF", partial(device("PNP0C80:00")), NULL, PLAN_NOTHING_REMOVABLE, NULL,
              "PNP0C80:00: 12M");
        check("KK|FF", device("PNP0C80:00"), NULL, PLAN_REFUSED, "",
              "PNP0C80:00: 2 of its 2 blocks cannot go");
        check("Fg|FF", device("PNP0C80:00"), NULL, PLAN_BUSY, "40", "PNP0C80:00: block 41: going offline");
        plan = make("ooo|FF", device("PNP0C80:00"), NULL); /* only the firmware's part is left to do */
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 0);
        assert_true(plan->eject);
        assert_string_equal(plan->device, "PNP0C80:00");
        plan_free(plan);
        plan = make("mPm|FF", device("PNP0C80:00"), NULL);
        assert_false(plan->eject);
        assert_int_equal(plan->n_refused, 2);
        assert_int_equal(plan->refused[0].block, 41);
        assert_true(plan->refused[1].is_device);
        assert_string_equal(plan->refused[1].device, "PNP0C80:00");
        plan_free(plan);
}

static void test_device_that_stays(void **state) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        Demand demand = device("PNP0C80:00");
        BlockTable *table = table_new("oo|FF", 40);
        Plan *plan;

        table->devices[0].ejectable = false; /* virtio-mem, dax: nothing to eject, and nothing else to do */
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_NOTHING_REMOVABLE);
        assert_string_equal(plan->reason, "PNP0C80:00: offline already");
        plan_free(plan);
        demand = device("PNP0C80:01");
        table->devices[1].ejectable = false;
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->n_steps, 2);
        assert_false(plan->eject);
        plan_free(plan);
        block_table_free(table);
}

/* Blocks 42 and 43 are a driver's: not by size or node, but by name. */
static void check_drivers(DeviceKind kind, Demand demand, PlanOutcome outcome, const char *steps,
                          size_t n_refused) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        BlockTable *table = table_new("mm|FF", 40);
        bool wanted[4];
        char got[64] = "";
        size_t used = 0;
        Plan *plan;

        table->devices[1].kind = kind;
        table_set_nodes(table);
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, outcome);
        for (size_t i = 0; i < plan->n_steps; i++)
                used += (size_t) snprintf(got + used, sizeof(got) - used, "%u ", plan->steps[i].block);
        assert_string_equal(got, steps);
        assert_int_equal(plan->n_refused, n_refused);
        if (n_refused > 0)
                assert_string_equal(plan->refused[0].reason,
                                    "left to the driver of PNP0C80:01, which put it there; it can be asked "
                                    "for by name");
        plan_wants(table, &demand, &policy, wanted);
        assert_int_equal(wanted[3], strstr(steps, "43") != NULL);
        plan_free(plan);
        block_table_free(table);
}

static void test_left_to_driver(void **state) {
        static const DeviceKind drivers[] = { DEVICE_VIRTIO_MEM, DEVICE_DAX };

        for (size_t i = 0; i < 2; i++) {
                check_drivers(drivers[i], size(2), PLAN_FEASIBLE, "41 40 ", 0);
                check_drivers(drivers[i], size(3), PLAN_TOO_LITTLE, "41 40 ", 2);
                check_drivers(drivers[i], of_node((Demand) {}, 1), PLAN_REFUSED, "", 2);
                check_drivers(drivers[i], BLOCKS(43), PLAN_FEASIBLE, "43 ", 0);
                check_drivers(drivers[i], device("PNP0C80:01"), PLAN_FEASIBLE, "43 42 ", 0);
        }
        check_drivers(DEVICE_BOOT, size(2), PLAN_FEASIBLE, "43 42 ", 0);
}

static void test_replug(void **state) {
        Plan *plan;

        check("FooFoo", back(size(3)), NULL, PLAN_FEASIBLE, "41 42 44", NULL); /* lowest first */
        check("FooF", back(size(3)), NULL, PLAN_TOO_LITTLE, "41 42",
              "384M asked for, but of what is offline 256M can come back");
        check("FooF", back(partial(size(3))), NULL, PLAN_FEASIBLE, "41 42", "384M asked for");
        check("FFFF", back(size(1)), NULL, PLAN_NOTHING_REMOVABLE, "",
              "of what is offline nothing can come back");
        check("FooF", back(BLOCKS(42, 41)), NULL, PLAN_FEASIBLE, "41 42", NULL);
        check("FooF", back(BLOCKS(40, 41)), NULL, PLAN_TOO_LITTLE, "41", "block 40: online already");
        check("KooF", back(BLOCKS(40)), NULL, PLAN_NOTHING_REMOVABLE, "", "block 40: online already");
        check("Fg", back(BLOCKS(41)), NULL, PLAN_BUSY, "", "block 41: going offline");
        check("FooF", back(BLOCKS(44)), NULL, PLAN_NO_SUCH_BLOCK, "", "no memory block 44");
        check("FooF|oo", back(device("PNP0C80:01")), NULL, PLAN_FEASIBLE, "44 45", NULL);
        check("FF|oo", back(device("PNP0C80:00")), NULL, PLAN_NOTHING_REMOVABLE, "",
              "PNP0C80:00: online already");
        check("FF|oo", back(device("x")), NULL, PLAN_NO_SUCH_DEVICE, "", "no memory device 'x'");
        check("FooF", back((Demand) { .size_bytes = BS / 2 }), NULL, PLAN_REFUSED, "",
              "64M is not a multiple");
        plan = make("oo", back(size(1)), &(MemoryRoom) {}); /* needs no room */
        assert_int_equal(plan->outcome, PLAN_FEASIBLE);
        assert_int_equal(plan->steps[0].zone, ZONE_MOVABLE);
        assert_false(plan->eject);
        plan_free(plan);
}

/* What the hypervisor has comes back by name only. */
static void test_lent(void **state) {
        uint32_t lent[] = { 41, 43 };
        GuardPolicy policy = { .lent_blocks = lent, .n_lent = 2 };
        BlockTable *table = table_new("FooooF|F", 40);
        const struct {
                Demand demand;
                PlanOutcome outcome;
                size_t n_steps;
                uint32_t first;
        } cases[] = {
                { back(size(2)), PLAN_FEASIBLE, 2, 42 },
                { back(size(3)), PLAN_TOO_LITTLE, 2, 42 },
                { back(partial(size(4))), PLAN_FEASIBLE, 2, 42 },
                { back(of_node((Demand) {}, 0)), PLAN_FEASIBLE, 2, 42 },
                { back(BLOCKS(43)), PLAN_FEASIBLE, 1, 43 },
        };

        table_set_nodes(table);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Plan *plan;

                assert_int_equal(plan_make(table, &cases[i].demand, &policy, &plenty, &plan), 0);
                assert_int_equal(plan->outcome, cases[i].outcome);
                assert_int_equal(plan->n_steps, cases[i].n_steps);
                assert_int_equal(plan->steps[0].block, cases[i].first);
                if (plan->outcome == PLAN_TOO_LITTLE)
                        assert_string_equal(plan->refused[0].reason, "given to the hypervisor by the balloon");
                plan_free(plan);
        }
        block_table_free(table);
}

/* Only blocks with little in use, of which it is known. */
static void test_most_used(void **state) {
        Demand demand = size(2);

        demand.most_used_bytes = BS / 10;
        check("FMmF?", demand, NULL, PLAN_FEASIBLE, "43 40", NULL);
        check("KmM?", partial(demand), NULL, PLAN_FEASIBLE, "41", "but 128M can go");
        demand.most_used_bytes--;
        check("KmM?", partial(demand), NULL, PLAN_NOTHING_REMOVABLE, "", "nothing can go");
}

static void test_busy(void **state) {
        uint32_t busy[] = { 41, 43 };
        GuardPolicy policy = { .keep_free_bytes = 0, .busy_blocks = busy, .n_busy = 2 };
        BlockTable *table = table_new("FFoo", 40);
        Demand demand = BLOCKS(40, 41);
        Plan *plan;

        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_BUSY);
        plan_free(plan);
        demand = size(2);
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_BUSY);
        plan_free(plan);
        demand = back(BLOCKS(42, 43));
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_BUSY);
        plan_free(plan);
        demand = back(size(2));
        assert_int_equal(plan_make(table, &demand, &policy, &plenty, &plan), 0);
        assert_int_equal(plan->outcome, PLAN_BUSY); /* as for a removal: it may come free */
        plan_free(plan);
        block_table_free(table);
}

static void test_many_refusals(void **state) {
        char layout[1001];
        Plan *plan;

        memset(layout, 'K', 1000);
        layout[1000] = 0;
        plan = make(layout, device("PNP0C80:00"), NULL);
        assert_int_equal(plan->outcome, PLAN_REFUSED);
        assert_int_equal(plan->n_refused, PLAN_REFUSALS_MAX);
        assert_true(plan->refused[PLAN_REFUSALS_MAX - 1].is_device);
        assert_non_null(strstr(plan->reason, "1000 of its 1000 blocks"));
        plan_free(plan);
}

/* K and o are never looked into; of the rest what the demand could take. */
static void check_wants(const char *layout, Demand demand, const char *wanted) {
        GuardPolicy policy = { .keep_free_bytes = 0 };
        BlockTable *table = table_new(layout, 40);
        bool wants[64];

        table_set_nodes(table);
        plan_wants(table, &demand, &policy, wants);
        for (size_t i = 0; i < table->n_blocks; i++)
                assert_int_equal(wants[i], wanted[i] == 'x');
        block_table_free(table);
}

static void test_wants(void **state) {
        check_wants("K??o|??g", size(2), "-xx-xx-");
        check_wants("K??o|??g", back(size(2)), "-------");
        check_wants("K??o|??g", device("PNP0C80:01"), "----xx-");
        check_wants("K??o|??g", BLOCKS(41, 43, 43, 77), "-x-----");
        check_wants("K??o|??g", of_node((Demand) {}, 1), "----xx-");
        check_wants("K??o|??g", of_node(size(1), 0), "-xx----");
        check_wants("K??o|??g", back(of_node(size(1), 1)), "-------");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_size_choice),   cmocka_unit_test(test_size_refused),
                cmocka_unit_test(test_room), cmocka_unit_test(test_nodes),          cmocka_unit_test(test_blocks),
                cmocka_unit_test(test_by_node),       cmocka_unit_test(test_by_node_refused),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_device),        cmocka_unit_test(test_device_that_stays),
                cmocka_unit_test(test_replug),        cmocka_unit_test(test_busy),
                cmocka_unit_test(test_lent), cmocka_unit_test(test_most_used),
                cmocka_unit_test(test_many_refusals), cmocka_unit_test(test_wants),
                cmocka_unit_test(test_left_to_driver),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
