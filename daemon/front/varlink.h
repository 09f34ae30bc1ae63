/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Varlink server: framing, dispatch, org.varlink.service, limits. It knows interfaces as
 * tables of methods, so that tests can serve others with the same code. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define VARLINK_MESSAGE_MAX (64U * 1024U)        /* bytes of one incoming message */
#define VARLINK_QUEUE_MAX (4U * 1024U * 1024U)   /* bytes queued for one slow peer */
#define VARLINK_QUEUE_FULL (64U * 1024U)         /* with more than this, new work for the peer waits */
#define VARLINK_CONNECTIONS_MAX 256U
#define VARLINK_CONNECTIONS_RESERVED 16U         /* of these, for root and our own uid */
#define VARLINK_CONNECTIONS_PER_UID_MAX 64U
#define VARLINK_STREAMS_PER_UID_MAX 16U
#define VARLINK_CALLS_PER_CONNECTION_MAX 64U     /* calls read ahead and not yet answered */
#define VARLINK_FRAME_TIMEOUT_USEC (5ULL * 1000000ULL) /* for a message once begun */
#define VARLINK_HANG_UP_USEC (250ULL * 1000ULL)  /* until a hypervisor that hung up is gone */

typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkConnection VarlinkConnection;
typedef struct VarlinkCall VarlinkCall;

/* A method call. Must be answered by exactly one final reply or error (with oneway too: it is dropped), from
 * within the handler or later; it must not be used after that. The handler returns 0, or a negative errno to
 * close the connection. Calls of one connection are handled one after another. */
typedef int (*VarlinkHandler)(VarlinkCall *call, const char *method, json_object *parameters,
                              void *userdata);

typedef struct VarlinkInterface {
        const char *name;             /* "org.memunplug" */
        const char *description;      /* the IDL text */
        VarlinkHandler handler;       /* method is the part behind the last dot */
        void *userdata;
} VarlinkInterface;

typedef struct VarlinkInfo {
        const char *vendor, *product, *version, *url;
} VarlinkInfo;

int varlink_server_new(VarlinkServer **ret, sd_event *event, const VarlinkInfo *info);
VarlinkServer *varlink_server_free(VarlinkServer *server);
int varlink_server_add_interface(VarlinkServer *server, const VarlinkInterface *interface);
int varlink_server_listen_fd(VarlinkServer *server, int fd);       /* takes the fd */
int varlink_server_listen_path(VarlinkServer *server, const char *path, mode_t mode);
int varlink_server_add_connection(VarlinkServer *server, int fd);  /* takes the fd: one connected peer */

/* left: the peer is gone; else it said what cannot be understood, and what comes next may be better. Not
 * called for who frees the connection himself. */
typedef void (*VarlinkEnded)(bool left, void *userdata);
/* The hypervisor behind a virtio-serial port, or any stream without kernel's word on who it is. The fd stays
 * the caller's and must be non-blocking. Such a stream may change hands unseen, so a call that comes while
 * another one is still being answered ends that one. */
int varlink_server_add_hypervisor(VarlinkServer *server, int fd, VarlinkEnded ended, void *userdata,
                                  VarlinkConnection **ret);
/* Something has changed on the stream of a hypervisor that may have hung up. */
void varlink_connection_look(VarlinkConnection *connection);
VarlinkConnection *varlink_connection_free(VarlinkConnection *connection);
size_t varlink_server_n_connections(const VarlinkServer *server);
bool varlink_server_is_drained(const VarlinkServer *server); /* nothing waits to be sent */

/* Then there is no uid and no pid. */
bool varlink_call_peer_is_hypervisor(const VarlinkCall *call);
uid_t varlink_call_peer_uid(const VarlinkCall *call);
pid_t varlink_call_peer_pid(const VarlinkCall *call);
bool varlink_call_wants_more(const VarlinkCall *call);
/* How many calls with more this peer's uid has open, this one included: see VARLINK_STREAMS_PER_UID_MAX. */
size_t varlink_call_uid_streams(const VarlinkCall *call);

/* parameters: borrowed, NULL for none. A negative return means that the connection is about to be closed; a
 * final one ends the call all the same. */
int varlink_call_reply(VarlinkCall *call, json_object *parameters, bool continues);
int varlink_call_error(VarlinkCall *call, const char *name, json_object *parameters);
int varlink_call_error_not_found(VarlinkCall *call); /* MethodNotFound, with the name as it was called */
int varlink_call_error_with(VarlinkCall *call, const char *name, const char *key, const char *value);

/* The peer is slower than we are: leave out what can be left out, or go on when all is sent. drained is
 * called once, from the event loop. */
bool varlink_call_is_full(const VarlinkCall *call);
void varlink_call_on_drained(VarlinkCall *call, void (*drained)(VarlinkCall *call, void *userdata),
                             void *userdata);
/* Called when the peer is gone before the last reply; not after it. */
void varlink_call_on_disconnect(VarlinkCall *call, void (*gone)(VarlinkCall *call, void *userdata),
                                void *userdata);

/* Serves org.memunplug from the operation table. */
struct OperationContext;
int varlink_server_add_memunplug(VarlinkServer *server, const struct OperationContext *context);
