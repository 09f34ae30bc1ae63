/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One process after another: its ranges, then its page map in large reads. The newest come first, since
 * what holds a page for I/O is seldom what was started at boot; and those with very much address space
 * have to wait with the rest of it until all others were looked at. Processes that end meanwhile hold
 * nothing; those that cannot be read make the answer incomplete. */
#include "owners/walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "owners/maps.h"
#include "owners/match.h"
#include "util/array.h"
#include "util/cleanup.h"
#include "util/sysfs.h"

#define PIDS_MAX 4194304U /* the kernel's own limit */
#define CHUNK_ENTRIES 8192U
#define TEXT_SIZE 16384U

typedef struct Pids {
        int32_t *pids; /* owned */
        size_t n_pids;
        size_t n_allocated;
} Pids;

typedef enum ProcessResult {
        PROCESS_READ,       /* to its end, or it is gone */
        PROCESS_INCOMPLETE, /* some of it could not be read */
        PROCESS_LEFT,       /* it has more than it was to be read of */
        PROCESS_NO_TIME,    /* the budget is used up */
} ProcessResult;

typedef struct Walk {
        const WalkOptions *options;
        MatchSet set;
        uint32_t all; /* bits of all pages */
        uint64_t entries_left;
        Maps maps;
        char text[TEXT_SIZE];
        uint64_t entries[CHUNK_ENTRIES];
} Walk;

static void pids_clear(Pids *pids) {
        free(pids->pids);
}

static Walk *walk_free(Walk *w) {
        if (!w)
                return NULL;
        maps_clear(&w->maps);
        free(w);
        return NULL;
}

DEFINE_CLEANUP(Walk *, walk_free)
DEFINE_CLEANUP(DIR *, closedir)

