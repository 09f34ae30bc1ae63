/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of callbacks. One that leaves while the list is being told is only marked, and swept out
 * afterwards. */
#include <errno.h>
#include <stdlib.h>

#include "request/observers.h"

struct QueueSlot {
        Observers *observers;
        QueueObserver observer;
        void *userdata;
        bool dead;
        QueueSlot *next;
};

static void sweep(Observers *observers) {
        QueueSlot **link = &observers->first;

        while (*link) {
                QueueSlot *slot = *link;

                if (!slot->dead) {
                        link = &slot->next;
                        continue;
                }
                *link = slot->next;
                free(slot);
        }
}

int observers_add(Observers *observers, QueueObserver observer, void *userdata, QueueSlot **ret) {
        QueueSlot *slot = calloc(1, sizeof(*slot));

        if (!slot)
                return -ENOMEM;
        *slot = (QueueSlot) {
                .observers = observers,
                .observer = observer,
                .userdata = userdata,
                .next = observers->first,
        };
        observers->first = slot;
        *ret = slot;
        return 0;
}

void observers_tell(Observers *observers, QueueEvent event, const Job *job, uint32_t block) {
        observers->telling++;
        for (QueueSlot *slot = observers->first; slot; slot = slot->next)
                if (!slot->dead)
                        slot->observer(event, job, block, slot->userdata);
        observers->telling--;
        if (observers->telling == 0)
                sweep(observers);
}

QueueSlot *queue_slot_free(QueueSlot *slot) {
        if (!slot)
                return NULL;
        slot->dead = true;
        if (slot->observers->telling == 0)
                sweep(slot->observers);
        return NULL;
}

void observers_clear(Observers *observers) {
        for (QueueSlot *slot = observers->first; slot; slot = slot->next)
                slot->dead = true;
        sweep(observers);
}
