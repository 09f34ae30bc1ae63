/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When jobs are held, and when they go on: as long as the machine suffers from want of memory, or half of
 * what is kept in reserve is gone. How a job holds still is pause.c's. */
#include <stdio.h>

#include "request/queue-internal.h"
#include "util/cleanup.h"
#include "util/text.h"

/* What the request has yet to take; they go in their order. */
static int removal_left(const Request *request, const MemoryRoom *room, Removal *ret) {
        const Plan *plan = request_plan(request);
        size_t left = request_n_left(request);
        int r = removal_new(ret, room);

        for (size_t i = plan->n_steps > left ? plan->n_steps - left : 0; r >= 0 && i < plan->n_steps; i++) {
                const PlanStep *step = &plan->steps[i];

                removal_add(ret,
                            &(Block) { .node = step->node,
                                       .zone = step->zone,
                                       .used_bytes = BLOCK_USAGE_UNKNOWN },
                            plan->block_size);
        }
        return r;
}

/* *ret NULL: nothing stands against going on. One that is held goes on only when there is room for all that
 * is left, one that is not is held when the workload eats into the reserve. *ret_eaten: it does. */
static int judge_room(const Queue *queue, const Request *request, char **ret, bool *ret_eaten) {
        CLEANUP(memory_room_clear) MemoryRoom room = {};
        CLEANUP(removal_clear) Removal removal = {};
        char have[FORMAT_SIZE_MAX], reserve[FORMAT_SIZE_MAX];
        uint64_t keep;
        int r;

        r = inventory_room(queue->inventory, queue->requests.items, queue->requests.n, request, &room);
        if (r < 0)
                return r;
        keep = guard_reserve_after(&queue->policy.guard, &room,
                                   request_n_left(request) * request_plan(request)->block_size);
        *ret_eaten = room.available_bytes < keep / 2;
        if (*ret_eaten) {
                r = asprintf(ret, "%s available, and %s are to be kept in reserve",
                             format_size(room.available_bytes, have), format_size(keep, reserve));
                return r < 0 ? -ENOMEM : 0;
        }
        if (!request_is_paused(request))
                return 0;
        r = removal_left(request, &room, &removal);
        return r < 0 ? r : guard_room(&queue->policy.guard, &removal, ret);
}

/* Whether it waits from now on. */
static bool judge(Queue *queue, Request *request) {
        CLEANUP(freep) char *reason = NULL;
        char text[PRESSURE_TEXT_MAX];
        const char *why = NULL;
        bool eaten = false;

        if (!request_can_pause(request))
                return false;
        if (request_is_active(request) && request_plan(request) &&
            judge_room(queue, request, &reason, &eaten) >= 0)
                why = reason;
        if (pressure_is_high(queue->pressure))
                why = pressure_text(queue->pressure, text);
        request_pause(request, why, eaten);
        return why;
}

static bool on_look(void *userdata) {
        Queue *queue = userdata;
        bool waiting = false;

        for (size_t i = 0; i < queue->requests.n; i++)
                waiting = judge(queue, queue->requests.items[i]) || waiting;
        queue_wake(queue);
        return waiting;
}

void queue_pressure_attend(Queue *queue, bool jobs) {
        if (queue->pressure)
                pressure_watch(queue->pressure, jobs);
}

/* To be held is progress, too, and nothing to look again for. */
void queue_pressure_progress(Queue *queue, const Request *request) {
        if (queue->pressure && !request_is_paused(request))
                pressure_poke(queue->pressure);
}

void queue_pressure_policy(Queue *queue) {
        if (queue->pressure)
                pressure_set_limit(queue->pressure, queue->policy.pressure_limit);
}

bool queue_pressure_holds(Queue *queue, Request *request) {
        return queue->pressure && judge(queue, request);
}

int queue_watch_pressure(Queue *queue, int root_fd, int fd) {
        int r = pressure_new(&queue->pressure, queue->event, root_fd, fd, on_look, queue);

        if (r >= 0)
                queue_pressure_policy(queue);
        return r;
}
