/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/worker.h"
#include "fake.h"

typedef struct Seen {
        sd_event *event;
        Worker *worker;
        WorkerRecord records[8];
        size_t n_records;
        size_t refuse_at; /* the record that is not taken, counted from 1 */
        WorkerFate fate;
        WorkerRecord end;
        int n_over, n_gone;
        pid_t pid;       /* told by a body as its progress */
        int signal_then; /* sent to pid as soon as it is known */
} Seen;

static bool on_record(Worker *worker, const WorkerRecord *record, void *userdata) {
        Seen *seen = userdata;

        assert_ptr_equal(worker, seen->worker);
        assert_true(seen->n_records < 8);
        seen->records[seen->n_records++] = *record;
        if (record->type == WORKER_RECORD_PROGRESS)
                seen->pid = (pid_t) record->bytes;
        if (seen->pid > 0 && seen->signal_then)
                assert_int_equal(kill(seen->pid, seen->signal_then), 0);
        return seen->n_records != seen->refuse_at;
}

static void on_gone(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata) {
        Seen *seen = userdata;

        seen->n_gone++;
        seen->worker = worker_free(worker);
}

static void on_over(Worker *worker, WorkerFate fate, const WorkerRecord *end, void *userdata) {
        Seen *seen = userdata;

        seen->n_over++;
        seen->fate = fate;
        seen->end = *end;
        if (fate == WORKER_STUCK)
                worker_set_aside(worker, on_gone, seen);
        else
                seen->worker = worker_free(worker);
}

static int setup(void **state) {
        fake_module_reset();
        *state = calloc(1, sizeof(Seen));
        assert_non_null(*state);
        assert_int_equal(sd_event_new(&((Seen *) *state)->event), 0);
        return 0;
}

static int teardown(void **state) {
        Seen *seen = *state;

        assert_null(seen->worker);
        assert_true(no_children());
        (void) sd_event_unref(seen->event);
        free(seen);
        return 0;
}

static void start(Seen *seen, WorkerBody body, const void *task, WorkerKill kill_hook) {
        const WorkerSpec spec = {
                .name = "mu-test",
                .body = body,
                .task = task,
                .keep_fds = { -EBADF, -EBADF },
                .on_record = on_record,
                .on_over = on_over,
                .userdata = seen,
                .kill = kill_hook,
        };

        assert_int_equal(worker_start(&seen->worker, seen->event, &spec), 0);
}

static void turn_until(Seen *seen, const int *flag) {
        while (!*flag)
                assert_true(sd_event_run(seen->event, 20 * 1000000) > 0);
}

static void run(Seen *seen, WorkerBody body, const void *task) {
        start(seen, body, task, NULL);
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->n_over, 1);
}

static void test_decode(void **state) {
        const WorkerRecord good[] = {
                { .type = WORKER_RECORD_PROGRESS, .bytes = UINT64_MAX },
                { .type = WORKER_RECORD_BLOCK, .block = UINT32_MAX, .error = -4095 },
                { .type = WORKER_RECORD_END, .error = -EBUSY, .bytes = 4096 },
        };
        const WorkerRecord bad[] = {
                { .type = 0 },
                { .type = _WORKER_RECORD_MAX },
                { .type = WORKER_RECORD_END, .error = 1 },
                { .type = WORKER_RECORD_END, .error = -4096 },
                { .type = WORKER_RECORD_END, .error = INT32_MIN },
                { .type = WORKER_RECORD_END, .block = 1 },
                { .type = WORKER_RECORD_BLOCK, .bytes = 1 },
                { .type = WORKER_RECORD_PROGRESS, .block = 1 },
                { .type = WORKER_RECORD_PROGRESS, .error = -EIO },
        };
        uint8_t wire[WORKER_RECORD_SIZE + 1] = {};
        WorkerRecord record;

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                worker_record_encode(&good[i], wire);
                assert_int_equal(worker_record_decode(wire, WORKER_RECORD_SIZE, &record), 0);
                assert_int_equal(record.type, good[i].type);
                assert_int_equal(record.block, good[i].block);
                assert_int_equal(record.error, good[i].error);
                assert_true(record.bytes == good[i].bytes);
                assert_int_equal(worker_record_decode(wire, WORKER_RECORD_SIZE - 1, &record), -EBADMSG);
                assert_int_equal(worker_record_decode(wire, WORKER_RECORD_SIZE + 1, &record), -EBADMSG);
                assert_int_equal(worker_record_decode(wire, 0, &record), -EBADMSG);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                worker_record_encode(&bad[i], wire);
                assert_int_equal(worker_record_decode(wire, WORKER_RECORD_SIZE, &record), -EBADMSG);
        }
        worker_record_encode(&good[0], wire);
        wire[0] ^= 1;
        assert_int_equal(worker_record_decode(wire, WORKER_RECORD_SIZE, &record), -EBADMSG);
}

