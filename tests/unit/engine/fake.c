/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOGETHER_SECONDS 20
#define PAGE_BYTES 4096U

FakeModule *fake_module;

/* Of the threads of one process: one call at a time, as far as what they change goes. */
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_came = PTHREAD_COND_INITIALIZER;

void fake_module_reset(void) {
        if (!fake_module) {
                fake_module = mmap(NULL, sizeof(*fake_module), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                assert_ptr_not_equal(fake_module, MAP_FAILED);
        }
        *fake_module = (FakeModule) {
                .info = {
                        .abi = MEMUNPLUG_ABI,
                        .features = MEMUNPLUG_FEATURE_EVACUATE | MEMUNPLUG_FEATURE_SURVEY |
                                    MEMUNPLUG_FEATURE_GATE | MEMUNPLUG_FEATURE_KEEP_CACHE |
                                    MEMUNPLUG_FEATURE_HELD,
                        .selftest = MEMUNPLUG_SELFTEST_PASSED,
                        .block_size = FAKE_BLOCK_SIZE,
                        .pageblock_size = UINT64_C(2) << 20,
                },
        };
}

static int fake_open(const char *path) {
        int fd;

        if (fake_module->open_error < 0)
                return fake_module->open_error;
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int fake_info(struct memunplug_info *info) {
        fake_module->n_info++;
        if (fake_module->info_error < 0)
                return fake_module->info_error;
        *info = fake_module->info;
        return 0;
}

static uint64_t used_between(uint32_t first, uint32_t last) {
        uint64_t sum = 0;

        for (uint32_t i = first; i <= last; i++)
                sum += fake_module->movable[i] + fake_module->pinned[i] + fake_module->offline[i];
        return sum;
}

static void move_out(uint32_t first, uint32_t last, bool keep_cache) {
        uint64_t moved = 0;

        for (uint32_t i = first; i <= last; i++) {
                uint64_t bytes = fake_module->movable[i] - (keep_cache ? fake_module->cache[i] : 0);

                if (fake_module->step > 0 && bytes > fake_module->step - moved)
                        bytes = fake_module->step - moved;
                fake_module->movable[i] -= bytes;
                moved += bytes;
        }
}

/* Until so many calls have come; -ETIMEDOUT if they do not. */
static int wait_together(void) {
        struct timespec until;
        int r = 0;

        (void) timespec_get(&until, TIME_UTC);
        until.tv_sec += TOGETHER_SECONDS;
        (void) pthread_cond_broadcast(&fake_came);
        while (fake_module->n_evacuate < fake_module->together && r == 0)
                r = pthread_cond_timedwait(&fake_came, &fake_lock, &until);
        return -r;
}

static int fake_evacuate_locked(struct memunplug_evacuate *call) {
        uint32_t first = (uint32_t) (call->start / FAKE_BLOCK_SIZE), n = fake_module->n_evacuate++;
        uint32_t last = (uint32_t) ((call->start + call->size - 1) / FAKE_BLOCK_SIZE);
        int r;

        if (n < FAKE_CALLS_MAX) {
                fake_module->starts[n] = call->start;
                fake_module->sizes[n] = call->size;
        }
        r = wait_together();
        if (r < 0)
                return r;
        if (fake_module->fail_selftest) {
                fake_module->info.selftest = MEMUNPLUG_SELFTEST_FAILED;
                fake_module->info.selftest_error = -EIO;
                return -EOPNOTSUPP;
        }
        for (uint32_t i = first; i <= last; i++)
                if (fake_module->node[i] != fake_module->node[first])
                        return -EXDEV;
        if (fake_module->evacuate_error < 0)
                return fake_module->evacuate_error;
        if (call->flags != 0 && !(fake_module->info.features & MEMUNPLUG_FEATURE_KEEP_CACHE))
                return -EINVAL;
        call->used_before = used_between(first, last);
        move_out(first, last, call->flags & MEMUNPLUG_EVACUATE_KEEP_CACHE);
        call->used_after = used_between(first, last) + fake_module->excess;
        call->first_left = call->used_after ? call->start : MEMUNPLUG_NONE;
        return 0;
}

static int fake_evacuate(struct memunplug_evacuate *call) {
        int r;

        while (fake_module->hang)
                (void) pause();
        (void) pthread_mutex_lock(&fake_lock);
        r = fake_evacuate_locked(call);
        (void) pthread_mutex_unlock(&fake_lock);
        return r;
}

static int fake_survey_locked(struct memunplug_survey *call) {
        fake_module->n_survey++;
        fake_module->movable[fake_module->comes_back] += fake_module->comes_back ? PAGE_BYTES : 0;
        fake_module->comes_back = 0;
        if (fake_module->survey_error < 0)
                return fake_module->survey_error;
        if (call->flags != 0 && !(fake_module->info.features & MEMUNPLUG_FEATURE_HELD))
                return -EINVAL;
        if (fake_module->survey.size > 0) {
                struct memunplug_page *pages = (struct memunplug_page *) (uintptr_t) call->pages;

                for (uint32_t i = 0; i < call->max_pages && i < 8; i++)
                        pages[i] = fake_module->pages[i];
                *call = fake_module->survey;
                return 0;
        }
        call->bytes[MEMUNPLUG_CLASS_FREE] = call->size;
        for (uint64_t at = call->start; at < call->start + call->size; at += FAKE_BLOCK_SIZE) {
                uint32_t i = (uint32_t) (at / FAKE_BLOCK_SIZE);

                call->bytes[MEMUNPLUG_CLASS_MOVABLE] += fake_module->movable[i];
                call->bytes[MEMUNPLUG_CLASS_PINNED] += fake_module->pinned[i];
                call->bytes[MEMUNPLUG_CLASS_OFFLINE] += fake_module->offline[i];
                call->bytes[MEMUNPLUG_CLASS_FREE] -= fake_module->movable[i] + fake_module->pinned[i];
        }
        return 0;
}

static int fake_survey(struct memunplug_survey *call) {
        int r;

        (void) pthread_mutex_lock(&fake_lock);
        r = fake_survey_locked(call);
        (void) pthread_mutex_unlock(&fake_lock);
        return r;
}

static int fake_virtio_mem(struct memunplug_virtio_mem *call) {
        if (fake_module->virtio_mem_error < 0)
                return fake_module->virtio_mem_error;
        if (strcmp(call->name, fake_module->virtio_mem.name) != 0)
                return -ENODEV;
        fake_module->n_retries += call->flags == MEMUNPLUG_VIRTIO_MEM_RETRY;
        *call = fake_module->virtio_mem;
        return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *argument) {
        switch (request) {
        case MEMUNPLUG_IOC_GET_INFO:
                return fake_info(argument);
        case MEMUNPLUG_IOC_EVACUATE:
                return fake_evacuate(argument);
        case MEMUNPLUG_IOC_SURVEY:
                return fake_survey(argument);
        case MEMUNPLUG_IOC_RELEASE:
                fake_module->n_release++;
                return fake_module->release_error;
        case MEMUNPLUG_IOC_GATE:
                fake_module->n_gate++;
                return fake_module->gate_error;
        case MEMUNPLUG_IOC_VIRTIO_MEM:
                return fake_virtio_mem(argument);
        }
        return -ENOTTY;
}

const KmodOps fake_ops = { .open = fake_open, .ioctl = fake_ioctl };

int fake_root_new(void) {
        char path[] = "/tmp/memunplug-engine-XXXXXX";
        int fd;

        assert_non_null(mkdtemp(path));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        return remove(path);
}

void fake_root_free(int fd) {
        char link[64], path[PATH_MAX];
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        assert_true(n > 0);
        path[n] = 0;
        (void) close(fd);
        assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void make_folders(int root_fd, const char *path) {
        char part[PATH_MAX];

        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                (void) snprintf(part, sizeof(part), "%.*s", (int) (slash - path), path);
                if (mkdirat(root_fd, part, 0755) < 0)
                        assert_int_equal(errno, EEXIST);
        }
}

void fake_write(int root_fd, const char *path, const char *text) {
        int fd;

        make_folders(root_fd, path);
        fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
}

void fake_link(int root_fd, const char *path, const char *target) {
        make_folders(root_fd, path);
        assert_int_equal(symlinkat(target, root_fd, path), 0);
}

static void state_path(uint32_t block, char ret[64]) {
        (void) snprintf(ret, 64, "sys/devices/system/memory/memory%u/state", block);
}

void fake_block(int root_fd, uint32_t block, const char *state) {
        char path[64];

        state_path(block, path);
        fake_write(root_fd, path, state);
}

void fake_remove_block(int root_fd, uint32_t block) {
        char path[64];

        state_path(block, path);
        assert_int_equal(unlinkat(root_fd, path, 0), 0);
        *strrchr(path, '/') = 0;
        assert_int_equal(unlinkat(root_fd, path, AT_REMOVEDIR), 0);
}

bool fake_block_is(int root_fd, uint32_t block, const char *state) {
        char path[64], text[64] = "";
        ssize_t n;
        int fd;

        state_path(block, path);
        fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);
        return n >= 0 && strcmp(text, state) == 0;
}

void fake_device(int root_fd, const char *name, uint32_t first, uint32_t last) {
        char path[PATH_MAX], target[PATH_MAX];

        (void) snprintf(path, sizeof(path), "sys/bus/acpi/devices/%s/status", name);
        fake_write(root_fd, path, "15\n");
        (void) snprintf(path, sizeof(path), "sys/bus/acpi/devices/%s/eject", name);
        fake_write(root_fd, path, "");
        for (uint32_t i = first; i <= last; i++) {
                char number[16] = "";

                if (i > first)
                        (void) snprintf(number, sizeof(number), "%u", i - first);
                (void) snprintf(path, sizeof(path), "sys/bus/acpi/devices/%s/physical_node%s", name, number);
                (void) snprintf(target, sizeof(target), "../../../../devices/system/memory/memory%u", i);
                fake_link(root_fd, path, target);
                fake_block(root_fd, i, "offline\n");
        }
}

size_t count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void) closedir(dir);
        return n;
}

bool no_children(void) {
        return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}
