/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each operation answers: with a queue that does as the test says, through a sink that writes it
 * down. */
#include <errno.h>
#include <linux/memunplug.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/operation-internal.h"
#include "operation-fixture.h"

static void test_table(void **state) {
        for (OperationId id = 0; id < _OPERATION_MAX; id++) {
                const Operation *operation = operation_get(id);

                assert_int_equal(operation->id, id);
                assert_ptr_equal(operation_find(operation->name), operation);
        }
        assert_null(operation_find("Nope"));
        assert_null(operation_find(""));
        assert_null(operation_find("getstatus"));
        assert_string_equal(operation_get(OPERATION_UNPLUG)->polkit_action, "org.memunplug1.unplug");
        assert_null(operation_get(OPERATION_PLAN)->polkit_action);
}

static void test_status(void **state) {
        static const char *const health[] = { "a note", NULL };
        Test *t = *state;

        expect(t, "GetStatus", NULL, false,
               "last {\"version\":\"1.2\",\"engine\":\"kmod\",\"blockSizeBytes\":134217728,"
               "\"onlineBytes\":402653184,"
               "\"removableBytes\":134217728,\"sources\":[{\"source\":\"acpi\",\"active\":false,"
               "\"reason\":\"no gate\"},{\"source\":\"operator\",\"active\":true}],\"health\":[]}\n");
        t->engine = (Engine) { .kind = ENGINE_SYSFS, .reason = "no module" };
        t->context.hypervisor = "kvm";
        t->context.sources[SOURCE_ACPI].active = true;
        t->context.sources[SOURCE_ACPI].reason = NULL;
        t->context.health = health;
        t->queue.table_error = -EIO;
        (void) fake_queue_add_job(&t->queue, JOB_DONE);
        (void) fake_queue_add_job(&t->queue, JOB_EVACUATING);
        assert_int_equal(run(t, "GetStatus", "{}", true), 0);
        assert_true(log_has(t, "\"engine\":\"sysfs\",\"engineReason\":\"no module\",\"hypervisor\":\"kvm\","
                               "\"blockSizeBytes\":0"));
        assert_true(log_has(t, "{\"source\":\"acpi\",\"active\":true}"));
        t->context.sources[SOURCE_ACPI].asks = true;
        assert_int_equal(run(t, "GetStatus", NULL, false), 0);
        assert_true(log_has(t, "{\"source\":\"acpi\",\"active\":true,\"asks\":true}"));
        assert_true(log_has(t, "\"job\":{\"id\":12,"));
        assert_true(log_has(t, "\"health\":[\"a note\",\"cannot read the memory blocks: Input/output "
                               "error\"]"));
}

static char *note_of(const char *device, void *userdata) {
        Test *t = userdata;

        return strcmp(device, t->queue.table.devices[0].name) == 0 ? strdup("requested 0B, and so on") : NULL;
}

static void test_device_note(void **state) {
        Test *t = *state;
        char health[128];

        t->context.device_note = note_of;
        t->context.device_note_userdata = t;
        t->context.sources[SOURCE_VIRTIO_MEM].active = true;
        assert_int_equal(run(t, "GetStatus", NULL, false), 0);
        (void) snprintf(health, sizeof(health), "\"health\":[\"%s: requested 0B, and so on\"]",
                        t->queue.table.devices[0].name);
        assert_true(log_has(t, health));
        assert_true(log_has(t, "{\"source\":\"virtio_mem\",\"active\":true},{\"source\":\"operator\""));
        assert_int_equal(run(t, "ListDevices", NULL, true), 0);
        assert_true(log_has(t, "\"reason\":\"requested 0B, and so on\""));
}

static void test_expected_more(void **state) {
        static const char *const names[] = { "ListBlocks", "ListDevices", "ListJobs", "Monitor" };
        Test *t = *state;

        for (size_t i = 0; i < 4; i++)
                expect(t, names[i], NULL, false, "error org.varlink.service.ExpectedMore -\n");
        expect(t, "ListBlocks", "{\"x\":1}", false,
               "error org.varlink.service.InvalidParameter {\"parameter\":\"x\"}\n");
}

