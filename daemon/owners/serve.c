/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes in here decides nothing but which pages are looked for; still the peer is checked again, and
 * every byte of the request, because of what this process may do. */
#include "owners/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/types.h>

static int socket_option(int fd, int option) {
        socklen_t size = sizeof(int);
        int value;

        if (getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0)
                return -errno;
        return size == sizeof(value) ? value : -EBADMSG;
}

int serve_check_socket(int fd) {
        int flags;

        if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
            socket_option(fd, SO_ACCEPTCONN) != 0)
                return -ENOTSOCK;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int serve_check_peer(int fd, const char *user) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        const struct passwd *pw;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (size != sizeof(peer))
                return -EBADMSG;
        if (peer.uid == 0)
                return 0;
        if (!user)
                return -EACCES;
        pw = getpwnam(user);
        return pw && pw->pw_uid == peer.uid ? 0 : -EACCES;
}

int serve_receive(int fd, uint64_t page_size, OwnersRequest *ret) {
        uint8_t data[OWNERS_REQUEST_SIZE + 1]; /* one more than can be right */
        size_t have = 0;
        ssize_t n;

        while (have < OWNERS_REQUEST_SIZE) {
                n = recv(fd, data + have, sizeof(data) - have, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return have == 0 ? -ECONNRESET : -EBADMSG;
                have += (size_t) n;
        }
        return owners_request_decode(data, have, page_size, ret);
}

int serve_send(int fd, const OwnersReply *reply) {
        uint8_t data[OWNERS_REPLY_SIZE];
        size_t sent = 0;
        ssize_t n;
        int r;

        r = owners_reply_encode(reply, data);
        if (r < 0)
                return r;
        while (sent < sizeof(data)) {
                /* Begun is begun: only the first bytes may be left out. */
                n = send(fd, data + sent, sizeof(data) - sent,
                         MSG_NOSIGNAL | (!reply->last && sent == 0 ? MSG_DONTWAIT : 0));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN && !reply->last && sent == 0)
                        return 0;
                if (n < 0)
                        return -errno;
                sent += (size_t) n;
        }
        return 0;
}
