/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts names to pages in the way: asks which processes map them, and writes the answer into the job. The job
 * goes on meanwhile; only its end waits, and not for long. */
#include <assert.h>
#include <string.h>

#include "engine/owners.h"
#include "request/request-internal.h"
#include "util/clock.h"

/* An answer is due within a second of the deadline, and killing workers may take half of that. */
#define CULPRIT_GRACE_USEC (600ULL * 1000ULL)

static_assert(JOB_BLOCKERS_MAX <= OWNERS_PAGES_MAX, "all blockers fit into one question");
static_assert(JOB_BLOCKER_PIDS_MAX >= OWNERS_PIDS_MAX, "all pids of an answer fit");
static_assert(JOB_OWNER_SIZE >= OWNERS_COMM_SIZE, "the name fits");

static void name_blocker(JobBlocker *blocker, const OwnersPage *page) {
        memcpy(blocker->owner, page->comm, sizeof(page->comm));
        memcpy(blocker->pids, page->pids, page->n_pids * sizeof(page->pids[0]));
        blocker->n_pids = page->n_pids;
}

/* Pages come back in the order in which they were asked for. */
static void on_owners(int error, const OwnersReply *reply, void *userdata) {
        Request *request = userdata;
        Job *job = &request->job;

        for (size_t i = 0; error == 0 && i < reply->n_pages && i < job->n_blockers; i++)
                if (reply->pages[i].address == job->blockers[i].address)
                        name_blocker(&job->blockers[i], &reply->pages[i]);
        request->naming = owners_query_free(request->naming); /* the reply was part of it */
        request_notify(request, REQUEST_PROGRESS, 0);
        if (request_is_waiting(request))
                request_end(request, request->waiting_end);
}

void culprit_keep_names(const Job *job, JobBlocker *blockers, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < job->n_blockers; k++) {
                        const JobBlocker *known = &job->blockers[k];

                        if (known->address != blockers[i].address || known->n_pids == 0)
                                continue;
                        memcpy(blockers[i].owner, known->owner, sizeof(known->owner));
                        memcpy(blockers[i].pids, known->pids, sizeof(known->pids));
                        blockers[i].n_pids = known->n_pids;
                }
}

static bool all_named(const Job *job) {
        for (size_t i = 0; i < job->n_blockers; i++)
                if (job->blockers[i].n_pids == 0)
                        return false;
        return true;
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
        uint64_t addresses[OWNERS_PAGES_MAX];
        const Job *job = &request->job;

        request->naming = owners_query_free(request->naming);
        if (all_named(job) || !request->context.owners_socket)
                return;
        for (size_t i = 0; i < job->n_blockers; i++)
                addresses[i] = job->blockers[i].address;
        /* Without an answer the classes and counts must do. */
        (void) owners_query(request->context.event, request->context.owners_socket, addresses,
                            job->n_blockers, timeout_of(job), on_owners, request, &request->naming);
}
