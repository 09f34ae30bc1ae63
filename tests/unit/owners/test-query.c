/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The asking side against a server that does what it should not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/owners.h"

#define LONG_USEC UINT64_C(20000000) /* a test that waits for it fails */

typedef struct Case {
        char folder[64];
        char path[96];
        int listener;
        sd_event *event;
        OwnersQuery *query;
        bool free_within;
        int n_told;
        int error;
        OwnersReply reply;
} Case;

static uint64_t page_size;
static uint64_t addresses[2];

static void on_owners(int error, const OwnersReply *reply, void *userdata) {
        Case *c = userdata;

        c->n_told++;
        c->error = error;
        assert_int_equal(reply == NULL, error < 0);
        if (reply)
                c->reply = *reply;
        if (c->free_within)
                c->query = owners_query_free(c->query);
}

static int listen_at(const char *path, int backlog) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, backlog), 0);
        return fd;
}

static int setup(void **state) {
        Case *c = calloc(1, sizeof(*c));

        if (!c)
                return -1;
        page_size = (uint64_t) sysconf(_SC_PAGESIZE);
        addresses[0] = 100 * page_size;
        addresses[1] = 7 * page_size;
        (void) strcpy(c->folder, "/tmp/memunplug-query-XXXXXX");
        if (!mkdtemp(c->folder))
                return -1;
        (void) snprintf(c->path, sizeof(c->path), "%s/owners", c->folder);
        c->listener = listen_at(c->path, 8);
        *state = c;
        return sd_event_new(&c->event);
}

static int teardown(void **state) {
        Case *c = *state;

        c->query = owners_query_free(c->query);
        (void) sd_event_unref(c->event);
        if (c->listener >= 0)
                (void) close(c->listener);
        (void) unlink(c->path);
        (void) rmdir(c->folder);
        free(c);
        return 0;
}

static void ask(Case *c, uint64_t timeout_usec) {
        assert_int_equal(owners_query(c->event, c->path, addresses, 2, timeout_usec, on_owners, c,
                                      &c->query), 0);
        assert_non_null(c->query);
        assert_int_equal(c->n_told, 0); /* never before the loop runs */
}

static void run_until_told(Case *c) {
        while (c->n_told == 0)
                assert_true(sd_event_run(c->event, LONG_USEC / 2) > 0);
        while (sd_event_run(c->event, 0) > 0) /* and nothing comes after it */
                ;
        assert_int_equal(c->n_told, 1);
}

/* The server's end, after it has read the whole question. */
static int accept_question(Case *c) {
        uint8_t data[OWNERS_REQUEST_SIZE + 1];
        OwnersRequest request;
        int fd;

        assert_true(sd_event_run(c->event, LONG_USEC / 2) > 0);
        fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(recv(fd, data, sizeof(data), 0), OWNERS_REQUEST_SIZE);
        assert_int_equal(owners_request_decode(data, OWNERS_REQUEST_SIZE, page_size, &request), 0);
        assert_int_equal(request.n_addresses, 2);
        assert_memory_equal(request.addresses, addresses, sizeof(addresses));
        return fd;
}

static void make_reply(bool last, int32_t pid, uint8_t ret[OWNERS_REPLY_SIZE]) {
        OwnersRequest request = { .addresses = { addresses[0], addresses[1] }, .n_addresses = 2 };
        OwnersReply reply;

        owners_reply_init(&reply, &request);
        owners_reply_add(&reply, 1, pid, "holder");
        reply.last = reply.complete = last;
        assert_int_equal(owners_reply_encode(&reply, ret), 0);
}

static void send_all(int fd, const void *data, size_t n) {
        assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), (ssize_t) n);
}

