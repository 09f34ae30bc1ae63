/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Varlink client: one connection, one call at a time. It trusts nothing that comes back: size, framing and
 * form of each reply are checked here; the meaning of a reply's parameters is up to the verbs. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_ADDRESS_DEFAULT "/run/memunplug/org.memunplug"
#define CLIENT_REPLY_MAX (16U * 1024U * 1024U)      /* bytes of one reply */
#define CLIENT_CONNECT_USEC (10ULL * 1000000ULL)    /* to be let in */
#define CLIENT_TIMEOUT_USEC (45ULL * 1000000ULL)    /* for the reply to a simple call */
#define CLIENT_FOREVER UINT64_MAX

typedef struct Client Client;

typedef struct Reply {
        json_object *parameters; /* an object, never NULL; owned */
        char *error;             /* full name, NULL: none; owned */
        bool continues;          /* more replies follow */
} Reply;

/* address: "/path", "unix:/path", or "unix:@name" for an abstract socket. -EINVAL: none of these, or too
 * long; else as connect(2) says, -ETIMEDOUT when nobody accepts. */
int client_connect(Client **ret, const char *address);
int client_new(Client **ret, int fd); /* takes a connected socket */
Client *client_free(Client *client);
int client_fd(const Client *client);  /* to wait for: readable means client_take() */
uint64_t client_received(const Client *client); /* bytes so far */

/* Starts a call; parameters is borrowed and may be NULL. -EBUSY: one is open. */
int client_send(Client *client, const char *method, json_object *parameters, bool more);

/* The next reply if it is there already. -EAGAIN: not yet; -ECONNRESET the peer closed; -EBADMSG not a
 * reply; -EMSGSIZE larger than CLIENT_REPLY_MAX; -ENOTCONN no call is open. After any of these but
 * -EAGAIN the connection is of no more use. */
int client_take(Client *client, Reply *ret);

/* Waits for it at most timeout_usec. -ETIMEDOUT; -EINTR by a signal. */
int client_wait(Client *client, uint64_t timeout_usec, Reply *ret);

/* One message without its NUL. more: the call allowed several replies. -EBADMSG, -E2BIG, -ENOMEM. */
int reply_parse(const char *text, size_t n, bool more, Reply *ret);
void reply_clear(Reply *reply);

static inline void client_freep(Client **client) {
        if (*client)
                (void) client_free(*client);
}
