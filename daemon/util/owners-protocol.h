/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memunplugd and memunplug-owners say to each other: one request, then replies of which the last one
 * received stands. Pure: bytes to structures and back, checked completely; sockets are others'. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWNERS_PAGES_MAX 32U
#define OWNERS_PIDS_MAX 8U
#define OWNERS_COMM_SIZE 16U
#define OWNERS_CHANGES_MAX (OWNERS_PAGES_MAX * (OWNERS_PIDS_MAX + 1U))
#define OWNERS_REQUEST_SIZE 272U
#define OWNERS_REPLY_SIZE 2072U

typedef struct OwnersRequest {
        uint64_t addresses[OWNERS_PAGES_MAX]; /* of pages, physical, in bytes; any order */
        size_t n_addresses;
} OwnersRequest;

typedef struct OwnersPage {
        uint64_t address;
        char comm[OWNERS_COMM_SIZE]; /* of the first process, cleaned; may be "" */
        int32_t pids[OWNERS_PIDS_MAX];
        size_t n_pids; /* 0: no process is known to map it */
        bool more;     /* more processes than fit */
} OwnersPage;

typedef struct OwnersReply {
        OwnersPage pages[OWNERS_PAGES_MAX]; /* as asked, in the order asked */
        size_t n_pages;
        bool last;        /* nothing follows; without it the search ended early, or still goes on */
        bool complete;    /* every process was read to its end */
        bool out_of_time; /* there were more processes than time */
} OwnersReply;

/* Nothing found yet, for every page of the request. */
void owners_reply_init(OwnersReply *reply, const OwnersRequest *request);
/* A process maps the page with this index. comm is raw, as the kernel gives it; NULL: not known. Did that
 * change the reply? It can do so OWNERS_CHANGES_MAX times. */
bool owners_reply_add(OwnersReply *reply, size_t page, int32_t pid, const char *comm);
/* Are these the pages that were asked for? */
bool owners_reply_answers(const OwnersReply *reply, const OwnersRequest *request);

/* page_size: a power of two. -EINVAL: no pages or too many, not aligned, or page 0. */
int owners_request_encode(const OwnersRequest *request, uint64_t page_size,
                          uint8_t ret[OWNERS_REQUEST_SIZE]);
/* -EBADMSG: anything that owners_request_encode() does not make. */
int owners_request_decode(const void *data, size_t size, uint64_t page_size, OwnersRequest *ret);

/* -EINVAL: what owners_reply_decode() would refuse. */
int owners_reply_encode(const OwnersReply *reply, uint8_t ret[OWNERS_REPLY_SIZE]);
int owners_reply_decode(const void *data, size_t size, OwnersReply *ret); /* -EBADMSG */
