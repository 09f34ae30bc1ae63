/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The search in a made-up /proc. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "owners/walk.h"

#define PAGE UINT64_C(4096)
#define PRESENT (UINT64_C(1) << 63)
#define HIGH UINT64_C(0x7f1234567000)

typedef struct Tree {
        char path[64];
        int fd;
} Tree;

static uint64_t clock_now, clock_step;

static uint64_t now(void) {
        return clock_now += clock_step;
}

static void write_file(const Tree *tree, const char *pid, const char *name, const char *text) {
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", pid, name);
        fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        (void) close(fd);
}

static void add_process(const Tree *tree, const char *pid, const char *comm, const char *maps) {
        assert_int_equal(mkdirat(tree->fd, pid, 0700), 0);
        write_file(tree, pid, "comm", comm);
        write_file(tree, pid, "maps", maps);
        write_file(tree, pid, "pagemap", "");
}

static void map_page(const Tree *tree, const char *pid, uint64_t address, uint64_t entry) {
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/pagemap", pid);
        fd = openat(tree->fd, path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, &entry, sizeof(entry), (off_t) (address / PAGE * sizeof(entry))),
                         sizeof(entry));
        (void) close(fd);
}

static int setup(void **state) {
        Tree *tree = calloc(1, sizeof(*tree));

        if (!tree)
                return -1;
        (void) strcpy(tree->path, "/tmp/memunplug-walk-XXXXXX");
        if (!mkdtemp(tree->path))
                return -1;
        tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        clock_now = clock_step = 0;
        *state = tree;
        return tree->fd >= 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int teardown(void **state) {
        Tree *tree = *state;

        (void) close(tree->fd);
        (void) nftw(tree->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(tree);
        return 0;
}

static WalkOptions options(const Tree *tree) {
        return (WalkOptions) {
                .proc_fd = tree->fd,
                .page_size = PAGE,
                .now = now,
                .deadline = 1000,
                .max_entries = UINT64_C(1) << 28,
                .first_entries = 1000,
                .max_process_entries = UINT64_C(1) << 25,
        };
}

/* 300 maps the first page, low; 200 both, high; 100 none. */
static void make_three(const Tree *tree) {
        add_process(tree, "300", "three\n", "00400000-00420000 r-xp 0 0 0 /bin/three\n");
        map_page(tree, "300", 0x41f000, PRESENT | 0x100);
        add_process(tree, "200", "two two\n",
                    "00400000-00420000 r-xp 0 0 0 /bin/two\n"
                    "7f1234567000-7f1274567000 rw-p 0 0 0\n"
                    "ffffffffff600000-ffffffffff601000 --xp 0 0 0 [vsyscall]\n");
        map_page(tree, "200", 0x400000, PRESENT | 0x99);
        map_page(tree, "200", HIGH + 9000 * PAGE, PRESENT | 0x100);
        map_page(tree, "200", HIGH + 20000 * PAGE, PRESENT | 0x200);
        add_process(tree, "100", "one\n", "00400000-00420000 r-xp 0 0 0 /bin/one\n");
        map_page(tree, "100", 0x400000, UINT64_C(1) << 62 | 0x100); /* swapped out */
        map_page(tree, "100", 0x401000, PRESENT | 0x101);
        map_page(tree, "100", 0x420000, PRESENT | 0x100); /* in no range */
        add_process(tree, "2", "kthreadd\n", "");
        assert_int_equal(mkdirat(tree->fd, "sys", 0700), 0);
        assert_int_equal(mkdirat(tree->fd, "12x", 0700), 0);
}

static const OwnersRequest request = { .addresses = { 0x100000, 0x200000 }, .n_addresses = 2 };

static int count_found(const OwnersReply *reply, void *userdata) {
        assert_false(reply->last || reply->complete || reply->out_of_time);
        (*(int *) userdata)++;
        return 0;
}

static void test_found(void **state) {
        WalkOptions o = options(*state);
        OwnersReply reply;
        int n = 0;

        make_three(*state);
        o.found = count_found;
        o.userdata = &n;
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.last && reply.complete && !reply.out_of_time);
        assert_int_equal(reply.n_pages, 2);
        assert_int_equal(reply.pages[0].address, 0x100000);
        assert_int_equal(reply.pages[0].n_pids, 2);
        assert_int_equal(reply.pages[0].pids[0], 300);
        assert_int_equal(reply.pages[0].pids[1], 200);
        assert_false(reply.pages[0].more);
        assert_string_equal(reply.pages[0].comm, "three");
        assert_int_equal(reply.pages[1].n_pids, 1);
        assert_int_equal(reply.pages[1].pids[0], 200);
        assert_string_equal(reply.pages[1].comm, "two_two");
        assert_int_equal(n, 2);
}

static void test_skipped(void **state) {
        WalkOptions o = options(*state);
        OwnersReply reply;

        make_three(*state);
        o.skip_pid = 300;
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_int_equal(reply.pages[0].n_pids, 1);
        assert_int_equal(reply.pages[0].pids[0], 200);
        assert_true(reply.complete);
}

/* What cannot be read makes the answer incomplete, what is gone does not; neither ends the search. */
static void test_unreadable(void **state) {
        const Tree *tree = *state;
        WalkOptions o = options(tree);
        OwnersReply reply;

        make_three(tree);
        assert_int_equal(mkdirat(tree->fd, "500", 0700), 0);      /* gone since it was listed */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.complete);
        assert_int_equal(mkdirat(tree->fd, "500/maps", 0700), 0); /* opens, but does not read */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.last && !reply.complete && !reply.out_of_time);
        assert_int_equal(reply.pages[0].n_pids, 2);
}

