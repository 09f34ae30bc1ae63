/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system's shutdown and suspend, as systemd-logind tells of them: no job starts from then on, what is
 * under way is brought back. logind is listened to if it is there, and never started. */
#pragma once

#include <systemd/sd-bus.h>

#include "request/queue.h"

typedef struct Logind Logind;

/* For as long as the connection lasts. */
int logind_new(Logind **ret, sd_bus *bus, Queue *queue);
Logind *logind_free(Logind *logind);
