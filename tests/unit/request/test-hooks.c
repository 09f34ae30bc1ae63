/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks as real programs: which are run, in which order and with what, and what becomes of a request. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake-engine.h"
#include "request/queue.h"
#include "tree.h"
#include "util/json.h"
#include "util/sysfs.h"

#define ETC "etc/memunplug/hooks.d"
#define LIB "usr/lib/memunplug/hooks.d"

typedef struct World {
        Tree tree;
        sd_event *event;
        Engine engine;
        Hooks *hooks;
        Queue *queue;
        QueueSlot *slot;
        unsigned ended;
        bool idle;
        char log[1024];
} World;

static void observe(QueueEvent event, const Job *job, uint32_t block, void *userdata) {
        World *world = userdata;

        world->ended += event == QUEUE_JOB_ENDED;
}

static void make_folder(World *world, const char *path) {
        char copy[64];

        (void) snprintf(copy, sizeof(copy), "%s/", path);
        for (char *p = copy; (p = strchr(p, '/')); *p++ = '/') {
                *p = '\0';
                (void) mkdirat(world->tree.fd, copy, 0755); /* it may be there */
        }
}

static void put_hook(World *world, const char *folder, const char *name, const char *script, mode_t mode) {
        char path[128], text[512];
        int fd, n;

        make_folder(world, folder);
        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        n = *script ? snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script) : 0;
        fd = openat(world->tree.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, (size_t) n), n);
        assert_int_equal(fchmod(fd, mode), 0);
        (void) close(fd);
}

/* A hook that notes its name and its phase, and then does more. */
static void put_noting(World *world, const char *folder, const char *name, const char *more) {
        char script[256];

        (void) snprintf(script, sizeof(script), "echo \"${0##*/} $1\" >>log\n%s", more);
        put_hook(world, folder, name, script, 0755);
}

static const char *read_log(World *world) {
        world->log[0] = '\0';
        (void) sysfs_read(world->tree.fd, "log", world->log, sizeof(world->log)); /* none: empty */
        for (char *p = world->log; (p = strchr(p, '\n'));)
                *p = ',';
        return world->log;
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));
        QueuePolicy policy = { .guard.keep_free_bytes = 64ULL << 20, .deadline_usec = 60000000 };

        assert_non_null(world);
        fake_machine_begin(&world->tree, &world->event, &world->engine);
        assert_int_equal(hooks_new(&world->hooks, world->event, world->tree.fd, geteuid()), 0);
        policy.hooks = world->hooks;
        assert_int_equal(queue_new(&world->queue, world->event, world->tree.fd, &world->engine,
                                   /* journal= */ NULL, &policy), 0);
        assert_int_equal(queue_observe(world->queue, observe, world, &world->slot), 0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        (void) queue_free(world->queue);
        (void) hooks_free(world->hooks);
        fake_machine_end(&world->tree, world->event);
        free(world);
        return 0;
}

static const Job *submit_for(World *world, uint64_t deadline_usec) {
        Demand demand = { .source = SOURCE_ACPI, .caller = "platform", .device = "PNP0C80:00",
                          .deadline_usec = deadline_usec };
        QueueAnswer answer;

        assert_int_equal(queue_submit(world->queue, &demand, &answer), 0);
        assert_non_null(answer.job);
        return answer.job;
}

static const Job *submit(World *world) {
        return submit_for(world, 0);
}

static void on_idle(void *userdata) {
        World *world = userdata;

        world->idle = true;
}

/* Until the job has ended and everybody has been told. */
static void run(World *world) {
        while (world->ended == 0)
                assert_true(sd_event_run(world->event, 20000000) > 0);
        world->idle = false;
        hooks_when_idle(world->hooks, on_idle, world);
        while (!world->idle)
                assert_true(sd_event_run(world->event, 20000000) > 0);
}

/* Until a hook has noted something. */
static void run_until_logged(World *world, const char *text) {
        while (!strstr(read_log(world), text))
                assert_true(sd_event_run(world->event, 1000) >= 0);
}

static void assert_refused(World *world, const char *reason) {
        const Job *job = submit(world);

        run(world);
        assert_int_equal(job->state, JOB_FAILED);
        assert_int_equal(job->cause, CAUSE_REFUSED);
        assert_string_equal(job->reason, reason);
        assert_int_equal(world->engine.n_evacuate, 0);
        assert_int_equal(world->engine.n_offline, 0);
}

static void without_hooks_nothing_changes(void **state) {
        World *world = *state;
        const Job *job = submit(world);

        put_hook(world, ETC, "README", "echo no >>log", 0644);
        put_hook(world, ETC, "old.dpkg-dist", "echo no >>log", 0755);
        put_hook(world, ETC, "old.rpmsave", "echo no >>log", 0755);
        put_hook(world, ETC, "old~", "echo no >>log", 0755);
        put_hook(world, ETC, ".hidden", "echo no >>log", 0755);
        run(world);
        assert_int_equal(job->state, JOB_DONE);
        assert_string_equal(read_log(world), "");
}

