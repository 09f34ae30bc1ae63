/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leads the balloon: one step at a time, each a demand like any other's, with a look at the target between
 * them. It decides nothing about memory. */
#include "source/balloon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/log.h"

#define MIB (UINT64_C(1024) * 1024)

struct BalloonSource {
        int fd;
        const BalloonDevice *device;
        Queue *queue;
        QueueSlot *slot;
        sd_event_source *io, *look; /* look: deferred, the next step */
        BalloonCallback callback;
        void *userdata;
        struct memunplug_balloon_state state;
        int error;             /* of the last look at the state, or 0 */
        uint64_t block_size;
        BalloonTried tried;
        bool busy;             /* a job of ours is under way */
        uint32_t job;
        DemandKind job_kind;
        uint64_t job_sequence; /* of the target that it is for */
        uint32_t taken[BALLOON_STEP_BLOCKS];
        size_t n_taken;
        char *why;             /* what the last demand that did not get everything was told; or NULL */
        char reason[512];      /* "": none */
};

DEFINE_CLEANUP(BalloonSource *, balloon_source_free)

static const char *shortage_text(uint32_t shortage) {
        switch (shortage) {
        case MEMUNPLUG_BALLOON_SHORT_FLOOR:
                return "more would leave less than must stay available";
        case MEMUNPLUG_BALLOON_SHORT_MEMORY:
                return "there are no more free pages";
        case MEMUNPLUG_BALLOON_SHORT_NEED:
                return "the machine needed some itself just now";
        default:
                return NULL;
        }
}

/* What is missing, why in the driver's words, and why no more blocks. */
static void update_reason(BalloonSource *source) {
        const struct memunplug_balloon_state *state = &source->state;
        const char *shortage = shortage_text(state->shortage);
        char *s = source->reason;
        size_t size = sizeof(source->reason);

        *s = '\0';
        if (source->error == -ENODEV)
                (void) snprintf(s, size, "no balloon device has the driver memunplug_balloon");
        else if (source->error < 0)
                (void) snprintf(s, size, "the balloon cannot be led: %s", strerror(-source->error));
        else if (state->held != state->target)
                (void) snprintf(s, size,
                                "the hypervisor wants %" PRIu64 " MiB and has %" PRIu64 " MiB%s%s%s%s",
                                (uint64_t) state->target / MIB, (uint64_t) state->held / MIB,
                                shortage ? ": " : "",
                                shortage ? shortage : "", source->why ? "; by blocks: " : "",
                                source->why ? source->why : "");
        if (source->callback)
                source->callback(source->userdata);
}

static void set_why(BalloonSource *source, const char *text) {
        free(source->why);
        source->why = text ? strdup(text) : NULL; /* without memory: no reason */
}

static void look_soon(BalloonSource *source) {
        (void) sd_event_source_set_enabled(source->look, SD_EVENT_ONESHOT);
}

/* A demand did not bring what it was for: the rest of this target is done another way. */
static void note_tried(BalloonSource *source, DemandKind kind, uint64_t sequence, const char *why) {
        if (kind == DEMAND_UNPLUG)
                source->tried.take = sequence;
        else
                source->tried.give_back = sequence;
        set_why(source, why ? why : "nothing was said");
}

static void submit(BalloonSource *source, Demand *demand) {
        CLEANUP(freep) char *reason = NULL;
        uint64_t sequence = source->state.sequence;
        QueueAnswer answer;
        int r;

        demand->source = SOURCE_BALLOON;
        demand->allow_partial = true;
        (void) snprintf(demand->caller, sizeof(demand->caller), "balloon");
        r = queue_submit(source->queue, demand, &answer);
        if (r < 0) {
                (void) log_warning_errno(r, "Failed to submit what the balloon asks for, ignoring: %s",
                                         strerror(-r));
                note_tried(source, demand->kind, sequence, strerror(-r));
                return;
        }
        reason = answer.reason;
        if (answer.cause != CAUSE_NONE) {
                log_info("The balloon gets no blocks: %s", reason ? reason : "refused");
                note_tried(source, demand->kind, sequence, reason);
                return;
        }
        source->busy = true;
        source->job = answer.job->id;
        source->job_kind = demand->kind;
        source->job_sequence = sequence;
        source->n_taken = 0;
}

/* The lowest of the blocks that the host has, as many as are to come back. */
static int submit_return(BalloonSource *source, uint64_t bytes) {
        Demand demand = { .kind = DEMAND_REPLUG };
        CLEANUP(freep) uint64_t *addresses = NULL;
        CLEANUP(freep) uint32_t *blocks = NULL;
        uint64_t max = bytes / source->block_size;
        uint32_t n;
        int r;

        if (max > DEMAND_BLOCKS_MAX)
                max = DEMAND_BLOCKS_MAX;
        addresses = calloc(max, sizeof(*addresses));
        blocks = calloc(max, sizeof(*blocks));
        if (!addresses || !blocks)
                return -ENOMEM;
        r = source->device->blocks(source->fd, addresses, (uint32_t) max, &n);
        if (r < 0)
                return r;
        if (n > max)
                n = (uint32_t) max;
        for (uint32_t i = 0; i < n; i++)
                blocks[i] = (uint32_t) (addresses[i] / source->block_size);
        demand.blocks = blocks;
        demand.n_blocks = n;
        if (n > 0)
                submit(source, &demand);
        return n > 0 ? 0 : -ENOENT;
}

