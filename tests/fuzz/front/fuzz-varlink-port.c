/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a hypervisor, or whatever speaks in its place, can send on the serial port: a stream that never closes, on which
 * one client may begin in the middle of another's message. In pieces of the size that the first byte says. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../unit/front/fake-queue.h"
#include "front/operation.h"
#include "front/varlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void spin(sd_event *event) {
        for (unsigned i = 0; i < 100000; i++)
                if (sd_event_run(event, 0) <= 0)
                        return;
        abort(); /* it turns for nothing */
}

static void drain(int fd) {
        char buffer[65536];

        while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
                ;
}

static void talk(sd_event *event, int fd, const uint8_t *data, size_t size) {
        size_t step = size > 0 ? (size_t) data[0] + 1 : 1;

        for (size_t at = 1; at < size; at += step) {
                size_t n = size - at < step ? size - at : step;

                if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        break;
                spin(event);
                drain(fd);
        }
}

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
        talk(context.event, pair[0], data, size);
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
