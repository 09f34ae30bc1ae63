/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the Varlink server share: varlink.c has the sockets and the limits, varlink-connection.c
 * the bytes and turns of one peer, varlink-call.c one call and its answers. */
#pragma once

#include <sys/queue.h>

#include "front/varlink.h"
#include "front/varlink-message.h"
#include "util/cleanup.h"

typedef struct VarlinkListener VarlinkListener;

#define VARLINK_INTERFACES_MAX 8U

struct VarlinkServer {
        sd_event *event;
        char *vendor, *product, *version, *url;
        VarlinkInterface interfaces[VARLINK_INTERFACES_MAX]; /* the first one is org.varlink.service */
        size_t n_interfaces;
        LIST_HEAD(, VarlinkListener) listeners;
        LIST_HEAD(, VarlinkConnection) connections;
        size_t n_connections;
        uint64_t log_since;     /* start of the present interval of the log limit */
        unsigned log_count;
};

/* The other side. uid and pid are -1 and 0 for the hypervisor. */
typedef struct VarlinkPeer {
        bool hypervisor;
        uid_t uid;
        pid_t pid;
} VarlinkPeer;

struct VarlinkConnection {
        LIST_ENTRY(VarlinkConnection) list;
        VarlinkServer *server;
        int fd;
        VarlinkPeer peer;
        VarlinkEnded ended;
        void *ended_userdata;
        sd_event_source *io;
        sd_event_source *work;  /* runs the next turn without an event on the socket */
        sd_event_source *timer; /* for a message that has begun */
        bool timing;
        VarlinkFrames in;
        VarlinkBuffer out;
        VarlinkCall *call;      /* the one being answered; the next ones wait in the buffer */
        bool hung_up;           /* the hypervisor is at its end; in a moment it is known whether for good */
        bool waiting;           /* the timer is for that */
        bool eof;               /* the peer sends no more */
        bool deaf;              /* the peer reads no more */
        bool broken;            /* to be closed at the next turn */
};

struct VarlinkCall {
        VarlinkConnection *connection;
        VarlinkMessage message;
        bool in_handler;
        bool answered;
        void (*gone)(VarlinkCall *call, void *userdata);
        void *gone_userdata;
        void (*drained)(VarlinkCall *call, void *userdata);
        void *drained_userdata;
};

/* At most a few lines per interval, however many peers misbehave. */
void varlink_server_log(VarlinkServer *server, const VarlinkConnection *connection, int error,
                        const char *what);
const VarlinkInterface *varlink_server_find(const VarlinkServer *server, const char *name, size_t n);

/* Takes the fd, which is a connected non-blocking socket, or the hypervisor's stream. */
int varlink_connection_new(VarlinkServer *server, int fd, const VarlinkPeer *peer, VarlinkConnection **ret);
/* Has the next turn run soon: something was answered, or it is broken. */
void varlink_connection_wake(VarlinkConnection *connection);

/* Runs the handler of a message, which is taken. The call is connection->call until it is answered. */
int varlink_call_begin(VarlinkConnection *connection, VarlinkMessage *message);
/* Tells the owner of an open call that nobody waits for it any more, and frees it. */
VarlinkCall *varlink_call_abandon(VarlinkCall *call);

/* The interface org.varlink.service, on the server itself. */
extern const char varlink_idl_service[];
int varlink_service_handle(VarlinkCall *call, const char *method, json_object *parameters, void *userdata);
