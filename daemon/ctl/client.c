/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Varlink client: one connection, one call at a time. It owns the socket and the bytes of replies that
 * have not been taken; what they mean is for the verbs. */
#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json.h"

#define CHUNK 65536U

struct Client {
        int fd;
        bool open;      /* a call waits for its last reply */
        bool more;      /* which may have several */
        char *buffer;
        size_t size;
        size_t begin;   /* of what was received and not taken */
        size_t end;
        size_t scanned; /* no NUL between begin and here */
        uint64_t received;
};

int client_new(Client **ret, int fd) {
        Client *client = calloc(1, sizeof(*client));

        if (!client) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        client->fd = fd;
        *ret = client;
        return 0;
}

Client *client_free(Client *client) {
        if (!client)
                return NULL;
        (void) close_fd(client->fd);
        free(client->buffer);
        free(client);
        return NULL;
}

int client_fd(const Client *client) {
        return client->fd;
}

uint64_t client_received(const Client *client) {
        return client->received;
}

/* Fills in the socket address; the length says where an abstract name ends. */
static int address_parse(const char *address, struct sockaddr_un *ret, socklen_t *ret_n) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        bool abstract;
        size_t n;

        if (strncmp(address, "unix:", 5) == 0)
                address += 5;
        abstract = address[0] == '@';
        if (address[0] != '/' && address[0] != '.' && !abstract)
                return -EINVAL;
        n = strlen(address);
        if (n >= sizeof(sa.sun_path) || (abstract && n == 1))
                return -EINVAL;
        memcpy(sa.sun_path, address, n);
        if (abstract)
                sa.sun_path[0] = '\0';
        *ret = sa;
        *ret_n = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + (abstract ? 0 : 1));
        return 0;
}

int client_connect(Client **ret, const char *address) {
        /* The service may be just starting behind its socket: the limit is for one that hangs. */
        const struct timeval limit = { .tv_sec = CLIENT_CONNECT_USEC / 1000000U };
        struct sockaddr_un sa;
        CLEANUP(closep) int fd = -EBADF;
        socklen_t n;
        int r;

        r = address_parse(address, &sa, &n);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
                return -errno;
        do
                r = connect(fd, (const struct sockaddr *) &sa, n);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        return client_new(ret, steal_fd(&fd));
}

static int write_all(int fd, const char *text, size_t n) {
        while (n > 0) {
                ssize_t k = send(fd, text, n, MSG_NOSIGNAL);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
                        return -ECONNRESET;
                if (k < 0)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
                text += k;
                n -= (size_t) k;
        }
        return 0;
}

int client_send(Client *client, const char *method, json_object *parameters, bool more) {
        CLEANUP(json_putp) json_object *call = json_object_new_object();
        const char *text;
        int r;

        if (client->open)
                return -EBUSY;
        if (!call)
                return -ENOMEM;
        r = json_add_string(call, "method", method);
        if (r >= 0 && parameters && json_object_object_length(parameters) > 0)
                r = json_add(call, "parameters", json_object_get(parameters));
        if (r >= 0 && more)
                r = json_add_bool(call, "more", true);
        if (r < 0)
                return r;
        text = json_text(call);
        if (!text)
                return -ENOMEM;
        r = write_all(client->fd, text, strlen(text) + 1); /* the NUL ends the message */
        if (r < 0)
                return r;
        client->open = true;
        client->more = more;
        return 0;
}

void reply_clear(Reply *reply) {
        json_putp(&reply->parameters);
        free(reply->error);
        *reply = (Reply) {};
}

/* The optional member "parameters": null and absent are as good as {}. */
static int reply_parameters(json_object *message, json_object **ret) {
        json_object *parameters = NULL;
        int r;

        r = json_get_object(message, "parameters", &parameters);
        if (r < 0 && r != -ENOENT)
                return -EBADMSG;
        parameters = r < 0 ? json_object_new_object() : json_object_get(parameters);
        if (!parameters)
                return -ENOMEM;
        *ret = parameters;
        return 0;
}

