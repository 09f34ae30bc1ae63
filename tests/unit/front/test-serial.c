/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's port: a stream that changes hands, and the port itself found in a made-up tree, with a
 * pseudo-terminal in place of it. Who leaves and comes back on a real port is tests/vm's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/serial.h"
#include "peer.h"
#include "test-interface.h"

#define CALL(method) "{\"method\":\"org.example." method "\"}"
#define STREAM(method) "{\"method\":\"org.example." method "\",\"more\":true}"
#define EMPTY "{\"parameters\":{}}"
#define NAME "org.example.0"
#define TURNS_MAX 1000U

/* After a moment, and with few turns of the loop. */
static void expect_gone(const TestServer *s) {
        unsigned n = 0;

        for (; varlink_server_n_connections(s->server) > 1 && n < 20; n++)
                assert_true(sd_event_run(s->event, 10 * VARLINK_HANG_UP_USEC) >= 0);
        assert_true(n < 20);
        assert_null(s->held);
}

static void test_stream(void **state) {
        TestServer *s = *state;
        Peer port;
        char *text;

        peer_open_hypervisor(&port, s->event, s->server);
        assert_int_equal(varlink_server_n_connections(s->server), 2);
        peer_expect(&port, CALL("Echo"), EMPTY);
        peer_send(&port, CALL("Hold"));
        peer_expect_nothing(&port);
        assert_true(varlink_call_peer_is_hypervisor(s->held));
        assert_true(varlink_call_peer_uid(s->held) == (uid_t) -1);
        assert_int_equal(varlink_call_peer_pid(s->held), 0);
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        s->held = NULL;
        text = peer_take(&port);
        assert_string_equal(text, EMPTY);
        free(text);
        peer_expect_nothing(&port);
        peer_expect(&port, CALL("Echo"), EMPTY);
        peer_close(&port);
        expect_gone(s);
}

/* The next one does not wait for what the one before it never ended; a socket's next call does. */
static void test_taken_over(void **state) {
        TestServer *s = *state;
        Peer port;

        peer_open_hypervisor(&port, s->event, s->server);
        peer_send(&port, STREAM("Hold"));
        peer_expect_nothing(&port);
        assert_non_null(s->held);
        peer_expect(&port, CALL("Echo"), EMPTY);
        assert_null(s->held);
        assert_int_equal(s->n_gone, 1);
        /* Sent ahead, in one piece. */
        peer_send_bytes(&port, STREAM("Hold") "\0" STREAM("Hold") "\0" CALL("Echo"),
                        sizeof(STREAM("Hold") STREAM("Hold") CALL("Echo")) + 2);
        peer_expect(&port, CALL("Echo"), EMPTY);
        assert_int_equal(s->n_gone, 3);
        peer_close(&port);

        peer_send(&s->peer, STREAM("Hold"));
        peer_send(&s->peer, CALL("Echo"));
        peer_expect_nothing(&s->peer);
        assert_non_null(s->held);
}

static void test_left(void **state) {
        TestServer *s = *state;
        Peer port;

        peer_open_hypervisor(&port, s->event, s->server);
        peer_send(&port, STREAM("Hold"));
        peer_expect_nothing(&port);
        peer_close(&port);
        expect_gone(s);
}

/* What was said before the end is carried out. */
static void test_left_at_once(void **state) {
        TestServer *s = *state;
        Peer port;

        peer_open_hypervisor(&port, s->event, s->server);
        peer_send_bytes(&port, CALL("Echo") "\0" CALL("Echo") "\0" CALL("Ec"),
                        sizeof(CALL("Echo") CALL("Echo") CALL("Ec")) + 1);
        peer_close(&port);
        expect_gone(s);
        assert_int_equal(s->n_calls, 2);
}

static const char *const bad[] = {
        "what", "", "{", "{\"method\":1}", "[]", "[" CALL("Echo") "]", CALL("Echo") "x",
        "{\"method\":\"org.example.Echo\",\"more\":3}",
};

/* Only what is bad is lost. */
static void test_garbage(void **state) {
        TestServer *s = *state;
        Peer port;

        peer_open_hypervisor(&port, s->event, s->server);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                peer_send(&port, bad[i]);
                peer_expect(&port, CALL("Echo"), EMPTY);
                peer_expect_nothing(&port);
        }
        assert_int_equal(s->n_calls, sizeof(bad) / sizeof(bad[0]));
        peer_close(&port);
}

