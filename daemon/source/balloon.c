/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leads the balloon: one step at a time, each a demand like any other's, with a look at the target between
 * them. It decides nothing about memory. */
#include "source/balloon-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/log.h"

#define MIB (UINT64_C(1024) * 1024)

DEFINE_CLEANUP(BalloonSource *, balloon_source_free)

static const char *shortage_text(const BalloonSource *source) {
        if (source->yields)
                return "it waits until what others asked for is done";
        switch (source->state.shortage) {
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
        const char *shortage = shortage_text(source);
        char *s = source->reason, before[sizeof(source->reason)];
        size_t size = sizeof(source->reason);

        (void) memcpy(before, s, size);
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
        if (strcmp(s, before) != 0)
                queue_health_changed(source->queue);
}

void balloon_set_why(BalloonSource *source, const char *text) {
        free(source->why);
        source->why = text ? strdup(text) : NULL; /* without memory: no reason */
}

void balloon_look_soon(BalloonSource *source) {
        (void) sd_event_source_set_enabled(source->look, SD_EVENT_ONESHOT);
}

/* A demand did not bring what it was for: the rest of this target is done another way. */
static void note_tried(BalloonSource *source, DemandKind kind, uint64_t sequence, const char *why) {
        if (kind == DEMAND_UNPLUG && source->job_empty) {
                source->tried.empty = sequence;
                return;
        }
        if (kind == DEMAND_UNPLUG)
                source->tried.take = sequence;
        else
                source->tried.give_back = sequence;
        balloon_set_why(source, why ? why : "nothing was said");
}

void balloon_submit(BalloonSource *source, Demand *demand) {
        CLEANUP(freep) char *reason = NULL;
        uint64_t sequence = source->state.sequence;
        QueueAnswer answer;
        int r;

        demand->source = SOURCE_BALLOON;
        demand->allow_partial = true;
        source->job_empty = demand->most_used_bytes > 0;
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
                log_full(source->job_empty ? LOG_DEBUG : LOG_INFO, 0, NULL, "The balloon gets no blocks: %s",
                         reason ? reason : "refused");
                note_tried(source, demand->kind, sequence, reason);
                return;
        }
        source->busy = true;
        source->job = answer.job->id;
        source->job_kind = demand->kind;
        source->job_sequence = sequence;
        source->n_taken = 0;
}

int balloon_given_blocks(const BalloonSource *source, const char *but, uint32_t **ret, uint32_t *ret_n) {
        CLEANUP(freep) uint64_t *addresses = calloc(DEMAND_BLOCKS_MAX, sizeof(*addresses));
        CLEANUP(freep) uint32_t *blocks = calloc(DEMAND_BLOCKS_MAX, sizeof(*blocks));
        const BlockTable *table;
        uint32_t n, kept = 0;
        int r;

        if (!addresses || !blocks)
                return -ENOMEM;
        r = source->device->blocks(source->fd, addresses, DEMAND_BLOCKS_MAX, &n);
        if (r >= 0)
                r = queue_blocks(source->queue, &table, /* ret_policy= */ NULL);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < n && i < DEMAND_BLOCKS_MAX; i++) {
                uint32_t index = (uint32_t) (addresses[i] / table->block_size);
                const Block *block = but ? block_table_find(table, index) : NULL;
                const char *name = block ? block_device_name(table, block) : NULL;

                if (!name || strcmp(name, but) != 0)
                        blocks[kept++] = index;
        }
        *ret = STEAL_PTR(blocks);
        *ret_n = kept;
        return 0;
}

int balloon_submit_return(BalloonSource *source, const char *but, uint64_t bytes) {
        uint64_t max = (bytes + source->block_size - 1) / source->block_size;
        Demand demand = { .kind = DEMAND_REPLUG };
        CLEANUP(freep) uint32_t *blocks = NULL;
        uint32_t n;
        int r;

        r = balloon_given_blocks(source, but, &blocks, &n);
        if (r < 0)
                return r;
        demand.blocks = blocks;
        demand.n_blocks = n < max ? n : (size_t) max;
        if (demand.n_blocks > 0)
                balloon_submit(source, &demand);
        return demand.n_blocks > 0 ? 0 : -ENOENT;
}

static int take_step(BalloonSource *source, const BalloonStep *step) {
        Demand demand = {
                .kind = DEMAND_UNPLUG,
                .size_bytes = step->bytes,
                .most_used_bytes = step->most_used,
        };
        uint64_t none = 0;
        int r = 0;

        switch (step->kind) {
        case BALLOON_STEP_REST:
                break;
        case BALLOON_STEP_TAKE:
                if (step->most_used == 0)
                        (void) source->device->release(source->fd, 0, 0, &none); /* one taker at a time */
                balloon_submit(source, &demand);
                break;
        case BALLOON_STEP_RETURN:
                r = balloon_submit_return(source, /* but= */ NULL, step->bytes);
                break;
        case BALLOON_STEP_PIECES:
        case BALLOON_STEP_PAGES:
                r = source->device->pages(source->fd, source->state.sequence,
                                          step->kind == BALLOON_STEP_PIECES);
                if (step->kind == BALLOON_STEP_PIECES)
                        source->tried.pieces = source->state.sequence;
                else
                        source->tried.pages = source->state.sequence;
                break;
        }
        if (r == -ESTALE)
                return 0; /* there is another target: poll says so */
        if (r < 0 && step->kind == BALLOON_STEP_RETURN)
                note_tried(source, DEMAND_REPLUG, source->state.sequence, strerror(-r));
        return r;
}

