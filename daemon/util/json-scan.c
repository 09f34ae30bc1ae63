/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recogniser of JSON values: grammar, UTF-8, depth, and integers that fit. Without recursion and without
 * memory of its own. The values themselves are for json-build.c. */
#include "util/json-scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "util/json.h"

typedef struct Cursor {
        const unsigned char *p;
        const unsigned char *end;
} Cursor;

static bool at(const Cursor *c, unsigned char ch) {
        return c->p < c->end && *c->p == ch;
}

static bool accept(Cursor *c, unsigned char ch) {
        if (!at(c, ch))
                return false;
        c->p++;
        return true;
}

static void skip_blanks(Cursor *c) {
        while (at(c, ' ') || at(c, '\t') || at(c, '\n') || at(c, '\r'))
                c->p++;
}

static bool at_digit(const Cursor *c) {
        return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static int skip_digits(Cursor *c) {
        if (!at_digit(c))
                return -EBADMSG;
        while (at_digit(c))
                c->p++;
        return 0;
}

static int scan_number(Cursor *c) {
        bool negative = accept(c, '-'), integer = true, fits = true;
        uint64_t value = 0;

        if (!at_digit(c))
                return -EBADMSG;
        if (*c->p == '0' && c->end - c->p > 1 && c->p[1] >= '0' && c->p[1] <= '9')
                return -EBADMSG; /* leading zero */
        for (; at_digit(c); c->p++)
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*c->p - '0'), &value))
                        fits = false;
        if (accept(c, '.')) {
                integer = false;
                if (skip_digits(c) < 0)
                        return -EBADMSG;
        }
        if (accept(c, 'e') || accept(c, 'E')) {
                integer = false;
                if (!accept(c, '+'))
                        (void) accept(c, '-'); /* a sign is optional */
                if (skip_digits(c) < 0)
                        return -EBADMSG;
        }
        if (integer && (!fits || value > (uint64_t) INT64_MAX + negative))
                return -EBADMSG;
        return 0;
}

static int scan_hex4(Cursor *c, unsigned *ret) {
        unsigned value = 0;

        if (c->end - c->p < 4)
                return -EBADMSG;
        for (int i = 0; i < 4; i++) {
                unsigned char ch = *c->p++;

                if (ch >= '0' && ch <= '9')
                        value = value << 4 | (unsigned) (ch - '0');
                else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
                        value = value << 4 | (unsigned) ((ch | 0x20) - 'a' + 10);
                else
                        return -EBADMSG;
        }
        *ret = value;
        return 0;
}

/* Behind the backslash. A NUL could not be told from the end of a C string, and half a surrogate pair is no
 * character. */
static int scan_escape(Cursor *c) {
        unsigned unit;

        if (c->p >= c->end)
                return -EBADMSG;
        if (*c->p != 'u') {
                if (!*c->p || !strchr("\"\\/bfnrt", *c->p))
                        return -EBADMSG;
                c->p++;
                return 0;
        }
        c->p++;
        if (scan_hex4(c, &unit) < 0 || unit == 0)
                return -EBADMSG;
        if (unit < 0xd800 || unit > 0xdfff)
                return 0;
        if (unit > 0xdbff || !accept(c, '\\') || !accept(c, 'u') || scan_hex4(c, &unit) < 0)
                return -EBADMSG;
        return unit >= 0xdc00 && unit <= 0xdfff ? 0 : -EBADMSG;
}

/* One character of more than one byte: no overlong forms, no surrogates, nothing above U+10FFFF. */
static int scan_utf8(Cursor *c) {
        unsigned char lead = *c->p++, low = 0x80, high = 0xbf;
        int more;

        if (lead >= 0xc2 && lead <= 0xdf)
                more = 1;
        else if (lead >= 0xe0 && lead <= 0xef)
                more = 2;
        else if (lead >= 0xf0 && lead <= 0xf4)
                more = 3;
        else
                return -EBADMSG;
        if (lead == 0xe0)
                low = 0xa0;
        else if (lead == 0xed)
                high = 0x9f;
        else if (lead == 0xf0)
                low = 0x90;
        else if (lead == 0xf4)
                high = 0x8f;
        for (; more > 0; more--) {
                if (c->p >= c->end || *c->p < low || *c->p > high)
                        return -EBADMSG;
                c->p++;
                low = 0x80;
                high = 0xbf;
        }
        return 0;
}

