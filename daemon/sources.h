/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The platforms that ask by themselves: which of them are listened to, and why not. */
#pragma once

#include "config.h"
#include "front/operation.h"
#include "util/uevent.h"

typedef struct Sources Sources;

/* Begins to listen to all that the configuration wants, and says in the context how that went. That one
 * cannot be heard is noted there and no error. Borrows the context, which must outlive it. -ENOMEM. */
int sources_new(Sources **ret, const Config *config, OperationContext *context);
/* Makes what can be switched at run time be as the configuration wants. */
int sources_apply(Sources *sources, const Config *config);
/* The kernel's events concern some of them. event NULL: some were lost. */
void sources_uevent(Sources *sources, const Uevent *event);
Sources *sources_free(Sources *sources);
