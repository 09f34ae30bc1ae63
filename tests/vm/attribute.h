/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files below /proc and /sys that take a word, for the test guest's helpers. */
#ifndef MEMUNPLUG_TEST_ATTRIBUTE_H
#define MEMUNPLUG_TEST_ATTRIBUTE_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* 0 or a negative errno. */
static inline int write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY|O_CLOEXEC), r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) < 0)
                r = -errno;
        close(fd);
        return r;
}

#endif
