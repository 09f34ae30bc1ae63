/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's own events on devices (NETLINK_KOBJECT_UEVENT), no udevd needed. */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

typedef struct Uevent {
        const char *action;    /* "add", "remove", "online", "offline", "change" */
        const char *devpath;   /* "/devices/system/memory/memory40" */
        const char *subsystem; /* "memory" */
} Uevent;

/* Takes one message of n bytes apart; the strings point into it. -EBADMSG: not a kernel event. */
int uevent_parse(const char *message, size_t n, Uevent *ret);

typedef struct UeventMonitor UeventMonitor;
/* event NULL: messages were lost, look at everything again. */
typedef void (*UeventCallback)(const Uevent *event, void *userdata);
/* subsystem NULL: all. The callback may free the monitor. */
int uevent_monitor_new(UeventMonitor **ret, sd_event *loop, const char *subsystem, UeventCallback callback,
                       void *userdata);
UeventMonitor *uevent_monitor_free(UeventMonitor *monitor);
