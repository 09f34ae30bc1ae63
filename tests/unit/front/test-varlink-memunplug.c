/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.memunplug as a client sees it: the server, permission, the operations, streams to their end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake-queue.h"
#include "front/authz.h"
#include "front/operation.h"
#include "front/varlink.h"
#include "peer.h"
#include "util/json.h"

#define M(method) "{\"method\":\"org.memunplug." method "\""

extern const char varlink_idl_memunplug[];

typedef struct Test {
        Queue queue;
        Engine engine;
        OperationContext context;
        VarlinkServer *server;
        Peer peer;
} Test;

static void expect_has(Peer *peer, const char *part) {
        char *text = peer_take(peer);

        assert_non_null(text);
        if (!strstr(text, part))
                fail_msg("no '%s' in %s", part, text);
        free(text);
}

static void test_idl_is_table(void **state) {
        const char *p = varlink_idl_memunplug;
        unsigned methods = 0;

        assert_non_null(strstr(p, "\ninterface org.memunplug\n"));
        for (OperationId id = 0; id < _OPERATION_MAX; id++) {
                char line[64];

                (void) snprintf(line, sizeof(line), "\nmethod %s(", operation_get(id)->name);
                assert_non_null(strstr(p, line));
        }
        for (p = strstr(p, "\nmethod "); p; p = strstr(p + 1, "\nmethod "))
                methods++;
        assert_int_equal(methods, _OPERATION_MAX);
}

static void test_description(void **state) {
        Test *t = *state;

        peer_send(&t->peer, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
                            "{\"interface\":\"org.memunplug\"}}");
        expect_has(&t->peer, "\\nmethod GetStatus() -> (\\n");
}