static int body_reports(int channel, const void *task, uint64_t *ret_bytes) {
        for (uint32_t i = 0; i < 5; i++)
                worker_send(channel, &(WorkerRecord) { .type = WORKER_RECORD_BLOCK, .block = i });
        *ret_bytes = *(const uint64_t *) task;
        return -EBUSY;
}

static void test_reports(void **state) {
        const uint64_t bytes = 12345;
        Seen *seen = *state;
        size_t fds = count_fds();

        run(seen, body_reports, &bytes);
        assert_int_equal(seen->fate, WORKER_FINISHED);
        assert_int_equal(seen->end.error, -EBUSY);
        assert_int_equal(seen->end.bytes, 12345);
        assert_int_equal(seen->n_records, 5);
        assert_int_equal(seen->records[4].block, 4);
        assert_int_equal(count_fds(), fds);
}

/* What a worker finds around it. Each thing that is wrong has its number. */
static int body_looks(int channel, const void *task, uint64_t *ret_bytes) {
        struct sigaction action;
        char name[16] = "";
        int sig = 0;
        sigset_t set;

        if (prctl(PR_GET_PDEATHSIG, &sig) < 0 || sig != SIGKILL)
                return -1;
        if (prctl(PR_GET_NAME, name) < 0 || strcmp(name, "mu-test") != 0)
                return -2;
        if (sigprocmask(SIG_BLOCK, NULL, &set) < 0)
                return -3;
        for (int i = 1; i < SIGRTMAX; i++) {
                if (i == SIGKILL || i == SIGSTOP || (i >= __SIGRTMIN && i < SIGRTMIN))
                        continue;
                if (!sigismember(&set, i) || sigaction(i, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
                        return -1000 - i;
        }
        for (int fd = 3; fd < 200; fd++)
                if (fd != channel && fd != *(const int *) task && fcntl(fd, F_GETFD) >= 0)
                        return -100 - fd;
        return fcntl(*(const int *) task, F_GETFD) >= 0 ? 0 : -4;
}

static void handle(int sig) {
}

static void test_surroundings(void **state) {
        struct sigaction action = { .sa_handler = handle }, old;
        Seen *seen = *state;
        CLEANUP(closep) int other = open("/dev/null", O_RDONLY);
        CLEANUP(closep) int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CLEANUP(closep) int last = open("/dev/null", O_RDONLY);
        const WorkerSpec spec = {
                .name = "mu-test",
                .body = body_looks,
                .task = &kept,
                .keep_fds = { kept, kept },
                .on_over = on_over,
                .userdata = seen,
        };
        sigset_t before, after;

        assert_true(other >= 0 && last >= 0);
        assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
        (void) sigprocmask(SIG_BLOCK, NULL, &before);
        assert_int_equal(worker_start(&seen->worker, seen->event, &spec), 0);
        (void) sigprocmask(SIG_BLOCK, NULL, &after);
        for (int i = 1; i < SIGRTMAX; i++)
                assert_int_equal(sigismember(&before, i), sigismember(&after, i));
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->fate, WORKER_FINISHED);
        assert_int_equal(seen->end.error, 0);
        assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

static int body_dies(int channel, const void *task, uint64_t *ret_bytes) {
        worker_send(channel, &(WorkerRecord) { .type = WORKER_RECORD_BLOCK, .block = 1 });
        _exit(EXIT_FAILURE);
}

static void test_dies(void **state) {
        Seen *seen = *state;

        run(seen, body_dies, NULL);
        assert_int_equal(seen->fate, WORKER_DIED);
        assert_int_equal(seen->n_records, 1); /* what it said before is not lost */
}

static void send_pid(int channel) {
        const WorkerRecord record = { .type = WORKER_RECORD_PROGRESS, .bytes = (uint64_t) getpid() };

        worker_send(channel, &record);
}

static _Noreturn void wait_for_ever(void) {
        for (;;)
                (void) pause();
}

static int body_waits(int channel, const void *task, uint64_t *ret_bytes) {
        send_pid(channel);
        wait_for_ever();
}

static void test_killed_from_outside(void **state) {
        Seen *seen = *state;

        seen->signal_then = SIGKILL;
        run(seen, body_waits, NULL);
        assert_int_equal(seen->fate, WORKER_DIED);
}

static int body_sleeps_a_little(int channel, const void *task, uint64_t *ret_bytes) {
        send_pid(channel);
        return worker_pause(channel, 200000) ? 0 : -EINTR;
}

static void test_other_signals_do_nothing(void **state) {
        Seen *seen = *state;

        seen->signal_then = SIGTERM;
        run(seen, body_sleeps_a_little, NULL);
        assert_int_equal(seen->fate, WORKER_FINISHED);
        assert_int_equal(seen->end.error, 0);
}

static int body_babbles(int channel, const void *task, uint64_t *ret_bytes) {
        const char *text = task;

        (void) send(channel, text, strlen(text), MSG_NOSIGNAL);
        wait_for_ever();
}

static void test_garbled(void **state) {
        Seen *seen = *state;

        run(seen, body_babbles, "short");
        assert_int_equal(seen->fate, WORKER_GARBLED);
        seen->n_over = 0;
        run(seen, body_babbles, "as long as a record is..");
        assert_int_equal(seen->fate, WORKER_GARBLED);
        seen->n_over = 0;
        run(seen, body_babbles, "longer than a record is, with more behind it");
        assert_int_equal(seen->fate, WORKER_GARBLED);
        assert_int_equal(seen->n_records, 0);
}

static int body_ends_twice(int channel, const void *task, uint64_t *ret_bytes) {
        worker_send(channel, &(WorkerRecord) { .type = WORKER_RECORD_END });
        return 0;
}

static void test_two_ends(void **state) {
        Seen *seen = *state;

        run(seen, body_ends_twice, NULL);
        assert_int_equal(seen->fate, WORKER_GARBLED);
}

static void test_record_not_taken(void **state) {
        const uint64_t bytes = 1;
        Seen *seen = *state;

        seen->refuse_at = 3;
        run(seen, body_reports, &bytes);
        assert_int_equal(seen->fate, WORKER_GARBLED);
        assert_int_equal(seen->n_records, 3);
}

static uint64_t now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static void test_kill(void **state) {
        Seen *seen = *state;

        start(seen, body_waits, NULL, NULL);
        while (seen->pid == 0)
                assert_true(sd_event_run(seen->event, 20 * 1000000) > 0);
        worker_kill(seen->worker, WORKER_AWAIT_USEC);
        worker_kill(seen->worker, WORKER_AWAIT_USEC); /* twice is as good as once */
        assert_int_equal(seen->n_over, 0);
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->fate, WORKER_DIED);
}

static void test_kill_at_once(void **state) {
        Seen *seen = *state;

        start(seen, body_waits, NULL, NULL);
        worker_kill(seen->worker, WORKER_AWAIT_USEC);
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->fate, WORKER_DIED);
}

