/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client against a peer that is just the other end of a socket pair. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/client.h"
#include "util/cleanup.h"
#include "util/json.h"

typedef struct Pair {
        Client *client;
        int peer;
} Pair;

static int setup(void **state) {
        Pair *pair = calloc(1, sizeof(*pair));
        int fds[2];

        assert_non_null(pair);
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), errno);
        assert_int_equal(client_new(&pair->client, fds[0]), 0);
        pair->peer = fds[1];
        *state = pair;
        return 0;
}

static int teardown(void **state) {
        Pair *pair = *state;

        assert_null(client_free(pair->client));
        closep(&pair->peer);
        free(pair);
        return 0;
}

/* What the peer got, without waiting. */
static void expect_sent(Pair *pair, const char *text) {
        char buffer[512] = "";
        ssize_t n = recv(pair->peer, buffer, sizeof(buffer), MSG_DONTWAIT);

        assert_int_equal(n, strlen(text) + 1);
        assert_string_equal(buffer, text);
}

static void peer_sends(Pair *pair, const char *text, size_t n) {
        assert_int_equal(send(pair->peer, text, n, MSG_NOSIGNAL), n);
}

static void call(Pair *pair, bool more) {
        assert_int_equal(client_send(pair->client, "org.memunplug.GetStatus", NULL, more), 0);
        (void) recv(pair->peer, (char[512]) {}, 512, MSG_DONTWAIT); /* not looked at here */
}

static void test_call_framing(void **state) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        Pair *pair = *state;

        assert_int_equal(json_add_int(parameters, "id", 7), 0);
        assert_int_equal(client_send(pair->client, "org.memunplug.Cancel", parameters, false), 0);
        expect_sent(pair, "{\"method\":\"org.memunplug.Cancel\",\"parameters\":{\"id\":7}}");
        assert_int_equal(client_send(pair->client, "org.memunplug.GetStatus", NULL, false), -EBUSY);
}

static void test_call_more_without_parameters(void **state) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        Pair *pair = *state;

        assert_int_equal(client_send(pair->client, "org.memunplug.ListJobs", parameters, true), 0);
        expect_sent(pair, "{\"method\":\"org.memunplug.ListJobs\",\"more\":true}");
}

static void test_reply_in_pieces(void **state) {
        static const char text[] = "{\"parameters\":{\"n\":42}}";
        CLEANUP(reply_clear) Reply reply = {};
        Pair *pair = *state;
        uint64_t n = 0;

        assert_int_equal(client_take(pair->client, &reply), -ENOTCONN);
        call(pair, false);
        for (size_t i = 0; i < sizeof(text); i++) {
                assert_int_equal(client_take(pair->client, &reply), -EAGAIN);
                peer_sends(pair, text + i, 1);
        }
        assert_int_equal(client_take(pair->client, &reply), 0);
        assert_null(reply.error);
        assert_false(reply.continues);
        assert_int_equal(json_get_uint(reply.parameters, "n", 100, &n), 0);
        assert_int_equal(n, 42);
        assert_int_equal(client_received(pair->client), sizeof(text));
        call(pair, false); /* the connection is free again */
}

static void test_replies_at_once(void **state) {
        static const char text[] = "{\"continues\":true}\0"
                                   "{\"parameters\":null,\"continues\":true}\0"
                                   "{\"continues\":false}";
        Pair *pair = *state;

        call(pair, true);
        peer_sends(pair, text, sizeof(text));
        for (int i = 0; i < 3; i++) {
                CLEANUP(reply_clear) Reply reply = {};

                assert_int_equal(client_wait(pair->client, CLIENT_FOREVER, &reply), 0);
                assert_int_equal(reply.continues, i < 2);
                assert_int_equal(json_object_object_length(reply.parameters), 0);
        }
}

static void test_error_reply(void **state) {
        static const char text[] = "{\"error\":\"org.memunplug.Refused\","
                                   "\"parameters\":{\"reason\":\"no\"}}";
        CLEANUP(reply_clear) Reply reply = {};
        Pair *pair = *state;

        call(pair, true);
        peer_sends(pair, text, sizeof(text));
        assert_int_equal(client_take(pair->client, &reply), 0);
        assert_string_equal(reply.error, "org.memunplug.Refused");
        assert_false(reply.continues);
}

