/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A question from anywhere: refused, or the same bytes when it is written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/owners-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t again[OWNERS_REQUEST_SIZE];
        OwnersRequest request;

        if (owners_request_decode(data, size, 4096, &request) < 0)
                return 0;
        if (owners_request_encode(&request, 4096, again) < 0 || memcmp(data, again, sizeof(again)) != 0)
                abort();
        return 0;
}
