/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of the administrator that have a say in removals: asked before (check, pre), told after (post,
 * undo), one after the other in order of name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Hooks Hooks;
typedef struct HookSession HookSession; /* the hooks of one job */

/* veto: a sentence, or NULL if all agree. From the event loop, once. */
typedef void (*HookAnswer)(const char *veto, void *userdata);

/* root_fd (borrowed): where their folders are. owner: who must own them; root's, but for tests. */
int hooks_new(Hooks **ret, sd_event *event, int root_fd, uid_t owner);
Hooks *hooks_free(Hooks *hooks);
void hooks_set_timeout(Hooks *hooks, uint64_t usec); /* of each run */
/* How many there are, and why one of them must not be run (to be freed), or NULL. */
int hooks_inspect(const Hooks *hooks, size_t *ret_n, char **ret_fault);
/* Calls back once, when nobody is being told of an end any more; at once if so already. */
void hooks_when_idle(Hooks *hooks, void (*idle)(void *userdata), void *userdata);

/* *ret NULL: there are no hooks. */
int hook_session_new(HookSession **ret, Hooks *hooks);
/* Why one of them must not be run, or NULL. Such a session can only be freed. */
const char *hook_session_fault(const HookSession *session);
/* Asks all in phase check, then all in phase pre; the first one to refuse ends it. plan: JSON for them. */
int hook_session_ask(HookSession *session, const char *plan, HookAnswer answer, void *userdata);
/* The one that is being asked, or NULL. */
const char *hook_session_current(const HookSession *session);
/* Counts all as asked: a former daemon has done so. */
void hook_session_resume(HookSession *session);
/* The end: post for all if done, else undo, in reverse, for those that were begun with pre. Takes the
 * session; goes on by itself. plan NULL: memory is short, nobody is told. */
void hook_session_finish(HookSession *session, bool done, const char *plan);
HookSession *hook_session_free(HookSession *session);
