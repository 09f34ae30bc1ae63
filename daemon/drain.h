/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of the loop: not before clients have been sent what they were told last. */
#pragma once

#include "front/dbus.h"
#include "front/varlink.h"

#define DRAIN_USEC (3ULL * 1000000ULL) /* for all that do not read by then it is lost */

typedef struct Drain Drain;

/* Ends the loop as soon as nothing is queued for anybody, or after DRAIN_USEC. All are borrowed; either
 * front may be NULL. -ENOMEM and what the loop says: the caller ends it. */
int drain_new(Drain **ret, sd_event *event, const VarlinkServer *varlink, const DBusFront *dbus);
Drain *drain_free(Drain *drain);