static void test_nonsense(void **state) {
        const Tree *tree = *state;
        WalkOptions o = options(tree);
        OwnersReply reply;

        make_three(tree);
        add_process(tree, "600", "odd\n", "00400000-00420000 r-xp\nnonsense\n");
        map_page(tree, "600", 0x400000, PRESENT | 0x100);
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.last && !reply.complete);
        assert_int_equal(reply.pages[0].n_pids, 3); /* what was good before it is used */
        assert_int_equal(reply.pages[0].pids[0], 600);
        assert_int_equal(symlinkat("300", tree->fd, "700"), 0); /* never followed */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_int_equal(reply.pages[0].pids[0], 600);
}

static void test_time(void **state) {
        WalkOptions o = options(*state);
        OwnersReply reply;

        make_three(*state);
        clock_step = 1;
        o.deadline = 1; /* over before it begins */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.last && reply.out_of_time && !reply.complete);
        assert_int_equal(reply.pages[0].n_pids, 0);
        clock_now = 0;
        o.deadline = 6; /* enough for the first process, not for the second */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.out_of_time);
        assert_int_equal(reply.pages[0].n_pids, 1);
        assert_int_equal(reply.pages[0].pids[0], 300);
}

/* With much address space a process waits for the others, and is in the answer once. */
static void test_rounds(void **state) {
        const Tree *tree = *state;
        WalkOptions o = options(tree);
        OwnersReply reply;
        int n = 0;

        make_three(tree);
        map_page(tree, "200", 0x41f000, PRESENT | 0x100);
        map_page(tree, "100", 0x41f000, PRESENT | 0x200);
        o.found = count_found;
        o.userdata = &n;
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.complete);
        assert_int_equal(reply.pages[0].n_pids, 2);
        assert_int_equal(reply.pages[1].n_pids, 2);
        assert_int_equal(reply.pages[1].pids[0], 100);
        assert_int_equal(reply.pages[1].pids[1], 200);
        assert_int_equal(n, 4);
}

/* However many map a page: no more is said than the other side expects. */
static void test_many(void **state) {
        const Tree *tree = *state;
        WalkOptions o = options(tree);
        OwnersReply reply;
        char pid[16];
        int n = 0;

        for (int i = 1; i <= 100; i++) {
                (void) snprintf(pid, sizeof(pid), "%d", i);
                add_process(tree, pid, "many\n", "00400000-00420000 r-xp 0 0 0 /bin/many\n");
                map_page(tree, pid, 0x400000, PRESENT | 0x100);
                map_page(tree, pid, 0x401000, PRESENT | 0x200);
        }
        o.found = count_found;
        o.userdata = &n;
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.complete && reply.pages[0].more && reply.pages[1].more);
        assert_int_equal(reply.pages[0].n_pids, OWNERS_PIDS_MAX);
        assert_int_equal(n, OWNERS_PIDS_MAX + 1);
}

/* A process with much address space is left before its end, the others are still looked at; the budget of
 * all of them ends the search. */
static void test_entries(void **state) {
        WalkOptions o = options(*state);
        OwnersReply reply;

        make_three(*state);
        o.max_process_entries = 32 + 10000; /* 0x20000 / PAGE is 32: smaller ranges come first */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(!reply.complete && !reply.out_of_time);
        assert_int_equal(reply.pages[0].n_pids, 2);
        assert_int_equal(reply.pages[1].n_pids, 0);
        o.max_entries = 32 + 20; /* one and a half processes */
        assert_int_equal(walk(&o, &request, &reply), 0);
        assert_true(reply.out_of_time);
        assert_int_equal(reply.pages[0].n_pids, 1);
}

static int refuse(const OwnersReply *reply, void *userdata) {
        return -EPIPE;
}

static void test_errors(void **state) {
        WalkOptions o = options(*state);
        OwnersReply reply = { .n_pages = 77 };

        make_three(*state);
        o.found = refuse;
        assert_int_equal(walk(&o, &request, &reply), -EPIPE);
        o.proc_fd = -1;
        assert_int_equal(walk(&o, &request, &reply), -EBADF);
        assert_int_equal(reply.n_pages, 77);
        assert_int_equal(walk_sees_frames(((Tree *) *state)->fd, PAGE), -ENOENT);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_found), TEST(test_skipped), TEST(test_unreadable), TEST(test_nonsense),
                TEST(test_time),  TEST(test_rounds), TEST(test_many), TEST(test_entries), TEST(test_errors),
        };

        return cmocka_run_group_tests_name("owners-walk", tests, NULL, NULL);
}
