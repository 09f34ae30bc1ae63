/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One peer: receives, takes one call after another, sends. Everything that happens to a connection happens
 * in connection_turn(), and only its end closes it: handlers may answer from anywhere. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/varlink-internal.h"

#define CALLS_PER_TURN 16U                              /* then others have theirs */
#define RECEIVE_MAX (VARLINK_MESSAGE_MAX + 1U)          /* bytes held: one message with its NUL */
#define RECEIVE_CHUNK 4096U

static bool connection_reads(const VarlinkConnection *connection) {
        return !connection->eof && connection->in.n_messages < VARLINK_CALLS_PER_CONNECTION_MAX &&
               varlink_frames_room(&connection->in, RECEIVE_MAX) > 0;
}

/* There is no control buffer: descriptors that a peer sends along are closed by the kernel. */
static ssize_t connection_read(const VarlinkConnection *connection, char *to, size_t n) {
        return connection->peer.hypervisor ? read(connection->fd, to, n)
                                           : recv(connection->fd, to, n, MSG_DONTWAIT);
}

static ssize_t connection_write(const VarlinkConnection *connection, const char *from, size_t n) {
        return connection->peer.hypervisor ? write(connection->fd, from, n)
                                           : send(connection->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes what there is, once. */
static void connection_receive(VarlinkConnection *connection) {
        const size_t n_messages = connection->in.n_messages;
        size_t room = varlink_frames_room(&connection->in, RECEIVE_MAX), max;
        char *to;
        ssize_t n;

        /* Little at first; a peer that has much to say gets more with each turn. */
        max = varlink_buffer_length(&connection->in.bytes) + RECEIVE_CHUNK;
        if (max > room)
                max = room;
        if (varlink_frames_reserve(&connection->in, max, &to) < 0) {
                connection->broken = true;
                return;
        }
        n = connection_read(connection, to, max);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n == 0 && connection->peer.hypervisor) {
                connection->hung_up = true;
                varlink_frames_drop_tail(&connection->in);
                return;
        }
        if (n <= 0) {
                connection->eof = true;
                if (n < 0)
                        connection->deaf = true;
                return;
        }
        varlink_frames_received(&connection->in, (size_t) n, VARLINK_MESSAGE_MAX);
        if (connection->in.n_messages != n_messages) {
                /* Whatever is incomplete now has begun just now. */
                (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
                connection->timing = false;
        }
}

static void connection_send(VarlinkConnection *connection) {
        while (varlink_buffer_length(&connection->out) > 0 && !connection->deaf) {
                ssize_t n = connection_write(connection, connection->out.data + connection->out.start,
                                             varlink_buffer_length(&connection->out));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0)
                        connection->deaf = true;
                else
                        varlink_buffer_consume(&connection->out, (size_t) n);
        }
        if (connection->deaf)
                varlink_buffer_clear(&connection->out);
}

/* The peer may pipeline: a call is begun when the one before it has its last answer, and when there is room
 * for another one. */
static bool connection_can_begin(const VarlinkConnection *connection) {
        return !connection->broken && !connection->call && connection->in.n_messages > 0 &&
               varlink_buffer_length(&connection->out) <= VARLINK_QUEUE_FULL;
}

/* Somebody else may have opened the port meanwhile, whom the answers would go to, and who would wait behind
 * a call that never ends. */
static bool connection_is_taken_over(const VarlinkConnection *connection) {
        return connection->peer.hypervisor && connection->call && connection->in.n_messages > 0 &&
               varlink_buffer_length(&connection->out) <= VARLINK_QUEUE_FULL;
}

static void connection_begin(VarlinkConnection *connection) {
        VarlinkMessage message;
        const char *text;
        size_t n;
        int r;

        if (!varlink_frames_first(&connection->in, &text, &n))
                return;
        r = varlink_message_parse(text, n, &message);
        /* Half a message of somebody who left unseen may be in front of this one. */
        if (r == -EBADMSG && connection->peer.hypervisor)
                r = varlink_message_parse_late(text, n, &message);
        varlink_frames_drop(&connection->in, n);
        if (r >= 0) {
                r = varlink_call_begin(connection, &message);
        } else {
                varlink_server_log(connection->server, connection, r, "sent what is not a call");
                if (r == -EBADMSG && connection->peer.hypervisor)
                        return; /* only this one is lost */
        }
        if (r < 0)
                connection->broken = true;
}

static bool connection_is_over(const VarlinkConnection *connection) {
        if (connection->broken)
                return true;
        if (connection->call)
                return connection->deaf; /* a stream that nobody listens to */
        return (connection->eof || connection->in.too_large) && connection->in.n_messages == 0 &&
               varlink_buffer_length(&connection->out) == 0;
}

/* The kernel learns by two queues who is on the host and what is said: the first words of the next one may
 * have come before the last one's end. So an end is only one if it lasts. It is told again and again, thus
 * not listened to meanwhile. */
static int connection_wait(VarlinkConnection *connection) {
        int r;

        if (connection->waiting)
                return 0;
        connection->waiting = true;
        connection->timing = false;
        r = sd_event_source_set_enabled(connection->io, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_time_relative(connection->timer, VARLINK_HANG_UP_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
        return r;
}

static void connection_listen(VarlinkConnection *connection) {
        connection->hung_up = connection->waiting = false;
        /* Neither can fail for sources that were enabled before. */
        (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(connection->io, SD_EVENT_ON);
}

static int connection_arm_timer(VarlinkConnection *connection, bool times) {
        int r = 0;

        if (times == connection->timing)
                return 0;
        if (times)
                r = sd_event_source_set_time_relative(connection->timer, VARLINK_FRAME_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->timer, times ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (r < 0)
                return r;
        connection->timing = times;
        return 0;
}

/* What is to wake this connection next. */
static int connection_arm(VarlinkConnection *connection) {
        bool reads = connection_reads(connection), times = reads && connection->in.tail > 0;
        uint32_t events = 0;
        int r;

        if (reads)
                events |= EPOLLIN;
        if (varlink_buffer_length(&connection->out) > 0)
                events |= EPOLLOUT;
        r = sd_event_source_set_io_events(connection->io, events);
        if (r >= 0)
                r = connection->hung_up ? connection_wait(connection)
                                        : connection_arm_timer(connection, times);
        if (r < 0)
                return r;
        if (connection_can_begin(connection) || connection_is_taken_over(connection) ||
            (connection->call && connection->call->drained && varlink_buffer_length(&connection->out) == 0))
                varlink_connection_wake(connection);
        return 0;
}

/* Tells who is interested that it ended by itself. */
static void connection_end(VarlinkConnection *connection) {
        void *userdata = connection->ended_userdata;
        VarlinkEnded ended = connection->ended;
        bool left = connection->eof;

        (void) varlink_connection_free(connection);
        if (ended)
                ended(left, userdata);
}

/* May free the connection. */
static void connection_turn(VarlinkConnection *connection) {
        VarlinkCall *call;

        connection_send(connection);
        if (connection_is_taken_over(connection))
                (void) varlink_call_abandon(connection->call);
        call = connection->call;
        if (!connection->broken && call && call->drained && varlink_buffer_length(&connection->out) == 0) {
                void (*drained)(VarlinkCall *call, void *userdata) = call->drained;

                call->drained = NULL;
                drained(call, call->drained_userdata);
        }
        for (unsigned n = 0; n < CALLS_PER_TURN && connection_can_begin(connection); n++)
                connection_begin(connection);
        connection_send(connection);

        if (!connection_is_over(connection)) {
                if (connection_arm(connection) >= 0)
                        return;
        }
        if (connection->in.too_large)
                varlink_server_log(connection->server, connection, -EMSGSIZE, "sent too large a message");
        connection_end(connection);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        VarlinkConnection *connection = userdata;

        /* Hung up entirely, not only for sending: what it has sent still counts, answers do not. A port may
         * be connected again by now, so there only the end of what can be read is the end. */
        if (events & (EPOLLHUP | EPOLLERR)) {
                if (!connection->peer.hypervisor)
                        connection->deaf = true;
                else if (!connection->eof && !connection_reads(connection))
                        connection->broken = true;
        }
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && connection_reads(connection))
                connection_receive(connection);
        connection_turn(connection);
        return 0;
}

static int on_work(sd_event_source *source, void *userdata) {
        connection_turn(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        VarlinkConnection *connection = userdata;

        if (connection->hung_up) {
                connection_listen(connection);
                if (connection_reads(connection))
                        connection_receive(connection);
                if (connection->hung_up) /* still */
                        connection->eof = connection->deaf = true;
        } else {
                varlink_server_log(connection->server, connection, -ETIMEDOUT, "did not finish its message");
                connection->broken = true;
        }
        connection_turn(connection);
        return 0;
}

void varlink_connection_look(VarlinkConnection *connection) {
        struct pollfd p = { .fd = connection->fd, .events = POLLIN };

        if (!connection->hung_up || poll(&p, 1, 0) < 0 || (p.revents & POLLHUP))
                return;
        connection_listen(connection);
        varlink_connection_wake(connection);
}

void varlink_connection_wake(VarlinkConnection *connection) {
        /* Cannot fail for this kind of source. */
        (void) sd_event_source_set_enabled(connection->work, SD_EVENT_ONESHOT);
}

static int connection_attach(VarlinkConnection *connection, sd_event *event) {
        int r;

        r = sd_event_add_io(event, &connection->io, connection->fd, EPOLLIN, on_io, connection);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &connection->work, on_work, connection);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(connection->work, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &connection->timer, CLOCK_MONOTONIC, UINT64_MAX, /* accuracy= */ 0,
                              on_timer, connection);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
}

int varlink_connection_new(VarlinkServer *server, int fd, const VarlinkPeer *peer, VarlinkConnection **ret) {
        VarlinkConnection *connection = calloc(1, sizeof(*connection));
        int r;

        if (!connection) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        connection->server = server;
        connection->fd = fd;
        connection->peer = *peer;
        LIST_INSERT_HEAD(&server->connections, connection, list);
        server->n_connections++;
        r = connection_attach(connection, server->event);
        if (r < 0) {
                (void) varlink_connection_free(connection);
                return r;
        }
        *ret = connection;
        return 0;
}

VarlinkConnection *varlink_connection_free(VarlinkConnection *connection) {
        if (!connection)
                return NULL;
        connection->broken = true; /* for who answers from the call's end */
        (void) varlink_call_abandon(connection->call);
        LIST_REMOVE(connection, list);
        connection->server->n_connections--;
        (void) sd_event_source_disable_unref(connection->io);
        (void) sd_event_source_disable_unref(connection->work);
        (void) sd_event_source_disable_unref(connection->timer);
        (void) close_fd(connection->fd);
        varlink_frames_clear(&connection->in);
        varlink_buffer_clear(&connection->out);
        free(connection);
        return NULL;
}