static void test_list_blocks(void **state) {
        Test *t = *state;

        t->queue.table.n_blocks = 1;
        expect(t, "ListBlocks", NULL, true,
               "last {\"block\":{\"index\":0,\"physicalAddress\":0,\"sizeBytes\":134217728,"
               "\"state\":\"online\","
               "\"zone\":\"Normal\",\"node\":0,\"device\":\"boot\",\"usedBytes\":0,\"unmovableBytes\":0,"
               "\"verdict\":\"guarded\",\"reason\":\"in zone Normal, where the kernel keeps its own data; "
               "only "
               "zone Movable is tried (TryKernelZones=)\"}}\n");
        t->queue.table.n_blocks = 0;
        expect(t, "ListBlocks", NULL, true, "last -\n");
        t->queue.table.n_blocks = FAKE_BLOCKS;
        assert_int_equal(run(t, "ListBlocks", NULL, true), 0);
        assert_true(log_has(t, "part {\"block\":{\"index\":1,"));
        assert_true(log_has(t, "part {\"block\":{\"index\":32,"));
        assert_true(log_has(t, "last {\"block\":{\"index\":33,\"physicalAddress\":4429185024,"
                               "\"sizeBytes\":134217728,"
                               "\"state\":\"offline\",\"zone\":\"Movable\",\"node\":0,"
                               "\"device\":\"PNP0C80:00\","
                               "\"verdict\":\"offline\",\"reason\":\"offline already\"}}"));
        forget_log(t);
        t->queue.table_error = -EIO;
        expect(t, "ListBlocks", NULL, true,
               "error org.memunplug.Failed {\"reason\":\"Cannot read the memory blocks: Input/output "
               "error\"}\n");
}

static void test_list_others(void **state) {
        Test *t = *state;

        expect(t, "ListDevices", NULL, true,
               "part {\"device\":{\"name\":\"boot\",\"kind\":\"boot\",\"firstBlock\":0,\"blocks\":2,"
               "\"sizeBytes\":268435456,\"onlineBytes\":268435456,\"node\":0,\"moveBytes\":1048576,"
               "\"verdict\":\"guarded\",\"reason\":\"2 of its 2 blocks cannot go, the first is block 0: in "
               "zone "
               "Normal, where the kernel keeps its own data; only zone Movable is tried "
               "(TryKernelZones=)\"}}\n"
               "last {\"device\":{\"name\":\"PNP0C80:00\",\"kind\":\"acpi_dimm\",\"firstBlock\":32,"
               "\"blocks\":2,"
               "\"sizeBytes\":268435456,\"onlineBytes\":134217728,\"moveBytes\":2097152,"
               "\"verdict\":\"movable\"}}\n");
        expect(t, "ListJobs", NULL, true, "last -\n");
        expect(t, "ListJobs", "{\"id\":11}", false, "error org.memunplug.NoSuchJob {\"id\":11}\n");
        (void) fake_queue_add_job(&t->queue, JOB_DONE);
        (void) fake_queue_add_job(&t->queue, JOB_QUEUED);
        assert_int_equal(run(t, "ListJobs", NULL, true), 0);
        assert_true(log_has(t, "part {\"job\":{\"id\":11,"));
        assert_true(log_has(t, "last {\"job\":{\"id\":12,"));
        forget_log(t);
        assert_int_equal(run(t, "ListJobs", "{\"id\":11}", true), 0);
        expect_start(t, "last {\"job\":{\"id\":11,");
}

/* A reader that takes its time gets all there is by the time it is there. */
static void test_list_waits(void **state) {
        Test *t = *state;

        t->full = true;
        expect(t, "ListBlocks", NULL, true, "");
        assert_non_null(t->call);
        operation_call_resume(t->call);
        expect_log(t, "");
        t->full = false;
        t->queue.table.n_blocks = 2;
        operation_call_resume(t->call);
        assert_null(t->call);
        assert_true(log_has(t, "part {\"block\":{\"index\":0,"));
        assert_true(log_has(t, "last {\"block\":{\"index\":1,"));
}

