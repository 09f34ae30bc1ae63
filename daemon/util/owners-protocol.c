/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes between memunplugd and memunplug-owners, in the machine's own order: they never leave it. What
 * is understood has exactly one form, so that decoding and encoding again gives the same bytes. */
#include "util/owners-protocol.h"

#include <errno.h>
#include <string.h>

#define REQUEST_MAGIC "memunpQ1"
#define REPLY_MAGIC "memunpR1"
#define MAGIC_SIZE 8U

#define FLAG_LAST UINT32_C(1)
#define FLAG_COMPLETE UINT32_C(2)
#define FLAG_OUT_OF_TIME UINT32_C(4)
#define FLAGS_ALL (FLAG_LAST | FLAG_COMPLETE | FLAG_OUT_OF_TIME)
#define PAGE_FLAG_MORE UINT32_C(1)

typedef struct WireRequest {
        char magic[MAGIC_SIZE];
        uint32_t n_addresses;
        uint32_t reserved;
        uint64_t addresses[OWNERS_PAGES_MAX]; /* 0 behind the last */
} WireRequest;

typedef struct WirePage {
        uint64_t address;
        char comm[OWNERS_COMM_SIZE]; /* 0 behind the last character */
        uint32_t n_pids;
        uint32_t flags;
        int32_t pids[OWNERS_PIDS_MAX]; /* 0 behind the last */
} WirePage;

typedef struct WireReply {
        char magic[MAGIC_SIZE];
        uint32_t flags;
        uint32_t n_pages;
        uint64_t reserved;
        WirePage pages[OWNERS_PAGES_MAX]; /* 0 behind the last */
} WireReply;

_Static_assert(sizeof(WireRequest) == OWNERS_REQUEST_SIZE, "the request has holes");
_Static_assert(sizeof(WireReply) == OWNERS_REPLY_SIZE, "the reply has holes");

static bool is_zero(const void *data, size_t n) {
        const uint8_t *bytes = data;

        for (size_t i = 0; i < n; i++)
                if (bytes[i] != 0)
                        return false;
        return true;
}