/* What the administrator wants to stay available holds for the driver's pages, too, and without a leader. */
static void tell_floor(BalloonSource *source, const GuardPolicy *policy) {
        uint64_t floor = policy->keep_free_bytes == UINT64_MAX ? 0 : policy->keep_free_bytes;
        int r;

        if (source->floor == floor)
                return;
        r = source->device->floor(source->fd, floor);
        if (r == -ENODEV) /* it has just gone; the next one is told */
                return;
        if (r < 0)
                (void) log_warning_errno(r, "The balloon's driver does not keep to KeepFreeBytes=: %s",
                                         strerror(-r));
        source->floor = floor;
}

int balloon_read_state(BalloonSource *source) {
        const GuardPolicy *policy;
        const BlockTable *table;
        int r = source->device->state(source->fd, &source->state);

        if (r >= 0) {
                r = queue_blocks(source->queue, &table, &policy);
                if (r >= 0) {
                        source->block_size = table->block_size;
                        tell_floor(source, policy);
                }
        }
        if (r < 0) { /* another device counts anew */
                source->state = (struct memunplug_balloon_state) {};
                source->tried = (BalloonTried) {};
                source->floor = UINT64_MAX;
                balloon_set_why(source, NULL);
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

        if (balloon_read_state(source) >= 0 && source->block_size > 0) {
                if (source->state.held == source->state.target)
                        balloon_set_why(source, NULL);
                if (source->busy)
                        look_at_job(source);
                else {
                        step = balloon_next_step(&source->state, source->block_size, &source->tried);
                        source->tried.needs = source->state.needs;
                        if (!source->yields || step.kind == BALLOON_STEP_RETURN)
                                (void) take_step(source, &step);
                        if (step.need)
                                source->need_refused = !source->busy;
                }
        }
        update_reason(source);
        /* What was tried in vain is followed by another way at once. */
        if (memcmp(&before, &source->tried, sizeof(before)) != 0)
                balloon_look_soon(source);
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
                balloon_submit(source, &back);
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

        if (event != QUEUE_BLOCK_CHANGED)
                balloon_lend_look(source);
        if (event == QUEUE_JOB_ENDED && source->need_refused) { /* it may have been in the way */
                source->need_refused = false;
                source->tried.needs--;
                balloon_look_soon(source);
        }
        if (!job || !source->busy || job->id != source->job)
                return;
        if (event == QUEUE_BLOCK_CHANGED && source->job_kind == DEMAND_UNPLUG)
                note_block(source, block);
        if (event != QUEUE_JOB_ENDED)
                return;
        source->busy = false;
        if (job->kind == DEMAND_REPLUG && job->state != JOB_DONE)
                source->no_more = true;
        if (job->state != JOB_DONE && !source->yields) /* else it has not been tried in earnest */
                note_tried(source, source->job_kind, source->job_sequence, job->reason);
        if (job->removed_bytes > 0 && source->job_kind == DEMAND_UNPLUG)
                give_taken(source);
        balloon_look_soon(source);
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
        source->floor = UINT64_MAX; /* one that led before may have told another */
        source->device = device;
        source->queue = queue;
        source->callback = callback;
        source->userdata = userdata;
        r = device->state(fd, &source->state);
        if (r < 0 && r != -ENODEV) /* without a device yet: it may come */
                return r;
        source->tried.needs = source->state.needs;
        r = queue_observe(queue, on_job, source, &source->slot);
        if (r >= 0)
                r = sd_event_add_defer(event, &source->look, on_look, source);
        if (r >= 0)
                r = sd_event_add_io(event, &source->io, fd, EPOLLIN, on_readable, source);
        if (r < 0)
                return r;
        balloon_lend_begin(source);
        *ret = STEAL_PTR(source);
        return 0;
}

BalloonSource *balloon_source_free(BalloonSource *source) {
        if (!source)
                return NULL;
        queue_set_lender(source->queue, NULL);
        (void) sd_event_source_disable_unref(source->io);
        (void) sd_event_source_disable_unref(source->look);
        (void) queue_slot_free(source->slot);
        (void) close_fd(source->fd); /* the driver is alone again */
        free(source->why);
        free(source);
        return NULL;
}

void balloon_source_policy_changed(BalloonSource *source) {
        balloon_look_soon(source);
}

bool balloon_source_active(const BalloonSource *source) {
        return source->error >= 0;
}

const char *balloon_source_reason(const BalloonSource *source) {
        return source->reason[0] ? source->reason : NULL;
}
