/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An answer from anywhere: refused, or the same bytes when it is written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/owners-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t again[OWNERS_REPLY_SIZE];
        OwnersReply reply;

        if (owners_reply_decode(data, size, &reply) < 0)
                return 0;
        if (owners_reply_encode(&reply, again) < 0 || memcmp(data, again, sizeof(again)) != 0)
                abort();
        return 0;
}