static void test_list_refused(void **state) {
        Test *t = *state;

        t->refuse = -ECONNRESET;
        assert_int_equal(run(t, "ListBlocks", NULL, true), -ECONNRESET);
        assert_null(t->call);
        forget_log(t);
        t->full = true;
        assert_int_equal(run(t, "ListBlocks", NULL, true), 0);
        t->full = false;
        operation_call_resume(t->call);
        operation_call_resume(t->call); /* it is over: nothing more comes */
        assert_non_null(t->call);
        assert_null(strchr(strchr(t->log, '\n') + 1, '\n'));
        t->call = operation_call_free(t->call);
}

static void test_plan(void **state) {
        static const struct {
                PlanOutcome outcome;
                const char *log;
        } table[] = {
                { PLAN_NO_SUCH_BLOCK, "error org.memunplug.NoSuchBlock {\"block\":7}\n" },
                { PLAN_NO_SUCH_DEVICE, "error org.memunplug.NoSuchDevice {\"device\":\"dimm0\"}\n" },
                { PLAN_NO_SUCH_NODE, "error org.memunplug.NoSuchNode {\"node\":3}\n" },
        };
        Test *t = *state;

        expect(t, "Plan", "{\"device\":\"dimm0\"}", false,
               "last {\"steps\":[{\"block\":32,\"sizeBytes\":134217728,\"moveBytes\":2097152,"
               "\"zone\":\"Movable\","
               "\"node\":0,\"device\":\"PNP0C80:00\"}],\"refused\":[],\"feasible\":true,"
               "\"removableBytes\":0,"
               "\"moveBytes\":0,\"freeBytes\":0,\"reserveBytes\":0}\n");
        for (PlanOutcome o = PLAN_NOTHING_REMOVABLE; o < _PLAN_OUTCOME_MAX; o++) {
                t->queue.plan_outcome = o;
                expect(t, "Plan", "{\"device\":\"dimm0\"}", false,
                       "last {\"steps\":[],\"refused\":[],\"feasible\":false,\"removableBytes\":0,"
                       "\"moveBytes\":0,"
                       "\"freeBytes\":0,\"reserveBytes\":0,\"reason\":\"because\"}\n");
        }
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                t->queue.plan_outcome = table[i].outcome;
                expect(t, "Plan", i < 2 ? "{\"device\":\"dimm0\"}" : "{\"node\":3}", false, table[i].log);
        }
        assert_true(t->queue.demand.by_node);
        assert_int_equal(t->queue.n_submitted, 0);
}

static void test_not_accepted(void **state) {
        static const char *const names[_CAUSE_MAX] = {
                [CAUSE_REFUSED] = "org.memunplug.Refused {\"reason\":\"why\"}",
                [CAUSE_NOTHING_REMOVABLE] = "org.memunplug.NothingRemovable {\"reason\":\"why\"}",
                [CAUSE_IN_USE] = "org.memunplug.NothingRemovable {\"reason\":\"why\"}",
                [CAUSE_BUSY] = "org.memunplug.Busy {\"reason\":\"why\"}",
                [CAUSE_NO_ROOM] = "org.memunplug.Refused {\"reason\":\"why\"}",
                [CAUSE_DEADLINE] = "org.memunplug.Failed {\"reason\":\"why\"}",
                [CAUSE_CANCELLED] = "org.memunplug.Failed {\"reason\":\"why\"}",
                [CAUSE_INTERRUPTED] = "org.memunplug.Failed {\"reason\":\"why\"}",
                [CAUSE_STUCK] = "org.memunplug.Failed {\"reason\":\"why\"}",
                [CAUSE_SYSTEM] = "org.memunplug.Failed {\"reason\":\"why\"}",
                [CAUSE_NO_SUCH_BLOCK] = "org.memunplug.NoSuchBlock {\"block\":7}",
                [CAUSE_NO_SUCH_DEVICE] = "org.memunplug.NoSuchDevice {\"device\":\"dimm0\"}",
                [CAUSE_NO_SUCH_NODE] = "org.memunplug.NoSuchNode {\"node\":0}",
        };
        Test *t = *state;

        t->queue.submit_reason = "why";
        for (JobCause cause = CAUSE_REFUSED; cause < _CAUSE_MAX; cause++) {
                char log[200];

                t->queue.submit_cause = cause;
                (void) snprintf(log, sizeof(log), "error %s\n", names[cause]);
                expect(t, "Unplug", "{\"device\":\"dimm0\"}", cause % 2 == 0, log);
        }
        t->queue.submit_cause = CAUSE_BUSY;
        t->queue.submit_reason = NULL;
        expect(t, "Unplug", "{\"device\":\"dimm0\"}", false, "error org.memunplug.Busy "
                                                             "{\"reason\":\"busy\"}\n");
        t->queue.submit_error = -ESHUTDOWN;
        expect(t, "Replug", "{\"sizeBytes\":1}", false,
               "error org.memunplug.Busy {\"reason\":\"the service is being stopped\"}\n");
        t->queue.submit_error = -EIO;
        expect(t, "Replug", "{\"sizeBytes\":1}", false,
               "error org.memunplug.Failed "
               "{\"reason\":\"Cannot accept the request: Input/output error\"}\n");
        assert_int_equal(t->queue.n_slots, 0);
}

