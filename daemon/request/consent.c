/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a request meets the hooks: asks them before it touches anything, tells them of its end. */
#include "request/hook-plan.h"
#include "request/request-internal.h"
#include "util/cleanup.h"

static void on_answer(const char *veto, void *userdata) {
        Request *request = userdata;

        if (request_is_decided(request))
                return;
        if (!veto) {
                request_proceed(request);
                return;
        }
        request_decide(request, JOB_FAILED, CAUSE_REFUSED, "%s", veto);
        restore_unwind(request);
}

static void fail(Request *request, int error) {
        request_fail_to_start(request, "asking the hooks", error);
}

bool consent_ask(Request *request) {
        CLEANUP(freep) char *plan = NULL;
        int r;

        if (!request->context.hooks)
                return false;
        r = hook_session_new(&request->session, request->context.hooks);
        if (r < 0) {
                fail(request, r);
                return true;
        }
        if (!request->session)
                return false;
        if (hook_session_fault(request->session)) {
                request_decide(request, JOB_FAILED, CAUSE_REFUSED,
                               "a hook cannot be trusted and was not asked: %s",
                               hook_session_fault(request->session));
                restore_unwind(request);
                return true;
        }
        plan = hook_plan_text(&request->job, request->plan);
        r = plan ? hook_session_ask(request->session, plan, on_answer, request) : -ENOMEM;
        if (r < 0)
                fail(request, r);
        return true;
}

void consent_take_up(Request *request) {
        if (!request->context.hooks || request->job.kind != DEMAND_UNPLUG)
                return;
        if (hook_session_new(&request->session, request->context.hooks) >= 0 && request->session)
                hook_session_resume(request->session); /* else nobody can be told */
}

const char *consent_awaited(const Request *request) {
        return request->session ? hook_session_current(request->session) : NULL;
}

void consent_end(Request *request) {
        CLEANUP(freep) char *plan = NULL;
        HookSession *session = STEAL_PTR(request->session);

        if (!session)
                return;
        plan = hook_plan_text(&request->job, request->plan);
        hook_session_finish(session, request->job.state == JOB_DONE || request->job.state == JOB_PARTIAL,
                            plan);
}
