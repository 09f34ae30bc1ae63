/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the configuration means to those who decide. */
#pragma once

#include "config.h"
#include "request/queue.h"

/* Borrows from both. */
QueuePolicy policy_from_config(const Config *config, Hooks *hooks);
