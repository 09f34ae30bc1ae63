/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches how much the machine suffers from want of memory, while jobs are under way: by a trigger of the
 * kernel where there can be one, else by looking. What is done about it is the queue's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define PRESSURE_TEXT_MAX 96U

typedef struct Pressure Pressure;

/* Things may have changed. true: something waits for them to change again. */
typedef bool (*PressureLook)(void *userdata);

/* fd: /proc/pressure/memory, opened for writing with a right to triggers that this process no longer has;
 * taken over, -1: none. */
int pressure_new(Pressure **ret, sd_event *event, int root_fd, int fd, PressureLook look, void *userdata);
Pressure *pressure_free(Pressure *pressure);
/* Percent of time, 0: no limit. Changes: the trigger. */
void pressure_set_limit(Pressure *pressure, uint32_t percent);
/* Jobs are under way, or no more. With the first one it is looked at once. */
void pressure_watch(Pressure *pressure, bool wanted);
/* Look soon, from the event loop: something else that matters changed. */
void pressure_poke(Pressure *pressure);

bool pressure_is_high(const Pressure *pressure);
bool pressure_has_trigger(const Pressure *pressure);
/* "memory pressure 34 % above 20 %" */
const char *pressure_text(const Pressure *pressure, char ret[PRESSURE_TEXT_MAX]);
