/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people type and read: sizes, durations, yes and no, lists of blocks. Strict: the whole text has to
 * make sense. What a number is for, and its limits, is for whoever asked. */
#include "util/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/cleanup.h"

#define FRACTION_DIGITS_MAX 9U

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

typedef struct Range {
        uint32_t first, last;
} Range;

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* "12" or "1.5", without sign or blanks; the value is whole + fraction / scale. *p goes behind it. */
typedef struct Number {
        uint64_t whole, fraction, scale;
} Number;

static int take_number(const char **p, Number *ret) {
        Number number = { .scale = 1 };
        const char *s = *p;

        if (!is_digit(*s))
                return -EINVAL;
        for (; is_digit(*s); s++)
                if (__builtin_mul_overflow(number.whole, UINT64_C(10), &number.whole) ||
                    __builtin_add_overflow(number.whole, (uint64_t) (*s - '0'), &number.whole))
                        return -ERANGE;
        if (*s == '.') {
                const char *first = ++s;

                for (; is_digit(*s); s++) {
                        if ((size_t) (s - first) >= FRACTION_DIGITS_MAX)
                                return -EINVAL;
                        number.fraction = number.fraction * 10 + (uint64_t) (*s - '0');
                        number.scale *= 10;
                }
                if (s == first)
                        return -EINVAL;
        }
        *p = s;
        *ret = number;
        return 0;
}

/* Rounded down to whole units of one. */
static int number_times(const Number *number, uint64_t factor, uint64_t *ret) {
        uint64_t whole, part = (uint64_t) ((__uint128_t) number->fraction * factor / number->scale);

        if (__builtin_mul_overflow(number->whole, factor, &whole) ||
            __builtin_add_overflow(whole, part, &whole))
                return -ERANGE;
        *ret = whole;
        return 0;
}

int parse_size(const char *text, uint64_t *ret) {
        static const char letters[] = "KMGTPE";
        const char *p = text, *letter;
        Number number;
        int r;

        r = take_number(&p, &number);
        if (r < 0)
                return r;
        if (!*p || strcmp(p, "B") == 0) {
                if (number.scale > 1)
                        return -EINVAL; /* parts of a byte */
                *ret = number.whole;
                return 0;
        }
        letter = strchr(letters, *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        if (!letter || (p[1] && strcmp(p + 1, "iB") != 0)) /* "MB" is a million to some: not taken */
                return -EINVAL;
        return number_times(&number, UINT64_C(1) << (10 * (letter - letters + 1)), ret);
}

#define USEC_PER_SEC UINT64_C(1000000)

static const Unit time_units[] = {
        { "us", 1 },
        { "usec", 1 },
        { "ms", 1000 },
        { "msec", 1000 },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "seconds", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC },
        { "minutes", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC },
        { "d", 86400 * USEC_PER_SEC },
        { "day", 86400 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC },
};

static const char *skip_spaces(const char *p) {
        return p + strspn(p, " \t");
}

/* *p goes behind the letters of a unit. */
static int take_time_unit(const char **p, uint64_t *ret) {
        size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyz");

        for (size_t i = 0; i < sizeof(time_units) / sizeof(time_units[0]); i++)
                if (strlen(time_units[i].name) == n && strncmp(time_units[i].name, *p, n) == 0) {
                        *p += n;
                        *ret = time_units[i].factor;
                        return 0;
                }
        return -EINVAL;
}

int parse_duration(const char *text, uint64_t *ret_usec) {
        const char *p = skip_spaces(text);
        uint64_t total = 0;
        bool first = true;

        if (strcmp(p, "infinity") == 0) {
                *ret_usec = UINT64_MAX;
                return 0;
        }
        do {
                uint64_t factor = USEC_PER_SEC, part;
                Number number;
                int r;

                r = take_number(&p, &number);
                if (r < 0)
                        return r;
                p = skip_spaces(p);
                if (*p || !first) {
                        r = take_time_unit(&p, &factor);
                        if (r < 0)
                                return r;
                }
                r = number_times(&number, factor, &part);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(total, part, &total) || total == UINT64_MAX)
                        return -ERANGE;
                p = skip_spaces(p);
                first = false;
        } while (*p);
        *ret_usec = total;
        return 0;
}

int parse_boolean(const char *text) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
                if (strcasecmp(text, yes[i]) == 0)
                        return 1;
                if (strcasecmp(text, no[i]) == 0)
                        return 0;
        }
        return -EINVAL;
}

static int take_index(const char **p, uint32_t *ret) {
        const char *s = *p;
        uint64_t value = 0;

        if (!is_digit(*s))
                return -EINVAL;
        for (; is_digit(*s); s++) {
                value = value * 10 + (uint64_t) (*s - '0');
                if (value > UINT32_MAX)
                        return -EINVAL;
        }
        *p = s;
        *ret = (uint32_t) value;
        return 0;
}

