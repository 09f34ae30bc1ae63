/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The netlink socket of kernel events: who sent a message, what it says, and that some were lost.
 * What an event means is for whoever listens. */
#include "util/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "util/cleanup.h"

#define KERNEL_GROUP 1U
#define MESSAGE_MAX 8192U                /* the kernel's own limit is 2048 and a path */
#define RECEIVE_BUFFER (8 * 1024 * 1024) /* a burst of 10^4 blocks */
#define SKIP_MAX 64U                     /* events of others looked at before the loop has its turn */

struct UeventMonitor {
        int fd;
        sd_event_source *source;
        char *subsystem; /* NULL: all */
        UeventCallback callback;
        void *userdata;
        char buffer[MESSAGE_MAX];
};

/* "add@/devices/..." must say the same as ACTION= and DEVPATH=. */
static bool head_matches(const char *head, const Uevent *event) {
        size_t n = strlen(event->action);

        return strncmp(head, event->action, n) == 0 && head[n] == '@' &&
               strcmp(head + n + 1, event->devpath) == 0;
}

int uevent_parse(const char *message, size_t n, Uevent *ret) {
        const char *end = message + n, *p;
        Uevent event = {};

        if (n == 0 || end[-1] != 0)
                return -EBADMSG;
        for (p = message + strlen(message) + 1; p < end; p += strlen(p) + 1) {
                if (!event.action && strncmp(p, "ACTION=", 7) == 0)
                        event.action = p + 7;
                else if (!event.devpath && strncmp(p, "DEVPATH=", 8) == 0)
                        event.devpath = p + 8;
                else if (!event.subsystem && strncmp(p, "SUBSYSTEM=", 10) == 0)
                        event.subsystem = p + 10;
        }
        if (!event.action || !event.devpath || !event.subsystem || !*event.action || event.devpath[0] != '/')
                return -EBADMSG;
        if (!head_matches(message, &event))
                return -EBADMSG;
        *ret = event;
        return 0;
}

/* Anyone may send to this group's sockets; only the kernel has port 0 and no process. */
static bool from_kernel(const struct msghdr *header) {
        const struct sockaddr_nl *sender = header->msg_name;

        if (header->msg_namelen < sizeof(*sender) || sender->nl_family != AF_NETLINK || sender->nl_pid != 0)
                return false;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR((struct msghdr *) header, c)) {
                struct ucred cred;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
                    c->cmsg_len < CMSG_LEN(sizeof(cred)))
                        continue;
                memcpy(&cred, CMSG_DATA(c), sizeof(cred));
                return cred.pid == 0;
        }
        return false;
}

/* One message. 1: *ret is to be told; 0: not for us, go on; -EAGAIN: no more; -ENOBUFS: some were lost. */
static int receive(UeventMonitor *monitor, Uevent *ret) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(struct ucred))];
        } control = {};
        struct sockaddr_nl sender = {};
        struct iovec iov = { monitor->buffer, sizeof(monitor->buffer) };
        struct msghdr header = {
                .msg_name = &sender,
                .msg_namelen = sizeof(sender),
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n = recvmsg(monitor->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        Uevent event;

        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        if (!from_kernel(&header))
                return 0;
        if (header.msg_flags & MSG_TRUNC)
                return -ENOBUFS;
        if (uevent_parse(monitor->buffer, (size_t) n, &event) < 0)
                return 0;
        if (monitor->subsystem && strcmp(monitor->subsystem, event.subsystem) != 0)
                return 0;
        *ret = event;
        return 1;
}

/* Tells at most one event and touches nothing afterwards: the callback may free the monitor. */
static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        UeventMonitor *monitor = userdata;

        for (unsigned i = 0; i < SKIP_MAX; i++) {
                Uevent event;
                int r = receive(monitor, &event);

                if (r == 0)
                        continue;
                if (r == -EAGAIN)
                        return 0;
                if (r < 0 && r != -ENOBUFS)
                        return r;
                monitor->callback(r > 0 ? &event : NULL, monitor->userdata);
                return 0;
        }
        return 0;
}

static int open_socket(void) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
        int one = 1, size = RECEIVE_BUFFER;
        CLEANUP(closep) int fd = -1;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
                return -errno;
        /* A smaller buffer only means that bursts are noticed as lost. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return steal_fd(&fd);
}

DEFINE_CLEANUP(UeventMonitor *, uevent_monitor_free)

int uevent_monitor_new(UeventMonitor **ret, sd_event *loop, const char *subsystem, UeventCallback callback,
                       void *userdata) {
        CLEANUP(uevent_monitor_freep) UeventMonitor *monitor = NULL;
        int r;

        monitor = calloc(1, sizeof(*monitor));
        if (!monitor)
                return -ENOMEM;
        monitor->callback = callback;
        monitor->userdata = userdata;
        monitor->fd = -1;
        if (subsystem) {
                monitor->subsystem = strdup(subsystem);
                if (!monitor->subsystem)
                        return -ENOMEM;
        }
        monitor->fd = open_socket();
        if (monitor->fd < 0)
                return monitor->fd;
        r = sd_event_add_io(loop, &monitor->source, monitor->fd, EPOLLIN, on_readable, monitor);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(monitor->source, "uevent"); /* for debugging only */
        *ret = STEAL_PTR(monitor);
        return 0;
}

UeventMonitor *uevent_monitor_free(UeventMonitor *monitor) {
        if (!monitor)
                return NULL;
        (void) sd_event_source_disable_unref(monitor->source);
        monitor->fd = close_fd(monitor->fd);
        free(monitor->subsystem);
        free(monitor);
        return NULL;
}
