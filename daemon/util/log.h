/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines: to the journal with fields when standard error is connected to it, else to standard
 * error with a level prefix. log_…_errno() return the error they were given. */
#pragma once

#include <syslog.h>

void log_set_max_level(int level);
int log_get_max_level(void);
int log_level_from_string(const char *s); /* "debug" ... or 0-7; -EINVAL */
const char *log_level_to_string(int level);

/* fields: NULL-terminated "KEY=value" strings, or NULL. */
int log_full(int level, int error, const char *const *fields, const char *format, ...)
                __attribute__((format(printf, 4, 5)));

#define log_debug(...) ((void) log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__))
#define log_info(...) ((void) log_full(LOG_INFO, 0, NULL, __VA_ARGS__))
#define log_notice(...) ((void) log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__))
#define log_warning(...) ((void) log_full(LOG_WARNING, 0, NULL, __VA_ARGS__))
#define log_error(...) ((void) log_full(LOG_ERR, 0, NULL, __VA_ARGS__))
#define log_debug_errno(e, ...) log_full(LOG_DEBUG, (e), NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, (e), NULL, __VA_ARGS__)
#define log_error_errno(e, ...) log_full(LOG_ERR, (e), NULL, __VA_ARGS__)
