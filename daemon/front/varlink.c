/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Varlink server as a whole: its interfaces, the sockets it listens on, and who is let in. What a peer
 * says is varlink-connection.c's and varlink-call.c's. */
#include "front/varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "front/varlink-internal.h"
#include "util/log.h"

#define ACCEPTS_PER_TURN 16U
#define ACCEPT_PAUSE_USEC (1ULL * 1000000ULL)     /* when there is no room for another descriptor */
#define LOG_INTERVAL_USEC (10ULL * 1000000ULL)
#define LOG_LINES_PER_INTERVAL 10U

struct VarlinkListener {
        LIST_ENTRY(VarlinkListener) list;
        VarlinkServer *server;
        int fd;
        char *path;             /* to be removed at the end, or NULL */
        sd_event_source *io;
        sd_event_source *pause;
};

static VarlinkListener *listener_free(VarlinkListener *listener) {
        if (!listener)
                return NULL;
        LIST_REMOVE(listener, list);
        (void) sd_event_source_disable_unref(listener->io);
        (void) sd_event_source_disable_unref(listener->pause);
        (void) close_fd(listener->fd);
        if (listener->path)
                (void) unlink(listener->path); /* somebody may have been faster */
        free(listener->path);
        free(listener);
        return NULL;
}

static bool server_has_info(const VarlinkServer *server) {
        return server->vendor && server->product && server->version && server->url;
}

int varlink_server_new(VarlinkServer **ret, sd_event *event, const VarlinkInfo *info) {
        VarlinkServer *server = calloc(1, sizeof(*server));
        const VarlinkInterface service = {
                .name = "org.varlink.service",
                .description = varlink_idl_service,
                .handler = varlink_service_handle,
                .userdata = server,
        };
        int r;

        if (!server)
                return -ENOMEM;
        server->event = sd_event_ref(event);
        server->vendor = strdup(info->vendor);
        server->product = strdup(info->product);
        server->version = strdup(info->version);
        server->url = strdup(info->url);
        r = server_has_info(server) ? varlink_server_add_interface(server, &service) : -ENOMEM;
        if (r < 0) {
                (void) varlink_server_free(server);
                return r;
        }
        *ret = server;
        return 0;
}

VarlinkServer *varlink_server_free(VarlinkServer *server) {
        if (!server)
                return NULL;
        while (!LIST_EMPTY(&server->listeners))
                (void) listener_free(LIST_FIRST(&server->listeners));
        while (!LIST_EMPTY(&server->connections))
                (void) varlink_connection_free(LIST_FIRST(&server->connections));
        free(server->vendor);
        free(server->product);
        free(server->version);
        free(server->url);
        (void) sd_event_unref(server->event);
        free(server);
        return NULL;
}

const VarlinkInterface *varlink_server_find(const VarlinkServer *server, const char *name, size_t n) {
        for (size_t i = 0; i < server->n_interfaces; i++) {
                const VarlinkInterface *interface = &server->interfaces[i];

                if (strlen(interface->name) == n && memcmp(interface->name, name, n) == 0)
                        return interface;
        }
        return NULL;
}

int varlink_server_add_interface(VarlinkServer *server, const VarlinkInterface *interface) {
        if (varlink_server_find(server, interface->name, strlen(interface->name)))
                return -EEXIST;
        if (server->n_interfaces >= VARLINK_INTERFACES_MAX)
                return -ENOSPC;
        server->interfaces[server->n_interfaces++] = *interface;
        return 0;
}

size_t varlink_server_n_connections(const VarlinkServer *server) {
        return server->n_connections;
}

bool varlink_server_is_drained(const VarlinkServer *server) {
        const VarlinkConnection *connection;

        LIST_FOREACH(connection, &server->connections, list)
                if (varlink_buffer_length(&connection->out) > 0)
                        return false;
        return true;
}

