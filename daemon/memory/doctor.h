/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for what prevents removal: reads, and changes nothing. Each returns 0 or -ENOMEM; a file that is not
 * there is no finding. */
#pragma once

#include "memory/finding.h"
#include "memory/guard.h"

/* Devices and blocks: zones, protection, the ratio of zones. */
int doctor_blocks(Findings *findings, const BlockTable *table, const GuardPolicy *policy);
/* How the kernel brings memory online, and its command line. */
int doctor_onlining(Findings *findings, int root_fd, const BlockTable *table);
/* What holds memory: huge pages, drivers. */
int doctor_holders(Findings *findings, int root_fd);
/* The kernel's version. */
int doctor_version(Findings *findings, int root_fd);

/* The upstream version of the running kernel as /proc/version tells it: Debian's "6.1.0-44-amd64" may be
 * 6.1.164. -EINVAL: not understood. */
int kernel_version_parse(const char *text, unsigned ret[3]);
