/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the balloon's source share. Nobody else includes it. */
#pragma once

#include "request/lender.h"
#include "source/balloon.h"

struct BalloonSource {
        int fd;
        const BalloonDevice *device;
        Queue *queue;
        QueueSlot *slot;
        QueueLender lender;
        sd_event_source *io, *look; /* look: deferred, the next step */
        BalloonCallback callback;
        void *userdata;
        struct memunplug_balloon_state state;
        int error;             /* of the last look at the state, or 0 */
        uint64_t block_size;
        uint64_t floor;        /* that the driver was told, or 0 */
        BalloonTried tried;
        bool busy;             /* a job of ours is under way */
        uint32_t job;
        DemandKind job_kind;
        bool job_empty;        /* it takes blocks with next to nothing in use only */
        uint64_t job_sequence; /* of the target that it is for */
        uint32_t taken[BALLOON_STEP_BLOCKS];
        size_t n_taken;
        bool need_refused;     /* no block came back in need: again when a job ends */
        bool yields;           /* others are at it: nothing is taken meanwhile */
        bool no_more;          /* blocks that were to come back for them did not */
        char *why;             /* what the last demand that did not get everything was told; or NULL */
        char reason[512];      /* "": none */
};

/* balloon.c */
int balloon_read_state(BalloonSource *source);
void balloon_set_why(BalloonSource *source, const char *text);
void balloon_look_soon(BalloonSource *source);
void balloon_submit(BalloonSource *source, Demand *demand);
/* The blocks that the host has, lowest first, but those of one device (or NULL). *ret: to be freed. */
int balloon_given_blocks(const BalloonSource *source, const char *but, uint32_t **ret, uint32_t *ret_n);
/* The lowest of them are to come back: at least so many bytes. -ENOENT: there are none. */
int balloon_submit_return(BalloonSource *source, const char *but, uint64_t bytes);

/* balloon-lend.c */
void balloon_lend_begin(BalloonSource *source);
/* Jobs have come, gone or changed. */
void balloon_lend_look(BalloonSource *source);
