/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The balloon as a requester: the hypervisor's target becomes demands, and blocks that have gone are told
 * to the driver, which does the rest page by page. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "request/queue.h"
#include "source/balloon-device.h"

typedef struct BalloonSource BalloonSource;

/* Called when what balloon_source_active() and _reason() say may have changed. */
typedef void (*BalloonCallback)(void *userdata);

/* Leads the balloon of the driver's file fd (taken over, also on failure). device and the other pointers are
 * borrowed. Errors: -EBUSY another process leads it, -ENOMEM. */
int balloon_source_new(BalloonSource **ret, sd_event *event, Queue *queue, const BalloonDevice *device,
                       int fd, BalloonCallback callback, void *userdata);
BalloonSource *balloon_source_free(BalloonSource *source);

/* What must stay available may be another amount now. */
void balloon_source_policy_changed(BalloonSource *source);

/* Is there a balloon to lead? */
bool balloon_source_active(const BalloonSource *source);
/* A sentence: what of the target is not met and why, or why there is nothing to lead; NULL if all is well.
 * Valid until the next event. */
const char *balloon_source_reason(const BalloonSource *source);
