/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a virtio-mem device does not give back what its hypervisor wants: what is in its blocks, which of them
 * could go now, and a sentence about it. Changes nothing. */
#pragma once

#include "engine/engine.h"
#include "memory/guard.h"
#include "request/obstacle.h"

typedef struct Shortage {
        uint64_t requested_bytes, plugged_bytes;
        size_t n_blocks;      /* of the device, online */
        Obstacle obstacle;    /* what is in them */
        uint64_t clear_bytes; /* plugged, in pieces with nothing in the way: its driver could take them */
        uint32_t *ready;      /* whole blocks of such pieces, highest first, no more than asked for; owned */
        size_t n_ready;
} Shortage;

/* whole: also what is clear and ready, which costs as much again. -EOPNOTSUPP without the module, -EINTR and
 * -ENOMEM. */
int shortage_look(Engine *engine, const BlockTable *table, const GuardPolicy *policy, const Device *device,
                  bool whole, Shortage *ret);
void shortage_clear(Shortage *shortage);
/* "requested 0B, plugged 300M for 5min, because ...", to be freed; NULL: memory is short. */
char *shortage_sentence(const Shortage *shortage, uint64_t block_size, uint64_t usec);
