/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's fault injection, for this task: the n-th allocation or copy fails. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "attribute.h"
#include "kmod_test.h"

/* Allocations of any kind, and without a word on the console. */
bool failure_open(Failure *ret) {
        static const char *const settings[][2] = {
                { "failslab/ignore-gfp-wait", "N" }, { "failslab/verbose", "0" },
                { "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/ignore-gfp-highmem", "N" },
                { "fail_page_alloc/min-order", "0" }, { "fail_page_alloc/verbose", "0" },
                { "fail_usercopy/verbose", "0" },
        };
        char path[96];

        for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
                snprintf(path, sizeof path, "/sys/kernel/debug/%s", settings[i][0]);
                if (write_text(path, settings[i][1]) < 0)
                        return false;
        }
        ret->fd = open("/proc/self/fail-nth", O_RDWR|O_CLOEXEC);
        return ret->fd >= 0;
}

bool failure_set(const Failure *failure, unsigned n) {
        char text[16];
        int length = snprintf(text, sizeof text, "%u", n), tries = 0;

        /* To stop it may itself be what fails. */
        while (pwrite(failure->fd, text, (size_t) length, 0) != length)
                if (++tries > 2)
                        return false;
        return true;
}

bool failure_met(const Failure *failure) {
        char text[16] = "";
        ssize_t n = pread(failure->fd, text, sizeof text - 1, 0);

        return n > 0 && atoi(text) == 0;        /* an error: it was to be the next, and was this */
}
