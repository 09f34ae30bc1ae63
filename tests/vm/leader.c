/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test of /dev/memunplug-balloon, run as root in a guest whose hypervisor wants
 * nothing of its balloon at first. Leads the balloon, says "leading", and waits for a
 * target, of which the driver must take nothing before it is let. Prints a line for
 * each thing that is not as the contract says; exit status 1 if there is any.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/memunplug_balloon.h>

#define DEVICE "/dev/memunplug-balloon"
#define TOP (~UINT64_C(0))
#define BEYOND (UINT64_C(1) << 44)              /* no guest has memory there */

static bool failed;

#define EXPECT(call, wanted) expect((call), (wanted), #call, __LINE__)

static void expect(int got, int wanted, const char *text, int line) {
        if (got == wanted)
                return;
        failed = true;
        printf("line %d: %s: %d, not %d\n", line, text, got, wanted);
}

static int call(int fd, unsigned long command, void *arg) {
        return ioctl(fd, command, arg) < 0 ? -errno : 0;
}

static int state(int fd, struct memunplug_balloon_state *ret) {
        *ret = (struct memunplug_balloon_state) {};
        return call(fd, MEMUNPLUG_BALLOON_IOC_STATE, ret);
}

static int give(int fd, uint64_t start, uint64_t size, uint32_t flags) {
        struct memunplug_balloon_range range = { .start = start, .size = size, .flags = flags };

        return call(fd, MEMUNPLUG_BALLOON_IOC_GIVE, &range);
}

static int blocks(int fd, void *addresses, uint32_t max, uint32_t *n) {
        struct memunplug_balloon_blocks b = { .addresses = (uintptr_t) addresses, .max = max, .n = *n };
        int r = call(fd, MEMUNPLUG_BALLOON_IOC_BLOCKS, &b);

        *n = b.n;
        return r;
}

static int pages_with(int fd, uint64_t sequence, uint32_t flags, uint32_t reserved) {
        struct memunplug_balloon_pages p = { .sequence = sequence, .flags = flags, .reserved = reserved };

        return call(fd, MEMUNPLUG_BALLOON_IOC_PAGES, &p);
}

static int pages(int fd, uint64_t sequence) {
        return pages_with(fd, sequence, 0, 0);
}

static int release(int fd, uint64_t start, uint64_t size, uint64_t *bytes) {
        struct memunplug_balloon_release r = { .start = start, .size = size, .bytes = *bytes };
        int result = call(fd, MEMUNPLUG_BALLOON_IOC_RELEASE, &r);

        *bytes = r.bytes;
        return result;
}

static uint64_t block_size(void) {
        FILE *f = fopen("/sys/devices/system/memory/block_size_bytes", "re");
        uint64_t size = 0;

        if (!f || fscanf(f, "%"SCNx64, &size) != 1)
                exit(2);
        fclose(f);
        return size;
}

static int set_floor(int fd, uint64_t bytes, uint64_t reserved) {
        struct memunplug_balloon_floor f = { .bytes = bytes, .reserved = reserved };

        return call(fd, MEMUNPLUG_BALLOON_IOC_FLOOR, &f);
}

typedef bool (*condition_t)(const struct memunplug_balloon_state *state);

/* Until the state says so; it must not take longer than a minute. */
static bool wait_for(int fd, condition_t good, struct memunplug_balloon_state *ret) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        for (;;) {
                if (state(fd, ret) < 0)
                        return false;
                if (good(ret))
                        return true;
                if (poll(&p, 1, 60000) != 1)
                        return false;
        }
}

static bool has_target(const struct memunplug_balloon_state *s) {
        return s->target > 0;
}

static bool is_met(const struct memunplug_balloon_state *s) {
        return s->held == s->target;
}

static bool is_met_or_short(const struct memunplug_balloon_state *s) {
        return is_met(s) || s->shortage != MEMUNPLUG_BALLOON_SHORT_NONE;
}

static void test_form(int fd) {
        struct { struct memunplug_balloon_pages p; uint64_t more; } longer = { .more = 1 };
        uint64_t address;
        uint32_t n = 1;
        struct stat st;

        EXPECT(stat(DEVICE, &st), 0);
        EXPECT((int) (st.st_mode & 07777), 0600);
        EXPECT(call(fd, _IO(MEMUNPLUG_BALLOON_IOC_TYPE, 64), &longer), -ENOTTY);
        EXPECT(call(fd, _IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 70, uint64_t), &longer), -ENOTTY);
        EXPECT(call(fd, _IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 67, uint32_t), &longer), -EINVAL);
        EXPECT(call(fd, _IOW(MEMUNPLUG_BALLOON_IOC_TYPE, 67, longer), &longer), -E2BIG);
        EXPECT(call(fd, MEMUNPLUG_BALLOON_IOC_STATE, NULL), -EFAULT);
        EXPECT(call(fd, MEMUNPLUG_BALLOON_IOC_GIVE, NULL), -EFAULT);
        EXPECT(blocks(fd, &address, 1, &n), -EINVAL);
        n = 0;
        EXPECT(blocks(fd, &address, 4097, &n), -EINVAL);
        EXPECT(blocks(fd, &address, 1, &n), 0);
        EXPECT((int) n, 0);
}

