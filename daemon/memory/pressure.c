/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "some avg10=0.31 avg60=0.12 avg300=0.02 total=58761459" */
#include "memory/pressure.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "util/sysfs.h"

#define PERCENT_MAX 100U

/* The digits behind key=, up to one of the ends; returns where that is, or NULL. */
static const char *parse_digits(const char *text, const char *ends, uint64_t *ret) {
        const char *end = parse_u64_prefix(text, ret);

        return end && strchr(ends, *end) ? end : NULL;
}

/* "12.34": always two digits behind the point. */
static const char *parse_percent(const char *text, uint32_t *ret) {
        uint64_t whole, hundredths;
        const char *point = parse_digits(text, ".", &whole), *end;

        if (!point || *point != '.' || whole > PERCENT_MAX)
                return NULL;
        end = parse_digits(point + 1, " ", &hundredths);
        if (!end || end != point + 3)
                return NULL;
        *ret = (uint32_t) (whole * 100 + hundredths);
        return end;
}

int pressure_parse(const char *text, PressureText *ret) {
        static const char *const keys[] = { "some avg10=", " avg60=", " avg300=" };
        static const char total[] = " total=";
        PressureText found = {};
        uint32_t values[3];

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                size_t n = strlen(keys[i]);

                if (strncmp(text, keys[i], n) != 0)
                        return -EBADMSG;
                text = parse_percent(text + n, &values[i]);
                if (!text)
                        return -EBADMSG;
        }
        if (strncmp(text, total, strlen(total)) != 0)
                return -EBADMSG;
        if (!parse_digits(text + strlen(total), "\n", &found.total_usec)) /* or the end of the text */
                return -EBADMSG;
        found.avg10 = values[0];
        *ret = found;
        return 0;
}
