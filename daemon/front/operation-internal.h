/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the operations share: operation.c has the table and the way of a call through it,
 * operation-arguments.c what callers may say, the others each a group of operations. */
#pragma once

#include "engine/owners.h"
#include "front/operation.h"
#include "util/cleanup.h"

#define ERROR_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define ERROR_EXPECTED_MORE "org.varlink.service.ExpectedMore"
#define ERROR_NO_SUCH_BLOCK "org.memunplug.NoSuchBlock"
#define ERROR_NO_SUCH_DEVICE "org.memunplug.NoSuchDevice"
#define ERROR_NO_SUCH_NODE "org.memunplug.NoSuchNode"
#define ERROR_NO_SUCH_JOB "org.memunplug.NoSuchJob"
#define ERROR_NOTHING_REMOVABLE "org.memunplug.NothingRemovable"
#define ERROR_REFUSED "org.memunplug.Refused"
#define ERROR_BUSY "org.memunplug.Busy"
#define ERROR_FAILED "org.memunplug.Failed"

/* Above this, readers that have only floating point numbers lose digits. */
#define OPERATION_BYTES_MAX ((1ULL << 53) - 1)

#define OPERATION_PROGRESS_USEC 100000ULL   /* between two replies about the same job's progress */
#define OPERATION_BLOCKS_USEC 250000ULL     /* in which changes of blocks are gathered: reading takes time */
#define OPERATION_BLOCKERS_MAX 32U          /* pages named in one answer */

/* What a caller said, checked. */
typedef struct OperationArguments {
        Demand demand;           /* Plan, Unplug, Replug; source and caller are for operation_run() */
        bool has_id;
        uint32_t id;             /* Cancel, Confirm, ListJobs */
        uint32_t block;          /* Explain */
} OperationArguments;

/* -EINVAL: *ret_parameter is the one to blame, valid as long as parameters. -ENOMEM. */
int operation_arguments_parse(OperationId id, json_object *parameters, OperationArguments *ret,
                              const char **ret_parameter);
void operation_arguments_clear(OperationArguments *arguments);

typedef struct JobWatch JobWatch; /* operation-stream.h */

struct OperationCall {
        const OperationContext *context;
        OperationSink sink;
        bool over;               /* the last answer was given, or cannot be */
        void (*resume)(OperationCall *call);

        json_object *held;       /* not sent yet: an item of a list that may be the last; Explain's answer */
        OwnersQuery *naming;     /* Explain: who has the pages */

        /* Lists */
        OperationId list;
        uint64_t position;       /* where the next item is */

        /* Streams of jobs */
        QueueSlot *observer;
        sd_event_source *timer;
        JobWatch *watches;
        size_t n_watches;

        /* Monitor */
        uint32_t *blocks;        /* changed, not told yet; may repeat */
        size_t n_blocks, size_blocks;
        uint64_t blocks_at;      /* when they are to be told */
        uint64_t health_at, health_told_at; /* when to tell it, or UINT64_MAX; when that was done */
        Device *devices;         /* as they were told */
        size_t n_devices;
};

/* Answers. Each takes parameters; NULL for them means that memory is short, which is answered instead. After
 * a last one the call may be gone. */
int operation_answer(OperationCall *call, json_object *parameters);
int operation_answer_part(OperationCall *call, json_object *parameters);
int operation_answer_empty(OperationCall *call);
int operation_answer_error(OperationCall *call, const char *name, json_object *parameters);
int operation_answer_error_text(OperationCall *call, const char *name, const char *key, const char *value);
int operation_answer_error_number(OperationCall *call, const char *name, const char *key, uint32_t value);
/* Failed, with the text of a negative errno behind what. */
int operation_answer_failure(OperationCall *call, int error, const char *what);
/* An object with one member, which is taken; NULL if it is NULL. */
json_object *operation_wrap(const char *key, json_object *value);
json_object *operation_device(const OperationContext *context, const BlockTable *table, const Device *device,
                              const GuardPolicy *policy); /* with what its source says as the reason */
bool operation_sink_is_full(const OperationCall *call);

/* The groups. Each answers, or leaves the call open; a negative errno: no answer could be given. */
int operation_get_status(OperationCall *call);
int operation_explain(OperationCall *call, const OperationArguments *arguments);
int operation_plan(OperationCall *call, const OperationArguments *arguments);
int operation_submit(OperationCall *call, const OperationArguments *arguments, bool more);
int operation_cancel(OperationCall *call, const OperationArguments *arguments);
int operation_confirm(OperationCall *call, const OperationArguments *arguments);
int operation_list(OperationCall *call, OperationId list);
int operation_list_job(OperationCall *call, const OperationArguments *arguments);
int operation_monitor(OperationCall *call);
int operation_diagnose(OperationCall *call);

/* Tells each change of one job until it has ended. */
int operation_follow(OperationCall *call, const Job *job);