/* Page 0 is nobody's: it is also what the kernel says to those who may not know page numbers. */
static bool addresses_are_valid(const uint64_t *addresses, size_t n, uint64_t page_size) {
        if (n == 0 || n > OWNERS_PAGES_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (addresses[i] == 0 || (addresses[i] & (page_size - 1)) != 0)
                        return false;
        return true;
}

int owners_request_encode(const OwnersRequest *request, uint64_t page_size,
                          uint8_t ret[OWNERS_REQUEST_SIZE]) {
        WireRequest wire = { .n_addresses = (uint32_t) request->n_addresses };

        if (!addresses_are_valid(request->addresses, request->n_addresses, page_size))
                return -EINVAL;
        memcpy(wire.magic, REQUEST_MAGIC, MAGIC_SIZE);
        memcpy(wire.addresses, request->addresses, request->n_addresses * sizeof(wire.addresses[0]));
        memcpy(ret, &wire, sizeof(wire));
        return 0;
}

int owners_request_decode(const void *data, size_t size, uint64_t page_size, OwnersRequest *ret) {
        OwnersRequest request = {};
        WireRequest wire;

        if (size != sizeof(wire))
                return -EBADMSG;
        memcpy(&wire, data, sizeof(wire));
        if (memcmp(wire.magic, REQUEST_MAGIC, MAGIC_SIZE) != 0 || wire.reserved != 0 ||
            !addresses_are_valid(wire.addresses, wire.n_addresses, page_size) ||
            !is_zero(wire.addresses + wire.n_addresses,
                     (OWNERS_PAGES_MAX - wire.n_addresses) * sizeof(wire.addresses[0])))
                return -EBADMSG;
        request.n_addresses = wire.n_addresses;
        memcpy(request.addresses, wire.addresses, sizeof(wire.addresses));
        *ret = request;
        return 0;
}

/* The name of a process is the process's own choice, and goes to logs and terminals. */
static bool comm_char_is_clean(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
}

static bool comm_is_clean(const char comm[OWNERS_COMM_SIZE]) {
        size_t n = strnlen(comm, OWNERS_COMM_SIZE);

        for (size_t i = 0; i < n; i++)
                if (!comm_char_is_clean(comm[i]))
                        return false;
        return n < OWNERS_COMM_SIZE && is_zero(comm + n, OWNERS_COMM_SIZE - n);
}

static void comm_clean(const char *raw, char ret[OWNERS_COMM_SIZE]) {
        memset(ret, 0, OWNERS_COMM_SIZE);
        for (size_t i = 0; i < OWNERS_COMM_SIZE - 1 && raw[i] != '\0' && raw[i] != '\n'; i++)
                ret[i] = comm_char_is_clean(raw[i]) ? raw[i] : '_';
}

static bool page_is_valid(const OwnersPage *page) {
        if (page->address == 0 || page->n_pids > OWNERS_PIDS_MAX || !comm_is_clean(page->comm))
                return false;
        if ((page->n_pids == 0 && page->comm[0] != '\0') || (page->more && page->n_pids < OWNERS_PIDS_MAX))
                return false;
        for (size_t i = 0; i < page->n_pids; i++) {
                if (page->pids[i] <= 0)
                        return false;
                for (size_t k = 0; k < i; k++)
                        if (page->pids[k] == page->pids[i])
                                return false;
        }
        return true;
}

/* Only the last reply says how it ended, and it is one of the two at most. */
static bool reply_is_valid(const OwnersReply *reply) {
        if (reply->n_pages == 0 || reply->n_pages > OWNERS_PAGES_MAX ||
            (reply->complete && reply->out_of_time) ||
            (!reply->last && (reply->complete || reply->out_of_time)))
                return false;
        for (size_t i = 0; i < reply->n_pages; i++)
                if (!page_is_valid(&reply->pages[i]))
                        return false;
        return true;
}

static void page_encode(const OwnersPage *page, WirePage *ret) {
        ret->address = page->address;
        memcpy(ret->comm, page->comm, strlen(page->comm));
        ret->n_pids = (uint32_t) page->n_pids;
        ret->flags = page->more ? PAGE_FLAG_MORE : 0;
        memcpy(ret->pids, page->pids, page->n_pids * sizeof(ret->pids[0]));
}

int owners_reply_encode(const OwnersReply *reply, uint8_t ret[OWNERS_REPLY_SIZE]) {
        WireReply wire = {};

        if (!reply_is_valid(reply))
                return -EINVAL;
        memcpy(wire.magic, REPLY_MAGIC, MAGIC_SIZE);
        wire.flags = (reply->last ? FLAG_LAST : 0) | (reply->complete ? FLAG_COMPLETE : 0) |
                     (reply->out_of_time ? FLAG_OUT_OF_TIME : 0);
        wire.n_pages = (uint32_t) reply->n_pages;
        for (size_t i = 0; i < reply->n_pages; i++)
                page_encode(&reply->pages[i], &wire.pages[i]);
        memcpy(ret, &wire, sizeof(wire));
        return 0;
}

static int page_decode(const WirePage *wire, OwnersPage *ret) {
        if (wire->n_pids > OWNERS_PIDS_MAX || (wire->flags & ~PAGE_FLAG_MORE) != 0 ||
            !is_zero(wire->pids + wire->n_pids, (OWNERS_PIDS_MAX - wire->n_pids) * sizeof(wire->pids[0])))
                return -EBADMSG;
        ret->address = wire->address;
        memcpy(ret->comm, wire->comm, sizeof(ret->comm));
        ret->n_pids = wire->n_pids;
        ret->more = wire->flags & PAGE_FLAG_MORE;
        memcpy(ret->pids, wire->pids, sizeof(ret->pids));
        return 0;
}

int owners_reply_decode(const void *data, size_t size, OwnersReply *ret) {
        OwnersReply reply = {};
        WireReply wire;
        int r;

        if (size != sizeof(wire))
                return -EBADMSG;
        memcpy(&wire, data, sizeof(wire));
        if (memcmp(wire.magic, REPLY_MAGIC, MAGIC_SIZE) != 0 || wire.reserved != 0 ||
            (wire.flags & ~FLAGS_ALL) != 0 || wire.n_pages > OWNERS_PAGES_MAX ||
            !is_zero(wire.pages + wire.n_pages, (OWNERS_PAGES_MAX - wire.n_pages) * sizeof(wire.pages[0])))
                return -EBADMSG;
        reply.n_pages = wire.n_pages;
        reply.last = wire.flags & FLAG_LAST;
        reply.complete = wire.flags & FLAG_COMPLETE;
        reply.out_of_time = wire.flags & FLAG_OUT_OF_TIME;
        for (size_t i = 0; i < reply.n_pages; i++) {
                r = page_decode(&wire.pages[i], &reply.pages[i]);
                if (r < 0)
                        return r;
        }
        if (!reply_is_valid(&reply))
                return -EBADMSG;
        *ret = reply;
        return 0;
}

void owners_reply_init(OwnersReply *reply, const OwnersRequest *request) {
        *reply = (OwnersReply) { .n_pages = request->n_addresses };
        for (size_t i = 0; i < request->n_addresses; i++)
                reply->pages[i].address = request->addresses[i];
}

bool owners_reply_add(OwnersReply *reply, size_t index, int32_t pid, const char *comm) {
        OwnersPage *page = &reply->pages[index];
        bool more = page->more;

        for (size_t i = 0; i < page->n_pids; i++)
                if (page->pids[i] == pid)
                        return false;
        if (page->n_pids == OWNERS_PIDS_MAX) {
                page->more = true;
                return !more;
        }
        if (page->n_pids == 0 && comm)
                comm_clean(comm, page->comm);
        page->pids[page->n_pids++] = pid;
        return true;
}

bool owners_reply_answers(const OwnersReply *reply, const OwnersRequest *request) {
        if (reply->n_pages != request->n_addresses)
                return false;
        for (size_t i = 0; i < reply->n_pages; i++)
                if (reply->pages[i].address != request->addresses[i])
                        return false;
        return true;
}
