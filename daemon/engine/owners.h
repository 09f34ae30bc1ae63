/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks memunplug-owners which processes map given pages. The answer is a hint, true when the processes
 * were looked at; that it does not come is no error of a job. Does not block. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"
#include "util/owners-protocol.h"

#define OWNERS_SOCKET "/run/memunplug/owners"
#define OWNERS_TIMEOUT_USEC UINT64_C(2000000) /* it ends by itself after half of it */

typedef struct OwnersQuery OwnersQuery;

/* Called once, from the event loop, for every query that was started and not freed before. error 0: reply is
 * what is known, valid during the call; see its complete and out_of_time. Else reply is NULL:
 *   -ENOENT, -ECONNREFUSED, -EACCES   the feature is not there, or not for us
 *   -EAGAIN                           too many are asking
 *   -ETIMEDOUT                        nothing came in time
 *   -ECONNRESET                       closed without an answer: refused, or ended before its first
 *   -EBADMSG                          what came is no answer to the question
 * The query may be freed from within. */
typedef void (*OwnersCallback)(int error, const OwnersReply *reply, void *userdata);

/* addresses: at most OWNERS_PAGES_MAX physical addresses of pages, as surveys find them; repeats are
 * allowed. -EINVAL: not such addresses, or a path too long. Whether there is somebody to ask is told by the
 * callback, never here. */
int owners_query(sd_event *event, const char *socket_path, const uint64_t *addresses, size_t n,
                 uint64_t timeout_usec, OwnersCallback callback, void *userdata, OwnersQuery **ret);
/* No callback comes any more. */
OwnersQuery *owners_query_free(OwnersQuery *q);
DEFINE_CLEANUP(OwnersQuery *, owners_query_free)