static void test_accepted(void **state) {
        Test *t = *state;

        assert_int_equal(run(t, "Unplug", "{\"blocks\":[33,32],\"deadlineUsec\":7,\"allowPartial\":true}",
                             false), 0);
        assert_null(t->call);
        expect_start(t, "last {\"job\":{\"id\":11,");
        assert_int_equal(t->queue.demand.source, SOURCE_OPERATOR);
        assert_string_equal(t->queue.demand.caller, "uid 1000");
        assert_int_equal(t->queue.demand.kind, DEMAND_UNPLUG);
        assert_int_equal(t->queue.demand.n_blocks, 2);
        assert_int_equal(t->queue.demand.deadline_usec, 7);
        forget_log(t);
        /* Over before anybody could watch. */
        t->queue.submit_state = JOB_DONE;
        assert_int_equal(run(t, "Replug", "{\"sizeBytes\":5}", true), 0);
        assert_null(t->call);
        assert_true(log_has(t, "\"operation\":\"replug\""));
        assert_int_equal(t->queue.demand.kind, DEMAND_REPLUG);
        assert_int_equal(t->queue.n_slots, 0);
}

static void test_cancel(void **state) {
        Test *t = *state;

        expect(t, "Cancel", "{\"id\":11}", false, "error org.memunplug.NoSuchJob {\"id\":11}\n");
        (void) fake_queue_add_job(&t->queue, JOB_EJECTING);
        t->queue.cancel_cause = CAUSE_BUSY;
        expect(t, "Cancel", "{\"id\":11}", false,
               "error org.memunplug.Busy {\"reason\":\"the device is being ejected, which cannot be "
               "stopped\"}\n");
        t->queue.cancel_cause = CAUSE_NONE;
        assert_int_equal(run(t, "Cancel", "{\"id\":11}", false), 0);
        expect_job(t, "last", "ejecting");
}

static void test_confirm(void **state) {
        Test *t = *state;
        Job *job;

        expect(t, "Confirm", "{\"id\":11}", false, "error org.memunplug.NoSuchJob {\"id\":11}\n");
        job = fake_queue_add_job(&t->queue, JOB_QUEUED);
        t->queue.cancel_cause = CAUSE_BUSY;
        expect(t, "Confirm", "{\"id\":11}", false,
               "error org.memunplug.Busy {\"reason\":\"the job does not wait for an operator\"}\n");
        t->queue.cancel_cause = CAUSE_NONE;
        assert_int_equal(run(t, "Confirm", "{\"id\":11}", false), 0);
        assert_false(log_has(t, "unconfirmed"));
        expect_job(t, "last", "queued");
        job->unconfirmed = true;
        assert_int_equal(run(t, "ListJobs", "{\"id\":11}", false), 0);
        assert_true(log_has(t, "\"unconfirmed\":true"));
}

/* Only what the hypervisor asks for, and only by the setting, waits for an operator. */
static void test_ask(void **state) {
        Test *t = *state;

        for (unsigned i = 0; i < 4; i++) {
                t->caller.is_hypervisor = i & 1;
                t->context.hypervisor_is_asked_back = i & 2;
                assert_int_equal(run(t, i % 2 ? "Unplug" : "Replug", "{\"sizeBytes\":5}", false), 0);
                assert_int_equal(t->queue.demand.ask, i == 3);
        }
}

