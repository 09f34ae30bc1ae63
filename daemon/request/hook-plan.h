/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a hook reads: the job and its plan, in the words of org.memunplug. */
#pragma once

#include "memory/plan.h"
#include "request/job.h"

/* JSON, one line, to be freed; NULL: memory is short. plan may be NULL: then there are no steps. */
char *hook_plan_text(const Job *job, const Plan *plan);