static int open_at(int dir_fd, const char *name, int flags) {
        int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

static bool is_gone(int error) {
        return error == -ENOENT || error == -ESRCH;
}

static int pids_add(Pids *pids, int32_t pid) {
        if (ARRAY_RESERVE(pids->pids, pids->n_pids, &pids->n_allocated, 1024) < 0)
                return -ENOMEM;
        pids->pids[pids->n_pids++] = pid;
        return 0;
}

static int pid_compare_newest(const void *a, const void *b) {
        const int32_t *x = a, *y = b;

        return (*y > *x) - (*y < *x);
}

static int pids_read(int proc_fd, Pids *pids) {
        CLEANUP(closedirp) DIR *dir = NULL;
        const struct dirent *entry;
        uint64_t pid;
        int fd, r;

        fd = open_at(proc_fd, ".", O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }
        while ((errno = 0, entry = readdir(dir))) {
                if (parse_u64(entry->d_name, 10, &pid) < 0 || pid == 0 || pid > INT32_MAX)
                        continue;
                if (pids->n_pids == PIDS_MAX)
                        return -E2BIG;
                r = pids_add(pids, (int32_t) pid);
                if (r < 0)
                        return r;
        }
        if (errno != 0)
                return -errno;
        if (pids->n_pids > 1)
                qsort(pids->pids, pids->n_pids, sizeof(pids->pids[0]), pid_compare_newest);
        return 0;
}

static bool walk_is_over(const Walk *w) {
        return w->entries_left == 0 || w->options->now() >= w->options->deadline;
}

/* A process without ranges is a thread of the kernel, or dead and not yet waited for. */
static ProcessResult read_ranges(Walk *w, int process_fd) {
        CLEANUP(closep) int fd = -1;
        ssize_t n;

        maps_reset(&w->maps);
        fd = open_at(process_fd, "maps", O_RDONLY);
        if (fd < 0)
                return is_gone(fd) ? PROCESS_READ : PROCESS_INCOMPLETE;
        for (;;) {
                if (walk_is_over(w))
                        return PROCESS_NO_TIME;
                n = read(fd, w->text, sizeof(w->text));
                if (n == 0)
                        break;
                if (n < 0) {
                        if (errno == ESRCH)
                                maps_reset(&w->maps);
                        return errno == ESRCH ? PROCESS_READ : PROCESS_INCOMPLETE;
                }
                if (maps_feed(&w->maps, w->text, (size_t) n) < 0)
                        return PROCESS_INCOMPLETE;
        }
        if (maps_finish(&w->maps) < 0)
                return PROCESS_INCOMPLETE;
        maps_sort(&w->maps);
        return w->maps.truncated ? PROCESS_INCOMPLETE : PROCESS_READ;
}

/* budget: entries that this process may still cost. */
static ProcessResult read_range(Walk *w, int fd, const MapsRange *range, uint64_t *budget, uint32_t *found) {
        uint64_t index = range->start / w->options->page_size;
        uint64_t left = range->size / w->options->page_size;
        size_t want;
        ssize_t n;

        while (left > 0 && *found != w->all) {
                if (walk_is_over(w))
                        return PROCESS_NO_TIME;
                if (*budget == 0)
                        return PROCESS_LEFT;
                want = left < CHUNK_ENTRIES ? left : CHUNK_ENTRIES;
                want = want < *budget ? want : *budget;
                want = want < w->entries_left ? want : w->entries_left;
                n = pread(fd, w->entries, want * sizeof(uint64_t), (off_t) (index * sizeof(uint64_t)));
                if (n < 0)
                        return errno == ESRCH ? PROCESS_READ : PROCESS_INCOMPLETE;
                n /= (ssize_t) sizeof(uint64_t);
                if (n == 0) /* the address space has ended, or the process */
                        return PROCESS_READ;
                *found |= match_entries(&w->set, w->entries, (size_t) n);
                index += (uint64_t) n;
                left -= (uint64_t) n;
                *budget -= (uint64_t) n;
                w->entries_left -= (uint64_t) n;
        }
        return PROCESS_READ;
}

static ProcessResult read_process(Walk *w, int process_fd, uint64_t budget, uint32_t *found) {
        CLEANUP(closep) int fd = -1;
        ProcessResult ranges, result = PROCESS_READ;

        ranges = read_ranges(w, process_fd);
        if (ranges == PROCESS_NO_TIME || w->maps.n_ranges == 0)
                return ranges;
        fd = open_at(process_fd, "pagemap", O_RDONLY);
        if (fd < 0)
                return is_gone(fd) ? ranges : PROCESS_INCOMPLETE;
        for (size_t i = 0; i < w->maps.n_ranges && result == PROCESS_READ; i++)
                result = read_range(w, fd, &w->maps.ranges[i], &budget, found);
        return result == PROCESS_READ ? ranges : result;
}

/* Changes: the reply, and tells if it did. */
static bool add_process(const Walk *w, int process_fd, int32_t pid, uint32_t found, OwnersReply *reply) {
        bool has_comm, changed = false;
        char comm[64];

        has_comm = sysfs_read(process_fd, "comm", comm, sizeof(comm)) >= 0;
        for (size_t i = 0; i < reply->n_pages; i++)
                if (found & UINT32_C(1) << i)
                        changed = owners_reply_add(reply, i, pid, has_comm ? comm : NULL) || changed;
        return changed;
}

static ProcessResult walk_process(Walk *w, int32_t pid, uint64_t budget, OwnersReply *reply, bool *changed) {
        CLEANUP(closep) int process_fd = -1;
        ProcessResult result;
        uint32_t found = 0;
        char name[16];

        if (walk_is_over(w))
                return PROCESS_NO_TIME;
        (void) snprintf(name, sizeof(name), "%d", (int) pid);
        process_fd = open_at(w->options->proc_fd, name, O_PATH | O_DIRECTORY);
        if (process_fd < 0)
                return is_gone(process_fd) ? PROCESS_READ : PROCESS_INCOMPLETE;
        result = read_process(w, process_fd, budget, &found);
        *changed = found != 0 && add_process(w, process_fd, pid, found, reply);
        return result;
}

/* Keeps in pids those that have more than the budget. */
static int walk_round(Walk *w, Pids *pids, uint64_t budget, OwnersReply *reply, bool *incomplete) {
        size_t n_left = 0;
        int r;

        for (size_t i = 0; i < pids->n_pids && !reply->out_of_time; i++) {
                bool changed = false;

                if (pids->pids[i] == w->options->skip_pid)
                        continue;
                switch (walk_process(w, pids->pids[i], budget, reply, &changed)) {
                case PROCESS_READ:
                        break;
                case PROCESS_INCOMPLETE:
                        *incomplete = true;
                        break;
                case PROCESS_LEFT:
                        pids->pids[n_left++] = pids->pids[i];
                        break;
                case PROCESS_NO_TIME:
                        reply->out_of_time = true;
                        break;
                }
                if (!changed || !w->options->found || reply->out_of_time)
                        continue;
                r = w->options->found(reply, w->options->userdata);
                if (r < 0)
                        return r;
        }
        pids->n_pids = n_left;
        return 0;
}

static int walk_all(Walk *w, Pids *pids, OwnersReply *reply) {
        bool incomplete = false;
        int r;

        r = walk_round(w, pids, w->options->first_entries, reply, &incomplete);
        if (r < 0)
                return r;
        r = walk_round(w, pids, w->options->max_process_entries, reply, &incomplete);
        if (r < 0)
                return r;
        reply->complete = !incomplete && !reply->out_of_time && pids->n_pids == 0;
        reply->last = true;
        return 0;
}

int walk(const WalkOptions *options, const OwnersRequest *request, OwnersReply *ret) {
        CLEANUP(pids_clear) Pids pids = {};
        CLEANUP(walk_freep) Walk *w = NULL;
        OwnersReply reply;
        int r;

        assert(options && options->now && request && ret && request->n_addresses <= OWNERS_PAGES_MAX);
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->options = options;
        w->entries_left = options->max_entries;
        w->all = (uint32_t) ((UINT64_C(1) << request->n_addresses) - 1);
        match_set_init(&w->set, request, options->page_size);
        owners_reply_init(&reply, request);
        r = pids_read(options->proc_fd, &pids);
        if (r < 0)
                return r;
        r = walk_all(w, &pids, &reply);
        if (r < 0)
                return r;
        *ret = reply;
        return 0;
}

/* The page with our own variable is there while it is being written to; its frame is 0 only if it is
 * hidden. */
int walk_sees_frames(int proc_fd, uint64_t page_size) {
        volatile char here = 1;
        CLEANUP(closep) int fd = -1;
        uint64_t entry;
        ssize_t n;

        fd = openat(proc_fd, "self/pagemap", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        here = 2;
        n = pread(fd, &entry, sizeof(entry), (off_t) ((uintptr_t) &here / page_size * sizeof(entry)));
        if (n < 0)
                return -errno;
        if (n != sizeof(entry))
                return -EBADMSG;
        return match_entry_frame(entry) != 0;
}