/* Somebody left in the middle of a message, and nobody saw it. */
static void test_half_before(void **state) {
        static const char whole[] = "{\"method\":\"org.example.Hold\",\"parameters\":{\"{\":{\"x\":1}}}";
        TestServer *s = *state;
        Peer port;

        peer_open_hypervisor(&port, s->event, s->server);
        for (size_t n = 1; n < sizeof(whole) - 1; n++) {
                peer_send_bytes(&port, whole, n);
                peer_expect(&port, CALL("Echo"), EMPTY);
                peer_expect_nothing(&port);
        }
        assert_int_equal(s->n_calls, sizeof(whole) - 2);
        peer_close(&port);
}

/* A made-up tree with one port, the device of which is a terminal. */
typedef struct Tree {
        char path[32], device[64], folder[80], name[96];
        int fd;
        int master, slave; /* the latter only keeps the terminal's settings alive */
        sd_event *event;
} Tree;

static const char *const folders[] = { "", "dev", "sys", "sys/class", "sys/class/virtio-ports", NULL };

static void tree_make(Tree *tree) {
        char path[64];

        (void) snprintf(tree->path, sizeof(tree->path), "/tmp/test-memunplug-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        for (const char *const *d = folders + 1; *d; d++) {
                (void) snprintf(path, sizeof(path), "%s/%s", tree->path, *d);
                assert_int_equal(mkdir(path, 0700), 0);
        }
        (void) snprintf(tree->device, sizeof(tree->device), "%s/dev/vport3p1", tree->path);
        (void) snprintf(tree->folder, sizeof(tree->folder), "%s/%s/vport3p1", tree->path, folders[4]);
        (void) snprintf(tree->name, sizeof(tree->name), "%s/name", tree->folder);
        tree->fd = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree->fd >= 0);
        tree->master = -1;
}

