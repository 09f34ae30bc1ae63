/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server with an interface of its own, seen from the other end of the socket: answers, order,
 * streams, and peers that go away. Limits are test-varlink-limits.c's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "peer.h"
#include "test-interface.h"

#define CALL(method) "{\"method\":\"org.example." method "\"}"
#define STREAM(method) "{\"method\":\"org.example." method "\",\"more\":true}"
#define EMPTY "{\"parameters\":{}}"

static void test_info(void **state) {
        TestServer *s = *state;

        peer_expect(&s->peer, "{\"method\":\"org.varlink.service.GetInfo\"}",
                    "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\",\"version\":\"1\",\"url\":\"u\","
                    "\"interfaces\":[\"org.varlink.service\",\"org.example\"]}}");
        peer_expect(&s->peer, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{\"x\":1}}",
                    "{\"error\":\"org.varlink.service.InvalidParameter\","
                    "\"parameters\":{\"parameter\":\"x\"}}");
        peer_expect(&s->peer,
                    "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
                    "{\"interface\":\"org.example\",\"allowInteractiveAuthentication\":true}}",
                    "{\"parameters\":{\"description\":\"interface org.example\\n\"}}");
        peer_expect(&s->peer,
                    "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
                    "{\"interface\":\"org.example.\"}}",
                    "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":"
                    "{\"interface\":\"org.example.\"}}");
        peer_expect(&s->peer, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
                    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":"
                    "{\"parameter\":\"interface\"}}");
}

static void test_own_description(void **state) {
        TestServer *s = *state;
        char *text;

        peer_send(&s->peer, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
                            "{\"interface\":\"org.varlink.service\"}}");
        text = peer_take(&s->peer);
        assert_non_null(text);
        assert_non_null(strstr(text, "\\ninterface org.varlink.service\\n"));
        assert_non_null(strstr(text, "error ExpectedMore ()\\n\"}}"));
        free(text);
}

static void test_not_found(void **state) {
        static const char *const methods[] = { "org.example.Nope", "org.example.", "org.nowhere.Get", "Nope",
                                               "",
                                               "org.varlink.service.Nope", "org.example.Echo.x", "." };
        TestServer *s = *state;

        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
                char call[200], answer[300];

                (void) snprintf(call, sizeof(call), "{\"method\":\"%s\"}", methods[i]);
                (void) snprintf(answer, sizeof(answer),
                                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
                                "{\"method\":\"%s\"}}", methods[i]);
                peer_expect(&s->peer, call, answer);
        }
}

static void test_bytes(void **state) {
        static const char call[] = "{\"method\":\"org.example.Echo\",\"parameters\":{\"a\":[1,\"x/y\","
                                   "null]}}";
        TestServer *s = *state;
        char *text;

        for (size_t i = 0; i < sizeof(call); i++) {
                peer_expect_nothing(&s->peer);
                peer_send_bytes(&s->peer, call + i, 1);
        }
        text = peer_take(&s->peer);
        assert_string_equal(text, "{\"parameters\":{\"a\":[1,\"x/y\",null]}}");
        free(text);
}

static void test_upgrade(void **state) {
        TestServer *s = *state;

        peer_expect(&s->peer, "{\"method\":\"org.example.Echo\",\"upgrade\":true}",
                    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":"
                    "{\"parameter\":\"upgrade\"}}");
        peer_expect(&s->peer, "{\"method\":\"org.example.Echo\",\"upgrade\":false}", EMPTY);
}

static void expect_next(TestServer *s, const char *answer) {
        char *text = peer_take(&s->peer);

        assert_non_null(text);
        assert_string_equal(text, answer);
        free(text);
}

static void test_order(void **state) {
        static const char calls[] = CALL("Hold") "\0" CALL("Echo") "\0" CALL("Hold");
        TestServer *s = *state;

        /* The second call is not even begun while the first one is open. */
        peer_send_bytes(&s->peer, calls, sizeof(calls));
        peer_expect_nothing(&s->peer);
        assert_int_equal(s->n_calls, 1);
        assert_int_equal(varlink_call_error(s->held, "org.example.Late", NULL), 0);
        assert_int_equal(s->n_calls, 1); /* begun by the loop, not from within */
        expect_next(s, "{\"error\":\"org.example.Late\",\"parameters\":{}}");
        expect_next(s, EMPTY);
        peer_expect_nothing(&s->peer);
        assert_int_equal(s->n_calls, 3);
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        expect_next(s, EMPTY);
        assert_int_equal(s->n_gone, 0);
}