static void all_are_asked_and_told_in_order(void **state) {
        World *world = *state;
        const Job *job = submit(world);

        put_noting(world, LIB, "50-b", "");
        put_noting(world, ETC, "60-c", "");
        put_noting(world, ETC, "10-a", "");
        run(world);
        assert_int_equal(job->state, JOB_DONE);
        assert_string_equal(read_log(world), "10-a check,50-b check,60-c check,10-a pre,50-b pre,60-c pre,"
                                             "10-a post,50-b post,60-c post");
}

static void etc_hides_what_is_in_lib(void **state) {
        World *world = *state;

        put_noting(world, LIB, "same", "echo lib >>log");
        put_noting(world, LIB, "empty", "");
        put_noting(world, LIB, "linked", "");
        put_noting(world, ETC, "same", "");
        put_hook(world, ETC, "empty", "", 0755);
        assert_int_equal(symlinkat("/dev/null", world->tree.fd, ETC "/linked"), 0);
        (void) submit(world);
        run(world);
        assert_string_equal(read_log(world), "same check,same pre,same post");
}

static void plan_is_its_input(void **state) {
        World *world = *state;
        char text[4096];
        json_object *plan, *steps;
        uint64_t value;
        const char *s;

        put_hook(world, ETC, "a", "cat >\"input-$1\"", 0755);
        (void) submit(world);
        run(world);
        assert_int_equal(sysfs_read(world->tree.fd, "input-pre", text, sizeof(text)), 0);
        assert_int_equal(json_parse(text, strlen(text), &plan), 0);
        assert_int_equal(json_get_string(plan, "device", &s), 0);
        assert_string_equal(s, "PNP0C80:00");
        assert_int_equal(json_get_string(plan, "source", &s), 0);
        assert_string_equal(s, "acpi");
        assert_int_equal(json_get_array(plan, "steps", &steps), 0);
        assert_int_equal(json_object_array_length(steps), TREE_DIMM_BLOCKS);
        assert_int_equal(json_get_uint(json_object_array_get_idx(steps, 0), "block", 1000, &value), 0);
        assert_int_equal(value, TREE_FIRST_DIMM_BLOCK + TREE_DIMM_BLOCKS - 1);
        (void) json_object_put(plan);
        assert_int_equal(sysfs_read(world->tree.fd, "input-post", text, sizeof(text)), 0);
        assert_non_null(strstr(text, "\"state\":\"done\""));
}

static void veto_names_the_reason(void **state) {
        World *world = *state;

        put_noting(world, ETC, "10-a", "");
        put_hook(world, ETC, "50-db",
                 "printf '\\nbackup runs, back at 5 \\342\\202\\254\\n'; echo more; exit 1", 0755);
        assert_refused(world, "hook '50-db' refused: backup runs, back at 5 \xe2\x82\xac");
        assert_string_equal(read_log(world), "10-a check"); /* nothing was begun, nothing is undone */
}

static void veto_in_pre_undoes_backwards(void **state) {
        World *world = *state;

        put_noting(world, ETC, "10-a", "");
        put_noting(world, ETC, "20-b", "[ $1 != pre ]");
        put_noting(world, ETC, "30-c", "");
        assert_refused(world, "hook '20-b' refused without a word (exit status 1)");
        assert_string_equal(read_log(world), "10-a check,20-b check,30-c check,10-a pre,20-b pre,20-b undo,"
                                             "10-a undo");
}

static void failed_job_is_undone(void **state) {
        World *world = *state;
        const Job *job = submit(world);

        put_noting(world, ETC, "10-a", "");
        world->engine.eject_result = STEP_BUSY;
        run(world);
        assert_int_equal(job->state, JOB_FAILED);
        assert_string_equal(read_log(world), "10-a check,10-a pre,10-a undo");
}

static void reason_is_cut_and_cleaned(void **state) {
        World *world = *state;
        const Job *job;

        put_hook(world, ETC, "a",
                 "printf '\\033[2J\\377'; head -c 100000 /dev/zero | tr '\\0' x; exit 1", 0755);
        job = submit(world);
        run(world);
        assert_int_equal(strncmp(job->reason, "hook 'a' refused: ?[2J?xxx", 26), 0);
        assert_int_equal(strlen(job->reason), strlen("hook 'a' refused: ") + 200);
}

static void late_hook_is_ended_with_its_children(void **state) {
        World *world = *state;
        char pid[32];

        hooks_set_timeout(world->hooks, 300000);
        put_hook(world, ETC, "a", "sleep 1000 & echo $! >pid; wait", 0755);
        assert_refused(world, "hook 'a' did not answer within 300ms");
        assert_int_equal(sysfs_read(world->tree.fd, "pid", pid, sizeof(pid)), 0);
        for (unsigned i = 0; i < 1000; i++) { /* its new parent reaps it when it likes */
                char path[64], stat[512], *p;

                (void) snprintf(path, sizeof(path), "/proc/%s/stat", pid);
                if (sysfs_read(AT_FDCWD, path, stat, sizeof(stat)) < 0)
                        return;
                p = strrchr(stat, ')');
                if (p && p[2] == 'Z')
                        return;
                (void) usleep(10000);
        }
        fail_msg("the child of the hook still runs");
}

