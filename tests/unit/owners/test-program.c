/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test-program PROGRAM: the program as it is, asked about a page of a process of our own. Reads /proc and
 * changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/owners-protocol.h"

#define PATIENCE_MS 10000

static const char *program;
static uint64_t page_size;
static const char *nobody = "nobody";

/* A process that has a page of its own and waits for its end. */
typedef struct Holder {
        pid_t pid;
        uint64_t frame;  /* 0: we may not know */
        uint8_t *page;
} Holder;

static uint64_t read_frame(pid_t pid, const void *address) {
        uint64_t entry = 0;
        char path[64];
        ssize_t n;
        int fd;

        (void) snprintf(path, sizeof(path), "/proc/%d/pagemap", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        n = pread(fd, &entry, sizeof(entry), (off_t) ((uintptr_t) address / page_size * sizeof(entry)));
        (void) close(fd);
        return n == sizeof(entry) && entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

static void become_nobody(void) {
        const struct passwd *pw = getpwnam(nobody);

        if (!pw || setgroups(0, NULL) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
                _exit(1);
}

/* A process of another user that anyone of that user may look at, as most are. */
static void hold(int ready, uint8_t *page, bool other_user) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(1);
        if (other_user)
                become_nobody();
        if (prctl(PR_SET_DUMPABLE, 1) < 0 || prctl(PR_SET_NAME, "test holder") < 0)
                _exit(1);
        *page = 1; /* written to after the fork: from now on it is this process's alone */
        if (write(ready, "", 1) != 1)
                _exit(1);
        for (;;)
                (void) pause();
}

static void holder_start(Holder *holder, bool other_user) {
        int fds[2];
        char c;

        holder->page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(holder->page, MAP_FAILED);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        holder->pid = fork();
        assert_true(holder->pid >= 0);
        if (holder->pid == 0)
                hold(fds[1], holder->page, other_user);
        (void) close(fds[1]);
        assert_int_equal(read(fds[0], &c, 1), 1);
        (void) close(fds[0]);
        holder->frame = read_frame(holder->pid, holder->page);
}

static void holder_stop(Holder *holder) {
        (void) kill(holder->pid, SIGKILL);
        (void) waitpid(holder->pid, NULL, 0);
        (void) munmap(holder->page, page_size);
}

static pid_t program_start(int fd, const char *user) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                char option[64];

                (void) snprintf(option, sizeof(option), "--user=%s", user);
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(fd, STDIN_FILENO) < 0)
                        _exit(100);
                execl(program, program, option, (char *) NULL);
                _exit(100);
        }
        return pid;
}

static int program_end(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The whole of what it says; returns its length. */
static size_t receive_all(int fd, uint8_t *data, size_t size) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        size_t have = 0;
        ssize_t n = 0;

        do {
                assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
                n = recv(fd, data + have, size - have, 0);
                have += n > 0 ? (size_t) n : 0;
        } while (n > 0);
        return have;
}

static int ask(const void *request, size_t n, OwnersReply *ret) {
        static uint8_t data[OWNERS_REPLY_SIZE * 64];
        size_t have;
        int fds[2], r;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        pid = program_start(fds[1], nobody);
        (void) close(fds[1]);
        if (n > 0)
                assert_int_equal(send(fds[0], request, n, MSG_NOSIGNAL), (ssize_t) n);
        (void) shutdown(fds[0], SHUT_WR);
        have = receive_all(fds[0], data, sizeof(data));
        (void) close(fds[0]);
        r = program_end(pid);
        assert_int_equal(have % OWNERS_REPLY_SIZE, 0);
        assert_int_equal(have == 0, r != 0);
        if (have > 0)
                assert_int_equal(owners_reply_decode(data + have - OWNERS_REPLY_SIZE, OWNERS_REPLY_SIZE,
                                                     ret), 0);
        return r;
}

/* Frame 1 is nobody's, on any machine. */
static void check_found(bool other_user) {
        uint8_t data[OWNERS_REQUEST_SIZE];
        OwnersRequest request = { .n_addresses = 2 };
        OwnersReply reply;
        Holder holder;

        holder_start(&holder, other_user);
        if (holder.frame == 0) {
                holder_stop(&holder);
                skip(); /* not root, or not with all of its rights */
        }
        request.addresses[0] = page_size;
        request.addresses[1] = holder.frame * page_size;
        assert_int_equal(owners_request_encode(&request, page_size, data), 0);
        assert_int_equal(ask(data, sizeof(data), &reply), 0);
        assert_true(reply.last);
        assert_true(owners_reply_answers(&reply, &request));
        assert_int_equal(reply.pages[0].n_pids, 0);
        assert_int_equal(reply.pages[1].n_pids, 1);
        assert_int_equal(reply.pages[1].pids[0], holder.pid);
        assert_string_equal(reply.pages[1].comm, "test_holder");
        holder_stop(&holder);
}