int reply_parse(const char *text, size_t n, bool more, Reply *ret) {
        CLEANUP(json_putp) json_object *message = NULL;
        CLEANUP(reply_clear) Reply reply = {};
        const char *error = NULL;
        int r;

        r = json_parse(text, n, &message);
        if (r < 0)
                return r;
        if (!json_object_is_type(message, json_type_object))
                return -EBADMSG;
        r = json_get_bool(message, "continues", &reply.continues);
        if (r < 0 && r != -ENOENT)
                return -EBADMSG;
        r = json_get_string(message, "error", &error);
        if (r < 0 && r != -ENOENT)
                return -EBADMSG;
        /* An error is final, and only a call that asked for it has replies that are not. */
        if (reply.continues && (error || !more))
                return -EBADMSG;
        r = reply_parameters(message, &reply.parameters);
        if (r < 0)
                return r;
        if (error) {
                reply.error = strdup(error);
                if (!reply.error)
                        return -ENOMEM;
        }
        *ret = reply;
        reply = (Reply) {};
        return 0;
}

/* Makes room behind what is there; what was taken gives way first. */
static int buffer_reserve(Client *client) {
        size_t size = client->size;
        char *buffer;

        if (client->begin > 0) {
                memmove(client->buffer, client->buffer + client->begin, client->end - client->begin);
                client->end -= client->begin;
                client->scanned -= client->begin;
                client->begin = 0;
        }
        if (client->size - client->end >= CHUNK)
                return 0;
        if (client->end > CLIENT_REPLY_MAX)
                return -EMSGSIZE;
        size = size == 0 ? 2 * CHUNK : size * 2;
        buffer = realloc(client->buffer, size);
        if (!buffer)
                return -ENOMEM;
        client->buffer = buffer;
        client->size = size;
        return 0;
}

/* Takes the first whole message apart. -EAGAIN: there is none. */
static int buffer_take(Client *client, Reply *ret) {
        char *start, *nul;
        size_t n;
        int r;

        if (client->end == client->begin)
                return -EAGAIN;
        start = client->buffer + client->begin;
        nul = memchr(client->buffer + client->scanned, 0, client->end - client->scanned);
        if (!nul) {
                client->scanned = client->end;
                return client->end - client->begin > CLIENT_REPLY_MAX ? -EMSGSIZE : -EAGAIN;
        }
        n = (size_t) (nul - start);
        if (n > CLIENT_REPLY_MAX)
                return -EMSGSIZE;
        r = reply_parse(start, n, client->more, ret);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        client->begin += n + 1;
        client->scanned = client->begin;
        client->open = ret->continues;
        return 0;
}

int client_take(Client *client, Reply *ret) {
        ssize_t n;
        int r;

        if (!client->open)
                return -ENOTCONN;
        for (;;) {
                r = buffer_take(client, ret);
                if (r != -EAGAIN)
                        return r;
                r = buffer_reserve(client);
                if (r < 0)
                        return r;
                n = recv(client->fd, client->buffer + client->end, client->size - client->end, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? -EAGAIN : -errno;
                if (n == 0)
                        return -ECONNRESET;
                client->end += (size_t) n;
                client->received += (uint64_t) n;
        }
}

int client_wait(Client *client, uint64_t timeout_usec, Reply *ret) {
        uint64_t start = clock_now_usec(CLOCK_MONOTONIC);

        for (;;) {
                struct pollfd p = { .fd = client->fd, .events = POLLIN };
                uint64_t passed = clock_now_usec(CLOCK_MONOTONIC) - start, left;
                struct timespec ts;
                int r;

                r = client_take(client, ret);
                if (r != -EAGAIN)
                        return r;
                if (timeout_usec != CLIENT_FOREVER && passed >= timeout_usec)
                        return -ETIMEDOUT;
                left = timeout_usec - passed;
                ts.tv_sec = (time_t) (left / 1000000U);
                ts.tv_nsec = (long) (left % 1000000U) * 1000;
                if (ppoll(&p, 1, timeout_usec == CLIENT_FOREVER ? NULL : &ts, NULL) < 0)
                        return -errno;
        }
}
