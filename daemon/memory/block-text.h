/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the attributes and names below /sys/devices/system/memory say. Pure functions of text, used by the
 * scan, its tests and its fuzz target. */
#pragma once

#include <stdbool.h>

#include "memory/block.h"

/* "memory40" with prefix "memory", "node0" with prefix "node". -EBADMSG: not such a name. */
int numbered_name_parse(const char *name, const char *prefix, uint32_t *ret);
int block_state_parse(const char *text, BlockState *ret); /* -EBADMSG */
/* First word of valid_zones. What is not known is ZONE_NONE: nothing is tried there. */
Zone block_zone_parse(const char *text);
int block_size_parse(const char *text, uint64_t *ret); /* "8000000"; -EBADMSG */
/* The companion of a memory device: "PNP0C80:00". */
bool acpi_memory_name_is_valid(const char *name);
