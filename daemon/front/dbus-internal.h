/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the D-Bus front share: dbus.c keeps the connection, dbus-manager.c and dbus-job.c
 * the two kinds of objects, dbus-call.c every method call from its arguments to its reply. */
#pragma once

#include <json-c/json.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "front/dbus.h"
#include "front/logind.h"
#include "util/cleanup.h"

#define DBUS_NAME "org.memunplug1"
#define DBUS_PATH "/org/memunplug1"
#define DBUS_JOB_PREFIX "/org/memunplug1/job"
#define DBUS_MANAGER_INTERFACE "org.memunplug1.Manager"
#define DBUS_JOB_INTERFACE "org.memunplug1.Job"

#define DBUS_CALLS_PER_SENDER_MAX 8U   /* calls of one sender that are not answered yet */
#define DBUS_CALLS_MAX 64U             /* and of all */
#define DBUS_CHANGES_USEC 250000ULL    /* between two PropertiesChanged of one object */

typedef struct DBusCall DBusCall;
typedef struct DBusJob DBusJob;

struct DBusFront {
        const OperationContext *context;
        void (*ready)(void *userdata);
        void *userdata;

        sd_bus *bus;
        sd_event_source *retry;
        uint64_t retry_usec;           /* what the next retry waits */
        bool name_owned;
        Logind *logind;                /* on this connection */

        QueueSlot *observer;
        LIST_HEAD(, DBusJob) jobs;     /* one for each job that has not ended */
        LIST_HEAD(, DBusCall) calls;   /* newest first */
        size_t n_calls;

        json_object *status;           /* reply of GetStatus, for the properties */
        uint64_t status_at;
        sd_event_source *memory_timer; /* a change of OnlineBytes that is not told yet */
        uint64_t memory_told_at;
        bool health_changed;           /* and not told yet: with the next */
};

/* Sends the reply to a call. reply: the parameters that the operation gave; for a call started with many
 * an array of all of them. */
typedef int (*DBusEncoder)(sd_bus_message *message, json_object *reply);

/* Runs an operation for a method call: authorizes, runs, answers. Takes parameters (NULL: memory is short).
 * many: the operation streams, and the replies are collected. For method handlers to return from. */
int dbus_call_start(DBusFront *front, sd_bus_message *message, OperationId id, json_object *parameters,
                    DBusEncoder encoder, bool many);
DBusCall *dbus_call_free(DBusCall *call); /* without an answer */

/* Reads "tatsa{sv}" into the parameters of Plan, Unplug or Replug. Error with the name set: what the caller
 * did wrong. */
int dbus_decode_demand(sd_bus_message *message, OperationId operation, json_object **ret,
                       sd_bus_error *error);

/* An error as the operation table names it: "org.memunplug.NoSuchJob" is "org.memunplug1.NoSuchJob" here. */
int dbus_encode_error(sd_bus_message *message, const char *name, json_object *parameters);

int dbus_encode_nothing(sd_bus_message *message, json_object *reply);
int dbus_encode_text(sd_bus_message *message, json_object *reply);
int dbus_encode_job(sd_bus_message *message, json_object *reply);      /* "uo" */
int dbus_encode_job_text(sd_bus_message *message, json_object *reply);
int dbus_encode_jobs(sd_bus_message *message, json_object *reply);     /* "a(usso)", of many */
int dbus_encode_blocks(sd_bus_message *message, json_object *reply);   /* text, of many */
int dbus_encode_devices(sd_bus_message *message, json_object *reply);

int dbus_manager_attach(DBusFront *front);
/* The blocks that are online are not the same any more. */
void dbus_manager_memory_changed(DBusFront *front);
void dbus_manager_health_changed(DBusFront *front); /* what the service says is not well */

#define DBUS_JOB_PATH_SIZE sizeof(DBUS_JOB_PREFIX "/_4294967295")
char *dbus_job_path(uint32_t id, char buffer[static DBUS_JOB_PATH_SIZE]);
int dbus_job_attach(DBusFront *front);
/* Makes, tells of and removes job objects as the queue says. */
void dbus_job_observe(QueueEvent event, const Job *job, uint32_t block, void *userdata);
DBusJob *dbus_job_free(DBusJob *object);

int dbus_log_attach(DBusFront *front);
