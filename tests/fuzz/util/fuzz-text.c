/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, durations, numbers and block lists; what is printed must be readable again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"
#include "util/sysfs.h"
#include "util/text.h"

#define BLOCKS_MAX 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_blocks(const char *text) {
        uint32_t *blocks;
        size_t n;

        if (parse_block_list(text, BLOCKS_MAX, &blocks, &n) < 0)
                return;
        if (n == 0 || n > BLOCKS_MAX)
                abort();
        for (size_t i = 1; i < n; i++)
                if (blocks[i] <= blocks[i - 1])
                        abort();
        free(blocks);
}

static void check_formats(uint64_t value) {
        char buffer[FORMAT_SIZE_MAX];
        uint64_t again;

        if (parse_size(format_size(value, buffer), &again) < 0 && value < UINT64_C(31) << 59)
                abort();
        if (parse_duration(format_duration(value, buffer), &again) < 0 || again > value)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);
        uint64_t value;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        check_blocks(text);
        if (parse_size(text, &value) >= 0)
                check_formats(value);
        if (parse_duration(text, &value) >= 0)
                check_formats(value);
        if (parse_u64(text, 10, &value) >= 0)
                check_formats(value);
        (void) parse_u64(text, 16, &value);
        (void) parse_boolean(text);
        (void) log_level_from_string(text);
        free(text);
        return 0;
}