static void test_give(int fd, uint64_t block) {
        EXPECT(give(fd, 0, 0, 0), -EINVAL);
        EXPECT(give(fd, 4096, block, 0), -EINVAL);
        EXPECT(give(fd, 0, block - 4096, 0), -EINVAL);
        EXPECT(give(fd, TOP - block + 1, block, 0), -EINVAL);
        EXPECT(give(fd, TOP - block + 1, 2 * block, 0), -EINVAL);
        EXPECT(give(fd, 0, block, 1), -EINVAL);
        EXPECT(give(fd, 0, block, 0), -EBUSY);
        EXPECT(give(fd, BEYOND, block, 0), -ENXIO);
        EXPECT(give(fd, BEYOND, 1024 * block, 0), -ENOSPC);
}

static void test_other_file(void) {
        int fd = open(DEVICE, O_RDWR|O_CLOEXEC);
        struct memunplug_balloon_state s;
        uint64_t bytes = 0;
        uint32_t n = 0;

        EXPECT(state(fd, &s), -EBUSY);
        EXPECT(give(fd, 0, block_size(), 0), -EBUSY);
        EXPECT(blocks(fd, NULL, 0, &n), -EBUSY);
        EXPECT(pages(fd, 1), -EBUSY);
        EXPECT(release(fd, 0, 0, &bytes), -EBUSY);
        EXPECT(set_floor(fd, 1, 0), -EBUSY);
        close(fd);
}

/* What comes back is not taken again, until PAGES lets the driver go on. */
static void test_release(int fd, uint64_t block) {
        struct memunplug_balloon_state s, before;
        uint64_t bytes = 0, want = 5 * 4096 - 1, ranges = 0;

        EXPECT(release(fd, 4096, block, &bytes), -EINVAL);
        EXPECT(release(fd, 0, block - 4096, &bytes), -EINVAL);
        EXPECT(release(fd, TOP - block + 1, block, &bytes), -EINVAL);
        EXPECT(release(fd, BEYOND, block, &bytes), 0);
        EXPECT((int) bytes, 0);
        EXPECT(state(fd, &before), 0);
        EXPECT(release(fd, 0, 0, &want), 0);
        EXPECT((int) want, 5 * 4096);
        for (uint64_t start = 0; start < (UINT64_C(1) << 33); start += block, ranges += bytes) {
                bytes = 0;
                EXPECT(release(fd, start, block, &bytes), 0);
        }
        EXPECT(ranges == before.held - 5 * 4096, true);
        usleep(1200000);
        EXPECT(state(fd, &s), 0);
        EXPECT((int) (s.held >> 12), 0);
        EXPECT(pages(fd, s.sequence), 0);
        EXPECT(wait_for(fd, is_met, &s), true);
}

/* The floor that is told is that of the state; 0 brings back the driver's own. */
static void test_floor(int fd) {
        struct memunplug_balloon_state before, s;

        EXPECT(state(fd, &before), 0);
        EXPECT((int) before.flags, 0);
        EXPECT(before.floor > 0, true);
        EXPECT(set_floor(fd, 1, 1), -EINVAL);
        for (uint64_t bytes = 50 << 20; bytes <= UINT64_C(800) << 20; bytes *= 16) {
                EXPECT(set_floor(fd, bytes, 0), 0);
                EXPECT(state(fd, &s), 0);
                EXPECT(s.floor == bytes, true);
        }
        EXPECT(set_floor(fd, TOP, 0), 0);
        EXPECT(state(fd, &s), 0);
        EXPECT(s.floor > UINT64_C(1) << 50, true);
        EXPECT(set_floor(fd, 0, 0), 0);
        EXPECT(state(fd, &s), 0);
        EXPECT(s.floor == before.floor, true);
}

int main(void) {
        int fd = open(DEVICE, O_RDWR|O_CLOEXEC);
        struct memunplug_balloon_state s;
        uint64_t block = block_size();

        if (fd < 0 || state(fd, &s) < 0) {
                perror(DEVICE);
                return 2;
        }
        test_form(fd);
        test_other_file();
        test_floor(fd);
        EXPECT(give(fd, 0, block, 0), -ENOSPC);  /* nothing is wanted yet */
        printf("leading\n");
        fflush(stdout);
        EXPECT(wait_for(fd, has_target, &s), true);
        test_give(fd, block);
        usleep(1200000);                        /* longer than the driver would wait by itself */
        EXPECT(state(fd, &s), 0);
        EXPECT((int) (s.held >> 12), 0);
        EXPECT(pages(fd, s.sequence + 1), -ESTALE);
        EXPECT(pages_with(fd, s.sequence, 2, 0), -EINVAL);
        EXPECT(pages_with(fd, s.sequence, 0, 1), -EINVAL);
        EXPECT(pages_with(fd, s.sequence, MEMUNPLUG_BALLOON_PAGES_PIECES, 0), 0);
        EXPECT(wait_for(fd, is_met_or_short, &s), true);
        EXPECT(s.held > 0, true);
        EXPECT((int) (s.held % (2U << 20)), 0);
        EXPECT(pages(fd, s.sequence), 0);
        EXPECT(wait_for(fd, is_met, &s), true);
        EXPECT((int) (s.blocks >> 12), 0);
        test_release(fd, block);
        printf("met\n");
        return failed ? 1 : 0;
}
