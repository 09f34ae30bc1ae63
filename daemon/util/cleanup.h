/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cleanup by attribute: what a function owns is freed on every way out. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(func) __attribute__((cleanup(func)))

/* DEFINE_CLEANUP(Plan *, plan_free) makes plan_freep() for CLEANUP(plan_freep). */
#define DEFINE_CLEANUP(type, func)                      \
        static inline void func##p(type *p) {           \
                if (*p)                                 \
                        (void) func(*p);                \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline int close_fd(int fd) {
        if (fd >= 0)
                (void) close(fd); /* nothing can be done about an error here */
        return -EBADF;
}

static inline void closep(int *fd) {
        (void) close_fd(*fd);
}

/* Hand over what a guarded variable owns. */
#define STEAL_PTR(p)                    \
        ({                              \
                __typeof__(p) _s = (p); \
                (p) = NULL;             \
                _s;                     \
        })

static inline int steal_fd(int *fd) {
        int f = *fd;

        *fd = -1;
        return f;
}