static void cancel_ends_a_hook(void **state) {
        World *world = *state;
        const Job *job = submit(world);

        put_noting(world, ETC, "a", "[ $1 != pre ] || exec sleep 1000");
        run_until_logged(world, "a pre");
        assert_int_equal(queue_cancel(world->queue, job->id), CAUSE_NONE);
        run(world);
        assert_int_equal(job->state, JOB_CANCELLED);
        assert_string_equal(read_log(world), "a check,a pre,a undo");
}

static void deadline_ends_a_hook(void **state) {
        World *world = *state;
        const Job *job;

        put_hook(world, ETC, "slow", "exec sleep 1000", 0755);
        job = submit_for(world, 200000);
        run(world);
        assert_int_equal(job->cause, CAUSE_DEADLINE);
        assert_string_equal(job->reason, "the deadline passed while hook 'slow' was being asked");
}

static void what_others_can_write_is_not_run(void **state) {
        World *world = *state;

        put_noting(world, ETC, "10-good", "");
        put_noting(world, ETC, "20-bad", "");
        assert_int_equal(fchmodat(world->tree.fd, ETC "/20-bad", 0775, 0), 0);
        assert_refused(world, "a hook cannot be trusted and was not asked: /" ETC
                              "/20-bad can be written by others");
        assert_string_equal(read_log(world), "");
}

static void folder_that_others_can_write_is_not_used(void **state) {
        World *world = *state;

        put_noting(world, ETC, "a", "");
        assert_int_equal(fchmodat(world->tree.fd, "etc/memunplug", 0757, 0), 0);
        assert_refused(world, "a hook cannot be trusted and was not asked: /etc/memunplug can be written by "
                              "others");
        assert_string_equal(read_log(world), "");
}

static void link_is_not_followed(void **state) {
        World *world = *state;

        make_folder(world, ETC);
        put_noting(world, "elsewhere", "a", "");
        assert_int_equal(symlinkat("../../../elsewhere/a", world->tree.fd, ETC "/a"), 0);
        assert_refused(world, "a hook cannot be trusted and was not asked: /" ETC "/a is a symbolic link");
        assert_string_equal(read_log(world), "");
}

static void owner_counts(void **state) {
        World *world = *state;

        if (geteuid() != 0) {
                print_message("files can be given away by root only\n");
                skip();
        }
        put_noting(world, ETC, "a", "");
        assert_int_equal(fchownat(world->tree.fd, ETC "/a", 12345, 12345, 0), 0);
        assert_refused(world, "a hook cannot be trusted and was not asked: /" ETC "/a is not root's");
}

static void what_cannot_be_run_is_a_veto(void **state) {
        World *world = *state;
        int fd;

        make_folder(world, LIB);
        fd = openat(world->tree.fd, LIB "/b", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "\177ELF", 4), 4);
        (void) close(fd);
        assert_refused(world, "hook 'b' refused: cannot be run: Exec format error");
}

static void hook_has_nothing_of_ours(void **state) {
        World *world = *state;
        char text[2048];

        assert_int_equal(setenv("NOTIFY_SOCKET", "/secret", 1), 0);
        put_hook(world, ETC, "a",
                 "env >env; ls /proc/self/fd >fds\n"
                 "grep -E 'Cap(Prm|Eff|Amb)|NoNewPrivs|SigBlk' /proc/self/status >status", 0755);
        (void) submit(world);
        run(world);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(sysfs_read(world->tree.fd, "env", text, sizeof(text)), 0);
        assert_null(strstr(text, "secret"));
        assert_int_equal(sysfs_read(world->tree.fd, "fds", text, sizeof(text)), 0);
        assert_string_equal(text, "0\n1\n2\n3"); /* the last one is ls' own */
        assert_int_equal(sysfs_read(world->tree.fd, "status", text, sizeof(text)), 0);
        assert_string_equal(text, "SigBlk:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                                  "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                CASE(without_hooks_nothing_changes),
                CASE(all_are_asked_and_told_in_order),
                CASE(etc_hides_what_is_in_lib),
                CASE(plan_is_its_input),
                CASE(veto_names_the_reason),
                CASE(veto_in_pre_undoes_backwards),
                CASE(failed_job_is_undone),
                CASE(reason_is_cut_and_cleaned),
                CASE(late_hook_is_ended_with_its_children),
                CASE(cancel_ends_a_hook),
                CASE(deadline_ends_a_hook),
                CASE(what_others_can_write_is_not_run),
                CASE(folder_that_others_can_write_is_not_used),
                CASE(link_is_not_followed),
                CASE(owner_counts),
                CASE(what_cannot_be_run_is_a_veto),
                CASE(hook_has_nothing_of_ours),
        };

        return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
