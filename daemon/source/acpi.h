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
AcpiSource *acpi_source_free(AcpiSource *source);
