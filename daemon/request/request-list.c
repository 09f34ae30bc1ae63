/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of requests, and what there is to find in it. */
#include "request/request-list.h"

#include <stdlib.h>
#include <string.h>

int request_list_append(RequestList *list, Request *request) {
        Request **items = reallocarray(list->items, list->n + 1, sizeof(*items));

        if (!items)
                return -ENOMEM;
        list->items = items;
        items[list->n++] = request;
        return 0;
}

void request_list_clear(RequestList *list) {
        for (size_t i = 0; i < list->n; i++)
                (void) request_free(list->items[i]);
        free(list->items);
        *list = (RequestList) {};
}

void request_list_trim(RequestList *list, size_t n_ended) {
        size_t ended = list->n - request_list_count(list, request_is_under_way);

        for (size_t i = 0; i < list->n && ended > n_ended;) {
                if (request_is_under_way(list->items[i])) {
                        i++;
                        continue;
                }
                (void) request_free(list->items[i]);
                memmove(list->items + i, list->items + i + 1, (list->n - i - 1) * sizeof(*list->items));
                list->n--;
                ended--;
        }
}

size_t request_list_count(const RequestList *list, bool (*is)(const Request *)) {
        size_t n = 0;

        for (size_t i = 0; i < list->n; i++)
                n += is(list->items[i]);
        return n;
}

Request *request_list_find(const RequestList *list, uint32_t id) {
        for (size_t i = 0; i < list->n; i++)
                if (request_job(list->items[i])->id == id)
                        return list->items[i];
        return NULL;
}

const Request *request_list_last_with_block(const RequestList *list, uint32_t block) {
        for (size_t i = list->n; i-- > 0;) {
                const Plan *plan = request_plan(list->items[i]);

                for (size_t k = 0; plan && k < plan->n_steps; k++)
                        if (plan->steps[k].block == block)
                                return list->items[i];
        }
        return NULL;
}

const Request *request_list_current(const RequestList *list) {
        const Request *waits = NULL;

        for (size_t i = 0; i < list->n; i++) {
                if (!request_is_under_way(list->items[i]))
                        continue;
                if (!request_is_unconfirmed(list->items[i]))
                        return list->items[i];
                if (!waits)
                        waits = list->items[i];
        }
        return waits;
}
