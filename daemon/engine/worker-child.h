/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child's side of a worker: how the process is made, and nothing of what it is for. Used by worker.c
 * only. */
#pragma once

#include "engine/worker.h"

/* Changes: makes a process that waits for one byte on the channel, then runs spec->body and ends. The
 * channel gives its records, and end of file with it. */
int worker_child_start(const WorkerSpec *spec, int *ret_channel, int *ret_pidfd);