static void test_explain(void **state) {
        Test *t = *state;

        expect(t, "Explain", "{\"block\":5}", false, "error org.memunplug.NoSuchBlock {\"block\":5}\n");
        expect(t, "Explain", "{\"block\":32}", false,
               "last {\"verdict\":\"movable\",\"classes\":[{\"class\":\"free\",\"bytes\":104857600},"
               "{\"class\":\"pinned\",\"bytes\":4096}],\"blockers\":[{\"physicalAddress\":4096,"
               "\"class\":\"pinned\","
               "\"refCount\":3,\"mapCount\":1}]}\n");
        t->queue.policy.failures = &(GuardFailure) { .block = 32, .weight = 2, .cause = "in_use",
                                                     .age_usec = 5, .left_usec = 7 };
        t->queue.policy.n_failures = 1;
        assert_int_equal(run(t, "Explain", "{\"block\":32}", false), 0);
        assert_true(log_has(t, "\"failure\":{\"cause\":\"in_use\",\"agoUsec\":5,\"forgottenInUsec\":7}}"));
        forget_log(t);
        t->queue.policy.n_failures = 0;
        t->engine.survey_error = -EOPNOTSUPP;
        expect(t, "Explain", "{\"block\":32}", false,
               "last {\"verdict\":\"movable\",\"classes\":[],\"blockers\":[]}\n");
        t->engine.survey_error = -EIO;
        expect(t, "Explain", "{\"block\":32}", false,
               "error org.memunplug.Failed "
               "{\"reason\":\"Cannot look into the block: Input/output error\"}\n");
        expect(t, "Explain", "{\"block\":33}", false,
               "last {\"verdict\":\"offline\",\"reason\":\"offline already\",\"classes\":[],"
               "\"blockers\":[]}\n");
}

#define EXPLAINED                                                                                            \
        "last {\"verdict\":\"movable\",\"classes\":[{\"class\":\"free\",\"bytes\":104857600},"                   \
        "{\"class\":\"pinned\",\"bytes\":4096}],\"blockers\":[{\"physicalAddress\":4096,"                       \
        "\"class\":\"pinned\",\"refCount\":3,\"mapCount\":1"

/* Where memunplug-owners would listen. */
static int owners_listen(Test *t, char *ret_path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        strcpy(ret_path, "/tmp/test-operation-XXXXXX");
        assert_non_null(mkdtemp(ret_path));
        strcat(ret_path, "/owners");
        strcpy(address.sun_path, ret_path);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 1), 0);
        t->context.owners_socket = ret_path;
        return fd;
}

static void owners_end(int fd, char *path) {
        (void) close(fd);
        assert_int_equal(unlink(path), 0);
        *strrchr(path, '/') = '\0';
        assert_int_equal(rmdir(path), 0);
}

static int owners_accept(Test *t, int listener, OwnersRequest *ret) {
        uint8_t data[OWNERS_REQUEST_SIZE];
        int fd;

        assert_true(sd_event_run(t->context.event, UINT64_MAX) > 0);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(recv(fd, data, sizeof(data), MSG_WAITALL), sizeof(data));
        assert_int_equal(owners_request_decode(data, sizeof(data), 4096, ret), 0);
        return fd;
}

static void test_explain_names(void **state) {
        uint8_t data[OWNERS_REPLY_SIZE];
        OwnersRequest request;
        OwnersReply reply;
        Test *t = *state;
        char path[64];
        int fd, listener = owners_listen(t, path);

        assert_int_equal(run(t, "Explain", "{\"block\":32}", false), 0);
        assert_non_null(t->call); /* nothing is said before the names are there */
        expect_log(t, "");
        fd = owners_accept(t, listener, &request);
        assert_int_equal(request.n_addresses, 1);
        assert_int_equal(request.addresses[0], 4096);
        owners_reply_init(&reply, &request);
        assert_true(owners_reply_add(&reply, 0, 4242, "holder"));
        assert_true(owners_reply_add(&reply, 0, 4243, "other"));
        reply.last = reply.complete = true;
        assert_int_equal(owners_reply_encode(&reply, data), 0);
        assert_int_equal(send(fd, data, sizeof(data), MSG_NOSIGNAL), sizeof(data));
        while (t->call)
                assert_true(sd_event_run(t->context.event, UINT64_MAX) > 0);
        expect_log(t, EXPLAINED ",\"owner\":\"holder\",\"pids\":[4242,4243]}]}\n");
        (void) close(fd);
        owners_end(listener, path);
}

