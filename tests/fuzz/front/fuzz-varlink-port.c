/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a hypervisor, or whatever speaks in its place, can send on the serial port: a stream that never closes, on which
 * one client may begin in the middle of another's message. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../unit/front/fake-queue.h"
#include "front/operation.h"
#include "front/varlink.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_ended(bool left, void *userdata) {
        *(bool *) userdata = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const VarlinkInfo info = { .vendor = "v", .product = "p", .version = "1", .url = "u" };
        VarlinkConnection *connection = NULL;
        VarlinkServer *server = NULL;
        bool ended = false;
        Engine engine = {};
        Queue queue;
        OperationContext context = { .queue = &queue, .engine = &engine, .version = "1" };
        int pair[2];

        context.hypervisor_may_change = size > 0 && (data[0] & 1);
        fake_queue_init(&queue);
        if (sd_event_new(&context.event) < 0 || varlink_server_new(&server, context.event, &info) < 0 ||
            varlink_server_add_memunplug(server, &context) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
            varlink_server_add_hypervisor(server, pair[1], on_ended, &ended, &connection) < 0)
                abort();
        stream_send(context.event, pair[0], data, size);
        if (ended != (varlink_server_n_connections(server) == 0))
                abort(); /* its owner must be told, and only then */
        (void) varlink_server_free(server);
        if (queue.n_slots != 0)
                abort(); /* somebody is still held */
        fake_queue_tell(&queue, QUEUE_JOB_CHANGED, NULL, 0); /* frees slots */
        fake_queue_clear(&queue);
        (void) close(pair[0]);
        (void) close(pair[1]);
        (void) sd_event_unref(context.event);
        return 0;
}
