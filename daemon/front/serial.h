/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio-serial port on which the hypervisor asks: finds and opens it, and sees who comes and goes on
 * the other side. What is said there is the Varlink server's. */
#pragma once

#include <systemd/sd-event.h>

#include "front/varlink.h"

#define SERIAL_PORT_NAME "org.memunplug.0"

typedef struct SerialFront SerialFront;

/* Serves the port of this name if there is one now; that there is none is no error. */
int serial_front_new(SerialFront **ret, sd_event *event, VarlinkServer *server, int root_fd,
                     const char *name);
/* To be freed before the server. */
SerialFront *serial_front_free(SerialFront *serial);
/* Ports have come, gone, or been named (kernel events of subsystem virtio-ports). */
void serial_front_look(SerialFront *serial);
/* The device that is served, "vport1p1", or NULL. Good until the next look. */
const char *serial_front_device(const SerialFront *serial);
