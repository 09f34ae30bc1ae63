/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines, JSON and terminals: what memunplugctl writes, made safe to look at. Tables are in table.c. */
#include "ctl/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/json.h"

static size_t utf8_length(unsigned char first) {
        if (first < 0x80)
                return 1;
        if (first < 0xC0 || first >= 0xF8)
                return 0;
        return first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
}

/* Length and value of the UTF-8 character at s; 0: it is none. NUL ends every sequence that it cuts. */
static size_t utf8_next(const unsigned char *s, uint32_t *ret) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t n = utf8_length(s[0]);
        uint32_t c;

        if (n == 0)
                return 0;
        c = n == 1 ? s[0] : s[0] & (0x7FU >> n);
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xC0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3FU);
        }
        if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
                return 0;
        *ret = c;
        return n;
}

static bool is_unsafe(uint32_t c) {
        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
                return true; /* C0, DEL, C1 */
        /* marks and turns of the direction of writing, odd ends of lines */
        return c == 0x200E || c == 0x200F || c == 0x061C || (c >= 0x2028 && c <= 0x202E) ||
               (c >= 0x2066 && c <= 0x2069);
}

char *text_escape(const char *text) {
        static const char digits[] = "0123456789abcdef";
        const unsigned char *s = (const unsigned char *) text;
        char *out = malloc(strlen(text) * 4 + 1), *p = out;

        if (!out)
                return NULL;
        while (*s) {
                uint32_t c = 0;
                size_t n = utf8_next(s, &c);
                bool safe = n > 0 && !is_unsafe(c);

                for (n = n > 0 ? n : 1; n > 0; n--, s++) {
                        if (safe) {
                                *p++ = (char) *s;
                                continue;
                        }
                        *p++ = '\\';
                        *p++ = 'x';
                        *p++ = digits[*s >> 4];
                        *p++ = digits[*s & 15];
                }
        }
        *p = '\0';
        return out;
}

void say(FILE *stream, const char *format, ...) {
        CLEANUP(freep) char *line = NULL, *safe = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&line, format, ap);
        va_end(ap);
        if (r < 0) {
                line = NULL;
                (void) output_oom();
                return;
        }
        safe = text_escape(line);
        if (!safe)
                (void) output_oom();
        else
                fprintf(stream, "%s\n", safe);
}

int output_oom(void) {
        fputs("Out of memory.\n", stderr);
        return CTL_FAILED;
}

/* JSON text has its C0 characters escaped already, but not those that a terminal may also obey. They can
 * only be inside of strings, where \u says the same. */
static void write_json(const char *text) {
        const unsigned char *s = (const unsigned char *) text;

        while (*s) {
                uint32_t c = 0;
                size_t n = utf8_next(s, &c);

                if (n == 0)
                        n = 1; /* not for strings that were valid when they came */
                else if (c != '\n' && is_unsafe(c)) {
                        printf("\\u%04" PRIx32, c);
                        s += n;
                        continue;
                }
                (void) fwrite(s, 1, n, stdout); /* main looks at the stream's error */
                s += n;
        }
        putchar('\n');
        (void) fflush(stdout);
}

int output_json_line(json_object *object) {
        const char *text = json_text(object);

        if (!text)
                return output_oom();
        write_json(text);
        return CTL_DONE;
}

int output_json(const Ctl *ctl, json_object *object) {
        const char *text;

        if (ctl->json == CTL_JSON_SHORT)
                return output_json_line(object);
        text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                              JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!text)
                return output_oom();
        write_json(text);
        return CTL_DONE;
}

const char *output_size(const Ctl *ctl, uint64_t bytes, char buffer[FORMAT_SIZE_MAX]) {
        if (!ctl->bytes)
                return format_size(bytes, buffer);
        (void) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64, bytes);
        return buffer;
}

const char *output_time(uint64_t usec, char buffer[OUTPUT_TIME_MAX]) {
        time_t t = (time_t) (usec / 1000000U);
        struct tm tm;

        if (usec / 1000000U > INT64_MAX / 1000000U || !localtime_r(&t, &tm) ||
            strftime(buffer, OUTPUT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return "-";
        return buffer;
}

bool output_is_terminal(FILE *stream) {
        const char *term = getenv("TERM");

        return isatty(fileno(stream)) && !(term && strcmp(term, "dumb") == 0);
}

bool output_has_colors(FILE *stream) {
        return output_is_terminal(stream) && !getenv("NO_COLOR");
}

/* Green: can go, has gone. Yellow: under way or in doubt. Red: stands in the way. */
const char *output_word_color(const char *word) {
        static const struct {
                const char *word, *color;
        } colors[] = {
                { "free", "\033[32m" },       { "movable", "\033[32m" },    { "busy", "\033[33m" },
                { "unmovable", "\033[31m" },  { "guarded", "\033[31m" },    { "offline", "\033[90m" },
                { "absent", "\033[90m" },     { "done", "\033[32m" },       { "partial", "\033[33m" },
                { "failed", "\033[31m" },     { "cancelled", "\033[90m" },  { "queued", "\033[33m" },
                { "planning", "\033[33m" },   { "evacuating", "\033[33m" }, { "offlining", "\033[33m" },
                { "ejecting", "\033[33m" },   { "restoring", "\033[33m" },
        };

        for (size_t i = 0; word && i < sizeof(colors) / sizeof(colors[0]); i++)
                if (strcmp(word, colors[i].word) == 0)
                        return colors[i].color;
        return NULL;
}

unsigned output_columns(FILE *stream) {
        struct winsize size = {};
        const char *columns = getenv("COLUMNS");

        if (ioctl(fileno(stream), TIOCGWINSZ, &size) >= 0 && size.ws_col > 0)
                return size.ws_col;
        if (columns) {
                char *end;
                unsigned long n = strtoul(columns, &end, 10);

                if (*end == '\0' && n > 0 && n <= 4096)
                        return (unsigned) n;
        }
        return 80;
}

const char *field_string(json_object *object, const char *key) {
        const char *s = NULL;

        return json_get_string(object, key, &s) >= 0 ? s : NULL;
}

bool field_uint(json_object *object, const char *key, uint64_t *ret) {
        return json_get_uint(object, key, INT64_MAX, ret) >= 0;
}

const char *field_size(const Ctl *ctl, json_object *object, const char *key, char buffer[FORMAT_SIZE_MAX]) {
        uint64_t value;

        return field_uint(object, key, &value) ? output_size(ctl, value, buffer) : "-";
}

json_object *field_object(json_object *object, const char *key) {
        json_object *o = NULL;

        return json_get_object(object, key, &o) >= 0 ? o : NULL;
}

json_object *field_array(json_object *object, const char *key) {
        json_object *o = NULL;

        return json_get_array(object, key, &o) >= 0 ? o : NULL;
}