static int take_range(const char **p, Range *ret) {
        Range range;

        if (take_index(p, &range.first) < 0)
                return -EINVAL;
        range.last = range.first;
        if (**p == '-') {
                (*p)++;
                if (take_index(p, &range.last) < 0 || range.last < range.first)
                        return -EINVAL;
        }
        *ret = range;
        return 0;
}

static int range_compare(const void *a, const void *b) {
        const Range *x = a, *y = b;

        return (x->first > y->first) - (x->first < y->first);
}

/* Sorts and joins what overlaps; returns how many are left. */
static size_t ranges_join(Range *ranges, size_t n) {
        size_t out = 0;

        qsort(ranges, n, sizeof(*ranges), range_compare);
        for (size_t i = 1; i < n; i++)
                if (ranges[i].first > ranges[out].last)
                        ranges[++out] = ranges[i];
                else if (ranges[i].last > ranges[out].last)
                        ranges[out].last = ranges[i].last;
        return out + 1;
}

static int ranges_parse(const char *text, Range **ret, size_t *ret_n) {
        CLEANUP(freep) Range *ranges = NULL;
        size_t n = 1, k = 0;

        for (const char *p = text; *p; p++)
                n += *p == ',';
        ranges = calloc(n, sizeof(*ranges));
        if (!ranges)
                return -ENOMEM;
        for (const char *p = text;; p++) {
                int r = take_range(&p, &ranges[k]);

                if (r < 0)
                        return r;
                k++;
                if (!*p)
                        break;
                if (*p != ',')
                        return -EINVAL;
        }
        *ret = STEAL_PTR(ranges);
        *ret_n = k;
        return 0;
}

int parse_block_list(const char *text, size_t max, uint32_t **ret, size_t *ret_n) {
        CLEANUP(freep) Range *ranges = NULL;
        CLEANUP(freep) uint32_t *blocks = NULL;
        size_t n_ranges, k = 0;
        uint64_t total = 0;
        int r;

        r = ranges_parse(text, &ranges, &n_ranges);
        if (r < 0)
                return r;
        n_ranges = ranges_join(ranges, n_ranges);
        for (size_t i = 0; i < n_ranges; i++)
                total += (uint64_t) ranges[i].last - ranges[i].first + 1;
        if (total > max)
                return -E2BIG;
        blocks = calloc((size_t) total, sizeof(*blocks));
        if (!blocks)
                return -ENOMEM;
        for (size_t i = 0; i < n_ranges; i++)
                for (uint64_t b = ranges[i].first; b <= ranges[i].last; b++)
                        blocks[k++] = (uint32_t) b;
        *ret = STEAL_PTR(blocks);
        *ret_n = k;
        return 0;
}

char *format_size(uint64_t bytes, char buffer[FORMAT_SIZE_MAX]) {
        static const char letters[] = "BKMGTPE";
        unsigned exponent = 0;
        __uint128_t tenths;

        while (exponent < 6 && bytes >> (10 * (exponent + 1)))
                exponent++;
        tenths = (((__uint128_t) bytes * 20 >> (10 * exponent)) + 1) / 2; /* rounded to the nearest */
        if (tenths >= 10240 && exponent < 6) {
                tenths = 10; /* 1023.95K and more is one of the next */
                exponent++;
        }
        if (tenths % 10)
                (void) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 ".%u%c", (uint64_t) (tenths / 10),
                                (unsigned) (tenths % 10), letters[exponent]);
        else
                (void) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 "%c", (uint64_t) (tenths / 10),
                                letters[exponent]);
        return buffer;
}

/* The two largest units that say something; the rest is not worth the room. */
char *format_duration(uint64_t usec, char buffer[FORMAT_SIZE_MAX]) {
        static const Unit units[] = {
                { "d", 86400 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "s", USEC_PER_SEC },
                { "ms", 1000 },
                { "us", 1 },
        };
        size_t n = sizeof(units) / sizeof(units[0]), i = 0, used;

        if (usec == UINT64_MAX || usec == 0) {
                (void) snprintf(buffer, FORMAT_SIZE_MAX, "%s", usec ? "infinity" : "0s");
                return buffer;
        }
        while (usec < units[i].factor)
                i++;
        used = (size_t) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 "%s", usec / units[i].factor,
                                 units[i].name);
        usec %= units[i].factor;
        if (i + 1 < n && usec >= units[i + 1].factor)
                (void) snprintf(buffer + used, FORMAT_SIZE_MAX - used, " %" PRIu64 "%s",
                                usec / units[i + 1].factor, units[i + 1].name);
        return buffer;
}
