/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of /proc/pressure/memory. */
#pragma once

#include <stdint.h>

#define PRESSURE_PATH "proc/pressure/memory"

/* Of its line "some": the time in which at least one task waited for memory. */
typedef struct PressureText {
        uint32_t avg10;      /* over the last 10 seconds, in hundredths of a percent */
        uint64_t total_usec; /* since boot */
} PressureText;

int pressure_parse(const char *text, PressureText *ret); /* -EBADMSG */
