/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's worst neighbour: a file system in user space whose server answers
 * everything but reads, and a process that reads from it.
 *
 *   staller --range=START-END,... --mode=cache     pages of the file, locked until they are read
 *   staller --range=START-END,... --mode=cache --file=FILE    the same of a file on a disk (no server): who
 *                                                  calls has made its device stop before
 *   staller --range=START-END,... --mode=direct    pages of the reader, held until they are read into
 *   staller --range=START-END,... --mode=buffers   pages registered with io_uring (no file system)
 *
 * Prints "holding N pages as pid P" when N pages of the range are held or about to be,
 * and "asked" when the server has the first read: from then on they are. On SIGTERM the
 * server ends: with it the connection, and every read has failed.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pages.h"

#define DIRECTORY "/run/staller"
#define FILE_NAME "file"
#define FILE_NODE 2
#define FILE_BYTES (4UL << 20)
#define READ_PAGES 32                           /* of one request, as the kernel limits it */
#define KPF_LOCKED 0

typedef enum Mode { MODE_CACHE, MODE_DIRECT, MODE_BUFFERS } Mode;

static uint64_t ranges_pages(const Ranges *ranges) {
        uint64_t total = 0;

        for (size_t i = 0; i < ranges->n; i++)
                total += (ranges->item[i].end - ranges->item[i].start) / PAGE_BYTES;
        return total;
}

/* ---- the server ---- */

static void fill_attr(uint64_t node, struct fuse_attr *attr) {
        *attr = (struct fuse_attr) {
                .ino = node,
                .mode = node == FILE_NODE ? S_IFREG | 0444 : S_IFDIR | 0755,
                .size = node == FILE_NODE ? FILE_BYTES : 0,
                .nlink = 1,
                .blksize = PAGE_BYTES,
        };
}

static int answer(int fd, uint64_t unique, int error, const void *data, size_t size) {
        struct fuse_out_header header = { .len = sizeof(header) + size, .error = error, .unique = unique };
        struct iovec iov[2] = { { &header, sizeof(header) }, { (void *) data, size } };

        /* Who asked may have gone meanwhile. */
        return writev(fd, iov, size > 0 ? 2 : 1) < 0 && errno != ENOENT ? -errno : 0;
}

static int answer_init(int fd, uint64_t unique) {
        struct fuse_init_out out = {
                .major = FUSE_KERNEL_VERSION,
                .minor = FUSE_KERNEL_MINOR_VERSION,
                .max_readahead = FILE_BYTES,
                .flags = FUSE_ASYNC_READ,
                .max_background = 64,
                .congestion_threshold = 64,
                .max_write = PAGE_BYTES,
        };

        return answer(fd, unique, 0, &out, sizeof(out));
}

static void say_asked(void) {
        static bool said;

        if (said)
                return;
        said = true;
        printf("asked\n");
        fflush(stdout);
}

static int serve_one(int fd, Mode mode, const struct fuse_in_header *in) {
        struct fuse_entry_out entry = { .nodeid = FILE_NODE, .attr_valid = 3600, .entry_valid = 3600 };
        struct fuse_attr_out attr = { .attr_valid = 3600 };
        struct fuse_open_out opened = { .open_flags = mode == MODE_DIRECT ? FOPEN_DIRECT_IO : 0 };

        switch (in->opcode) {
        case FUSE_INIT:
                return answer_init(fd, in->unique);
        case FUSE_LOOKUP:
                fill_attr(FILE_NODE, &entry.attr);
                return answer(fd, in->unique, 0, &entry, sizeof(entry));
        case FUSE_GETATTR:
                fill_attr(in->nodeid, &attr.attr);
                return answer(fd, in->unique, 0, &attr, sizeof(attr));
        case FUSE_OPEN:
                return answer(fd, in->unique, 0, &opened, sizeof(opened));
        case FUSE_READ:                         /* waits for ever */
                say_asked();
                return 0;
        case FUSE_INTERRUPT:
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
                return 0;                       /* want no answer */
        default:
                return answer(fd, in->unique, -ENOSYS, NULL, 0);
        }
}

static int serve(int fd, Mode mode) {
        static char buffer[FUSE_MIN_READ_BUFFER * 2] __attribute__((aligned(8)));

        for (;;) {
                ssize_t n = read(fd, buffer, sizeof(buffer));
                int r;

                if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
                        continue;
                if (n < 0)
                        return -errno;
                if (n < (ssize_t) sizeof(struct fuse_in_header))
                        return -EBADMSG;
                r = serve_one(fd, mode, (const struct fuse_in_header *) buffer);
                if (r < 0)
                        return r;
        }
}

