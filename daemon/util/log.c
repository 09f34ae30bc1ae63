/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One log line: filtered by level, made harmless, and sent to the journal or to standard error.
 * What is worth a line is for the callers to know. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be this file */
#include "util/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048U
#define LOG_FIELDS_MAX 16U

/* The level is of the process, not of an object: whatever logs would have to carry it. */
static int max_level = LOG_INFO;

static const char *const level_names[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

void log_set_max_level(int level) {
        if (level >= LOG_EMERG && level <= LOG_DEBUG)
                max_level = level;
}

int log_get_max_level(void) {
        return max_level;
}

int log_level_from_string(const char *s) {
        if (s[0] >= '0' && s[0] <= '7' && !s[1])
                return s[0] - '0';
        for (int i = LOG_EMERG; i <= LOG_DEBUG; i++)
                if (strcasecmp(s, level_names[i]) == 0)
                        return i;
        if (strcasecmp(s, "error") == 0)
                return LOG_ERR;
        return -EINVAL;
}

const char *log_level_to_string(int level) {
        return level >= LOG_EMERG && level <= LOG_DEBUG ? level_names[level] : NULL;
}

/* The service manager names in $JOURNAL_STREAM the file that it made our standard error. Looked up
 * each time: it may be redirected later on, and a line is rare enough. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;

        if (!stream || sscanf(stream, "%ju:%ju", &device, &inode) != 2)
                return false;
        if (fstat(STDERR_FILENO, &st) < 0)
                return false;
        return (uintmax_t) st.st_dev == device && (uintmax_t) st.st_ino == inode;
}

/* Callers' names end up in lines: no control character may start a new one or talk to a terminal. */
static void line_clean(char *line) {
        for (; *line; line++)
                if ((unsigned char) *line < ' ' || *line == 0x7f)
                        *line = ' ';
}

static int send_to_journal(int level, int error, const char *const *fields, const char *message) {
        struct iovec iov[LOG_FIELDS_MAX + 4];
        char priority[32], number[32], identifier[128], text[LOG_LINE_MAX + 16];
        int n = 0;

        (void) snprintf(text, sizeof(text), "MESSAGE=%s", message);
        (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
        (void) snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s",
                        program_invocation_short_name);
        iov[n++] = (struct iovec) { text, strlen(text) };
        iov[n++] = (struct iovec) { priority, strlen(priority) };
        iov[n++] = (struct iovec) { identifier, strlen(identifier) };
        if (error != 0) {
                (void) snprintf(number, sizeof(number), "ERRNO=%d", error);
                iov[n++] = (struct iovec) { number, strlen(number) };
        }
        for (unsigned i = 0; fields && fields[i] && i < LOG_FIELDS_MAX; i++)
                iov[n++] = (struct iovec) { (void *) fields[i], strlen(fields[i]) };
        return sd_journal_sendv(iov, n);
}

int log_full(int level, int error, const char *const *fields, const char *format, ...) {
        int saved_errno = errno, positive = error < 0 && error > INT32_MIN ? -error : error;
        char message[LOG_LINE_MAX];
        va_list ap;

        if (level < LOG_EMERG || level > max_level)
                return error;
        errno = positive; /* for %m */
        va_start(ap, format);
        (void) vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        line_clean(message);

        if (!stderr_is_journal() || send_to_journal(level, positive, fields, message) < 0)
                dprintf(STDERR_FILENO, "<%d>%s\n", level, message);
        errno = saved_errno;
        return error;
}
