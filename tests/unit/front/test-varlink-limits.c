/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a local user who means harm can make the server hold or do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/varlink-internal.h"
#include "peer.h"
#include "test-interface.h"
#include "util/json.h"

#define ECHO "{\"method\":\"org.example.Echo\"}"
#define EMPTY "{\"parameters\":{}}"

static VarlinkConnection *only_connection(TestServer *s) {
        return LIST_FIRST(&s->server->connections);
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static void test_large_message(void **state) {
        static char text[VARLINK_MESSAGE_MAX + 2];
        TestServer *s = *state;
        char *answer;
        int n;

        /* Exactly the limit, then one byte more. */
        n = snprintf(text, sizeof(text), "{\"method\":\"org.example.Echo\",\"com.example.x\":\"%*s\"}",
                     (int) VARLINK_MESSAGE_MAX - 50, "");
        memset(text, ' ', VARLINK_MESSAGE_MAX - (unsigned) n);
        n = snprintf(text, sizeof(text), "%*s{\"method\":\"org.example.Echo\",\"com.example.x\":\"%*s\"}",
                     (int) VARLINK_MESSAGE_MAX - n, "", (int) VARLINK_MESSAGE_MAX - 50, "");
        assert_int_equal(n, VARLINK_MESSAGE_MAX);
        peer_send(&s->peer, ECHO);
        peer_send(&s->peer, text);
        for (unsigned i = 0; i < 2; i++) {
                answer = peer_take(&s->peer);
                assert_non_null(answer);
                assert_string_equal(answer, EMPTY);
                free(answer);
        }
        memmove(text + 1, text, VARLINK_MESSAGE_MAX + 1);
        text[0] = ' ';
        peer_send(&s->peer, ECHO);
        peer_send(&s->peer, text);
        answer = peer_take(&s->peer);
        assert_non_null(answer);
        free(answer);
        assert_true(peer_is_closed(&s->peer));
        assert_int_equal(s->n_calls, 3);
}

static void test_endless_message(void **state) {
        TestServer *s = *state;
        char chunk[4096];

        memset(chunk, '[', sizeof(chunk));
        for (unsigned i = 0; i < 1000 && !peer_is_closed(&s->peer); i++) {
                peer_send_bytes(&s->peer, chunk, sizeof(chunk));
                if (only_connection(s))
                        assert_true(only_connection(s)->in.bytes.size <= 4 * VARLINK_MESSAGE_MAX);
        }
        assert_true(peer_is_closed(&s->peer));
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

/* A peer that asks and asks and does not read costs no more than a certain amount, and no time. */
static void test_reads_nothing(void **state) {
        static const char call[] = "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                   "\"parameters\":"
                                   "{\"interface\":\"org.varlink.service\"}}";
        TestServer *s = *state;
        size_t sent = 0, received = 0;
        char *text;

        for (unsigned idle = 0; idle < 2;) {
                if (send(s->peer.fd, call, sizeof(call), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(call)) {
                        sent++;
                        idle = 0;
                        continue;
                }
                assert_true(spin(s->event, 10000) < 10000);
                idle++;
        }
        assert_true(sent > 100);
        assert_true(varlink_buffer_length(&only_connection(s)->out) <= VARLINK_QUEUE_FULL + 4096);
        assert_true(only_connection(s)->in.n_messages <= VARLINK_MESSAGE_MAX / sizeof(call) + 1);
        assert_int_equal(spin(s->event, 100), 0);
        while ((text = peer_take(&s->peer))) {
                received++;
                free(text);
        }
        assert_int_equal(received, sent);
}

static void on_drained(VarlinkCall *call, void *userdata) {
        TestServer *s = userdata;

        s->n_drained++;
}

static int reply_much(TestServer *s) {
        json_object *o = json_object_new_object();
        char text[1001];
        int r;

        memset(text, 'x', 1000);
        text[1000] = '\0';
        assert_int_equal(json_add_string(o, "text", text), 0);
        r = varlink_call_reply(s->held, o, true);
        (void) json_object_put(o);
        return r;
}

static void test_drained(void **state) {
        TestServer *s = *state;
        unsigned n = 0, received = 0;
        char *text;

        peer_send(&s->peer, "{\"method\":\"org.example.Hold\",\"more\":true}");
        peer_expect_nothing(&s->peer);
        while (!varlink_call_is_full(s->held)) {
                assert_int_equal(reply_much(s), 0);
                n++;
                (void) spin(s->event, 100);
        }
        varlink_call_on_drained(s->held, on_drained, s);
        assert_int_equal(spin(s->event, 100), 0); /* no turn while the peer does not read */
        assert_int_equal(s->n_drained, 0);
        while ((text = peer_take(&s->peer))) {
                received++;
                free(text);
        }
        assert_int_equal(received, n);
        assert_int_equal(s->n_drained, 1);
        assert_int_equal(spin(s->event, 100), 0);
        assert_false(varlink_call_is_full(s->held));
}

static void test_never_drained(void **state) {
        TestServer *s = *state;
        unsigned n = 0;

        peer_send(&s->peer, "{\"method\":\"org.example.Hold\",\"more\":true}");
        peer_expect_nothing(&s->peer);
        while (reply_much(s) >= 0)
                assert_true(++n < 2 * VARLINK_QUEUE_MAX / 1000);
        assert_true(n > VARLINK_QUEUE_MAX / 1100);
        assert_int_equal(s->n_gone, 0); /* not from within */
        assert_true(spin(s->event, 100) < 100);
        assert_int_equal(s->n_gone, 1);
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

/* One answer is as large as it has to be. */
static void test_large_answer(void **state) {
        TestServer *s = *state;
        json_object *o = json_object_new_object();
        char *text = malloc(2 * VARLINK_QUEUE_MAX);

        assert_non_null(text);
        memset(text, 'x', 2 * VARLINK_QUEUE_MAX - 1);
        text[2 * VARLINK_QUEUE_MAX - 1] = '\0';
        assert_int_equal(json_add_string(o, "text", text), 0);
        free(text);
        peer_send(&s->peer, "{\"method\":\"org.example.Hold\"}");
        peer_expect_nothing(&s->peer);
        assert_int_equal(varlink_call_reply(s->held, o, false), 0);
        (void) json_object_put(o);
        text = peer_take(&s->peer);
        assert_non_null(text);
        assert_true(strlen(text) > 2 * VARLINK_QUEUE_MAX);
        free(text);
        peer_expect(&s->peer, ECHO, EMPTY);
}

/* Half of a message, and one byte now and then. */
static void test_slow_message(void **state) {
        TestServer *s = *state;
        uint64_t start = now_usec();
        Peer peers[20], idle;

        peer_open(&idle, s->event, s->server);
        for (unsigned i = 0; i < 20; i++) {
                peer_open(&peers[i], s->event, s->server);
                peer_expect(&peers[i], ECHO, EMPTY);
                peer_send_bytes(&peers[i], i % 2 == 0 ? "{" : ECHO "\0{", i % 2 == 0 ? 1 : sizeof(ECHO) + 1);
        }
        /* Waiting for an answer is not slowness. */
        peer_send_bytes(&s->peer, "{\"method\":\"org.example.Hold\"}\0" ECHO, 30 + sizeof(ECHO));
        while (varlink_server_n_connections(s->server) > 2 && now_usec() < start + 10000000U) {
                bool quiet = sd_event_run(s->event, 400000) == 0;

                for (unsigned i = 0; quiet && i < 20; i++)
                        if (!peers[i].eof)
                                (void) send(peers[i].fd, " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        assert_int_equal(varlink_server_n_connections(s->server), 2);
        assert_true(now_usec() - start >= VARLINK_FRAME_TIMEOUT_USEC);
        assert_true(now_usec() - start < VARLINK_FRAME_TIMEOUT_USEC + 2000000U);
        for (unsigned i = 0; i < 20; i++) {
                assert_true(peer_is_closed(&peers[i]));
                peer_close(&peers[i]);
        }
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        peer_expect(&idle, ECHO, EMPTY);
        peer_close(&idle);
}

static void test_idle(void **state) {
        TestServer *s = *state;
        uint64_t start;
        Peer peer;

        peer_open(&peer, s->event, s->server);
        peer_expect(&peer, ECHO, EMPTY);
        peer_send(&s->peer, "{\"method\":\"org.example.Hold\",\"more\":true}");
        peer_expect_nothing(&s->peer);
        (void) spin(s->event, 1000);
        start = now_usec();
        assert_int_equal(sd_event_run(s->event, 300000), 0);
        assert_true(now_usec() - start >= 290000);
        peer_close(&peer);
}

typedef struct Listening {
        char directory[32];
        char path[64];
} Listening;

static void listening_open(Listening *l, TestServer *s) {
        struct stat st;

        memcpy(l->directory, "/tmp/test-varlink-XXXXXX", 25);
        assert_non_null(mkdtemp(l->directory));
        (void) snprintf(l->path, sizeof(l->path), "%s/socket", l->directory);
        assert_int_equal(chmod(l->directory, 0755), 0);
        assert_int_equal(varlink_server_listen_path(s->server, l->path, 0666), 0);
        assert_int_equal(stat(l->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
}

static void listening_close(Listening *l, TestServer *s) {
        s->server = varlink_server_free(s->server);
        assert_int_equal(access(l->path, F_OK), -1);
        assert_int_equal(rmdir(l->directory), 0);
}

/* Another user is let in and answered, however many connections this one has. */
static void other_user(TestServer *s, const char *path) {
        int status;
        pid_t pid;

        if (geteuid() != 0)
                return;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, SOCK_STREAM, 0);
                char c = 'x';

                memcpy(address.sun_path, path, strlen(path) + 1);
                if (setgid(65534) < 0 || setuid(65534) < 0 ||
                    connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
                    send(fd, ECHO, sizeof(ECHO), 0) < 0 || recv(fd, &c, 1, 0) != 1)
                        _exit(1);
                _exit(c == '{' ? 0 : 2);
        }
        while (waitpid(pid, &status, WNOHANG) == 0)
                assert_true(sd_event_run(s->event, 10000) >= 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_many_connections(void **state) {
        Peer peers[VARLINK_CONNECTIONS_PER_UID_MAX + 10];
        const unsigned n = VARLINK_CONNECTIONS_PER_UID_MAX + 10;
        TestServer *s = *state;
        Listening l;

        peer_close(&s->peer);
        listening_open(&l, s);
        for (unsigned i = 0; i < n; i++)
                peer_connect(&peers[i], s->event, l.path);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(peer_is_closed(&peers[i]), i >= VARLINK_CONNECTIONS_PER_UID_MAX);
        assert_int_equal(varlink_server_n_connections(s->server), VARLINK_CONNECTIONS_PER_UID_MAX);
        other_user(s, l.path);
        /* Who goes makes room. */
        peer_close(&peers[0]);
        peer_close(&peers[n - 1]);
        peer_connect(&peers[0], s->event, l.path);
        peer_expect(&peers[0], ECHO, EMPTY);
        for (unsigned i = 0; i < n - 1; i++)
                peer_close(&peers[i]);
        assert_int_equal(varlink_server_n_connections(s->server), 0);
        listening_close(&l, s);
}

/* Out of descriptors: the loop must not turn for nothing, and goes on by itself. */
static void test_no_descriptors(void **state) {
        struct rlimit old, low;
        TestServer *s = *state;
        Peer peers[4];
        Listening l;
        int next;

        listening_open(&l, s);
        for (unsigned i = 0; i < 4; i++)
                peer_connect(&peers[i], s->event, l.path);
        next = dup(s->peer.fd);
        assert_true(next >= 0);
        assert_int_equal(close(next), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = (struct rlimit) { .rlim_cur = (rlim_t) next + 2, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_true(spin(s->event, 1000) < 10);
        assert_int_equal(varlink_server_n_connections(s->server), 3);
        peer_expect(&s->peer, ECHO, EMPTY); /* who is in is served */
        peer_close(&peers[0]);
        peer_close(&peers[1]);
        for (uint64_t end = now_usec() + 3000000U;
             now_usec() < end && varlink_server_n_connections(s->server) < 3;)
                assert_true(sd_event_run(s->event, 100000) >= 0);
        assert_int_equal(varlink_server_n_connections(s->server), 3);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        peer_expect(&peers[2], ECHO, EMPTY);
        peer_expect(&peers[3], ECHO, EMPTY);
        peer_close(&peers[2]);
        peer_close(&peers[3]);
        listening_close(&l, s);
}

static void test_streams_of_uid(void **state) {
        TestServer *s = *state;
        Peer peers[20];

        for (unsigned i = 0; i < 20; i++) {
                peer_open(&peers[i], s->event, s->server);
                peer_send(&peers[i], "{\"method\":\"org.example.Hold\",\"more\":true}");
                peer_expect_nothing(&peers[i]);
                assert_int_equal(varlink_call_uid_streams(s->held), i + 1);
        }
        for (unsigned i = 0; i < 20; i++)
                peer_close(&peers[i]);
        assert_int_equal(s->n_gone, 20);
}

static void test_listening(void **state) {
        TestServer *s = *state;
        int pair[2], fd;
        Listening l;

        listening_open(&l, s);
        /* A live server is not pushed away; a dead one's socket is, a file of another kind is not. */
        assert_int_equal(varlink_server_listen_path(s->server, l.path, 0600), -EADDRINUSE);
        assert_int_equal(varlink_server_listen_path(s->server, "relative", 0600), -EINVAL);
        assert_int_equal(varlink_server_listen_path(s->server, "/nonexistent/socket", 0600), -ENOENT);
        assert_int_equal(varlink_server_listen_path(s->server, l.directory, 0600), -EADDRINUSE);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(varlink_server_listen_fd(s->server, pair[0]), -EPROTOTYPE);
        assert_int_equal(close(pair[1]), 0);
        fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        assert_int_equal(varlink_server_listen_fd(s->server, fd), -EPROTOTYPE);
        listening_close(&l, s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_server_setup, test_server_teardown)
                TEST(test_large_message),
                TEST(test_endless_message),
                TEST(test_reads_nothing),
                TEST(test_drained),
                TEST(test_never_drained),
                TEST(test_large_answer),
                TEST(test_slow_message),
                TEST(test_idle),
                TEST(test_many_connections),
                TEST(test_no_descriptors),
                TEST(test_streams_of_uid),
                TEST(test_listening),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
