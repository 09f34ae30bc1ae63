/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks that a stuck worker took after its job had ended: brought back when the worker comes back from the
 * kernel. */
#pragma once

#include "engine/engine.h"

typedef struct Aftercare Aftercare;

/* changed(block) is called for each block that came online; idle() when there is nothing left to do. */
typedef struct AftercareWatch {
        void (*changed)(uint32_t block, void *userdata);
        void (*idle)(void *userdata);
        void *userdata;
} AftercareWatch;

int aftercare_new(Aftercare **ret, Engine *engine, const AftercareWatch *watch);
Aftercare *aftercare_free(Aftercare *care);
/* Blocks that must not stay offline; zone: where they go. Online ones come to no harm. */
void aftercare_add(Aftercare *care, const EngineBlock *blocks, size_t n);
bool aftercare_is_busy(const Aftercare *care);
