/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes give in turn: next is always the one that has kept the largest part of what it had. */
#include "memory/plan-order.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

/* A node, or all that belongs to none. */
typedef struct Lane {
        size_t next, end;     /* places of its shares that have not had their turn */
        uint64_t had, gives;  /* blocks online, and of those what goes when all before had their turn */
} Lane;

typedef struct Order {
        const BlockTable *table;
        Lane *lanes; /* one for each node in the order of the table, and one more */
} Order;

static size_t lane_of(const BlockTable *table, const Share *share) {
        const Node *node = share->device < table->n_devices ?
                                   block_table_find_node(table, table->devices[share->device].node) :
                                   NULL;

        return node ? (size_t) (node - table->nodes) : table->n_nodes;
}

/* Each node's together; of a node the highest device first, what is of none last. */
static int compare_shares(const void *a, const void *b, void *userdata) {
        const Share *x = a, *y = b;
        size_t x_lane = lane_of(userdata, x), y_lane = lane_of(userdata, y);

        if (x->ejectable != y->ejectable)
                return x->ejectable ? -1 : 1;
        if (x_lane != y_lane)
                return x_lane < y_lane ? -1 : 1;
        if ((x->device == BLOCK_DEVICE_NONE) != (y->device == BLOCK_DEVICE_NONE))
                return x->device == BLOCK_DEVICE_NONE ? 1 : -1;
        return (x->device < y->device) - (x->device > y->device);
}

/* Is it b's turn rather than a's? Of equal ones, the larger node's, then that of the higher device. */
static bool is_later(const Lane *a, const Lane *b, const Share *shares) {
        const uint64_t a_left = (a->had - a->gives) * b->had, b_left = (b->had - b->gives) * a->had;

        if (a_left != b_left)
                return a_left < b_left;
        if (a->had != b->had)
                return a->had < b->had;
        return shares[a->next].device < shares[b->next].device;
}

static void lane_gives(Lane *lane, uint64_t n) {
        lane->gives += n < lane->had - lane->gives ? n : lane->had - lane->gives;
}

/* Changes: *out, with so many shares that are alike in being ejectable, and the lanes. */
static void take_turns(Order *order, const Share *shares, size_t from, size_t to, Share *out) {
        const size_t n_lanes = order->table->n_nodes + 1;

        for (size_t i = 0; i < n_lanes; i++)
                order->lanes[i].next = order->lanes[i].end = 0;
        for (size_t i = from; i < to; i++) {
                Lane *lane = &order->lanes[lane_of(order->table, &shares[i])];

                if (lane->end == 0)
                        lane->next = i;
                lane->end = i + 1;
        }
        for (size_t done = from; done < to; done++) {
                Lane *best = NULL;

                for (Lane *lane = order->lanes; lane < order->lanes + n_lanes; lane++)
                        if (lane->next < lane->end && (!best || is_later(best, lane, shares)))
                                best = lane;
                out[done] = shares[best->next++];
                lane_gives(best, out[done].n_offered);
        }
}

int plan_order(const BlockTable *table, const Share *shares, size_t n, Share **ret, size_t *ret_n) {
        CLEANUP(freep) Share *sorted = calloc(n + 1, sizeof(*sorted)), *out = calloc(n + 1, sizeof(*out));
        CLEANUP(freep) Lane *lanes = calloc(table->n_nodes + 1, sizeof(*lanes));
        Order order = { .table = table, .lanes = lanes };
        size_t n_sorted = 0, n_ejectable = 0;

        if (!sorted || !out || !lanes)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_nodes; i++)
                lanes[i].had = table->nodes[i].n_online;
        for (size_t i = 0; i < n; i++) {
                lane_gives(&lanes[lane_of(table, &shares[i])], shares[i].n_taken);
                if (shares[i].n_offered == 0)
                        continue;
                n_ejectable += shares[i].ejectable;
                sorted[n_sorted++] = shares[i];
        }
        if (n_sorted > 0)
                qsort_r(sorted, n_sorted, sizeof(*sorted), compare_shares, (void *) table);
        take_turns(&order, sorted, 0, n_ejectable, out);
        take_turns(&order, sorted, n_ejectable, n_sorted, out);
        *ret = STEAL_PTR(out);
        *ret_n = n_sorted;
        return 0;
}
