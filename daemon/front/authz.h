/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may ask for what: deny by default. Varlink peers by the kernel's word on their uid,
 * D-Bus senders by privilege, then polkit, asked asynchronously. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "front/operation.h"

/* May a socket peer with this uid run the operation? Reading: anyone. Changing: root and the daemon. */
bool authz_peer_allowed(const Operation *operation, uid_t peer_uid, uid_t own_uid);

/* May the hypervisor, by the channel that it gave the machine? Reading: yes. Changing: if policy lets it.
 * There is no operation that configures. */
bool authz_hypervisor_allowed(const Operation *operation, bool may_change);

typedef struct AuthzCheck AuthzCheck;

/* result: 0 allowed; -EACCES denied; -EINPROGRESS interactive authorization would be needed; or an errno. */
typedef void (*AuthzCallback)(sd_bus_message *call, int result, void *userdata);

/* Checks the sender of a D-Bus call. The callback is called exactly once, perhaps before return; never if
 * the check is freed first. details: NULL-terminated key, value pairs for the prompt, or NULL. */
int authz_check_bus(sd_bus_message *call, const Operation *operation, const char *const *details,
                    AuthzCallback callback, void *userdata, AuthzCheck **ret);
AuthzCheck *authz_check_free(AuthzCheck *check);

/* Who the sender is, once the check knows (for changing operations always by the time of the callback). */
#define AUTHZ_UID_UNKNOWN ((uid_t) -1)
uid_t authz_check_uid(const AuthzCheck *check);
