/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client for tests that never blocks: it runs the server's loop itself. */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define SPIN_MAX 100000U

unsigned spin(sd_event *event, unsigned max) {
        unsigned n = 0;

        while (n < max) {
                int r = sd_event_run(event, 0);

                assert_true(r >= 0);
                if (r == 0)
                        break;
                n++;
        }
        return n;
}

void peer_open(Peer *peer, sd_event *event, VarlinkServer *server) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        *peer = (Peer) { .event = event, .fd = pair[0] };
        assert_int_equal(varlink_server_add_connection(server, pair[1]), 0);
}

void peer_open_hypervisor(Peer *peer, sd_event *event, VarlinkServer *server) {
        VarlinkConnection *connection;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        *peer = (Peer) { .event = event, .fd = pair[0] };
        assert_int_equal(varlink_server_add_hypervisor(server, pair[1], NULL, NULL, &connection), 0);
        (void) close(pair[1]);
}

void peer_connect(Peer *peer, sd_event *event, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *peer = (Peer) { .event = event, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                                      0) };
        assert_true(peer->fd >= 0);
        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        assert_int_equal(connect(peer->fd, (struct sockaddr *) &address, sizeof(address)), 0);
}

void peer_close(Peer *peer) {
        if (peer->fd >= 0)
                (void) close(peer->fd);
        free(peer->data);
        *peer = (Peer) { .event = peer->event, .fd = -1 };
        (void) spin(peer->event, SPIN_MAX);
}

void peer_send_bytes(Peer *peer, const char *data, size_t n) {
        while (n > 0) {
                ssize_t k = send(peer->fd, data, n, MSG_NOSIGNAL);

                if (k < 0 && errno == EAGAIN) {
                        (void) spin(peer->event, SPIN_MAX);
                        continue;
                }
                if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
                        return; /* the test will see that it is closed */
                assert_true(k > 0);
                data += k;
                n -= (size_t) k;
        }
}

void peer_send(Peer *peer, const char *text) {
        peer_send_bytes(peer, text, strlen(text) + 1);
}

static void peer_receive(Peer *peer) {
        char buffer[65536];
        ssize_t n;

        do {
                (void) spin(peer->event, SPIN_MAX);
                n = peer->eof ? 0 : recv(peer->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno == ECONNRESET))
                        peer->eof = true;
                if (n <= 0)
                        return;
                peer->data = realloc(peer->data, peer->n + (size_t) n);
                assert_non_null(peer->data);
                memcpy(peer->data + peer->n, buffer, (size_t) n);
                peer->n += (size_t) n;
        } while (n > 0);
}

char *peer_take(Peer *peer) {
        size_t length;
        char *text;

        if (peer->n == 0 || !memchr(peer->data, 0, peer->n))
                peer_receive(peer);
        if (peer->n == 0 || !memchr(peer->data, 0, peer->n))
                return NULL;
        length = strlen(peer->data) + 1;
        text = malloc(length);
        assert_non_null(text);
        memcpy(text, peer->data, length);
        memmove(peer->data, peer->data + length, peer->n - length);
        peer->n -= length;
        return text;
}

bool peer_is_closed(Peer *peer) {
        peer_receive(peer);
        return peer->eof;
}

void peer_expect(Peer *peer, const char *call, const char *answer) {
        char *text;

        peer_send(peer, call);
        text = peer_take(peer);
        assert_non_null(text);
        assert_string_equal(text, answer);
        free(text);
}

void peer_expect_nothing(Peer *peer) {
        char *text = peer_take(peer);

        if (text)
                fail_msg("unexpected: %s", text);
}
