/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A question from anywhere: refused, or the same bytes when it is written again. What follows it is what is found:
 * processes with names of their own choice, and whatever they are, the reply can be sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/owners-protocol.h"

#define NAME_SIZE 16U /* as the kernel gives it */
#define FOUND_SIZE (2U + NAME_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

/* Page, process, name; again and again. */
static void answer(const OwnersRequest *request, const uint8_t *found, size_t size) {
        uint8_t bytes[OWNERS_REPLY_SIZE], again[OWNERS_REPLY_SIZE];
        OwnersReply reply, copy;

        owners_reply_init(&reply, request);
        for (; size >= FOUND_SIZE; found += FOUND_SIZE, size -= FOUND_SIZE) {
                char name[NAME_SIZE + 1] = {};

                memcpy(name, found + 2, NAME_SIZE);
                (void) owners_reply_add(&reply, found[0] % request->n_addresses, 1 + found[1], name);
                if (owners_reply_add(&reply, found[0] % request->n_addresses, 1 + found[1], name))
                        check(reply.pages[found[0] % request->n_addresses].n_pids == OWNERS_PIDS_MAX);
        }
        reply.last = reply.complete = true;
        check(owners_reply_answers(&reply, request));
        check(owners_reply_encode(&reply, bytes) >= 0);
        check(owners_reply_decode(bytes, sizeof(bytes), &copy) >= 0);
        check(owners_reply_answers(&copy, request));
        check(owners_reply_encode(&copy, again) >= 0 && memcmp(bytes, again, sizeof(again)) == 0);
        copy.pages[0].address++;
        check(!owners_reply_answers(&copy, request));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const size_t n = size < OWNERS_REQUEST_SIZE ? size : OWNERS_REQUEST_SIZE;
        uint8_t again[OWNERS_REQUEST_SIZE];
        OwnersRequest request;

        check(size <= n || owners_request_decode(data, size, 4096, &request) < 0); /* too long */
        if (owners_request_decode(data, n, 4096, &request) < 0)
                return 0;
        check(owners_request_encode(&request, 4096, again) >= 0 && memcmp(data, again, sizeof(again)) == 0);
        answer(&request, data + n, size - n);
        return 0;
}
