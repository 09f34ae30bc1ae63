/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of those who have the pages in the way: asked for, written into a list, carried over to the next. */
#include <assert.h>
#include <string.h>

#include "request/obstacle.h"

static_assert(JOB_BLOCKERS_MAX <= OWNERS_PAGES_MAX, "all blockers fit into one question");
static_assert(JOB_BLOCKER_PIDS_MAX >= OWNERS_PIDS_MAX, "all pids of an answer fit");
static_assert(JOB_OWNER_SIZE >= OWNERS_COMM_SIZE, "the name fits");

void blockers_keep_names(const JobBlocker *known, size_t n_known, JobBlocker *blockers, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n_known; k++) {
                        if (known[k].address != blockers[i].address || known[k].n_pids == 0)
                                continue;
                        memcpy(blockers[i].owner, known[k].owner, sizeof(known[k].owner));
                        memcpy(blockers[i].pids, known[k].pids, sizeof(known[k].pids));
                        blockers[i].n_pids = known[k].n_pids;
                }
}

static void name_blocker(JobBlocker *blocker, const OwnersPage *page) {
        memcpy(blocker->owner, page->comm, sizeof(page->comm));
        memcpy(blocker->pids, page->pids, page->n_pids * sizeof(page->pids[0]));
        blocker->n_pids = page->n_pids;
}

void blockers_name(JobBlocker *blockers, size_t n, const OwnersReply *reply) {
        for (size_t i = 0; i < reply->n_pages && i < n; i++)
                if (reply->pages[i].address == blockers[i].address)
                        name_blocker(&blockers[i], &reply->pages[i]);
}

bool blockers_all_named(const JobBlocker *blockers, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (blockers[i].n_pids == 0)
                        return false;
        return true;
}

int blockers_ask(sd_event *event, const char *socket_path, const JobBlocker *blockers, size_t n,
                 uint64_t timeout_usec, OwnersCallback callback, void *userdata, OwnersQuery **ret) {
        uint64_t addresses[OWNERS_PAGES_MAX];

        for (size_t i = 0; i < n; i++)
                addresses[i] = blockers[i].address;
        return owners_query(event, socket_path, addresses, n, timeout_usec, callback, userdata, ret);
}
