/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Speaks bytes to a stream socket, exactly those of its standard input, and prints what
 * comes back: for what no well-behaved client would say.
 *
 *   speak [--keep-open] [--slowly] SOCKET
 *
 * Ends when the peer has closed: by itself, or after our end of the stream. With
 * --keep-open our side stays open after the last byte; --slowly sends one byte each 5 ms.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0) {
                close(fd);
                return -errno;
        }
        return fd;
}

/* Sends some of our input. 1: more may come; 0: that was all; negative: the peer takes no more. */
static int send_some(int fd, bool slowly) {
        char buffer[65536];
        ssize_t n = read(STDIN_FILENO, buffer, slowly ? 1 : sizeof buffer);
        const struct timespec pause = { .tv_nsec = 5000000 };

        if (n <= 0)
                return 0;
        for (ssize_t done = 0; done < n;) {
                ssize_t k = send(fd, buffer + done, (size_t) (n - done), MSG_NOSIGNAL);

                if (k < 0)
                        return -errno;
                done += k;
        }
        if (slowly)
                (void) nanosleep(&pause, NULL);
        return 1;
}

/* Prints what came. False when the peer has closed. */
static bool print_some(int fd) {
        char buffer[65536];
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);

        if (n <= 0)
                return false;
        return write(STDOUT_FILENO, buffer, (size_t) n) == n;
}

int main(int argc, char **argv) {
        bool keep_open = false, slowly = false;
        struct pollfd fds[2];
        int fd, i;

        for (i = 1; i < argc && argv[i][0] == '-'; i++) {
                keep_open = keep_open || strcmp(argv[i], "--keep-open") == 0;
                slowly = slowly || strcmp(argv[i], "--slowly") == 0;
        }
        if (i + 1 != argc) {
                fprintf(stderr, "usage: speak [--keep-open] [--slowly] SOCKET\n");
                return 2;
        }
        fd = connect_to(argv[i]);
        if (fd < 0) {
                fprintf(stderr, "speak: %s: %s\n", argv[i], strerror(-fd));
                return EXIT_FAILURE;
        }
        fds[0] = (struct pollfd) { .fd = fd, .events = POLLIN };
        fds[1] = (struct pollfd) { .fd = STDIN_FILENO, .events = POLLIN };
        for (;;) {
                if (poll(fds, 2, -1) < 0)
                        return EXIT_FAILURE;
                if (fds[0].revents && !print_some(fd))
                        return EXIT_SUCCESS;
                if (fds[1].revents && send_some(fd, slowly) <= 0) {
                        fds[1].fd = -1;
                        if (!keep_open)
                                (void) shutdown(fd, SHUT_WR);
                }
        }
}
