/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other end of a Varlink connection, for tests: says what it is told to, byte by byte if need be,
 * and hands out what comes back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "front/varlink.h"

typedef struct Peer {
        sd_event *event;
        int fd;
        char *data;     /* received and not taken */
        size_t n;
        bool eof;
} Peer;

/* Runs the loop until nothing is left to do right now. Returns the number of turns, at most max. */
unsigned spin(sd_event *event, unsigned max);

void peer_open(Peer *peer, sd_event *event, VarlinkServer *server); /* over a pair of sockets */
void peer_open_hypervisor(Peer *peer, sd_event *event, VarlinkServer *server); /* the same, as its port */
void peer_connect(Peer *peer, sd_event *event, const char *path);
void peer_close(Peer *peer);

void peer_send(Peer *peer, const char *text);                       /* with its NUL */
void peer_send_bytes(Peer *peer, const char *data, size_t n);
/* The next message, to be freed; NULL: none, now that all is done that can be. */
char *peer_take(Peer *peer);
bool peer_is_closed(Peer *peer);

/* One call, one answer, which must be exactly this. */
void peer_expect(Peer *peer, const char *call, const char *answer);
void peer_expect_nothing(Peer *peer);
