/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question to memunplug-owners: connect, send, take replies until the last one or the end of the time,
 * tell. Everything that can be told is told from the event loop, also that there is nobody to ask. */
#include "engine/owners.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* One for each change, and the last one: more is a flood. */
#define REPLIES_MAX (OWNERS_CHANGES_MAX + 1U)

struct OwnersQuery {
        int fd;
        sd_event_source *io;
        sd_event_source *timer;
        sd_event_source *failure; /* what the start found, to be told from the loop */
        int error;
        OwnersCallback callback;
        void *userdata;
        OwnersRequest asked;
        uint8_t request[OWNERS_REQUEST_SIZE];
        size_t sent;
        uint8_t data[OWNERS_REPLY_SIZE];
        size_t received; /* of the reply under way */
        size_t n_replies;
        OwnersReply reply; /* the newest, if n_replies > 0 */
};

OwnersQuery *owners_query_free(OwnersQuery *q) {
        if (!q)
                return NULL;
        q->io = sd_event_source_disable_unref(q->io);
        q->timer = sd_event_source_disable_unref(q->timer);
        q->failure = sd_event_source_disable_unref(q->failure);
        (void) close_fd(q->fd);
        free(q);
        return NULL;
}

/* Changes: the query is over. The callback may free it: nothing may be touched after it. */
static void tell(OwnersQuery *q, int error) {
        q->io = sd_event_source_disable_unref(q->io);
        q->timer = sd_event_source_disable_unref(q->timer);
        q->failure = sd_event_source_disable_unref(q->failure);
        q->fd = close_fd(q->fd);
        q->callback(error, error < 0 ? NULL : &q->reply, q->userdata);
}

/* Changes: the query is over, with the newest reply if there is one: what was found remains true. */
static void tell_early(OwnersQuery *q, int error) {
        tell(q, q->n_replies > 0 && error != -EBADMSG ? 0 : error);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        OwnersQuery *q = userdata;

        q->reply.out_of_time = q->n_replies > 0;
        tell_early(q, -ETIMEDOUT);
        return 0;
}

static int on_failure(sd_event_source *source, void *userdata) {
        OwnersQuery *q = userdata;

        tell(q, q->error);
        return 0;
}

/* Changes: how much is sent. 1: all of it. */
static int send_request(OwnersQuery *q) {
        ssize_t n;

        n = send(q->fd, q->request + q->sent, sizeof(q->request) - q->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        q->sent += (size_t) n;
        return q->sent == sizeof(q->request);
}

/* Changes: the newest reply, when a whole one is there. 1: it is the last; -ECONNRESET: nothing comes any
 * more; -EBADMSG. */
static int receive_reply(OwnersQuery *q) {
        ssize_t n;
        int r;

        n = recv(q->fd, q->data + q->received, sizeof(q->data) - q->received, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return q->received > 0 ? -EBADMSG : -ECONNRESET;
        q->received += (size_t) n;
        if (q->received < sizeof(q->data))
                return 0;
        r = owners_reply_decode(q->data, sizeof(q->data), &q->reply);
        if (r < 0)
                return r;
        q->received = 0;
        q->n_replies++;
        if (!owners_reply_answers(&q->reply, &q->asked) || q->n_replies > REPLIES_MAX)
                return -EBADMSG;
        return q->reply.last;
}

/* Changes: the query goes on, or is over. */
static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        OwnersQuery *q = userdata;
        int r = 0;

        if (q->sent < sizeof(q->request)) {
                r = send_request(q);
                if (r > 0)
                        r = sd_event_source_set_io_events(q->io, EPOLLIN);
        } else
                r = receive_reply(q);
        if (r < 0)
                tell_early(q, r == -EPIPE ? -ECONNRESET : r);
        else if (q->n_replies > 0 && q->reply.last)
                tell(q, 0);
        return 0;
}

/* A local socket is connected at once or not at all; a queue that is full gives -EAGAIN. */
static int connect_to(const char *path, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP(closep) int fd = -1;

        memcpy(address.sun_path, path, strlen(path)); /* its length was checked */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        *ret = steal_fd(&fd);
        return 0;
}

/* Changes: adds sources to the event loop; connects. */
static int start(OwnersQuery *q, sd_event *event, const char *path, uint64_t timeout_usec) {
        int r;

        r = sd_event_add_defer(event, &q->failure, on_failure, q);
        if (r < 0)
                return r;
        q->error = connect_to(path, &q->fd);
        if (q->error < 0)
                return 0;
        q->failure = sd_event_source_disable_unref(q->failure);
        r = sd_event_add_io(event, &q->io, q->fd, EPOLLOUT, on_io, q);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(event, &q->timer, CLOCK_MONOTONIC, timeout_usec, 1000, on_timer,
                                          q);
}

int owners_query(sd_event *event, const char *socket_path, const uint64_t *addresses, size_t n,
                 uint64_t timeout_usec, OwnersCallback callback, void *userdata, OwnersQuery **ret) {
        CLEANUP(owners_query_freep) OwnersQuery *q = NULL;
        int r;

        assert(event && socket_path && (addresses || n == 0) && callback && ret);
        if (n > OWNERS_PAGES_MAX || strlen(socket_path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
                return -EINVAL;
        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        q->fd = -EBADF;
        q->callback = callback;
        q->userdata = userdata;
        q->asked.n_addresses = n;
        if (n > 0)
                memcpy(q->asked.addresses, addresses, n * sizeof(addresses[0]));
        r = owners_request_encode(&q->asked, (uint64_t) sysconf(_SC_PAGESIZE), q->request);
        if (r < 0)
                return r;
        r = start(q, event, socket_path, timeout_usec);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(q);
        return 0;
}
