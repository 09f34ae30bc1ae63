/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One child process for something that may block in the kernel for as long as it likes, and the records
 * it reports with. Owns the process and its channel; what the process does, and what its records mean, is
 * its owner's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

#define WORKER_AWAIT_USEC UINT64_C(500000) /* how long worker_free() waits for one it killed */
#define WORKER_KEEP_MAX 2U
#define WORKER_RECORD_SIZE 24U

typedef struct Worker Worker;

typedef enum WorkerRecordType {
        WORKER_RECORD_PROGRESS = 1, /* bytes */
        WORKER_RECORD_BLOCK,        /* block, error */
        WORKER_RECORD_END,          /* error, bytes: the last one */
        _WORKER_RECORD_MAX,
} WorkerRecordType;

/* What does not belong to the type is zero. */
typedef struct WorkerRecord {
        WorkerRecordType type;
        uint32_t block;
        int error;      /* negative errno or 0 */
        uint64_t bytes; /* UINT64_MAX: not known */
} WorkerRecord;

typedef enum WorkerFate {
        WORKER_FINISHED, /* the END record came */
        WORKER_DIED,     /* gone without one */
        WORKER_GARBLED,  /* sent what is no record, or what its owner would not take; was killed */
        WORKER_STUCK,    /* killed, and still in the kernel: see worker_set_aside() */
} WorkerFate;

/* on_record: false if the record makes no sense to the owner; then the worker is killed. on_over: the
 * worker has nothing more to say, end is its last record with WORKER_FINISHED; the owner frees it or, if
 * stuck, sets it aside. */
typedef bool (*WorkerRecordHandler)(Worker *worker, const WorkerRecord *record, void *userdata);
typedef void (*WorkerOverHandler)(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata);

/* Runs in the child. Returns the error of the END record, and its bytes. */
typedef int (*WorkerBody)(int channel, const void *task, uint64_t *ret_bytes);
typedef int (*WorkerKill)(int pidfd);

typedef struct WorkerSpec {
        const char *name; /* of the process, at most 15 bytes */
        WorkerBody body;
        const void *task;
        int keep_fds[WORKER_KEEP_MAX]; /* all that stay open, besides 0 to 2; < 0: none */
        WorkerRecordHandler on_record;
        WorkerOverHandler on_over;
        void *userdata;
        WorkerKill kill; /* NULL: the real thing */
} WorkerSpec;

/* Pure: the bytes of one message. -EBADMSG. */
int worker_record_decode(const void *data, size_t n, WorkerRecord *ret);
void worker_record_encode(const WorkerRecord *record, uint8_t ret[WORKER_RECORD_SIZE]);

/* Changes: starts a process, adds sources to the event loop. Handlers are called from the event loop
 * only. */
int worker_start(Worker **ret, sd_event *event, const WorkerSpec *spec);
/* Kills what is left of it and waits for its end, unless it is known to be stuck. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker *, worker_free)

/* Kills the process; on_over follows in any case. Still there after patience_usec, it is stuck. */
void worker_kill(Worker *worker, uint64_t patience_usec);
/* The owner no longer listens: what the worker still reports is dropped, and on_gone (same form) is
 * called once, when the process has ended; the new owner then frees it. */
void worker_set_aside(Worker *worker, WorkerOverHandler on_gone, void *userdata);

/* For bodies. A record that cannot be sent ends the child: nobody is left to hear of it. */
void worker_send(int channel, const WorkerRecord *record);
/* Waits; true: the time is over, false: the parent has gone away. */
bool worker_pause(int channel, uint64_t usec);