static void test_pipeline(void **state) {
        TestServer *s = *state;
        unsigned taken = 0;
        char call[200], *text;

        /* Far more than is read ahead; answers are read only when nothing more can be sent. */
        for (unsigned i = 0; i < 5000 || taken < 5000;) {
                ssize_t k = -1;

                (void) snprintf(call, sizeof(call), "{\"method\":\"org.example.Echo\","
                                                    "\"parameters\":{\"i\":%u}}", i);
                if (i < 5000)
                        k = send(s->peer.fd, call, strlen(call) + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k > 0) {
                        assert_int_equal(k, strlen(call) + 1);
                        i++;
                        continue;
                }
                text = peer_take(&s->peer);
                assert_non_null(text);
                (void) snprintf(call, sizeof(call), "{\"parameters\":{\"i\":%u}}", taken++);
                assert_string_equal(text, call);
                free(text);
        }
        peer_expect_nothing(&s->peer);
}

static void test_oneway(void **state) {
        TestServer *s = *state;

        peer_send(&s->peer, "{\"method\":\"org.example.Echo\",\"oneway\":true}");
        peer_expect_nothing(&s->peer);
        assert_int_equal(s->n_calls, 1);
        /* Errors are not told either, and the connection goes on. */
        peer_send(&s->peer, "{\"method\":\"org.example.Nope\",\"oneway\":true}");
        peer_send(&s->peer, "{\"method\":\"org.varlink.service.GetInfo\",\"oneway\":true}");
        peer_send(&s->peer, "{\"method\":\"org.example.Echo\",\"oneway\":true,\"upgrade\":true}");
        peer_expect_nothing(&s->peer);
        peer_expect(&s->peer, CALL("Echo"), EMPTY);
        /* Held, and answered later: nothing comes, but the next call waits for it. */
        peer_send(&s->peer, "{\"method\":\"org.example.Hold\",\"oneway\":true}");
        peer_send(&s->peer, CALL("Echo"));
        peer_expect_nothing(&s->peer);
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        expect_next(s, EMPTY);
}

static void test_stream(void **state) {
        TestServer *s = *state;

        peer_expect(&s->peer, "{\"method\":\"org.example.Count\",\"parameters\":{\"n\":3},\"more\":true}",
                    "{\"parameters\":{\"i\":1},\"continues\":true}");
        expect_next(s, "{\"parameters\":{\"i\":2},\"continues\":true}");
        expect_next(s, "{\"parameters\":{\"i\":3}}");
        peer_expect_nothing(&s->peer);

        peer_send(&s->peer, STREAM("Hold"));
        peer_expect_nothing(&s->peer);
        assert_true(varlink_call_wants_more(s->held));
        assert_int_equal(varlink_call_peer_uid(s->held), getuid());
        assert_int_equal(varlink_call_peer_pid(s->held), getpid());
        assert_int_equal(varlink_call_uid_streams(s->held), 1);
        assert_int_equal(varlink_call_reply(s->held, NULL, true), 0);
        expect_next(s, "{\"parameters\":{},\"continues\":true}");
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        expect_next(s, EMPTY);
}

static void test_stream_not_asked_for(void **state) {
        TestServer *s = *state;

        /* A handler that streams all the same is stopped before the peer sees it. */
        peer_send(&s->peer, CALL("Hold"));
        peer_expect_nothing(&s->peer);
        assert_int_equal(varlink_call_reply(s->held, NULL, true), -EINVAL);
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        expect_next(s, EMPTY);
        peer_expect_nothing(&s->peer);
}

