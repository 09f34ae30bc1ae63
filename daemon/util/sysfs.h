/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes below a root directory fd (usually "/"): "sys/devices/system/memory/memory3/state".
 * The root is a parameter so that tests give a made-up tree. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SYSFS_TEXT_MAX 4096U

/* Reads at most n - 1 bytes, ends them with NUL, strips trailing newlines. -EFBIG: longer. -EBADMSG: a NUL
 * inside. */
int sysfs_read(int root_fd, const char *path, char *buffer, size_t n);
int sysfs_readf(int root_fd, char *buffer, size_t n, const char *format, ...)
                __attribute__((format(printf, 4, 5)));
/* Whole file of unknown length, at most max bytes; *ret to be freed. */
int sysfs_read_all(int root_fd, const char *path, size_t max, char **ret, size_t *ret_n);
int sysfs_read_u64(int root_fd, const char *path, unsigned base, uint64_t *ret); /* -EBADMSG, -ERANGE */
int sysfs_write(int root_fd, const char *path, const char *text);
/* Last component of the target of a link. */
int sysfs_read_link_name(int root_fd, const char *path, char *buffer, size_t n);

/* Digits only, all of the string, no sign, no blanks. -EINVAL, -ERANGE. */
int parse_u64(const char *text, unsigned base, uint64_t *ret);
/* Decimal digits with something behind them: that, or NULL if there are none, or more than a number has. */
const char *parse_u64_prefix(const char *text, uint64_t *ret);
