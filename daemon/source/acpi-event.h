/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One record of the module's event stream, checked. Pure function. */
#pragma once

#include <stddef.h>

#include <linux/memunplug.h>

/* n bytes hold at least one record? *ret is it, with a name that ends and holds only letters, digits and
 * ":._-". -EBADMSG. */
int acpi_event_parse(const char *data, size_t n, struct memunplug_event *ret);
