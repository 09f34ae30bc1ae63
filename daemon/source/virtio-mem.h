/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor as a requester, by the requested size of its virtio-mem devices. Their drivers give back
 * what they can by themselves; what they cannot is explained here, and helped with once it could go. */
#pragma once

#include <systemd/sd-event.h>

#include "engine/engine.h"
#include "request/queue.h"

#define VIRTIO_MEM_DEVICES_MAX 16U /* with a request that is not met, watched at the same time */

typedef struct VirtioMemSource VirtioMemSource;

/* owners_socket: where to ask who has a page, or NULL (borrowed). -EOPNOTSUPP no module, -ENOMEM. */
int virtio_mem_source_new(VirtioMemSource **ret, sd_event *event, Engine *engine, Queue *queue,
                          const char *owners_socket);
VirtioMemSource *virtio_mem_source_free(VirtioMemSource *source);

/* The hypervisor has asked for something, or devices have come or gone. */
void virtio_mem_source_notified(VirtioMemSource *source);
/* Memory blocks have changed. */
void virtio_mem_source_blocks_changed(VirtioMemSource *source);
/* Why the device has more than its hypervisor wants, to be freed; NULL: it has not, or memory is short. */
char *virtio_mem_source_note(const VirtioMemSource *source, const char *device);
