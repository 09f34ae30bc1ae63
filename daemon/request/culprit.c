/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts names to pages in the way: asks which processes map them, and writes the answer into the job. The job
 * goes on meanwhile; only its end waits, and not for long. */
#include "engine/owners.h"
#include "request/request-internal.h"
#include "util/clock.h"

/* An answer is due within a second of the deadline, and killing workers may take half of that. */
#define CULPRIT_GRACE_USEC (600ULL * 1000ULL)

static void on_owners(int error, const OwnersReply *reply, void *userdata) {
        Request *request = userdata;
        Job *job = &request->job;

        if (error == 0)
                blockers_name(job->blockers, job->n_blockers, reply);
        request->naming = owners_query_free(request->naming); /* the reply was part of it */
        request_notify(request, REQUEST_PROGRESS, 0);
        if (request_is_waiting(request))
                request_end(request, request->waiting_end);
}

static uint64_t timeout_of(const Job *job) {
        uint64_t now = clock_now_usec(CLOCK_REALTIME), left = 0;

        if (job->deadline_at == 0)
                return OWNERS_TIMEOUT_USEC;
        if (job->deadline_at > now)
                left = job->deadline_at - now;
        return left > OWNERS_TIMEOUT_USEC ? OWNERS_TIMEOUT_USEC : left + CULPRIT_GRACE_USEC;
}

void culprit_ask(Request *request) {
        const Job *job = &request->job;

        request->naming = owners_query_free(request->naming);
        if (blockers_all_named(job->blockers, job->n_blockers) || !request->context.owners_socket)
                return;
        /* Without an answer the classes and counts must do. */
        (void) blockers_ask(request->context.event, request->context.owners_socket, job->blockers,
                            job->n_blockers, timeout_of(job), on_owners, request, &request->naming);
}