void varlink_server_log(VarlinkServer *server, const VarlinkConnection *connection, int error,
                        const char *what) {
        uint64_t now;

        if (log_get_max_level() < LOG_DEBUG || sd_event_now(server->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (now - server->log_since >= LOG_INTERVAL_USEC) {
                server->log_since = now;
                server->log_count = 0;
        }
        if (server->log_count++ >= LOG_LINES_PER_INTERVAL)
                return;
        if (connection->peer.hypervisor)
                log_debug("The hypervisor %s, starting anew", what);
        else if (error < 0)
                (void) log_debug_errno(error, "Varlink peer with uid %u %s, closing: %m",
                                       (unsigned) connection->peer.uid, what);
        else
                log_debug("Varlink peer with uid %u %s, closing", (unsigned) connection->peer.uid, what);
}

/* -EUSERS: there is no place for another peer of this uid. */
static int server_admit(const VarlinkServer *server, uid_t uid) {
        size_t max = VARLINK_CONNECTIONS_MAX, of_uid = 0;
        const VarlinkConnection *connection;

        if (uid != 0 && uid != geteuid())
                max -= VARLINK_CONNECTIONS_RESERVED;
        if (server->n_connections >= max)
                return -EUSERS;
        LIST_FOREACH(connection, &server->connections, list)
                if (connection->peer.uid == uid)
                        of_uid++;
        return of_uid < VARLINK_CONNECTIONS_PER_UID_MAX ? 0 : -EUSERS;
}

static int fd_set_flags(int fd) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        return 0;
}

int varlink_server_add_connection(VarlinkServer *server, int fd) {
        CLEANUP(closep) int owned = fd;
        VarlinkConnection *connection;
        struct ucred peer = {};
        socklen_t n = sizeof(peer);
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
                return -errno;
        if (n != sizeof(peer) || peer.uid == (uid_t) -1)
                return -EPROTOTYPE; /* not a local socket: nobody vouches for who it is */
        r = server_admit(server, peer.uid);
        if (r >= 0)
                r = fd_set_flags(fd);
        if (r < 0)
                return r;
        return varlink_connection_new(server, steal_fd(&owned),
                                      &(VarlinkPeer) { .uid = peer.uid, .pid = peer.pid }, &connection);
}

int varlink_server_add_hypervisor(VarlinkServer *server, int fd, VarlinkEnded ended, void *userdata,
                                  VarlinkConnection **ret) {
        const VarlinkPeer peer = { .hypervisor = true, .uid = (uid_t) -1 };
        int copy, r;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
                return -errno;
        r = varlink_connection_new(server, copy, &peer, ret);
        if (r < 0)
                return r;
        (*ret)->ended = ended;
        (*ret)->ended_userdata = userdata;
        return 0;
}

static int on_accept_again(sd_event_source *source, uint64_t usec, void *userdata) {
        VarlinkListener *listener = userdata;

        return sd_event_source_set_enabled(listener->io, SD_EVENT_ON);
}

/* The peer stays in the queue of the socket, which would wake us all the time: look again a little later. */
static int accept_pause(VarlinkListener *listener, int error) {
        int r;

        (void) log_debug_errno(error, "Cannot accept a Varlink connection, trying again in a second: %m");
        r = sd_event_source_set_time_relative(listener->pause, ACCEPT_PAUSE_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(listener->pause, SD_EVENT_ONESHOT);
        if (r >= 0)
                r = sd_event_source_set_enabled(listener->io, SD_EVENT_OFF);
        return r;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        VarlinkListener *listener = userdata;
        int r;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (peer < 0) {
                        if (errno == EAGAIN)
                                return 0;
                        if (errno == EINTR || errno == ECONNABORTED)
                                continue; /* that one is gone already */
                        return accept_pause(listener, -errno);
                }
                r = varlink_server_add_connection(listener->server, peer);
                if (r == -ENOMEM)
                        return accept_pause(listener, r);
        }
        return 0;
}

static int listener_attach(VarlinkListener *listener) {
        sd_event *event = listener->server->event;
        int r;

        r = sd_event_add_io(event, &listener->io, listener->fd, EPOLLIN, on_accept, listener);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &listener->pause, CLOCK_MONOTONIC, UINT64_MAX, /* accuracy= */ 0,
                              on_accept_again, listener);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(listener->pause, SD_EVENT_OFF);
}

static int check_listening(int fd) {
        int domain, type, accepting;
        socklen_t n = sizeof(int);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &n) < 0)
                return -errno;
        return domain == AF_UNIX && type == SOCK_STREAM && accepting ? 0 : -EPROTOTYPE;
}

static int server_listen(VarlinkServer *server, int fd, const char *path) {
        CLEANUP(closep) int owned = fd;
        VarlinkListener *listener;
        int r;

        r = check_listening(fd);
        if (r >= 0)
                r = fd_set_flags(fd);
        if (r < 0)
                return r;
        listener = calloc(1, sizeof(*listener));
        if (!listener)
                return -ENOMEM;
        listener->server = server;
        listener->fd = steal_fd(&owned);
        LIST_INSERT_HEAD(&server->listeners, listener, list);
        r = listener_attach(listener);
        if (r >= 0 && path) {
                listener->path = strdup(path);
                if (!listener->path)
                        r = -ENOMEM;
        }
        if (r < 0)
                (void) listener_free(listener);
        return r < 0 ? r : 0;
}

int varlink_server_listen_fd(VarlinkServer *server, int fd) {
        return server_listen(server, fd, /* path= */ NULL);
}

/* A socket that a server left behind refuses connections; any other file, and a live server, are not ours to
 * remove. */
static int remove_stale(const struct sockaddr_un *address) {
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0 || errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

int varlink_server_listen_path(VarlinkServer *server, const char *path, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP(closep) int fd = -EBADF;
        size_t n = strlen(path);
        struct stat st;
        int r;

        if (path[0] != '/' || n >= sizeof(address.sun_path))
                return -EINVAL;
        memcpy(address.sun_path, path, n);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (lstat(path, &st) >= 0) {
                r = S_ISSOCK(st.st_mode) ? remove_stale(&address) : -EADDRINUSE;
                if (r < 0)
                        return r;
        }
        /* Nobody gets in before listen(), whatever the umask made of the mode until then. */
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        if (chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                (void) unlink(path);
                return r;
        }
        r = server_listen(server, steal_fd(&fd), path);
        if (r < 0)
                (void) unlink(path);
        return r;
}
