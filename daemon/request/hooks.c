/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order in which hooks run, and what their results mean. */
#include "request/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "request/hook-list.h"
#include "request/hook-process.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/text.h"

#define TIMEOUT_DEFAULT_USEC UINT64_C(10000000)

typedef enum HookPhase { HOOK_CHECK, HOOK_PRE, HOOK_POST, HOOK_UNDO } HookPhase;

static const char *const phase_names[] = {
        [HOOK_CHECK] = "check",
        [HOOK_PRE] = "pre",
        [HOOK_POST] = "post",
        [HOOK_UNDO] = "undo",
};

struct Hooks {
        sd_event *event;
        int root_fd;
        uid_t owner;
        uint64_t timeout_usec;
        HookSession *finishing; /* told of an end whose job does not wait */
        void (*idle)(void *userdata);
        void *idle_userdata;
};

struct HookSession {
        Hooks *hooks;
        HookSession *next; /* in Hooks.finishing */
        HookList list;
        HookPhase phase;
        size_t position;   /* of the hook that runs, or will */
        size_t n_begun;    /* with pre: have something to undo */
        int input;         /* the plan */
        HookProcess *process;
        HookAnswer answer;
        void *userdata;
};

DEFINE_CLEANUP(HookSession *, hook_session_free)

static int start_current(HookSession *session);

int hooks_new(Hooks **ret, sd_event *event, int root_fd, uid_t owner) {
        Hooks *hooks = calloc(1, sizeof(*hooks));

        if (!hooks)
                return -ENOMEM;
        *hooks = (Hooks) {
                .event = sd_event_ref(event),
                .root_fd = root_fd,
                .owner = owner,
                .timeout_usec = TIMEOUT_DEFAULT_USEC,
        };
        *ret = hooks;
        return 0;
}

Hooks *hooks_free(Hooks *hooks) {
        if (!hooks)
                return NULL;
        while (hooks->finishing) {
                HookSession *session = hooks->finishing;

                hooks->finishing = session->next;
                (void) hook_session_free(session);
        }
        (void) sd_event_unref(hooks->event);
        free(hooks);
        return NULL;
}

void hooks_set_timeout(Hooks *hooks, uint64_t usec) {
        hooks->timeout_usec = usec;
}

static void check_idle(Hooks *hooks) {
        void (*idle)(void *) = hooks->idle;

        if (hooks->finishing || !idle)
                return;
        hooks->idle = NULL;
        idle(hooks->idle_userdata);
}

void hooks_when_idle(Hooks *hooks, void (*idle)(void *userdata), void *userdata) {
        hooks->idle = idle;
        hooks->idle_userdata = userdata;
        check_idle(hooks);
}

HookSession *hook_session_free(HookSession *session) {
        if (!session)
                return NULL;
        (void) hook_process_free(session->process);
        (void) close_fd(session->input);
        hook_list_clear(&session->list);
        free(session);
        return NULL;
}

int hook_session_new(HookSession **ret, Hooks *hooks) {
        CLEANUP(hook_session_freep) HookSession *session = calloc(1, sizeof(*session));
        int r;

        if (!session)
                return -ENOMEM;
        session->hooks = hooks;
        session->input = -EBADF;
        r = hook_list_read(hooks->root_fd, hooks->owner, &session->list);
        if (r < 0)
                return r;
        *ret = session->list.n > 0 ? STEAL_PTR(session) : NULL;
        return 0;
}

const char *hook_session_fault(const HookSession *session) {
        for (size_t i = 0; i < session->list.n; i++)
                if (session->list.hooks[i].fault)
                        return session->list.hooks[i].fault;
        return NULL;
}

int hooks_inspect(const Hooks *hooks, size_t *ret_n, char **ret_fault) {
        CLEANUP(hook_list_clear) HookList list = {};
        int r;

        r = hook_list_read(hooks->root_fd, hooks->owner, &list);
        if (r < 0)
                return r;
        *ret_n = list.n;
        *ret_fault = NULL;
        for (size_t i = 0; i < list.n && !*ret_fault; i++)
                *ret_fault = STEAL_PTR(list.hooks[i].fault);
        return 0;
}

const char *hook_session_current(const HookSession *session) {
        return session->process ? hook_name(&session->list.hooks[session->position]) : NULL;
}

void hook_session_resume(HookSession *session) {
        session->n_begun = session->list.n;
}

/* In memory, and such that no hook can change what the next one reads. */
static int make_input(HookSession *session, const char *plan) {
        CLEANUP(closep) int fd = memfd_create("memunplug-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        size_t n = strlen(plan);

        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < n;) {
                ssize_t k = write(fd, plan + done, n - done);

                if (k < 0)
                        return -errno;
                done += (size_t) k;
        }
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
                return -errno;
        (void) close_fd(session->input);
        session->input = steal_fd(&fd);
        return 0;
}

