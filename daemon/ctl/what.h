/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people name on the command line: memory to take or bring back, jobs, blocks. */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

/* WHAT is a list of blocks if it is of digits, commas and dashes only ("40-47,52"); a size if it is a
 * number with a unit ("2G"); all of a node ("node:1") or so much of it ("2G@node:1"); else a device
 * ("PNP0C80:00"). Adds the parameter "blocks", "sizeBytes" or "device", or "node" with or without
 * "sizeBytes". -EINVAL: none of these, or nothing at all is asked for; *ret_hint, a constant, says what
 * is wrong. */
int what_parse(const char *text, json_object *parameters, const char **ret_hint);

/* A job's number or a block's index. -EINVAL */
int number_parse(const char *text, uint64_t *ret);