static int mount_server(int *ret_fd) {
        char options[96];
        int fd;

        if (mkdir(DIRECTORY, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
        if (mount("staller", DIRECTORY, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* ---- those that hold ---- */

static int count_locked(const Ranges *ranges, size_t *ret) {
        static uint64_t flags[4096];
        size_t found = 0;
        int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < ranges->n; i++)
                for (uint64_t at = ranges->item[i].start; at < ranges->item[i].end;) {
                        uint64_t left = (ranges->item[i].end - at) / PAGE_BYTES;
                        size_t want = (left < 4096 ? left : 4096) * sizeof(flags[0]);
                        ssize_t n = pread(fd, flags, want, (off_t) (at / PAGE_BYTES * sizeof(flags[0])));

                        if (n <= 0) {
                                (void) close(fd);
                                return n < 0 ? -errno : -ENXIO;
                        }
                        for (size_t k = 0; k < (size_t) n / sizeof(flags[0]); k++)
                                found += flags[k] >> KPF_LOCKED & 1;
                        at += (uint64_t) n / sizeof(flags[0]) * PAGE_BYTES;
                }
        (void) close(fd);
        *ret = found;
        return 0;
}

static void say_held(size_t held) {
        printf("holding %zu pages as pid %d\n", held, (int) getpid());
        fflush(stdout);
}

/* Reading ahead waits for nobody: the pages are in the cache, locked, when it returns. */
static int hold_cache(int fd, off_t size, const Ranges *ranges) {
        size_t held = 0;
        int r;

        for (off_t at = 0; at < size; at += READ_PAGES * PAGE_BYTES)
                if (readahead(fd, at, READ_PAGES * PAGE_BYTES) < 0)
                        return -errno;
        r = count_locked(ranges, &held);
        if (r >= 0)
                say_held(held);
        return r;
}

/* Forgets what is cached of a file, and begins to read it. */
static int hold_file(const char *path, const Ranges *ranges) {
        int fd = open(path, O_RDONLY | O_CLOEXEC), r;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        r = r > 0 ? -r : hold_cache(fd, st.st_size, ranges);
        for (; r >= 0;)
                (void) pause();
        return r;
}

static int hold_direct(int fd, const Pages *pages) {
        struct iovec iov[READ_PAGES];
        int n = pages->n < READ_PAGES ? (int) pages->n : READ_PAGES;

        for (int i = 0; i < n; i++)
                iov[i] = (struct iovec) { pages->item[i].address, PAGE_BYTES };
        say_held((size_t) n);
        return preadv(fd, iov, n, 0) < 0 ? -errno : 0;
}

static int hold_buffers(const Pages *pages) {
        struct io_uring_params parameters = {};
        struct iovec iov[READ_PAGES];
        unsigned n = pages->n < READ_PAGES ? (unsigned) pages->n : READ_PAGES;
        int fd = (int) syscall(SYS_io_uring_setup, 4, &parameters);

        if (fd < 0)
                return -errno;
        for (unsigned i = 0; i < n; i++)
                iov[i] = (struct iovec) { pages->item[i].address, PAGE_BYTES };
        if (n > 0 && syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, iov, n) < 0)
                return -errno;
        say_held(n);
        return 0;
}

static int hold(Mode mode, const Ranges *ranges) {
        uint64_t one_in = ranges_pages(ranges) / (READ_PAGES * 4) + 1;
        Pages pages = {};
        int fd = -1, r = 0;

        if (mode != MODE_CACHE)
                r = pages_capture(ranges, 0, false, pages_one_in, &one_in, &pages);
        if (r >= 0 && mode != MODE_BUFFERS) {
                fd = open(DIRECTORY "/" FILE_NAME, O_RDONLY | O_CLOEXEC);
                r = fd < 0 ? -errno : 0;
        }
        if (r < 0)
                return r;
        switch (mode) {
        case MODE_CACHE:
                r = hold_cache(fd, (off_t) FILE_BYTES, ranges);
                break;
        case MODE_DIRECT:
                r = hold_direct(fd, &pages);
                break;
        case MODE_BUFFERS:
                r = hold_buffers(&pages);
                break;
        }
        for (; r >= 0;)
                (void) pause();                 /* until the server goes */
        return r;
}

static int run(Mode mode, const Ranges *ranges) {
        pid_t server = getpid(), pid;
        int fd = -1, r = 0;

        if (mode == MODE_BUFFERS)
                return hold(mode, ranges);
        r = mount_server(&fd);
        if (r < 0)
                return r;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid > 0)
                return serve(fd, mode);
        /* The connection must end with the server alone. */
        (void) close(fd);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != server)
                return -ESRCH;
        return hold(mode, ranges);
}

static int parse_mode(const char *text) {
        static const char *const names[] = {
                [MODE_CACHE] = "cache",
                [MODE_DIRECT] = "direct",
                [MODE_BUFFERS] = "buffers",
        };

        for (int i = 0; i < (int) (sizeof(names) / sizeof(names[0])); i++)
                if (strcmp(text, names[i]) == 0)
                        return i;
        return -EINVAL;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "range", required_argument, NULL, 'r' },
                { "mode",  required_argument, NULL, 'm' },
                { "file",  required_argument, NULL, 'f' },
                {}
        };
        Ranges ranges = { .n = 0 };
        const char *file = NULL;
        int mode = -1, c, r;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if ((c == 'r' && ranges_parse(optarg, &ranges) < 0) || (c != 'r' && c != 'm' && c != 'f'))
                        return EXIT_FAILURE;
                else if (c == 'f')
                        file = optarg;
                else if (c == 'm')
                        mode = parse_mode(optarg);
        if (optind != argc || ranges.n == 0 || mode < 0 || (file && mode != MODE_CACHE)) {
                fprintf(stderr, "usage: staller --range=START-END,... --mode=cache|direct|buffers [--file=FILE]\n");
                return 2;
        }
        r = file ? hold_file(file, &ranges) : run((Mode) mode, &ranges);
        if (r < 0)
                fprintf(stderr, "staller: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
