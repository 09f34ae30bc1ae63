/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server with the interface org.example: Echo answers at once, Hold when the test says so, Count streams
 * as many answers as asked, Break fails. */
#pragma once

#include "front/varlink.h"
#include "peer.h"

typedef struct TestServer {
        sd_event *event;
        VarlinkServer *server;
        Peer peer;             /* connected */
        VarlinkCall *held;     /* of Hold, the last one */
        unsigned n_calls;
        unsigned n_gone;
        unsigned n_drained;
} TestServer;

int test_server_setup(void **state);
int test_server_teardown(void **state);
