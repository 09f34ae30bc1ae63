/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left in blocks after an evacuation, and what to say of it. */
#pragma once

#include "engine/engine.h"
#include "engine/owners.h"
#include "request/job.h"

typedef struct Obstacle {
        bool known;               /* false: the engine cannot look into blocks */
        uint64_t used_bytes;
        uint64_t unmovable_bytes;
        uint64_t locked_bytes;    /* movable, but locked now */
        uint64_t writeback_bytes; /* movable, but being written now */
        uint64_t class_bytes[16]; /* by MEMUNPLUG_CLASS_* */
        uint64_t pages;           /* in the way */
        size_t n_blocks;          /* that still hold something in the way */
        JobBlocker *blockers;     /* the first JOB_BLOCKERS_MAX of them; owned */
        size_t n_blockers;
} Obstacle;

/* Looks at every block; *keep[i] (if keep is given) tells whether block i has nothing in the way. */
int obstacle_look(Engine *engine, const BlockTable *table, const EngineBlock *blocks, size_t n, bool *keep,
                  Obstacle *ret);
void obstacle_clear(Obstacle *obstacle);

/* Nothing that the kernel could not move by itself while it takes the blocks offline. */
bool obstacle_is_passable(const Obstacle *obstacle);
JobCause obstacle_cause(const Obstacle *obstacle);
/* A sentence with numbers, to be freed; NULL: memory is short. */
char *obstacle_sentence(const Obstacle *obstacle, size_t n_blocks);

/* Names that are known go over to a new list of pages. */
void blockers_keep_names(const JobBlocker *known, size_t n_known, JobBlocker *blockers, size_t n);
/* Writes an answer into those it was asked about; pages come back in the order in which they were asked for.
 */
void blockers_name(JobBlocker *blockers, size_t n, const OwnersReply *reply);
bool blockers_all_named(const JobBlocker *blockers, size_t n);
/* Asks who maps them, at most JOB_BLOCKERS_MAX. As owners_query(). */
int blockers_ask(sd_event *event, const char *socket_path, const JobBlocker *blockers, size_t n,
                 uint64_t timeout_usec, OwnersCallback callback, void *userdata, OwnersQuery **ret);
