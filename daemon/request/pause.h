/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of one request need to know of its being held. */
#pragma once

#include "request/request-internal.h"

const char *pause_word(const Request *request); /* "paused", or "waiting" if it has not begun */
void pause_forget(Request *request);
void pause_end_by_deadline(Request *request);
/* An engine call has ended that was cancelled to hold still: nothing else is to be made of its end. */
bool pause_took_over(Request *request, const EngineEvent *event);
