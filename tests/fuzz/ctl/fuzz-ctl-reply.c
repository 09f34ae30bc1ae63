/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever answers memunplugctl: the frames, the reply, and all that is read out of it for people. The
 * first byte says whether the call allowed several replies. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/client.h"
#include "ctl/job.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/screen.h"
#include "util/cleanup.h"

#define INPUT_MAX 65536U /* what a socket pair takes without a reader */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_job(json_object *json) {
        char line[PROGRESS_LINE_MAX];
        const Rate rate = { .per_second = 1e6 };
        const Ctl ctl = {};
        JobView job;

        job_view(&job, json);
        if (job_percent(&job) > 100)
                abort();
        (void) job_exit_code(&job);
        progress_line(&ctl, &job, &rate, 60, /* utf8= */ false, line);
        if (strlen(line) > 60)
                abort();
}

static void look_at(json_object *parameters) {
        CLEANUP(freep) char *text = NULL, *safe = NULL;
        const Ctl ctl = {};

        text = event_describe(&ctl, parameters);
        safe = text ? text_escape(text) : NULL;
        for (const char *p = safe; p && *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7F)
                        abort();
        if (field_object(parameters, "job"))
                look_at_job(field_object(parameters, "job"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CLEANUP(client_freep) Client *client = NULL;
        CLEANUP(closep) int peer = -EBADF;
        int fds[2];

        if (size < 1 || size > INPUT_MAX)
                return 0;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || client_new(&client, fds[0]) < 0)
                abort();
        peer = fds[1];
        if (client_send(client, "org.memunplug.Monitor", NULL, data[0] & 1) < 0)
                abort();
        if (size > 1 && send(peer, data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) (size - 1))
                return 0;
        for (;;) {
                CLEANUP(reply_clear) Reply reply = {};

                if (client_take(client, &reply) < 0)
                        return 0;
                if (reply.error && reply.continues)
                        abort();
                look_at(reply.parameters);
        }
}
