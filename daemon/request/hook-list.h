/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs of /etc/memunplug/hooks.d and /usr/lib/memunplug/hooks.d: which there are, and which of them
 * may not be run because others than their owner could have written them. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HOOKS_MAX 32U
#define HOOK_PATH_MAX (NAME_MAX + 64U)

typedef struct Hook {
        char path[HOOK_PATH_MAX]; /* below the root, without a slash in front */
        bool is_mask;             /* only hides another; never in a list that was read */
        char *fault;              /* why it is not to be trusted, or NULL; owned */
} Hook;

typedef struct HookList {
        Hook *hooks; /* in order of name */
        size_t n;
} HookList;

/* owner: whose the programs and all folders above them must be. Errors: -E2BIG more than HOOKS_MAX, -ENOMEM,
 * and those of reading a folder. No folder: an empty list. */
int hook_list_read(int root_fd, uid_t owner, HookList *ret);
void hook_list_clear(HookList *list);
const char *hook_name(const Hook *hook);