static void test_hang_up(void **state) {
        Reply reply = {};
        Pair *pair = *state;

        call(pair, false);
        peer_sends(pair, "{\"para", 6);
        closep(&pair->peer);
        pair->peer = -EBADF;
        assert_int_equal(client_wait(pair->client, CLIENT_FOREVER, &reply), -ECONNRESET);
        assert_null(reply.parameters);
}

static void test_send_to_nobody(void **state) {
        Pair *pair = *state;

        closep(&pair->peer);
        pair->peer = -EBADF;
        assert_int_equal(client_send(pair->client, "org.memunplug.GetStatus", NULL, false), -ECONNRESET);
}

static void test_timeout(void **state) {
        Reply reply = {};
        Pair *pair = *state;

        call(pair, false);
        assert_int_equal(client_wait(pair->client, 1000, &reply), -ETIMEDOUT);
        assert_int_equal(client_wait(pair->client, 0, &reply), -ETIMEDOUT);
}

static void test_too_large(void **state) {
        char *chunk = calloc(1, 65536);
        Reply reply = {};
        Pair *pair = *state;
        size_t sent = 0;
        int r = -EAGAIN;

        assert_non_null(chunk);
        memset(chunk, ' ', 65536);
        call(pair, false);
        while (r == -EAGAIN && sent < 2 * CLIENT_REPLY_MAX) {
                ssize_t n = send(pair->peer, chunk, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n > 0)
                        sent += (size_t) n;
                r = client_take(pair->client, &reply);
        }
        assert_int_equal(r, -EMSGSIZE);
        assert_true(sent <= CLIENT_REPLY_MAX + 1024U * 1024U);
        free(chunk);
}

/* One megabyte is much for a reply and still one. */
static void test_large(void **state) {
        static const char head[] = "{\"parameters\":{\"reason\":\"", tail[] = "\"}}";
        size_t n = 1024 * 1024, size = sizeof(head) - 1 + n + sizeof(tail), sent = 0;
        char *text = malloc(size);
        Reply reply = {};
        Pair *pair = *state;
        const char *reason;
        int r = -EAGAIN;

        assert_non_null(text);
        memset(text, 'x', size);
        memcpy(text, head, sizeof(head) - 1);
        memcpy(text + sizeof(head) - 1 + n, tail, sizeof(tail));
        call(pair, false);
        while (r == -EAGAIN) {
                ssize_t k = 0;

                if (sent < size)
                        k = send(pair->peer, text + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k > 0)
                        sent += (size_t) k;
                r = client_take(pair->client, &reply);
        }
        assert_int_equal(r, 0);
        assert_int_equal(json_get_string(reply.parameters, "reason", &reason), 0);
        assert_int_equal(strlen(reason), n);
        reply_clear(&reply);
        free(text);
}

static void test_not_replies(void **state) {
        static const char *const texts[] = {
                "", "null", "[]", "\"x\"", "{", "{}x", "{\"parameters\":[]}", "{\"parameters\":1}",
                "{\"error\":1}", "{\"continues\":1}", "{\"continues\":true}",
                "{\"error\":\"a.B\",\"continues\":true}", "{\"a\":1,\"a\":2}", "{'a':1}", "{\"a\":NaN}",
                "{\"a\":\"\\u0000\"}", "{\"a\":99999999999999999999}",
        };

        (void) state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                Reply reply = {};

                assert_true(reply_parse(texts[i], strlen(texts[i]), /* more= */ false, &reply) < 0);
                assert_null(reply.parameters);
        }
}

static void test_addresses(void **state) {
        static const char *const wrong[] = {
                "", "unix:", "@", "unix:@", "tcp:1.2.3.4:5", "exec:true", "socket",
        };
        char name[200];
        Client *client = NULL;

        (void) state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(client_connect(&client, wrong[i]), -EINVAL);
        memset(name, 'x', sizeof(name));
        name[0] = '/';
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(client_connect(&client, name), -EINVAL);
        assert_int_equal(client_connect(&client, "/nonexistent/socket"), -ENOENT);
        assert_int_equal(client_connect(&client, "unix:/nonexistent/socket"), -ENOENT);
        assert_int_equal(client_connect(&client, "unix:@memunplug-nobody-listens-here"), -ECONNREFUSED);
        assert_null(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_call_framing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_call_more_without_parameters, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reply_in_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replies_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_error_reply, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_send_to_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
                cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large, setup, teardown),
                cmocka_unit_test(test_not_replies),
                cmocka_unit_test(test_addresses),
        };

        return cmocka_run_group_tests_name("ctl-client", tests, NULL, NULL);
}
