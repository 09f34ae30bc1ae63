/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eject requests of the platform for ACPI memory devices: from the module's gate to demands, and from what
 * became of them to the platform's status code (_OST). */
#pragma once

#include <systemd/sd-event.h>

#include "engine/engine.h"
#include "request/queue.h"

typedef struct AcpiSource AcpiSource;

/* Takes the gate of the engine's module. Errors: -EOPNOTSUPP no module, -ENODEV no ACPI memory devices,
 * -EBUSY somebody else holds the gate. */
int acpi_source_new(AcpiSource **ret, sd_event *event, Engine *engine, Queue *queue);
/* Takes over devices, too, that have come since. Only while no device is being ejected: what was released to
 * the kernel for that would be taken back. */
void acpi_source_look(AcpiSource *source);
AcpiSource *acpi_source_free(AcpiSource *source);