static int scan_string(Cursor *c) {
        if (!accept(c, '"'))
                return -EBADMSG;
        while (c->p < c->end) {
                unsigned char ch = *c->p;
                int r = 0;

                if (ch == '"') {
                        c->p++;
                        return 0;
                }
                if (ch < ' ')
                        return -EBADMSG;
                if (ch == '\\') {
                        c->p++;
                        r = scan_escape(c);
                } else if (ch >= 0x80)
                        r = scan_utf8(c);
                else
                        c->p++;
                if (r < 0)
                        return r;
        }
        return -EBADMSG;
}

static int scan_word(Cursor *c, const char *word) {
        size_t n = strlen(word);

        if ((size_t) (c->end - c->p) < n || memcmp(c->p, word, n) != 0)
                return -EBADMSG;
        c->p += n;
        return 0;
}

static int scan_scalar(Cursor *c) {
        if (c->p >= c->end)
                return -EBADMSG;
        switch (*c->p) {
        case '"':
                return scan_string(c);
        case 't':
                return scan_word(c, "true");
        case 'f':
                return scan_word(c, "false");
        case 'n':
                return scan_word(c, "null");
        default:
                return scan_number(c);
        }
}

static int scan_key(Cursor *c) {
        skip_blanks(c);
        if (scan_string(c) < 0)
                return -EBADMSG;
        skip_blanks(c);
        if (!accept(c, ':'))
                return -EBADMSG;
        skip_blanks(c);
        return 0;
}

/* Closes what ends here and stands before the next value, if there is one. Returns 1 if there is. */
static int scan_after_value(Cursor *c, const char *closers, unsigned *depth) {
        while (*depth > 0) {
                char closer = closers[*depth - 1];

                skip_blanks(c);
                if (accept(c, ',')) {
                        if (closer == '}' && scan_key(c) < 0)
                                return -EBADMSG;
                        skip_blanks(c);
                        return 1;
                }
                if (!accept(c, (unsigned char) closer))
                        return -EBADMSG;
                (*depth)--;
        }
        return 0;
}

/* Opens an array or object. Returns 1 if a value has to follow, 0 if it was empty. */
static int scan_open(Cursor *c, char *closers, unsigned *depth) {
        char closer = *c->p++ == '{' ? '}' : ']';

        if (*depth >= JSON_DEPTH_MAX)
                return -E2BIG;
        skip_blanks(c);
        if (accept(c, (unsigned char) closer))
                return 0;
        if (closer == '}' && scan_key(c) < 0)
                return -EBADMSG;
        closers[(*depth)++] = closer;
        return 1;
}

int json_scan(const char *text, size_t n, JsonScan *ret) {
        Cursor c = { (const unsigned char *) text, (const unsigned char *) text + n };
        char closers[JSON_DEPTH_MAX];
        JsonScan scan = {};
        unsigned depth = 0;
        int r;

        skip_blanks(&c);
        scan.start = (size_t) (c.p - (const unsigned char *) text);
        do {
                if (at(&c, '{') || at(&c, '[')) {
                        r = scan_open(&c, closers, &depth);
                        if (r < 0)
                                return r;
                        if (r > 0)
                                continue;
                } else if (scan_scalar(&c) < 0)
                        return -EBADMSG;
                r = scan_after_value(&c, closers, &depth);
                if (r < 0)
                        return r;
        } while (r > 0);
        scan.end = (size_t) (c.p - (const unsigned char *) text);
        skip_blanks(&c);
        if (c.p != c.end)
                return -EBADMSG;
        *ret = scan;
        return 0;
}
