/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many blocks each device gives, when all of them would cost the same. Used by plan-choose.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Share {
        uint32_t device;  /* or BLOCK_DEVICE_NONE */
        bool ejectable;   /* in parts it is worth less */
        size_t n_online;  /* its blocks that are online */
        size_t n_taken;   /* of those, the ones that go in any case */
        size_t n_offered; /* of the others, those that may go */
        size_t n_given;   /* of the offered ones, as many go: the result */
} Share;

/* Gives want blocks in all, at most what is offered, so that the fewest ejectable devices are left in parts.
 * shares are in order of preference. -ENOMEM. */
int plan_share(Share *shares, size_t n, size_t want);
