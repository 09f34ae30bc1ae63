/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that people type and read: sizes, durations, lists of blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SIZE_MAX 32U

/* "512M", "2G", "1.5G", "2GiB", "4096"; powers of 1024. -EINVAL, -ERANGE. */
int parse_size(const char *text, uint64_t *ret);
/* "30", "1min 30s", "250ms"; a bare number is seconds; "infinity" is UINT64_MAX. -EINVAL, -ERANGE. */
int parse_duration(const char *text, uint64_t *ret_usec);
int parse_boolean(const char *text); /* 1, 0, -EINVAL */
/* "40-47,52": ascending or not, no repeats in the result, which is sorted. -EINVAL, -E2BIG above max. */
int parse_block_list(const char *text, size_t max, uint32_t **ret, size_t *ret_n);

char *format_size(uint64_t bytes, char buffer[FORMAT_SIZE_MAX]);      /* "1.5G", as lsmem does */
char *format_duration(uint64_t usec, char buffer[FORMAT_SIZE_MAX]);   /* "1min 30s" */