static void tree_plug(Tree *tree, sd_event *event, const char *name) {
        struct termios raw;
        FILE *f;

        tree->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        assert_true(tree->master >= 0);
        assert_int_equal(grantpt(tree->master), 0);
        assert_int_equal(unlockpt(tree->master), 0);
        tree->slave = open(ptsname(tree->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(tree->slave >= 0);
        assert_int_equal(tcgetattr(tree->slave, &raw), 0);
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(tree->slave, TCSANOW, &raw), 0);
        assert_int_equal(symlink(ptsname(tree->master), tree->device), 0);
        assert_int_equal(mkdir(tree->folder, 0700), 0);
        f = fopen(tree->name, "we");
        assert_non_null(f);
        assert_true(fprintf(f, "%s\n", name) > 0);
        assert_int_equal(fclose(f), 0);
        tree->event = event;
}

static void tree_unplug(Tree *tree) {
        assert_int_equal(close(tree->master), 0);
        assert_int_equal(close(tree->slave), 0);
        tree->master = -1;
        assert_int_equal(unlink(tree->device), 0);
        assert_int_equal(unlink(tree->name), 0);
        assert_int_equal(rmdir(tree->folder), 0);
}

static void tree_remove(Tree *tree) {
        char path[64];

        for (size_t i = sizeof(folders) / sizeof(folders[0]) - 1; i-- > 0;) {
                (void) snprintf(path, sizeof(path), "%s/%s", tree->path, folders[i]);
                assert_int_equal(rmdir(path), 0);
        }
        assert_int_equal(close(tree->fd), 0);
}

/* The kernel carries bytes from one end of a terminal to the other in its own time. */
static void turn(const Tree *tree) {
        assert_true(sd_event_run(tree->event, 10000) >= 0);
}

static void say(const Tree *tree, const char *text, size_t n) {
        for (unsigned i = 0; n > 0 && i < TURNS_MAX; i++) {
                ssize_t k = write(tree->master, text, n);

                assert_true(k > 0 || errno == EAGAIN);
                text += k > 0 ? k : 0;
                n -= k > 0 ? (size_t) k : 0;
                turn(tree);
        }
        assert_int_equal(n, 0);
}

static void expect_answer(const Tree *tree, const char *call) {
        char answer[256] = "";
        size_t n = 0;

        say(tree, call, strlen(call) + 1);
        for (unsigned i = 0; n < sizeof(EMPTY) && i < TURNS_MAX; i++) {
                ssize_t k = read(tree->master, answer + n, sizeof(answer) - 1 - n);

                assert_true(k > 0 || errno == EAGAIN);
                n += k > 0 ? (size_t) k : 0;
                turn(tree);
        }
        assert_int_equal(n, sizeof(EMPTY));
        assert_string_equal(answer, EMPTY);
}

static void hold(const Tree *tree, const TestServer *s) {
        say(tree, STREAM("Hold"), sizeof(STREAM("Hold")));
        for (unsigned i = 0; !s->held && i < TURNS_MAX; i++)
                turn(tree);
        assert_non_null(s->held);
}

static void test_no_port(void **state) {
        TestServer *s = *state;
        SerialFront *serial;
        Tree tree;

        tree_make(&tree);
        assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
        assert_null(serial_front_device(serial));
        serial_front_look(serial);
        assert_null(serial_front_device(serial));
        tree_plug(&tree, s->event, "org.qemu.guest_agent.0");
        serial_front_look(serial);
        assert_null(serial_front_device(serial));
        (void) serial_front_free(serial);
        tree_unplug(&tree);
        tree_remove(&tree);
        assert_null(serial_front_device(NULL));
}

static void test_port(void **state) {
        TestServer *s = *state;
        SerialFront *serial;
        Tree tree;

        tree_make(&tree);
        assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
        for (int i = 0; i < 3; i++) {
                tree_plug(&tree, s->event, NAME);
                serial_front_look(serial);
                assert_string_equal(serial_front_device(serial), "vport3p1");
                assert_int_equal(spin(s->event, 1000), 0);
                assert_int_equal(varlink_server_n_connections(s->server), 1); /* until something is said */
                expect_answer(&tree, CALL("Echo"));
                assert_int_equal(varlink_server_n_connections(s->server), 2);
                serial_front_look(serial); /* of another port */
                expect_answer(&tree, CALL("Echo"));
                hold(&tree, s);
                (void) serial_front_free(serial);
                assert_null(s->held);
                assert_int_equal(varlink_server_n_connections(s->server), 1);
                assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
                expect_answer(&tree, CALL("Echo"));
                (void) serial_front_free(serial);
                tree_unplug(&tree);
                assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
                assert_null(serial_front_device(serial));
        }
        (void) serial_front_free(serial);
        tree_remove(&tree);
}

/* More than a message may be: the conversation ends there, and the next one begins by itself. */
static void test_begins_anew(void **state) {
        TestServer *s = *state;
        SerialFront *serial;
        Tree tree;
        char x[1024];

        memset(x, 'x', sizeof(x));
        tree_make(&tree);
        tree_plug(&tree, s->event, NAME);
        assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
        for (size_t n = 0; n < VARLINK_MESSAGE_MAX + 4 * sizeof(x); n += sizeof(x))
                say(&tree, x, sizeof(x));
        say(&tree, "", 1);
        expect_answer(&tree, CALL("Echo"));
        (void) serial_front_free(serial);
        tree_unplug(&tree);
        tree_remove(&tree);
}

/* Who leaves is not looked at again and again. */
static void test_hang_up(void **state) {
        TestServer *s = *state;
        SerialFront *serial;
        Tree tree;

        tree_make(&tree);
        tree_plug(&tree, s->event, NAME);
        assert_int_equal(serial_front_new(&serial, s->event, s->server, tree.fd, NAME), 0);
        hold(&tree, s);
        tree_unplug(&tree);
        expect_gone(s);
        assert_int_equal(spin(s->event, 100), 0);
        (void) serial_front_free(serial);
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_server_setup, test_server_teardown)
                TEST(test_stream),
                TEST(test_taken_over),
                TEST(test_left),
                TEST(test_left_at_once),
                TEST(test_garbage),
                TEST(test_half_before),
                TEST(test_no_port),
                TEST(test_port),
                TEST(test_begins_anew),
                TEST(test_hang_up),
        };

        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
