/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings blocks of memory devices online that the kernel has just announced, if the administrator wants. */
#pragma once

#include "request/queue.h"

#define ONLINING_BLOCKS_MAX 65536U /* announced and not looked at yet; more are left as they are */

typedef struct Onlining Onlining;

typedef struct OnlineRule {
        bool movable;   /* false: leave them as they are */
        unsigned ratio; /* as of online_zone() */
} OnlineRule;

/* All borrowed; must outlive it. */
int onlining_new(Onlining **ret, sd_event *event, Engine *engine, Queue *queue);
Onlining *onlining_free(Onlining *onlining);
void onlining_set_rule(Onlining *onlining, OnlineRule rule);
/* The kernel has announced a block. */
void onlining_added(Onlining *onlining, uint32_t block);