static void test_simple(void **state) {
        Test *t = *state;

        peer_send(&t->peer, M("GetStatus") "}");
        expect_has(&t->peer, "{\"parameters\":{\"version\":\"1.2\",");
        peer_expect(&t->peer, M("getStatus") "}",
                    "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
                    "{\"method\":\"org.memunplug.getStatus\"}}");
        peer_expect(&t->peer, M("ListBlocks") "}",
                    "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
        peer_expect(&t->peer, M("ListJobs") ",\"more\":true}", "{\"parameters\":{}}");
        peer_expect(&t->peer, M("Explain") ",\"parameters\":{\"block\":7}}",
                    "{\"error\":\"org.memunplug.NoSuchBlock\",\"parameters\":{\"block\":7}}");
        peer_send(&t->peer, M("Unplug") ",\"parameters\":{\"sizeBytes\":1},\"oneway\":true}");
        peer_expect_nothing(&t->peer);
        assert_int_equal(t->queue.n_submitted, 1);
}

static void test_stream(void **state) {
        Test *t = *state;
        Job *job;

        peer_send(&t->peer, M("Unplug") ",\"parameters\":{\"device\":\"PNP0C80:00\"},\"more\":true}");
        peer_send(&t->peer, M("ListJobs") ",\"parameters\":{\"id\":11}}");
        expect_has(&t->peer, "\"state\":\"queued\"");
        peer_expect_nothing(&t->peer);
        job = &t->queue.jobs[0];
        job->state = JOB_EVACUATING;
        fake_queue_tell(&t->queue, QUEUE_JOB_CHANGED, job, 0);
        expect_has(&t->peer, "\"createdAt\":1}},\"continues\":true}");
        job->state = JOB_FAILED;
        fake_queue_tell(&t->queue, QUEUE_JOB_ENDED, job, 0);
        expect_has(&t->peer, "\"createdAt\":1}}}");
        expect_has(&t->peer, "\"state\":\"failed\""); /* of ListJobs */
        assert_int_equal(t->queue.n_slots, 0);
}

/* Who goes away stops watching, not the job. */
static void test_gone(void **state) {
        Test *t = *state;
        Peer monitor;

        peer_open(&monitor, t->context.event, t->server);
        peer_send(&monitor, M("Monitor") ",\"more\":true}");
        expect_has(&monitor, "{\"event\":\"ready\"},\"continues\":true}");
        peer_send(&t->peer, M("Unplug") ",\"parameters\":{\"sizeBytes\":1},\"more\":true}");
        expect_has(&t->peer, "\"state\":\"queued\"");
        expect_has(&monitor, "\"event\":\"job\"");
        assert_int_equal(t->queue.n_slots, 2);
        peer_close(&t->peer);
        peer_close(&monitor);
        assert_int_equal(t->queue.n_slots, 0);
        assert_int_equal(t->queue.jobs[0].state, JOB_QUEUED);
        fake_queue_tell(&t->queue, QUEUE_JOB_CHANGED, &t->queue.jobs[0], 0);
}

static void test_many_streams(void **state) {
        Peer peers[VARLINK_STREAMS_PER_UID_MAX + 1];
        Test *t = *state;

        for (unsigned i = 0; i <= VARLINK_STREAMS_PER_UID_MAX; i++) {
                peer_open(&peers[i], t->context.event, t->server);
                peer_send(&peers[i], M("Monitor") ",\"more\":true}");
                expect_has(&peers[i], i < VARLINK_STREAMS_PER_UID_MAX ? "\"ready\"" : "\"org.memunplug.Bus"
                                                                                      "y\"");
        }
        peer_close(&peers[0]);
        peer_send(&peers[VARLINK_STREAMS_PER_UID_MAX], M("Monitor") ",\"more\":true}");
        expect_has(&peers[VARLINK_STREAMS_PER_UID_MAX], "\"ready\"");
        for (unsigned i = 1; i <= VARLINK_STREAMS_PER_UID_MAX; i++)
                peer_close(&peers[i]);
        assert_int_equal(t->queue.n_slots, 0);
}

/* A long list to a reader that takes a little at a time: all of it, in order, and no heap of it in
 * between. */
static void test_long_list(void **state) {
        const size_t n = 20000;
        Test *t = *state;
        Block *blocks = calloc(n, sizeof(*blocks));
        size_t taken = 0;
        char *text;

        assert_non_null(blocks);
        for (size_t i = 0; i < n; i++)
                blocks[i] = (Block) { .index = (uint32_t) (2 * i), .device = BLOCK_DEVICE_NONE, .node = 0,
                                      .zone = ZONE_MOVABLE, .address = i << 28, .used_bytes = 0 };
        t->queue.table.blocks = blocks;
        t->queue.table.n_blocks = n;
        peer_send(&t->peer, M("ListBlocks") ",\"more\":true}");
        while ((text = peer_take(&t->peer))) {
                char start[64];

                (void) snprintf(start, sizeof(start), "{\"parameters\":{\"block\":{\"index\":%zu,",
                                                                                    2 * taken++);
                assert_int_equal(strncmp(text, start, strlen(start)), 0);
                assert_int_equal(strstr(text, ",\"continues\":true}") != NULL, taken < n);
                free(text);
        }
        assert_int_equal(taken, n);
        assert_true(t->queue.n_table_reads > 20); /* piece by piece */
        free(blocks);
}

static void test_authz(void **state) {
        for (OperationId id = 0; id < _OPERATION_MAX; id++) {
                const Operation *operation = operation_get(id);
                bool changes = id == OPERATION_UNPLUG || id == OPERATION_REPLUG || id == OPERATION_CANCEL ||
                               id == OPERATION_CONFIRM;

                assert_true(authz_peer_allowed(operation, 0, 990));
                assert_true(authz_peer_allowed(operation, 990, 990));
                assert_int_equal(authz_peer_allowed(operation, 1000, 990), !changes);
                assert_int_equal(authz_peer_allowed(operation, 65534, 0), !changes);
                /* It must not agree to what it asked for itself. */
                assert_int_equal(authz_hypervisor_allowed(operation, true), id != OPERATION_CONFIRM);
                assert_int_equal(authz_hypervisor_allowed(operation, false), !changes);
        }
}

#define DENIED "org.varlink.service.PermissionDenied"

static const struct {
        const char *call, *answer;
} other_user_calls[] = {
        { M("GetStatus") "}", "\"version\"" },
        { M("ListDevices") ",\"more\":true}", "\"boot\"" },
        { M("Plan") ",\"parameters\":{\"sizeBytes\":1}}", "\"feasible\"" },
        { M("Explain") ",\"parameters\":{\"block\":0}}", "\"verdict\"" },
        { M("Diagnose") "}", "\"findings\"" },
        { M("ListJobs") ",\"parameters\":{\"id\":1}}", "NoSuchJob" },
        { M("Unplug") ",\"parameters\":{\"sizeBytes\":1}}", DENIED },
        { M("Unplug") ",\"parameters\":{\"sizeBytes\":1},\"more\":true}", DENIED },
        { M("Unplug") ",\"parameters\":{\"bogus\":1}}", DENIED },
        { M("Unplug") "}", DENIED },
        { M("Replug") ",\"parameters\":{\"blocks\":[33]}}", DENIED },
        { M("Cancel") ",\"parameters\":{\"id\":1}}", DENIED },
        { M("Confirm") ",\"parameters\":{\"id\":1}}", DENIED },
        { M("Cancel") ",\"parameters\":{\"id\":1,\"allowInteractiveAuthentication\":true}}", DENIED },
        { M("Monitor") ",\"more\":true}", "\"ready\"" },
};

/* In a process of its own: 0, or the number of the call that went wrong. */
static int be_other_user(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char text[65536];

        memcpy(address.sun_path, path, strlen(path) + 1);
        if (setgid(65534) < 0 || setuid(65534) < 0 ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return 100;
        for (int i = 0; i < (int) (sizeof(other_user_calls) / sizeof(other_user_calls[0])); i++) {
                const char *call = other_user_calls[i].call;
                size_t n = 0;

                if (send(fd, call, strlen(call) + 1, MSG_NOSIGNAL) < 0)
                        return i + 1;
                /* The last reply, or what is wanted of an endless one. */
                do {
                        ssize_t k = recv(fd, text + n, sizeof(text) - 1 - n, 0);

                        if (k <= 0)
                                return i + 1;
                        for (ssize_t j = 0; j < k; j++, n++)
                                if (text[n] == '\0')
                                        text[n] = '\n';
                        text[n] = '\0';
                } while (text[n - 1] != '\n' || !strstr(text, other_user_calls[i].answer));
                if (strcmp(other_user_calls[i].answer, DENIED) != 0 && strstr(text, DENIED))
                        return i + 1;
        }
        return 0;
}

/* Every method from another user, with arguments that are good and that are not. */
static void test_other_user(void **state) {
        char path[] = "/tmp/test-memunplug-XXXXXX", name[64];
        Test *t = *state;
        int status;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        assert_non_null(mkdtemp(path));
        assert_int_equal(chmod(path, 0755), 0);
        (void) snprintf(name, sizeof(name), "%s/socket", path);
        assert_int_equal(varlink_server_listen_path(t->server, name, 0666), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(be_other_user(name));
        while (waitpid(pid, &status, WNOHANG) == 0)
                assert_true(sd_event_run(t->context.event, 10000) >= 0);
        assert_int_equal(status, 0);
        assert_int_equal(t->queue.n_submitted, 0);
        t->server = varlink_server_free(t->server);
        assert_int_equal(rmdir(path), 0);
}

/* The hypervisor on its port, before and after policy lets it change something. */
static void test_hypervisor(void **state) {
        Test *t = *state;
        Peer port;

        peer_open_hypervisor(&port, t->context.event, t->server);
        for (size_t i = 0; i < sizeof(other_user_calls) / sizeof(other_user_calls[0]); i++) {
                peer_send(&port, other_user_calls[i].call);
                /* An endless one sends what there is first, and ends with the next call. */
                for (bool found = false; !found;) {
                        char *text = peer_take(&port);

                        assert_non_null(text);
                        found = strstr(text, other_user_calls[i].answer);
                        free(text);
                }
        }
        peer_expect(&port, M("Unplug") ",\"parameters\":{\"sizeBytes\":1}}",
                    "{\"error\":\"" DENIED "\",\"parameters\":{}}");
        assert_int_equal(t->queue.n_submitted, 0);

        t->context.hypervisor_may_change = true;
        peer_send(&port, M("Unplug") ",\"parameters\":{\"sizeBytes\":1}}");
        expect_has(&port, "\"job\"");
        assert_string_equal(t->queue.demand.caller, "hypervisor");
        assert_int_equal(t->queue.demand.source, SOURCE_OPERATOR);
        assert_false(t->queue.demand.ask);
        peer_expect(&port, M("Confirm") ",\"parameters\":{\"id\":1}}",
                    "{\"error\":\"" DENIED "\",\"parameters\":{}}");
        t->context.hypervisor_is_asked_back = true;
        peer_send(&port, M("Unplug") ",\"parameters\":{\"sizeBytes\":1}}");
        expect_has(&port, "\"job\"");
        assert_true(t->queue.demand.ask);
        peer_close(&port);
}

static int setup(void **state) {
        const VarlinkInfo info = { .vendor = "v", .product = "p", .version = "1", .url = "u" };
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        fake_queue_init(&t->queue);
        t->context = (OperationContext) { .queue = &t->queue, .engine = &t->engine, .version = "1.2" };
        assert_true(sd_event_new(&t->context.event) >= 0);
        assert_int_equal(varlink_server_new(&t->server, t->context.event, &info), 0);
        assert_int_equal(varlink_server_add_memunplug(t->server, &t->context), 0);
        peer_open(&t->peer, t->context.event, t->server);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        t->server = varlink_server_free(t->server);
        peer_close(&t->peer);
        assert_int_equal(t->queue.n_slots, 0);
        (void) sd_event_unref(t->context.event);
        fake_queue_clear(&t->queue);
        free(t);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(test_idl_is_table),
                TEST(test_description),
                TEST(test_simple),
                TEST(test_stream),
                TEST(test_gone),
                TEST(test_many_streams),
                TEST(test_long_list),
                TEST(test_authz),
                TEST(test_other_user),
                TEST(test_hypervisor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