static void test_found(void **state) {
        check_found(false);
}

static void test_found_of_other_user(void **state) {
        if (geteuid() != 0 || !getpwnam(nobody))
                skip();
        check_found(true);
}

static void test_bad_requests(void **state) {
        OwnersRequest request = { .addresses = { 4096 * 16 }, .n_addresses = 1 };
        uint8_t data[OWNERS_REQUEST_SIZE + 1] = {};
        OwnersReply reply;

        if (geteuid() != 0)
                skip();
        assert_int_equal(ask(NULL, 0, &reply), 1);
        assert_int_equal(owners_request_encode(&request, page_size, data), 0);
        assert_int_equal(ask(data, OWNERS_REQUEST_SIZE - 1, &reply), 1);
        assert_int_equal(ask(data, OWNERS_REQUEST_SIZE + 1, &reply), 1);
        data[17] ^= 1;
        assert_int_equal(ask(data, OWNERS_REQUEST_SIZE, &reply), 1);
        memset(data, 'A', sizeof(data));
        assert_int_equal(ask(data, OWNERS_REQUEST_SIZE, &reply), 1);
}

/* Says nothing and does not close: the program ends all the same. */
static void test_silent_peer(void **state) {
        int fds[2];
        pid_t pid;

        if (geteuid() != 0)
                skip();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        pid = program_start(fds[1], nobody);
        (void) close(fds[1]);
        assert_int_equal(program_end(pid), -SIGALRM);
        (void) close(fds[0]);
}

/* A pair of sockets that nobody made, so that nobody is the peer of each. */
static void pair_of_nobody(int ret[2]) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(2 * sizeof(int))];
        } control = {};
        char c = 0;
        struct iovec iov = { &c, 1 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
        };
        int channel[2], pair[2];
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                become_nobody();
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                        _exit(1);
                control.header = (struct cmsghdr) {
                        .cmsg_len = CMSG_LEN(sizeof(pair)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                };
                memcpy(CMSG_DATA(&control.header), pair, sizeof(pair));
                _exit(sendmsg(channel[0], &message, 0) == 1 ? 0 : 1);
        }
        assert_int_equal(program_end(pid), 0);
        assert_int_equal(recvmsg(channel[1], &message, MSG_CMSG_CLOEXEC), 1);
        memcpy(ret, CMSG_DATA(&control.header), sizeof(pair));
        (void) close(channel[0]);
        (void) close(channel[1]);
}

static void test_peers(void **state) {
        /* who may ask, what comes of nobody's asking nonsense: refused as a peer, or as a request */
        static const struct {
                const char *user;
                int status;
        } cases[] = { { "root", 4 }, { "no-such-user-here", 4 }, { "nobody", 1 } };
        uint8_t data[OWNERS_REQUEST_SIZE] = {}, answer[1];
        pid_t pid;
        int fds[2];

        if (geteuid() != 0 || !getpwnam(nobody) || read_frame(getpid(), &fds) == 0)
                skip();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                pair_of_nobody(fds);
                assert_int_equal(send(fds[0], data, sizeof(data), MSG_NOSIGNAL), (ssize_t) sizeof(data));
                pid = program_start(fds[1], cases[i].user);
                (void) close(fds[1]);
                assert_int_equal(receive_all(fds[0], answer, sizeof(answer)), 0);
                assert_int_equal(program_end(pid), cases[i].status);
                (void) close(fds[0]);
        }
}

static void test_no_socket(void **state) {
        int fds[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_true(null >= 0);
        if (geteuid() != 0)
                skip();
        assert_int_equal(program_end(program_start(null, nobody)), 1);
        (void) close(null);
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(program_end(program_start(fds[1], nobody)), 1);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found),        cmocka_unit_test(test_found_of_other_user),
                cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_silent_peer),
                cmocka_unit_test(test_peers),        cmocka_unit_test(test_no_socket),
        };

        if (argc != 2)
                return 2;
        program = argv[1];
        page_size = (uint64_t) sysconf(_SC_PAGESIZE);
        return cmocka_run_group_tests_name("owners-program", tests, NULL, NULL);
}
