/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's port. While nobody has opened it on the host, it is at its end and hung up, and epoll
 * says so again and again; so it is watched for changes (EPOLLET), and has a connection on the Varlink
 * server only from the first byte to the end of what can be read. Nothing wakes us while nobody speaks.
 *
 * The port stays open all the time: to close it would throw away what the next one on the host has sent. */
#include "front/serial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/sysfs.h"

#define PORTS "sys/class/virtio-ports"
#define DEVICE_SIZE 64U

struct SerialFront {
        sd_event *event;
        VarlinkServer *server;
        int root_fd;
        char *name;
        char device[DEVICE_SIZE];     /* of the open port; "" */
        int fd;
        sd_event_source *watch;       /* the port's changes */
        sd_event_source *again;       /* after a conversation that went wrong */
        VarlinkConnection *connection;
};

DEFINE_CLEANUP(SerialFront *, serial_front_free)
DEFINE_CLEANUP(DIR *, closedir)

/* Somebody left: the next one is an event on the port. Else what is in the port already may be the start of
 * a good message. */
static void on_ended(bool left, void *userdata) {
        SerialFront *serial = userdata;

        serial->connection = NULL;
        if (left)
                log_debug("Nobody is on the hypervisor's port.");
        else
                (void) sd_event_source_set_enabled(serial->again, SD_EVENT_ONESHOT); /* cannot fail */
}

/* If there is nobody after all, the connection finds the end at once and is gone again. */
static void converse(SerialFront *serial) {
        int r;

        if (serial->connection) {
                varlink_connection_look(serial->connection);
                return;
        }
        r = varlink_server_add_hypervisor(serial->server, serial->fd, on_ended, serial,
                                          &serial->connection);
        if (r < 0)
                (void) log_warning_errno(r, "Failed to serve the hypervisor on '%s', ignoring: %s",
                                         serial->device, strerror(-r));
}

static int on_change(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        converse(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        converse(userdata);
        return 0;
}

static void close_port(SerialFront *serial) {
        if (serial->fd < 0)
                return;
        serial->connection = varlink_connection_free(serial->connection);
        serial->watch = sd_event_source_disable_unref(serial->watch);
        serial->again = sd_event_source_disable_unref(serial->again);
        serial->fd = close_fd(serial->fd);
        log_info("The hypervisor's port '%s' is closed.", serial->device);
        serial->device[0] = '\0';
}

/* The port of our name: 1; 0: there is none. */
static int find_port(const SerialFront *serial, char *ret, size_t n) {
        CLEANUP(closep) int fd = -1;
        CLEANUP(closedirp) DIR *dir = NULL;
        const struct dirent *entry;

        fd = openat(serial->root_fd, PORTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void) steal_fd(&fd); /* the stream has it now */
        while ((entry = readdir(dir))) {
                char name[SYSFS_TEXT_MAX];

                if (entry->d_name[0] == '.' || strlen(entry->d_name) >= n ||
                    sysfs_readf(serial->root_fd, name, sizeof(name), PORTS "/%s/name", entry->d_name) < 0 ||
                    strcmp(name, serial->name) != 0)
                        continue;
                (void) snprintf(ret, n, "%s", entry->d_name);
                return 1;
        }
        return 0;
}

static int open_port(SerialFront *serial, const char *device) {
        CLEANUP(closep) int fd = -1;
        char path[DEVICE_SIZE + 8];
        int r;

        (void) snprintf(path, sizeof(path), "dev/%s", device);
        fd = openat(serial->root_fd, path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = sd_event_add_defer(serial->event, &serial->again, on_again, serial);
        if (r >= 0)
                r = sd_event_source_set_enabled(serial->again, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(serial->event, &serial->watch, fd, EPOLLIN | EPOLLET, on_change, serial);
        /* Before the connection's own: what wakes both is about the connection that there is. */
        if (r >= 0)
                r = sd_event_source_set_priority(serial->watch, SD_EVENT_PRIORITY_NORMAL - 1);
        if (r < 0) {
                serial->watch = sd_event_source_disable_unref(serial->watch);
                serial->again = sd_event_source_disable_unref(serial->again);
                return r;
        }
        serial->fd = steal_fd(&fd);
        return 0;
}

/* A port that was taken out is hung up without an end to be read. */
static bool is_gone(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLIN)) == POLLHUP;
}

void serial_front_look(SerialFront *serial) {
        char device[DEVICE_SIZE];
        int r;

        if (serial->fd >= 0 && !is_gone(serial->fd))
                return;
        close_port(serial);
        r = find_port(serial, device, sizeof(device));
        if (r == 0)
                return;
        if (r > 0)
                r = open_port(serial, device);
        if (r < 0) {
                (void) log_warning_errno(r, "Cannot serve the hypervisor on its port '%s', ignoring: %s",
                                         serial->name, strerror(-r));
                return;
        }
        (void) snprintf(serial->device, sizeof(serial->device), "%s", device);
        log_info("Serving the hypervisor on its port '%s' (%s).", serial->name, serial->device);
}

const char *serial_front_device(const SerialFront *serial) {
        return serial && serial->fd >= 0 ? serial->device : NULL;
}

int serial_front_new(SerialFront **ret, sd_event *event, VarlinkServer *server, int root_fd,
                     const char *name) {
        CLEANUP(serial_front_freep) SerialFront *serial = calloc(1, sizeof(*serial));

        if (!serial)
                return -ENOMEM;
        serial->fd = -1;
        serial->event = sd_event_ref(event);
        serial->server = server;
        serial->root_fd = root_fd;
        serial->name = strdup(name);
        if (!serial->name)
                return -ENOMEM;
        serial_front_look(serial);
        *ret = STEAL_PTR(serial);
        return 0;
}

SerialFront *serial_front_free(SerialFront *serial) {
        if (!serial)
                return NULL;
        close_port(serial);
        (void) sd_event_unref(serial->event);
        free(serial->name);
        free(serial);
        return NULL;
}
