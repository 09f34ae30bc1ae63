/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole attributes, read and written below a root directory. Paths are ours; what the kernel
 * answers is checked here for its form, and for its meaning by whoever asked. */
#include "util/sysfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "util/cleanup.h"

/* Links in sysfs lead out of the folder they are in, so they are followed. */
static int open_attribute(int root_fd, const char *path, int flags) {
        int fd;

        if (path[0] == '/')
                return -EINVAL; /* would leave the root */
        fd = openat(root_fd, path, flags | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

/* Fills the buffer as far as there is something; returns the count. */
static ssize_t read_full(int fd, char *buffer, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t k = read(fd, buffer + done, n - done);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                done += (size_t) k;
        }
        return (ssize_t) done;
}

int sysfs_read(int root_fd, const char *path, char *buffer, size_t n) {
        CLEANUP(closep) int fd = -1;
        ssize_t k;

        assert(n > 0);
        fd = open_attribute(root_fd, path, O_RDONLY);
        if (fd < 0)
                return fd;
        k = read_full(fd, buffer, n);
        if (k < 0)
                return (int) k;
        if ((size_t) k == n)
                return -EFBIG;
        if (memchr(buffer, 0, (size_t) k))
                return -EBADMSG;
        while (k > 0 && buffer[k - 1] == '\n')
                k--;
        buffer[k] = 0;
        return 0;
}

int sysfs_readf(int root_fd, char *buffer, size_t n, const char *format, ...) {
        char path[PATH_MAX];
        va_list ap;
        int k;

        va_start(ap, format);
        k = vsnprintf(path, sizeof(path), format, ap);
        va_end(ap);
        if (k < 0 || (size_t) k >= sizeof(path))
                return -ENAMETOOLONG;
        return sysfs_read(root_fd, path, buffer, n);
}

int sysfs_read_all(int root_fd, const char *path, size_t max, char **ret, size_t *ret_n) {
        CLEANUP(closep) int fd = -1;
        CLEANUP(freep) char *text = NULL;
        size_t n = 0, allocated = 0;

        fd = open_attribute(root_fd, path, O_RDONLY);
        if (fd < 0)
                return fd;
        for (;;) {
                ssize_t k;

                if (n + 1 >= allocated) {
                        size_t bigger = allocated ? 2 * allocated : SYSFS_TEXT_MAX;
                        char *t = realloc(text, bigger);

                        if (!t)
                                return -ENOMEM;
                        text = t;
                        allocated = bigger;
                }
                k = read_full(fd, text + n, allocated - n - 1);
                if (k < 0)
                        return (int) k;
                n += (size_t) k;
                if (n > max)
                        return -EFBIG;
                if (n + 1 < allocated)
                        break;
        }
        text[n] = 0;
        *ret = STEAL_PTR(text);
        *ret_n = n;
        return 0;
}

int sysfs_read_u64(int root_fd, const char *path, unsigned base, uint64_t *ret) {
        char text[128];
        uint64_t value;
        int r;

        r = sysfs_read(root_fd, path, text, sizeof(text));
        if (r == -EFBIG)
                return -EBADMSG;
        if (r < 0)
                return r;
        r = parse_u64(text, base, &value);
        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        *ret = value;
        return 0;
}

int sysfs_write(int root_fd, const char *path, const char *text) {
        CLEANUP(closep) int fd = -1;
        size_t n = strlen(text);
        ssize_t k;

        /* O_TRUNC means nothing to sysfs, and the right thing to a made-up tree of plain files. */
        fd = open_attribute(root_fd, path, O_WRONLY | O_TRUNC);
        if (fd < 0)
                return fd;
        /* Once only: a store is one write, and -EINTR is an answer of the memory hotplug code. */
        k = write(fd, text, n);
        if (k < 0)
                return -errno;
        return (size_t) k == n ? 0 : -EIO;
}

int sysfs_read_link_name(int root_fd, const char *path, char *buffer, size_t n) {
        char target[PATH_MAX];
        const char *name;
        ssize_t k;

        if (path[0] == '/')
                return -EINVAL;
        k = readlinkat(root_fd, path, target, sizeof(target));
        if (k < 0)
                return -errno;
        if ((size_t) k == sizeof(target))
                return -EFBIG;
        target[k] = 0;
        name = strrchr(target, '/');
        name = name ? name + 1 : target;
        if (!*name)
                return -EBADMSG;
        if (strlen(name) >= n)
                return -EFBIG;
        strcpy(buffer, name);
        return 0;
}

static int digit_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

int parse_u64(const char *text, unsigned base, uint64_t *ret) {
        uint64_t value = 0;
        bool overflow = false;

        assert(base >= 2 && base <= 16);
        if (!*text)
                return -EINVAL;
        for (; *text; text++) {
                int digit = digit_value(*text);

                if (digit < 0 || (unsigned) digit >= base)
                        return -EINVAL;
                if (__builtin_mul_overflow(value, (uint64_t) base, &value) ||
                    __builtin_add_overflow(value, (uint64_t) digit, &value))
                        overflow = true;
        }
        if (overflow)
                return -ERANGE;
        *ret = value;
        return 0;
}

const char *parse_u64_prefix(const char *text, uint64_t *ret) {
        const size_t n = strspn(text, "0123456789");
        char digits[24];

        if (n == 0 || n >= sizeof(digits))
                return NULL;
        memcpy(digits, text, n);
        digits[n] = '\0';
        return parse_u64(digits, 10, ret) < 0 ? NULL : text + n;
}