static void test_answer(void **state) {
        Case *c = *state;
        uint8_t data[OWNERS_REPLY_SIZE];
        int fd;

        ask(c, LONG_USEC);
        fd = accept_question(c);
        make_reply(true, 4242, data);
        send_all(fd, data, sizeof(data));
        run_until_told(c);
        assert_int_equal(c->error, 0);
        assert_true(c->reply.complete);
        assert_int_equal(c->reply.pages[0].n_pids, 0);
        assert_int_equal(c->reply.pages[1].pids[0], 4242);
        assert_string_equal(c->reply.pages[1].comm, "holder");
        (void) close(fd);
}

/* In pieces, in two replies of which the last stands, and freed by who is told. */
static void test_pieces(void **state) {
        Case *c = *state;
        uint8_t data[2 * OWNERS_REPLY_SIZE];
        int fd;

        c->free_within = true;
        ask(c, LONG_USEC);
        fd = accept_question(c);
        make_reply(false, 1, data);
        make_reply(true, 2, data + OWNERS_REPLY_SIZE);
        for (size_t at = 0; at < sizeof(data); at += 112) {
                assert_int_equal(c->n_told, 0);
                send_all(fd, data + at, 112);
                assert_true(sd_event_run(c->event, LONG_USEC / 2) > 0);
        }
        run_until_told(c);
        assert_int_equal(c->error, 0);
        assert_int_equal(c->reply.pages[1].pids[0], 2);
        assert_null(c->query);
        (void) close(fd);
}

/* The other side was ended while it searched: what it had said is kept. */
static void test_early_end(void **state) {
        Case *c = *state;
        uint8_t data[OWNERS_REPLY_SIZE];
        int fd;

        ask(c, LONG_USEC);
        fd = accept_question(c);
        make_reply(false, 5, data);
        send_all(fd, data, sizeof(data));
        (void) close(fd);
        run_until_told(c);
        assert_int_equal(c->error, 0);
        assert_false(c->reply.last || c->reply.complete);
        assert_int_equal(c->reply.pages[1].pids[0], 5);
}

static void test_slow(void **state) {
        Case *c = *state;
        uint8_t data[OWNERS_REPLY_SIZE];
        int fd;

        ask(c, 50000);
        fd = accept_question(c);
        make_reply(true, 5, data);
        send_all(fd, data, sizeof(data) - 1);
        run_until_told(c);
        assert_int_equal(c->error, -ETIMEDOUT);
        (void) close(fd);
}

static void test_slow_after_first(void **state) {
        Case *c = *state;
        uint8_t data[OWNERS_REPLY_SIZE];
        int fd;

        ask(c, 50000);
        fd = accept_question(c);
        make_reply(false, 5, data);
        send_all(fd, data, sizeof(data));
        run_until_told(c);
        assert_int_equal(c->error, 0);
        assert_true(c->reply.out_of_time && !c->reply.complete);
        assert_int_equal(c->reply.pages[1].pids[0], 5);
        (void) close(fd);
}

/* Nobody accepts: the queue takes the question, and that is all. */
static void test_never_accepted(void **state) {
        Case *c = *state;

        ask(c, 50000);
        run_until_told(c);
        assert_int_equal(c->error, -ETIMEDOUT);
}

static void test_closed(void **state) {
        Case *c = *state;
        int fd;

        ask(c, LONG_USEC);
        fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC); /* and closed without reading */
        (void) close(fd);
        run_until_told(c);
        assert_int_equal(c->error, -ECONNRESET);
        c->query = owners_query_free(c->query);
        c->n_told = 0;
        ask(c, LONG_USEC);
        (void) close(accept_question(c)); /* read, and not answered */
        run_until_told(c);
        assert_int_equal(c->error, -ECONNRESET);
}

static void check_bad(Case *c, const void *data, size_t n) {
        int fd;

        c->n_told = 0;
        ask(c, LONG_USEC);
        fd = accept_question(c);
        send_all(fd, data, n);
        (void) close(fd);
        run_until_told(c);
        assert_int_equal(c->error, -EBADMSG);
        c->query = owners_query_free(c->query);
}

