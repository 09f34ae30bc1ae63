/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream of bytes from a fuzzer into a server on an event loop: in pieces, and what it answers is thrown away. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#define STREAM_PIECES_MAX 8U /* each costs five system calls; more of them show nothing that these do not */

/* Turns the loop until nothing is left to do. */
static inline void stream_spin(sd_event *event) {
        for (unsigned i = 0; i < 100000; i++)
                if (sd_event_run(event, 0) <= 0)
                        return;
        abort(); /* it turns for nothing */
}

static inline void stream_drain(int fd) {
        char buffer[65536];

        while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
                ;
}

/* Sends all but the first byte, which says how many of the others make a piece. */
static inline void stream_send(sd_event *event, int fd, const uint8_t *data, size_t size) {
        const size_t least = size / STREAM_PIECES_MAX + 1, said = size > 0 ? (size_t) data[0] + 1 : 1;
        const size_t step = said > least ? said : least;

        for (size_t at = 1; at < size; at += step) {
                const size_t n = size - at < step ? size - at : step;

                if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        break;
                stream_spin(event);
                stream_drain(fd);
        }
}
