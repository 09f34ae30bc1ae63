/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the configuration means to those who decide. */
#pragma once

#include "config.h"
#include "request/onlining.h"
#include "request/queue.h"

/* Borrows from both. */
QueuePolicy policy_from_config(const Config *config, Hooks *hooks);
/* Makes it hold from now on. */
void policy_apply(const Config *config, Hooks *hooks, Queue *queue, Onlining *onlining);