static int kill_nothing(int pidfd) {
        return 0;
}

static void test_stuck(void **state) {
        Seen *seen = *state;
        uint64_t began;

        start(seen, body_waits, NULL, kill_nothing);
        while (seen->pid == 0)
                assert_true(sd_event_run(seen->event, 20 * 1000000) > 0);
        began = now_msec();
        worker_kill(seen->worker, WORKER_AWAIT_USEC);
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->fate, WORKER_STUCK);
        assert_true(now_msec() - began >= 490);
        assert_int_equal(kill(seen->pid, SIGKILL), 0);
        turn_until(seen, &seen->n_gone);
        assert_int_equal(seen->n_over, 1);
        assert_int_equal(seen->n_gone, 1);
}

static void test_free_while_it_runs(void **state) {
        Seen *seen = *state;
        size_t fds = count_fds();

        start(seen, body_waits, NULL, NULL);
        seen->worker = worker_free(seen->worker);
        assert_null(worker_free(NULL));
        assert_int_equal(seen->n_over, 0);
        assert_int_equal(count_fds(), fds);
}

static void test_free_when_stuck(void **state) {
        Seen *seen = *state;

        start(seen, body_waits, NULL, kill_nothing);
        worker_kill(seen->worker, WORKER_AWAIT_USEC);
        turn_until(seen, &seen->n_over);
        assert_int_equal(seen->fate, WORKER_STUCK);
        seen->worker = worker_free(seen->worker); /* kills for real, waits for nothing */
        assert_int_equal(seen->n_gone, 0);
        assert_true(waitpid(-1, NULL, 0) > 0 || errno == ECHILD);
}

