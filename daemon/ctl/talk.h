/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls as verbs make them: whatever goes wrong is said in a sentence that holds the next step, and comes
 * back as the exit code for it. All return CTL_DONE or that code. */
#pragma once

#include <json-c/json.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

int talk_connect(const Ctl *ctl, Client **ret);

/* One call, one reply. parameters is borrowed, or NULL. */
int talk_call(const Ctl *ctl, const char *method, json_object *parameters, Reply *ret);

/* A call about the job whose number was typed as text: the number, and the job, which the reply owns. */
int talk_job(const Ctl *ctl, const char *method, const char *text, uint64_t *ret_id, Reply *ret_reply,
             json_object **ret_job);

/* A call with a stream of replies: collects their member into an array. */
int talk_list(const Ctl *ctl, const char *method, const char *member, json_object **ret);

/* Says what an error reply means, or a failure of the connection (negative errno). */
int talk_error(const Ctl *ctl, const Reply *reply);
int talk_failure(const Ctl *ctl, int error);

/* Makes the sentence end: "." or "". */
const char *full_stop(const char *text);