/* Nobody there, nobody who answers, a caller who leaves, and a job that is under way and asks first. */
static void test_explain_without_names(void **state) {
        OwnersRequest request;
        Test *t = *state;
        char path[64];
        int fd, listener = owners_listen(t, path);

        assert_int_equal(run(t, "Explain", "{\"block\":32}", false), 0);
        (void) close(owners_accept(t, listener, &request));
        while (t->call)
                assert_true(sd_event_run(t->context.event, UINT64_MAX) > 0);
        expect_log(t, EXPLAINED "}]}\n");

        assert_int_equal(run(t, "Explain", "{\"block\":32}", false), 0);
        fd = owners_accept(t, listener, &request);
        t->call = operation_call_free(t->call);
        (void) close(fd);
        let_pass(t, 10000);
        expect_log(t, "");

        owners_end(listener, path);
        assert_int_equal(run(t, "Explain", "{\"block\":32}", false), 0);
        while (t->call)
                assert_true(sd_event_run(t->context.event, UINT64_MAX) > 0);
        expect_log(t, EXPLAINED "}]}\n");

        (void) fake_queue_add_job(&t->queue, JOB_EVACUATING);
        t->context.owners_socket = "/nonexistent/owners";
        expect(t, "Explain", "{\"block\":32}", false, EXPLAINED "}]}\n"); /* at once */
}

static void test_diagnose(void **state) {
        JobBlocker blockers[] = { { .address = 0x5000, .class = MEMUNPLUG_CLASS_PINNED, .owner = "holder",
                                    .pids = { 7 }, .n_pids = 1 },
                                  { .address = 0x6000, .class = MEMUNPLUG_CLASS_PINNED, .owner = "holder",
                                    .pids = { 7 }, .n_pids = 1 },
                                  { .address = 0x7000, .class = MEMUNPLUG_CLASS_SLAB } };
        Test *t = *state;
        Job *job;

        t->engine.kind = ENGINE_SYSFS;
        t->engine.reason = "no such file";
        assert_int_equal(run(t, "Diagnose", NULL, false), 0);
        expect_start(t, "last {\"findings\":[{\"severity\":\"warning\",\"check\":\"module\",");
        assert_true(log_has(t, "\"file\":\"/dev/memunplug\",\"value\":\"no such file\""));
        assert_true(log_has(t, "{\"severity\":\"note\",\"check\":\"acpi\",\"message\":\"eject "
                               "requests of the platform do not reach the service\",\"value\":\"no gate\"}"));
        assert_false(log_has(t, "culprit"));
        forget_log(t);
        t->engine.kind = ENGINE_KMOD;
        job = fake_queue_add_job(&t->queue, JOB_FAILED);
        job->blockers = blockers;
        job->n_blockers = 3;
        assert_int_equal(run(t, "Diagnose", NULL, false), 0);
        job->blockers = NULL;
        job->n_blockers = 0;
        assert_false(log_has(t, "\"module\""));
        assert_true(log_has(t, "\"value\":\"holder (7)\""));
        assert_null(strstr(strstr(t->log, "culprit") + 1, "culprit")); /* each is named once */
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, operation_setup, operation_teardown)
                TEST(test_table),
                TEST(test_status),
                TEST(test_device_note),
                TEST(test_expected_more),
                TEST(test_list_blocks),
                TEST(test_list_others),
                TEST(test_list_waits),
                TEST(test_list_refused),
                TEST(test_plan),
                TEST(test_not_accepted),
                TEST(test_accepted),
                TEST(test_cancel),
                TEST(test_confirm),
                TEST(test_ask),
                TEST(test_explain),
                TEST(test_explain_names),
                TEST(test_explain_without_names),
                TEST(test_diagnose),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