static void test_handler_fails(void **state) {
        TestServer *s = *state;

        peer_send(&s->peer, CALL("Echo"));
        peer_send(&s->peer, CALL("Break"));
        peer_send(&s->peer, CALL("Echo"));
        expect_next(s, EMPTY);
        assert_true(peer_is_closed(&s->peer));
        peer_expect_nothing(&s->peer);
        assert_int_equal(s->n_calls, 2);
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

static void test_gone_in_stream(void **state) {
        TestServer *s = *state;

        peer_send(&s->peer, STREAM("Hold"));
        peer_expect_nothing(&s->peer);
        assert_int_equal(varlink_call_reply(s->held, NULL, true), 0);
        peer_close(&s->peer);
        assert_int_equal(s->n_gone, 1);
        assert_null(s->held);
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

static void test_server_gone_in_stream(void **state) {
        TestServer *s = *state;

        peer_send(&s->peer, STREAM("Hold"));
        peer_expect_nothing(&s->peer);
        s->server = varlink_server_free(s->server);
        assert_int_equal(s->n_gone, 1);
        assert_true(peer_is_closed(&s->peer));
}

/* What somebody sent before leaving counts. */
static void test_gone_after_call(void **state) {
        TestServer *s = *state;

        for (unsigned i = 0; i < 300; i++)
                peer_send(&s->peer, i % 2 == 0 ? CALL("Echo") : "{\"method\":\"org.example.Echo\","
                                                                "\"oneway\":true}");
        peer_close(&s->peer);
        assert_int_equal(s->n_calls, 300);
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

/* Who only stops talking still listens. */
static void test_half_closed(void **state) {
        TestServer *s = *state;

        peer_send(&s->peer, STREAM("Hold"));
        peer_send(&s->peer, CALL("Echo"));
        peer_send_bytes(&s->peer, "{\"meth", 6);
        assert_int_equal(shutdown(s->peer.fd, SHUT_WR), 0);
        peer_expect_nothing(&s->peer);
        assert_false(peer_is_closed(&s->peer));
        assert_true(spin(s->event, 1000) < 10);
        assert_int_equal(varlink_call_reply(s->held, NULL, true), 0);
        expect_next(s, "{\"parameters\":{},\"continues\":true}");
        assert_int_equal(varlink_call_reply(s->held, NULL, false), 0);
        expect_next(s, EMPTY);
        expect_next(s, EMPTY);
        assert_true(peer_is_closed(&s->peer));
        assert_int_equal(varlink_server_n_connections(s->server), 0);
}

static void test_malformed(void **state) {
        static const char *const table[] = {
                "", "x", "{}", "[]", "{\"method\":1}", "{\"method\":\"a.b\",\"x\":1}",
                "{\"method\":\"a.b\",\"oneway\":true,\"more\":true}",
        };
        TestServer *s = *state;

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                Peer peer;

                peer_open(&peer, s->event, s->server);
                peer_send(&peer, CALL("Echo"));
                peer_send(&peer, table[i]);
                peer_send(&peer, CALL("Echo"));
                free(peer_take(&peer));
                if (!peer_is_closed(&peer))
                        fail_msg("not closed after: %s", table[i]);
                peer_expect_nothing(&peer);
                peer_close(&peer);
        }
        assert_int_equal(s->n_calls, sizeof(table) / sizeof(table[0]));
        assert_int_equal(varlink_server_n_connections(s->server), 1);
}

static void test_descriptors(void **state) {
        static char call[] = CALL("Echo");
        TestServer *s = *state;
        struct iovec iov = { .iov_base = call, .iov_len = sizeof(call) };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(250 * sizeof(int))];
        } control = {};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        int pipe_fds[2], fds[250];

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
        for (unsigned i = 0; i < 250; i++)
                fds[i] = pipe_fds[1];
        control.header = (struct cmsghdr) {
                .cmsg_len = CMSG_LEN(sizeof(fds)),
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(sendmsg(s->peer.fd, &message, MSG_NOSIGNAL), sizeof(call));
                expect_next(s, EMPTY);
        }
        /* Nobody has the writing end open but us: once we close it, the reading end sees the end. */
        assert_int_equal(close(pipe_fds[1]), 0);
        assert_int_equal(read(pipe_fds[0], fds, 1), 0);
        assert_int_equal(close(pipe_fds[0]), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_server_setup, test_server_teardown)
                TEST(test_info),
                TEST(test_own_description),
                TEST(test_not_found),
                TEST(test_bytes),
                TEST(test_upgrade),
                TEST(test_order),
                TEST(test_pipeline),
                TEST(test_oneway),
                TEST(test_stream),
                TEST(test_stream_not_asked_for),
                TEST(test_handler_fails),
                TEST(test_gone_in_stream),
                TEST(test_server_gone_in_stream),
                TEST(test_gone_after_call),
                TEST(test_half_closed),
                TEST(test_malformed),
                TEST(test_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
