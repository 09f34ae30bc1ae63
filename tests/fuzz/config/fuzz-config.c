/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever the file says, what comes out is within its limits. */
#include <stdint.h>
#include <stdlib.h>

#include "../large.h"
#include "config.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Config config = { .deadline_usec = 1 };

        if (SKIP_LARGE_RANGES(data, size))
                return 0;
        log_set_max_level(LOG_ERR); /* every input is full of warnings */
        if (config_parse(&config, "/fuzz.conf", (const char *) data, size) < 0)
                abort();
        for (size_t i = 1; i < config.n_protected_blocks; i++)
                if (config.protected_blocks[i] <= config.protected_blocks[i - 1])
                        abort();
        if (config.retries > 100 || config.deadline_usec == UINT64_MAX)
                abort();
        config_clear(&config);
        return 0;
}
