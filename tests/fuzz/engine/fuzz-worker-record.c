/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a worker sends is taken whole or not at all; what is taken keeps its promises and encodes to
 * itself. */
#include <stdlib.h>
#include <string.h>

#include "engine/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        WorkerRecord record = { .type = _WORKER_RECORD_MAX, .block = 7, .error = 7, .bytes = 7 };
        uint8_t again[WORKER_RECORD_SIZE];

        if (worker_record_decode(data, size, &record) < 0) {
                check(record.type == _WORKER_RECORD_MAX && record.block == 7);
                check(record.error == 7 && record.bytes == 7);
                return 0;
        }
        check(size == WORKER_RECORD_SIZE);
        check(record.type >= WORKER_RECORD_PROGRESS && record.type < _WORKER_RECORD_MAX);
        check(record.error <= 0 && record.error >= -4095);
        check(record.type == WORKER_RECORD_BLOCK ? record.bytes == 0 : record.block == 0);
        worker_record_encode(&record, again);
        check(memcmp(again, data, size) == 0);
        return 0;
}
