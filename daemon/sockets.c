/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "util/cleanup.h"
#include "util/log.h"

static int adopt_fd(VarlinkServer *server, int fd) {
        int listening = 0;
        socklen_t n = sizeof(listening);

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0)
                return -errno;
        return listening ? varlink_server_listen_fd(server, fd) : varlink_server_add_connection(server, fd);
}

int sockets_listen(VarlinkServer *server, const char *path) {
        char **names = NULL;
        int n, adopted = 0, r = 0;

        n = sd_listen_fds_with_names(/* unset_environment= */ 1, &names);
        if (n < 0)
                return n;
        for (int i = 0; i < n; i++) {
                if (r >= 0 && strcmp(names[i], "varlink") == 0) {
                        r = adopt_fd(server, SD_LISTEN_FDS_START + i);
                        adopted++;
                } else {
                        log_warning("Got a file descriptor named '%s' that is not ours, closing it.",
                                    names[i]);
                        (void) close_fd(SD_LISTEN_FDS_START + i);
                }
                free(names[i]);
        }
        free(names);
        if (r >= 0 && adopted == 0)
                r = varlink_server_listen_path(server, path, 0666);
        return r;
}