/* Why a hook's result is none of consent; to be freed, NULL: memory is short. */
static char *failure_text(const HookSession *session, const HookResult *result) {
        const char *name = hook_name(&session->list.hooks[session->position]);
        char limit[FORMAT_SIZE_MAX], *text = NULL;
        int r = -1;

        switch (result->end) {
        case HOOK_SUCCEEDED:
                return NULL;
        case HOOK_FAILED:
                if (result->line[0])
                        r = asprintf(&text, "hook '%s' refused: %s", name, result->line);
                else
                        r = asprintf(&text, "hook '%s' refused without a word (exit status %d)", name,
                                     result->status);
                break;
        case HOOK_KILLED:
                r = asprintf(&text, "hook '%s' was ended by signal %d", name, result->status);
                break;
        case HOOK_TOO_LATE:
                r = asprintf(&text, "hook '%s' did not answer within %s", name,
                             format_duration(session->hooks->timeout_usec, limit));
                break;
        }
        return r < 0 ? NULL : text;
}

static bool is_asking(const HookSession *session) {
        return session->phase == HOOK_CHECK || session->phase == HOOK_PRE;
}

/* Goes to the next hook. false: that was the last one of all. */
static bool advance(HookSession *session) {
        if (session->phase == HOOK_UNDO) {
                if (session->position == 0)
                        return false;
                session->position--;
                return true;
        }
        if (++session->position < session->list.n)
                return true;
        if (session->phase != HOOK_CHECK)
                return false;
        session->phase = HOOK_PRE;
        session->position = 0;
        return true;
}

/* Takes the session. */
static void finished(HookSession *session) {
        Hooks *hooks = session->hooks;

        for (HookSession **p = &hooks->finishing; *p; p = &(*p)->next)
                if (*p == session) {
                        *p = session->next;
                        break;
                }
        (void) hook_session_free(session);
        check_idle(hooks);
}

/* Starts the next hook that can be started; those that are only told are not worth an end. */
static void go_on(HookSession *session) {
        while (advance(session)) {
                int r = start_current(session);

                if (r >= 0)
                        return;
                if (is_asking(session)) {
                        session->answer(strerror(-r), session->userdata);
                        return;
                }
        }
        if (is_asking(session))
                session->answer(/* veto= */ NULL, session->userdata);
        else
                finished(session);
}

static void on_result(HookProcess *process, const HookResult *result, void *userdata) {
        CLEANUP(freep) char *text = NULL;
        HookSession *session = userdata;

        text = failure_text(session, result);
        session->process = hook_process_free(process);
        if (result->end == HOOK_SUCCEEDED) {
                go_on(session);
        } else if (is_asking(session)) {
                session->answer(text ?: "a hook refused", session->userdata);
        } else {
                log_warning("In phase %s: %s, ignoring.", phase_names[session->phase],
                            text ?: "a hook failed");
                go_on(session);
        }
}

static int start_current(HookSession *session) {
        const Hook *hook = &session->list.hooks[session->position];
        const Hooks *hooks = session->hooks;
        int r;

        if (hook->fault) /* found when a former daemon's job is taken up */
                return -EPERM;
        r = hook_process_start(&session->process, hooks->event, hooks->root_fd, hook,
                               phase_names[session->phase], session->input, hooks->timeout_usec, on_result,
                               session);
        if (r < 0)
                return log_warning_errno(r, "Failed to run hook '%s': %s", hook_name(hook), strerror(-r));
        if (session->phase == HOOK_PRE)
                session->n_begun = session->position + 1;
        log_debug("Running hook '%s' in phase %s.", hook_name(hook), phase_names[session->phase]);
        return 0;
}

int hook_session_ask(HookSession *session, const char *plan, HookAnswer answer, void *userdata) {
        int r;

        r = make_input(session, plan);
        if (r < 0)
                return r;
        session->answer = answer;
        session->userdata = userdata;
        return start_current(session);
}

void hook_session_finish(HookSession *session, bool done, const char *plan) {
        Hooks *hooks = session->hooks;

        session->process = hook_process_free(session->process);
        if (!plan || (!done && session->n_begun == 0) || make_input(session, plan) < 0) {
                (void) hook_session_free(session);
                return;
        }
        session->next = hooks->finishing;
        hooks->finishing = session;
        session->phase = done ? HOOK_POST : HOOK_UNDO;
        session->position = done ? 0 : session->n_begun - 1;
        if (start_current(session) < 0)
                go_on(session);
}
