/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drops what the daemon does not need, and checks that it is gone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PRIVILEGE_BIT(cap) (UINT64_C(1) << (cap)) /* of a CAP_* number */

/* Keeps CAP_DAC_OVERRIDE if it is there and nothing else, in every set (bounding and ambient too), becomes
 * user if it is not NULL and we are root, sets no_new_privs and dumpable off, then verifies.
 * Errors: -ESRCH no such user, -EPERM it could not be done or did not hold. */
int privilege_drop(const char *user);
/* The same, keeping those of the capabilities with these bits that are there. */
int privilege_drop_to(uint64_t keep, const char *user);