static void test_bad(void **state) {
        uint8_t data[OWNERS_REPLY_SIZE * 2];

        make_reply(true, 5, data);
        check_bad(*state, data, 1);
        check_bad(*state, data, OWNERS_REPLY_SIZE - 1);
        data[24] ^= 0x10; /* another page than was asked for */
        check_bad(*state, data, OWNERS_REPLY_SIZE);
        memset(data, 'A', sizeof(data));
        check_bad(*state, data, OWNERS_REPLY_SIZE);
        make_reply(false, 5, data); /* a good one first does not help */
        check_bad(*state, data, sizeof(data));
}

static void test_flood(void **state) {
        Case *c = *state;
        uint8_t data[OWNERS_REPLY_SIZE];
        size_t n = 0;
        int fd;

        ask(c, LONG_USEC);
        fd = accept_question(c);
        make_reply(false, 5, data);
        while (c->n_told == 0) {
                assert_true(n++ < 1000);
                send_all(fd, data, sizeof(data));
                assert_true(sd_event_run(c->event, LONG_USEC / 2) > 0);
        }
        assert_int_equal(c->error, -EBADMSG);
        (void) close(fd);
}

static void test_not_there(void **state) {
        Case *c = *state;

        (void) close(c->listener);
        c->listener = -1;
        ask(c, LONG_USEC);
        run_until_told(c);
        assert_int_equal(c->error, -ECONNREFUSED);
        c->query = owners_query_free(c->query);
        c->n_told = 0;
        (void) unlink(c->path);
        ask(c, LONG_USEC);
        run_until_told(c);
        assert_int_equal(c->error, -ENOENT);
}

static void test_queue_full(void **state) {
        Case *c = *state;
        int waiting[8], n = 0;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert_int_equal(listen(c->listener, 0), 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->path);
        do {
                assert_true(n < 8);
                waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                assert_true(waiting[n] >= 0);
        } while (connect(waiting[n++], (const struct sockaddr *) &address, sizeof(address)) == 0);
        assert_int_equal(errno, EAGAIN);
        ask(c, LONG_USEC);
        run_until_told(c);
        assert_int_equal(c->error, -EAGAIN);
        while (n > 0)
                (void) close(waiting[--n]);
}

static void test_freed(void **state) {
        Case *c = *state;
        int fd;

        ask(c, 1000);
        fd = accept_question(c);
        c->query = owners_query_free(c->query);
        assert_int_equal(sd_event_run(c->event, 20000), 0);
        assert_int_equal(c->n_told, 0);
        assert_null(owners_query_free(NULL));
        (void) close(fd);
}

static void test_arguments(void **state) {
        Case *c = *state;
        const uint64_t odd = 12345, many[OWNERS_PAGES_MAX + 1] = { [0 ... OWNERS_PAGES_MAX] = 4096 };
        char path[200];

        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(owners_query(c->event, c->path, &odd, 1, 1, on_owners, c, &c->query), -EINVAL);
        assert_int_equal(owners_query(c->event, c->path, NULL, 0, 1, on_owners, c, &c->query), -EINVAL);
        assert_int_equal(owners_query(c->event, c->path, many, OWNERS_PAGES_MAX + 1, 1, on_owners, c,
                                      &c->query), -EINVAL);
        assert_int_equal(owners_query(c->event, path, addresses, 2, 1, on_owners, c, &c->query), -EINVAL);
        assert_null(c->query);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_answer), TEST(test_pieces), TEST(test_early_end), TEST(test_slow),
                TEST(test_slow_after_first), TEST(test_never_accepted), TEST(test_closed), TEST(test_bad),
                TEST(test_flood), TEST(test_not_there), TEST(test_queue_full), TEST(test_freed),
                TEST(test_arguments),
        };

        return cmocka_run_group_tests_name("owners-query", tests, NULL, NULL);
}
