/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one connection of a memunplug-owners process: who is at its other end, the request, the replies. It
 * waits; that it does not wait for ever is the main program's concern. */
#pragma once

#include <stdint.h>

#include "util/owners-protocol.h"

/* Changes: makes the socket a blocking one. -ENOTSOCK: not a connected stream socket of this machine. */
int serve_check_socket(int fd);
/* -EACCES: the other end was not opened by root, nor by user (NULL: nobody else). */
int serve_check_peer(int fd, const char *user);
/* -EBADMSG: not one request, or more than one; -ECONNRESET: closed before there was one. */
int serve_receive(int fd, uint64_t page_size, OwnersRequest *ret);
/* A reply that is not the last is left out if there is no room for it; the next one says all that it
 * says. */
int serve_send(int fd, const OwnersReply *reply);