static void test_pause(void **state) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_true(worker_pause(pair[0], 1000));
        (void) close(pair[1]);
        assert_false(worker_pause(pair[0], 20 * 1000000));
        (void) close(pair[0]);
}

/* The daemon of this test: starts a worker, tells its process id, and waits to be killed. No assertions
 * here: they would go back into the test. */
static _Noreturn void be_daemon(int report, uid_t uid) {
        Seen seen = {};
        const WorkerSpec spec = {
                .name = "mu-test",
                .body = body_waits,
                .keep_fds = { -EBADF, -EBADF },
                .on_record = on_record,
                .on_over = on_over,
                .userdata = &seen,
        };

        if (uid != 0 && setresuid(uid, uid, uid) < 0)
                _exit(1);
        if (sd_event_new(&seen.event) < 0 || worker_start(&seen.worker, seen.event, &spec) < 0)
                _exit(2);
        while (seen.pid == 0)
                (void) sd_event_run(seen.event, UINT64_MAX);
        if (write(report, &seen.pid, sizeof(seen.pid)) != sizeof(seen.pid))
                _exit(3);
        wait_for_ever();
}

static void kill_daemon_and_see(uid_t uid) {
        pid_t daemon, worker = 0, pid;
        int pipe_fds[2], status;

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(pipe(pipe_fds), 0);
        daemon = fork();
        assert_true(daemon >= 0);
        if (daemon == 0)
                be_daemon(pipe_fds[1], uid);
        (void) close(pipe_fds[1]);
        assert_int_equal(read(pipe_fds[0], &worker, sizeof(worker)), sizeof(worker));
        assert_int_equal(kill(daemon, SIGKILL), 0);
        for (int i = 0; i < 2; i++) {
                pid = waitpid(-1, &status, 0);
                assert_true(pid == daemon || pid == worker);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        (void) close(pipe_fds[0]);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void test_dies_with_the_daemon(void **state) {
        kill_daemon_and_see(0);
}

static void test_dies_with_an_unprivileged_daemon(void **state) {
        if (geteuid() != 0)
                skip();
        kill_daemon_and_see(65534);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_decode),
                TEST(test_reports),
                TEST(test_surroundings),
                TEST(test_dies),
                TEST(test_killed_from_outside),
                TEST(test_other_signals_do_nothing),
                TEST(test_garbled),
                TEST(test_two_ends),
                TEST(test_record_not_taken),
                TEST(test_kill),
                TEST(test_kill_at_once),
                TEST(test_stuck),
                TEST(test_free_while_it_runs),
                TEST(test_free_when_stuck),
                TEST(test_pause),
                TEST(test_dies_with_the_daemon),
                TEST(test_dies_with_an_unprivileged_daemon),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