static int take_step(BalloonSource *source, const BalloonStep *step) {
        Demand demand = { .kind = DEMAND_UNPLUG, .size_bytes = step->bytes };
        int r = 0;

        switch (step->kind) {
        case BALLOON_STEP_REST:
                break;
        case BALLOON_STEP_TAKE:
                submit(source, &demand);
                break;
        case BALLOON_STEP_RETURN:
                r = submit_return(source, step->bytes);
                break;
        case BALLOON_STEP_PAGES:
                r = source->device->pages(source->fd, source->state.sequence);
                source->tried.pages = source->state.sequence;
                break;
        }
        if (r == -ESTALE)
                return 0; /* there is another target: poll says so */
        if (r < 0 && step->kind == BALLOON_STEP_RETURN)
                note_tried(source, DEMAND_REPLUG, source->state.sequence, strerror(-r));
        return r;
}

static int read_state(BalloonSource *source) {
        const BlockTable *table;
        int r = source->device->state(source->fd, &source->state);

        if (r >= 0) {
                r = queue_blocks(source->queue, &table, /* ret_policy= */ NULL);
                if (r >= 0)
                        source->block_size = table->block_size;
        }
        if (r < 0) { /* another device counts anew */
                source->state = (struct memunplug_balloon_state) {};
                source->tried = (BalloonTried) {};
                set_why(source, NULL);
        }
        source->error = r;
        return r;
}

/* A target that makes the job under way pointless ends it; others wait for its end. */
static void look_at_job(BalloonSource *source) {
        if (source->job_kind == DEMAND_UNPLUG && source->state.sequence != source->job_sequence &&
            source->state.target <= source->state.held)
                (void) queue_cancel(source->queue, source->job);
}

static int on_look(sd_event_source *event, void *userdata) {
        BalloonSource *source = userdata;
        BalloonTried before = source->tried;
        BalloonStep step;

        if (read_state(source) >= 0 && source->block_size > 0) {
                if (source->state.held == source->state.target)
                        set_why(source, NULL);
                if (source->busy)
                        look_at_job(source);
                else {
                        step = balloon_next_step(&source->state, source->block_size, &source->tried);
                        (void) take_step(source, &step);
                }
        }
        update_reason(source);
        /* What was tried in vain is followed by another way at once. */
        if (memcmp(&before, &source->tried, sizeof(before)) != 0)
                look_soon(source);
        return 0;
}

static int on_readable(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        return on_look(io, userdata);
}

/* What the job took is the host's now. A block that came back meanwhile is online, and refused. Those that
 * the host does not want any more, or cannot have, come back. */
static void give_taken(BalloonSource *source) {
        Demand back = { .kind = DEMAND_REPLUG, .blocks = source->taken };
        size_t n = source->n_taken;

        for (size_t i = 0; i < n; i++) {
                uint32_t block = source->taken[i];
                int r = source->device->give(source->fd, block * source->block_size, source->block_size);

                if (r >= 0 || r == -EBUSY || r == -EEXIST)
                        continue;
                (void) log_full(r == -ENOSPC ? LOG_DEBUG : LOG_WARNING, r, NULL,
                                      "Failed to give block %" PRIu32 " to the host, bringing it back: %s",
                                      block, strerror(-r));
                if (r != -ENOSPC)
                        note_tried(source, DEMAND_UNPLUG, source->job_sequence, strerror(-r));
                source->taken[back.n_blocks++] = block;
        }
        if (back.n_blocks > 0)
                submit(source, &back);
}

static void note_block(BalloonSource *source, uint32_t block) {
        for (size_t i = 0; i < source->n_taken; i++)
                if (source->taken[i] == block)
                        return;
        if (source->n_taken < BALLOON_STEP_BLOCKS)
                source->taken[source->n_taken++] = block;
}

static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        BalloonSource *source = userdata;

        if (!job || !source->busy || job->id != source->job)
                return;
        if (event == QUEUE_BLOCK_CHANGED && source->job_kind == DEMAND_UNPLUG)
                note_block(source, block);
        if (event != QUEUE_JOB_ENDED)
                return;
        source->busy = false;
        if (job->state != JOB_DONE)
                note_tried(source, source->job_kind, source->job_sequence, job->reason);
        if (job->removed_bytes > 0 && source->job_kind == DEMAND_UNPLUG)
                give_taken(source);
        look_soon(source);
}

int balloon_source_new(BalloonSource **ret, sd_event *event, Queue *queue, const BalloonDevice *device,
                       int fd, BalloonCallback callback, void *userdata) {
        CLEANUP(balloon_source_freep) BalloonSource *source = calloc(1, sizeof(*source));
        int r;

        if (!source) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        source->fd = fd;
        source->device = device;
        source->queue = queue;
        source->callback = callback;
        source->userdata = userdata;
        r = device->state(fd, &source->state);
        if (r < 0 && r != -ENODEV) /* without a device yet: it may come */
                return r;
        r = queue_observe(queue, on_job, source, &source->slot);
        if (r >= 0)
                r = sd_event_add_defer(event, &source->look, on_look, source);
        if (r >= 0)
                r = sd_event_add_io(event, &source->io, fd, EPOLLIN, on_readable, source);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(source);
        return 0;
}

BalloonSource *balloon_source_free(BalloonSource *source) {
        if (!source)
                return NULL;
        (void) sd_event_source_disable_unref(source->io);
        (void) sd_event_source_disable_unref(source->look);
        (void) queue_slot_free(source->slot);
        (void) close_fd(source->fd); /* the driver is alone again */
        free(source->why);
        free(source);
        return NULL;
}

bool balloon_source_active(const BalloonSource *source) {
        return source->error >= 0;
}

const char *balloon_source_reason(const BalloonSource *source) {
        return source->reason[0] ? source->reason : NULL;
}
