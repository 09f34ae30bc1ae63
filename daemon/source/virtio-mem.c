/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches devices that have more than is requested, and only those: nothing tells when a page is let go, so
 * they are looked at again and again, with a pause that what a look costs is little against; a few of the
 * pages in the way, which costs nothing, four times a second: when one is let go it is time for a look. A
 * driver that could not give back enough tries again after 50 seconds at first, later after five minutes.
 * When something could go it is told to try at once. If that is of no use, what could go is emptied and
 * taken offline by a job: a driver takes what is offline before all else, and with unplug_online=N nothing
 * but that. */
#include "source/virtio-mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/owners.h"
#include "source/shortage.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define SECOND UINT64_C(1000000)
#define LOOK_FIRST_USEC (SECOND / 4)
#define LOOK_LAST_USEC (2 * SECOND)
#define PROBES 4U                      /* pages */
#define LOOK_SHARE 20U                 /* a pause is at least so many times what a look took */
#define SETTLED_USEC SECOND            /* a driver that has not got on for so long has given up */
#define IDLE_USEC (5 * SECOND)         /* and for so long, is not in the midst of something either */
#define TAKE_USEC (5 * SECOND)         /* in which it takes what is offline for it, or never does */
#define TRY_FIRST_USEC (3 * SECOND)    /* between attempts that were of no use; doubles */
#define TRY_LAST_USEC (60 * SECOND)
#define NAMES_USEC (5 * SECOND)        /* between questions who has the pages */

typedef struct Unmet {
        VirtioMemSource *source;
        char name[DEVICE_NAME_SIZE];
        Shortage shortage;
        uint64_t block_size;
        uint64_t since;        /* usec, CLOCK_MONOTONIC, like all times here */
        uint64_t changed_at;   /* what is plugged or requested */
        uint64_t tried_at;
        uint64_t try_pause;
        uint64_t tried_clear;  /* what was clear then */
        bool tried_driver;     /* it was told, and may have got no further */
        uint64_t named_at;
        OwnersQuery *naming;
        uint32_t job;          /* that empties blocks for it, or 0 */
        uint32_t *taken;       /* offline for its driver to take; owned */
        size_t n_taken;
        bool told;             /* the log has it */
} Unmet;

struct VirtioMemSource {
        sd_event *event;
        Engine *engine;
        Queue *queue;
        const char *owners_socket;
        QueueSlot *slot;
        sd_event_source *timer;
        uint64_t pause;
        uint64_t look_at;      /* when the next look is due */
        Unmet *unmet[VIRTIO_MEM_DEVICES_MAX];
        size_t n_unmet;
};

DEFINE_CLEANUP(VirtioMemSource *, virtio_mem_source_free)

static uint64_t now_usec(void) {
        return clock_now_usec(CLOCK_MONOTONIC);
}

static Unmet *unmet_free(Unmet *unmet) {
        if (!unmet)
                return NULL;
        (void) owners_query_free(unmet->naming);
        shortage_clear(&unmet->shortage);
        free(unmet->taken);
        free(unmet);
        return NULL;
}

static Unmet *find_unmet(const VirtioMemSource *source, const char *device) {
        for (size_t i = 0; i < source->n_unmet; i++)
                if (strcmp(source->unmet[i]->name, device) == 0)
                        return source->unmet[i];
        return NULL;
}

