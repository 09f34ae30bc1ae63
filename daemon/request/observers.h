/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is told of changes. Observers may come and go while they are being told. */
#pragma once

#include <stdbool.h>

#include "request/queue.h"

typedef struct Observers {
        QueueSlot *first;
        unsigned telling; /* depth of observers_tell() */
} Observers;

int observers_add(Observers *observers, QueueObserver observer, void *userdata, QueueSlot **ret);
void observers_tell(Observers *observers, QueueEvent event, const Job *job, uint32_t block);
void observers_clear(Observers *observers);
