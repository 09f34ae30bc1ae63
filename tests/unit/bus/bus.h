/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A message bus for one test: a real dbus-daemon with the real policy on a private address, a polkit that
 * answers as told, clients of any uid, and one event loop that they and the front all live in. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <systemd/sd-bus.h>

#include "fake.h"
#include "front/dbus.h"

#define NOBODY ((uid_t) 65534)
#define MANAGER "org.memunplug1.Manager"
#define JOB "org.memunplug1.Job"

typedef enum PolkitAnswer {
        POLKIT_YES,
        POLKIT_NO,
        POLKIT_CHALLENGE,
        POLKIT_ERROR,
        POLKIT_WAIT
} PolkitAnswer;

typedef struct Polkit {
        sd_bus *bus;
        PolkitAnswer answer;
        sd_bus_message *waiting[64]; /* with POLKIT_WAIT */
        size_t n_waiting;
        unsigned n_asked, n_cancelled;
        char subject[64], action[64], target[256];
        uint32_t flags;
} Polkit;

typedef struct Bus {
        sd_event *event;
        char directory[64];
        char address[96];
        pid_t daemon;
        Fake *fake;
        DBusFront *front;
        unsigned n_ready;
        Polkit polkit;
} Bus;

/* Fixtures: everything up, the front ready; as the first, but without dbus-daemon and front. */
int bus_setup(void **state);
int bus_setup_bare(void **state);
int bus_teardown(void **state);
void bus_start_daemon(Bus *bus);
void bus_stop_daemon(Bus *bus);
void bus_start_front(Bus *bus);
void bus_start_polkit(Bus *bus, PolkitAnswer answer);
void bus_stop_polkit(Bus *bus);
void polkit_answer(Polkit *polkit, bool yes); /* to all who wait */

/* Runs the loop until *flag is not 0; fails the test after ten seconds. */
void bus_run_until(Bus *bus, const unsigned *flag);
void bus_run_for(Bus *bus, uint64_t usec);

/* A client; uid only matters when the test runs as root, otherwise the test is skipped. */
sd_bus *client_new(Bus *bus, uid_t uid);

/* A call that is under way. */
typedef struct Call {
        unsigned done;
        sd_bus_message *reply;
        sd_bus_slot *slot;
} Call;
void call_send(sd_bus *client, Call *call, sd_bus_message *message);
void call_start(sd_bus *client, Call *call, const char *path, const char *interface, const char *member,
                const char *types, ...);
void call_clear(Call *call);

/* Calls and waits. The reply, which may be an error; to be unreferenced. */
sd_bus_message *call_wait(Bus *bus, sd_bus *client, const char *path, const char *interface,
                          const char *member, const char *types, ...);
sd_bus_message *call_message(Bus *bus, sd_bus *client, sd_bus_message *message);
void assert_error(sd_bus_message *reply, const char *name);   /* takes the reply */
void assert_text(sd_bus_message *reply, const char *text);    /* one string; takes the reply */
void assert_property(Bus *bus, sd_bus *client, const char *path, const char *interface, const char *property,
                     const char *type, ...);
