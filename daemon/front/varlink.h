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
#define VARLINK_CONNECTIONS_MAX 256U
#define VARLINK_CONNECTIONS_PER_UID_MAX 64U
#define VARLINK_STREAMS_PER_UID_MAX 16U
#define VARLINK_CALLS_PER_CONNECTION_MAX 64U     /* calls read ahead and not yet answered */
#define VARLINK_FRAME_TIMEOUT_USEC (5ULL * 1000000ULL) /* for a message once begun */

typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall;

/* A method call. Must be answered by exactly one final reply or error (not with oneway: replies are dropped). The handler
 * returns 0, or a negative errno to close the connection. */
typedef int (*VarlinkHandler)(VarlinkCall *call, const char *method, json_object *parameters, void *userdata);

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
size_t varlink_server_n_connections(const VarlinkServer *server);

uid_t varlink_call_peer_uid(const VarlinkCall *call);
pid_t varlink_call_peer_pid(const VarlinkCall *call);
bool varlink_call_wants_more(const VarlinkCall *call);
int varlink_call_reply(VarlinkCall *call, json_object *parameters, bool continues);
int varlink_call_error(VarlinkCall *call, const char *name, json_object *parameters);
/* Called when the peer is gone before the last reply; not after it. */
void varlink_call_on_disconnect(VarlinkCall *call, void (*gone)(VarlinkCall *call, void *userdata), void *userdata);

/* Serves org.memunplug from the operation table. */
struct OperationContext;
int varlink_server_add_memunplug(VarlinkServer *server, const struct OperationContext *context);
