/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What any local user can send: bytes through a socket into the server with all operations behind it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../unit/front/fake-queue.h"
#include "front/operation.h"
#include "front/varlink.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The jobs that it asked for end. */
static void end_jobs(sd_event *event, Queue *queue, int fd) {
        for (size_t i = 0; i < queue->n_jobs; i++) {
                queue->jobs[i].state = JOB_DONE;
                fake_queue_tell(queue, QUEUE_JOB_ENDED, &queue->jobs[i], 0);
        }
        stream_spin(event);
        stream_drain(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const VarlinkInfo info = { .vendor = "v", .product = "p", .version = "1", .url = "u" };
        VarlinkServer *server = NULL;
        Engine engine = {};
        Queue queue;
        OperationContext context = { .queue = &queue, .engine = &engine, .version = "1" };
        int pair[2];

        fake_queue_init(&queue);
        if (sd_event_new(&context.event) < 0 || varlink_server_new(&server, context.event, &info) < 0 ||
            varlink_server_add_memunplug(server, &context) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
            varlink_server_add_connection(server, pair[1]) < 0)
                abort();
        stream_send(context.event, pair[0], data, size);
        end_jobs(context.event, &queue, pair[0]);
        (void) close(pair[0]);
        stream_spin(context.event);
        if (varlink_server_n_connections(server) != 0 || queue.n_slots != 0)
                abort(); /* somebody is still held */
        (void) varlink_server_free(server);
        fake_queue_tell(&queue, QUEUE_JOB_CHANGED, NULL, 0); /* frees slots */
        fake_queue_clear(&queue);
        (void) sd_event_unref(context.event);
        return 0;
}