static void look_in(VirtioMemSource *source, uint64_t usec) {
        int r;

        source->look_at = now_usec() + usec;
        r = sd_event_source_set_time_relative(source->timer,
                                              usec < LOOK_FIRST_USEC ? usec : LOOK_FIRST_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(source->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to set the timer for virtio-mem devices, ignoring: %s",
                                         strerror(-r));
}

static void look_soon(VirtioMemSource *source) {
        source->pause = LOOK_FIRST_USEC;
        look_in(source, LOOK_FIRST_USEC);
}

/* ---- what stands in the way ---- */

static void on_owners(int error, const OwnersReply *reply, void *userdata) {
        Unmet *unmet = userdata;
        Obstacle *obstacle = &unmet->shortage.obstacle;

        if (error == 0)
                blockers_name(obstacle->blockers, obstacle->n_blockers, reply);
        queue_health_changed(unmet->source->queue);
        unmet->naming = owners_query_free(unmet->naming); /* the reply was part of it */
}

static void ask_owners(Unmet *unmet, uint64_t now) {
        const Obstacle *obstacle = &unmet->shortage.obstacle;

        if (!unmet->source->owners_socket || unmet->naming || obstacle->n_blockers == 0 ||
            blockers_all_named(obstacle->blockers, obstacle->n_blockers) ||
            (unmet->named_at > 0 && now - unmet->named_at < NAMES_USEC))
                return;
        unmet->named_at = now;
        (void) blockers_ask(unmet->source->event, unmet->source->owners_socket, obstacle->blockers,
                            obstacle->n_blockers, OWNERS_TIMEOUT_USEC, on_owners, unmet,
                            &unmet->naming); /* without an answer the classes and counts must do */
}

/* What was tried before was tried with something else. */
static void start_anew(Unmet *unmet) {
        unmet->try_pause = 0;
        unmet->tried_clear = 0;
        unmet->tried_driver = false;
}

/* Takes shortage. */
static void note_shortage(Unmet *unmet, Shortage *shortage, uint64_t now) {
        const Obstacle *before = &unmet->shortage.obstacle;
        bool changed;

        blockers_keep_names(before->blockers, before->n_blockers, shortage->obstacle.blockers,
                            shortage->obstacle.n_blockers);
        if (shortage->plugged_bytes != unmet->shortage.plugged_bytes ||
            shortage->requested_bytes != unmet->shortage.requested_bytes) {
                unmet->changed_at = now;
                start_anew(unmet);
        }
        /* What goes on counting (time) is no change. */
        changed = shortage->plugged_bytes != unmet->shortage.plugged_bytes ||
                  shortage->requested_bytes != unmet->shortage.requested_bytes ||
                  shortage->obstacle.pages != before->pages ||
                  shortage->obstacle.unmovable_bytes != before->unmovable_bytes;
        shortage_clear(&unmet->shortage);
        unmet->shortage = *shortage;
        *shortage = (Shortage) {};
        if (changed)
                queue_health_changed(unmet->source->queue);
}

static void report(Unmet *unmet, uint64_t now) {
        CLEANUP(freep) char *text = NULL;

        if (unmet->told)
                return;
        text = shortage_sentence(&unmet->shortage, unmet->block_size, now - unmet->since);
        if (text)
                log_notice("%s: %s.", unmet->name, text);
        unmet->told = true;
}

/* ---- help ---- */

/* Blocks that are offline for a driver that did not take them come back. */
static void give_back(Unmet *unmet, const BlockTable *table) {
        Demand demand = { .kind = DEMAND_REPLUG, .source = SOURCE_VIRTIO_MEM, .blocks = unmet->taken };
        CLEANUP(freep) char *reason = NULL;
        QueueAnswer answer = {};

        for (size_t i = 0; i < unmet->n_taken; i++) {
                const Block *block = block_table_find(table, unmet->taken[i]);

                if (block && block->state == BLOCK_OFFLINE)
                        unmet->taken[demand.n_blocks++] = unmet->taken[i];
        }
        unmet->n_taken = 0;
        if (demand.n_blocks == 0)
                return;
        (void) memcpy(demand.caller, unmet->name, sizeof(demand.caller) - 1);
        if (queue_submit(unmet->source->queue, &demand, &answer) >= 0)
                reason = answer.reason; /* what it says is in the log */
}

static void tell_driver(Unmet *unmet) {
        int r = engine_retry_virtio_mem(unmet->source->engine, unmet->name);

        if (r < 0)
                (void) log_warning_errno(r, "The driver of %s cannot be told that memory could go: %s",
                                         unmet->name, strerror(-r));
        else
                log_info("Told the driver of %s that memory could go.", unmet->name);
        look_soon(unmet->source);
}

static void submit(Unmet *unmet) {
        Demand demand = { .kind = DEMAND_UNPLUG, .source = SOURCE_VIRTIO_MEM, .allow_partial = true };
        CLEANUP(freep) char *reason = NULL;
        QueueAnswer answer = {};
        int r;

        (void) memcpy(demand.caller, unmet->name, sizeof(demand.caller) - 1);
        free(unmet->taken);
        unmet->taken = demand.blocks = STEAL_PTR(unmet->shortage.ready);
        demand.n_blocks = unmet->shortage.n_ready < DEMAND_BLOCKS_MAX ? unmet->shortage.n_ready
                                                                      : DEMAND_BLOCKS_MAX;
        unmet->shortage.n_ready = 0;
        unmet->n_taken = demand.n_blocks;
        r = queue_submit(unmet->source->queue, &demand, &answer);
        reason = answer.reason;
        if (r >= 0 && answer.cause == CAUSE_NONE) {
                unmet->job = answer.job->id;
                return;
        }
        unmet->n_taken = 0;
        tell_driver(unmet); /* it may get further by itself */
}

/* Is there something that could go, and was not tried in vain a moment ago? */
static bool is_worth_a_try(const Unmet *unmet, uint64_t now) {
        const Shortage *shortage = &unmet->shortage;

        if (shortage->clear_bytes == 0 || now - unmet->changed_at < SETTLED_USEC)
                return false;
        return shortage->clear_bytes > unmet->tried_clear || now - unmet->tried_at >= unmet->try_pause;
}

static uint64_t next_pause(uint64_t pause) {
        if (pause == 0)
                return TRY_FIRST_USEC;
        return pause * 2 < TRY_LAST_USEC ? pause * 2 : TRY_LAST_USEC;
}

static void help(Unmet *unmet, const BlockTable *table, uint64_t now) {
        if (unmet->job != 0)
                return;
        if (unmet->n_taken > 0 && now - unmet->tried_at >= TAKE_USEC)
                give_back(unmet, table);
        if (unmet->n_taken > 0 || !is_worth_a_try(unmet, now))
                return;
        if (unmet->shortage.clear_bytes > unmet->tried_clear)
                start_anew(unmet);
        unmet->tried_at = now;
        unmet->tried_clear = unmet->shortage.clear_bytes;
        unmet->try_pause = next_pause(unmet->try_pause);
        if (unmet->tried_driver && unmet->shortage.n_ready > 0 && now - unmet->changed_at >= IDLE_USEC)
                submit(unmet);
        else
                tell_driver(unmet); /* perhaps once more, for less than a block */
        unmet->tried_driver = true;
}

static void on_job(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        VirtioMemSource *source = userdata;

        if (event != QUEUE_JOB_ENDED || job->source != SOURCE_VIRTIO_MEM)
                return;
        for (size_t i = 0; i < source->n_unmet; i++) {
                Unmet *unmet = source->unmet[i];

                if (unmet->job != job->id)
                        continue;
                unmet->job = 0;
                unmet->tried_at = now_usec();
                if (job->removed_blocks == 0 || job->state == JOB_FAILED || job->state == JOB_CANCELLED)
                        unmet->n_taken = 0; /* they are back */
                if (job->state != JOB_CANCELLED) {
                        tell_driver(unmet);
                        continue;
                }
                unmet->tried_clear = UINT64_MAX; /* not at once again */
                unmet->try_pause = TRY_LAST_USEC;
        }
}

/* ---- looking ---- */

static Unmet *add_unmet(VirtioMemSource *source, const char *name, uint64_t now) {
        Unmet *unmet;

        if (source->n_unmet >= VIRTIO_MEM_DEVICES_MAX)
                return NULL;
        unmet = calloc(1, sizeof(*unmet));
        if (!unmet)
                return NULL;
        unmet->source = source;
        unmet->since = unmet->changed_at = now;
        (void) memcpy(unmet->name, name, sizeof(unmet->name));
        source->unmet[source->n_unmet++] = unmet;
        return unmet;
}

static void forget_unmet(VirtioMemSource *source, size_t i, const BlockTable *table, uint64_t now) {
        Unmet *unmet = source->unmet[i];

        if (unmet->told)
                log_info("%s: what was requested is met after %" PRIu64 " s.", unmet->name,
                         (now - unmet->since) / SECOND);
        give_back(unmet, table);
        (void) unmet_free(unmet);
        source->unmet[i] = source->unmet[--source->n_unmet];
        queue_health_changed(source->queue);
}

static bool is_unmet(const Device *device) {
        return device && device->target_known && device->requested_bytes < device->plugged_bytes;
}

static void look_at_device(VirtioMemSource *source, const BlockTable *table, const GuardPolicy *policy,
                           const Device *device, uint64_t now) {
        CLEANUP(shortage_clear) Shortage shortage = {};
        Unmet *unmet = find_unmet(source, device->name);
        int r;

        if (!unmet)
                unmet = add_unmet(source, device->name, now);
        if (!unmet)
                return;
        /* While its driver gets on nothing is done for it: what could be is of no interest yet. */
        r = shortage_look(source->engine, table, policy, device, now - unmet->changed_at >= SETTLED_USEC,
                          &shortage);
        if (r < 0) {
                (void) log_debug_errno(r, "Cannot look into the blocks of %s: %m", device->name);
                return;
        }
        unmet->block_size = table->block_size;
        note_shortage(unmet, &shortage, now);
        ask_owners(unmet, now);
        if (now - unmet->changed_at >= SETTLED_USEC)
                report(unmet, now);
        help(unmet, table, now);
}

/* What a demand does may make the table anew: it is asked for each time. */
static int look(VirtioMemSource *source) {
        const GuardPolicy *policy;
        const BlockTable *table;
        uint64_t now = now_usec();
        int r = 0;

        queue_invalidate_table(source->queue);
        for (size_t i = 0; i < source->n_unmet;) {
                r = queue_blocks(source->queue, &table, &policy);
                if (r < 0)
                        return r;
                if (is_unmet(block_table_find_device(table, source->unmet[i]->name)))
                        i++;
                else
                        forget_unmet(source, i, table, now);
        }
        for (size_t i = 0;; i++) {
                r = queue_blocks(source->queue, &table, &policy);
                if (r < 0 || i >= table->n_devices)
                        return r;
                if (is_unmet(&table->devices[i]))
                        look_at_device(source, table, policy, &table->devices[i], now);
        }
}

static void look_and_go_on(VirtioMemSource *source) {
        uint64_t began = clock_now_usec(CLOCK_THREAD_CPUTIME_ID), pause;
        int r;

        source->pause = source->pause * 2 < LOOK_LAST_USEC ? source->pause * 2 : LOOK_LAST_USEC;
        r = look(source);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot look at virtio-mem devices, ignoring: %s", strerror(-r));
        pause = LOOK_SHARE * (clock_now_usec(CLOCK_THREAD_CPUTIME_ID) - began);
        if (source->n_unmet > 0)
                look_in(source, pause > source->pause ? pause : source->pause);
}

static bool is_let_go(const Unmet *unmet) {
        const Obstacle *obstacle = &unmet->shortage.obstacle;

        for (size_t i = 0; i < PROBES && obstacle->n_blockers > 0; i++) {
                const JobBlocker *blocker = &obstacle->blockers[i * obstacle->n_blockers / PROBES];

                if (engine_survey_page(unmet->source->engine, blocker->address) == 0)
                        return true;
        }
        return false;
}

static bool any_let_go(const VirtioMemSource *source) {
        for (size_t i = 0; i < source->n_unmet; i++)
                if (is_let_go(source->unmet[i]))
                        return true;
        return false;
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *userdata) {
        VirtioMemSource *source = userdata;
        uint64_t now = now_usec();

        if (now < source->look_at && !any_let_go(source))
                look_in(source, source->look_at - now);
        else
                look_and_go_on(source);
        return 0;
}

void virtio_mem_source_notified(VirtioMemSource *source) {
        source->pause = LOOK_FIRST_USEC / 2;
        look_and_go_on(source);
}

void virtio_mem_source_blocks_changed(VirtioMemSource *source) {
        if (source->n_unmet > 0 && source->pause > LOOK_FIRST_USEC)
                look_soon(source);
}

char *virtio_mem_source_note(const VirtioMemSource *source, const char *device) {
        const Unmet *unmet = find_unmet(source, device);

        return unmet ? shortage_sentence(&unmet->shortage, unmet->block_size, now_usec() - unmet->since)
                     : NULL;
}

int virtio_mem_source_new(VirtioMemSource **ret, sd_event *event, Engine *engine, Queue *queue,
                          const char *owners_socket) {
        CLEANUP(virtio_mem_source_freep) VirtioMemSource *source = NULL;
        int r;

        if (engine_kind(engine) != ENGINE_KMOD)
                return -EOPNOTSUPP;
        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;
        source->event = sd_event_ref(event);
        source->engine = engine;
        source->queue = queue;
        source->owners_socket = owners_socket;
        source->pause = LOOK_FIRST_USEC / 2;
        r = queue_observe(queue, on_job, source, &source->slot);
        if (r >= 0) /* the first look is what makes the module announce changes */
                r = sd_event_add_time_relative(event, &source->timer, CLOCK_MONOTONIC, 0, 10000, on_timer,
                                               source);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(source);
        return 0;
}

VirtioMemSource *virtio_mem_source_free(VirtioMemSource *source) {
        if (!source)
                return NULL;
        (void) sd_event_source_disable_unref(source->timer);
        (void) queue_slot_free(source->slot);
        for (size_t i = 0; i < source->n_unmet; i++)
                (void) unmet_free(source->unmet[i]);
        (void) sd_event_unref(source->event);
        free(source);
        return NULL;
}
