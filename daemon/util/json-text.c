/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of processes and devices come from whoever made them up: they may not break the encoding of a
 * reply, nor write to the terminal that it is shown on. */
#include "util/json-text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

size_t json_text_character(const char *s) {
        const unsigned char *p = (const unsigned char *) s;
        uint32_t c;
        size_t n;

        if (p[0] < 0x80)
                return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
        if ((p[0] & 0xe0) == 0xc0) {
                c = p[0] & 0x1fU;
                n = 2;
        } else if ((p[0] & 0xf0) == 0xe0) {
                c = p[0] & 0x0fU;
                n = 3;
        } else if ((p[0] & 0xf8) == 0xf0) {
                c = p[0] & 0x07U;
                n = 4;
        } else
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80) /* also the NUL at the end */
                        return 0;
                c = c << 6 | (p[i] & 0x3fU);
        }
        /* Longer than need be, half of a pair, or beyond Unicode. */
        if (c < (n == 2 ? 0x80U : n == 3 ? 0x800U : 0x10000U) || (c >= 0xd800 && c <= 0xdfff) ||
            c > 0x10ffff)
                return 0;
        /* Controls of the upper half; marks that change the order in which text is shown. */
        if (c < 0xa0 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
                return 0;
        return n;
}

json_object *json_text_new(const char *text) {
        CLEANUP(freep) char *clean = text ? strdup(text) : NULL;

        if (!clean)
                return NULL;
        for (char *p = clean; *p;) {
                size_t n = json_text_character(p);

                if (n == 0)
                        *p = '?';
                p += n > 0 ? n : 1;
        }
        return json_object_new_string(clean);
}
