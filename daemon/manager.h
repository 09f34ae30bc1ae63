/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns every object of the daemon and wires them; decides nothing. */
#pragma once

#include <stdbool.h>

typedef struct Manager Manager;

/* From the command line. Strings are borrowed. */
typedef struct ManagerOptions {
        const char *root;        /* directory in place of "/" */
        const char *listen;      /* path of the Varlink socket, if none was passed in */
        const char *device;      /* the module's node; NULL: never use it */
        const char *state;       /* directory of the journal */
        const char *port;        /* name of the hypervisor's virtio-serial port; NULL: never use it */
        int pressure_fd;         /* of /proc/pressure/memory, opened with more rights, or -1; taken over */
} ManagerOptions;

int manager_new(Manager **ret, const ManagerOptions *options);
Manager *manager_free(Manager *manager);
/* Runs until SIGTERM or SIGINT; returns what the program exits with. */
int manager_run(Manager *manager);
