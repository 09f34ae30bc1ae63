/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests that a queue has, oldest first: those that wait, those under way, and those that have ended
 * and are remembered. */
#pragma once

#include "request/request.h"

typedef struct RequestList {
        Request **items; /* owned */
        size_t n;
} RequestList;

int request_list_append(RequestList *list, Request *request); /* takes it, unless -ENOMEM */
void request_list_clear(RequestList *list);
/* Forgets ended ones, oldest first, until at most so many are left. */
void request_list_trim(RequestList *list, size_t n_ended);

size_t request_list_count(const RequestList *list, bool (*is)(const Request *));
Request *request_list_find(const RequestList *list, uint32_t id); /* or NULL */
/* The newest one whose plan has the block, or NULL. */
const Request *request_list_last_with_block(const RequestList *list, uint32_t block);
/* The oldest one under way, one that waits for an operator only if there is no other; or NULL. */
const Request *request_list_current(const RequestList *list);
