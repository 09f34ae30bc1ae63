/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.memunplug1 on the system bus: Manager, Job objects, ObjectManager, LogControl1. Decodes
 * into the operation table's arguments and encodes its replies; decides nothing. */
#pragma once

#include <systemd/sd-bus.h>

#include "front/operation.h"

typedef struct DBusFront DBusFront;

/* Connects to the system bus (or the address in DBUS_SYSTEM_BUS_ADDRESS) and asks for the name;
 * ready(userdata) is called when the name is ours. Reconnects by itself when the bus goes away. -ENOENT,
 * -ECONNREFUSED and the like are not fatal: it tries again with growing delay, and ready is called then
 * (each time the name became ours). The context is borrowed for the life of the front. */
int dbus_front_new(DBusFront **ret, const OperationContext *context, void (*ready)(void *userdata),
                   void *userdata);
DBusFront *dbus_front_free(DBusFront *front);
bool dbus_front_is_drained(const DBusFront *front); /* nothing waits to be sent that the bus would take */
