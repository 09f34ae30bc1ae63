/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is shown, field by field: all of them, and those that are left out; strings that others chose. */
#include <linux/memunplug.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake-queue.h"
#include "util/json-text.h"
#include "front/json.h"
#include "util/json.h"

static void expect(json_object *o, const char *text) {
        assert_non_null(o);
        assert_string_equal(json_text(o), text);
        assert_int_equal(json_object_put(o), 1);
}

static void test_text(void **state) {
        static const struct {
                const char *in, *out;
        } table[] = {
                { "", "\"\"" },
                { "kvm-worker/3 (ä€😀)", "\"kvm-worker/3 (ä€😀)\"" },
                { "a\nb\tc\x1b[2Jd\x7f", "\"a?b?c?[2Jd?\"" },
                { "\xff\xfe", "\"??\"" },
                { "\xc3", "\"?\"" },
                { "\xe2\x82", "\"??\"" },
                { "\xf0\x9f\x98", "\"???\"" },
                { "\xc0\x80", "\"??\"" },                 /* NUL the long way */
                { "\xe0\x80\xaf", "\"???\"" },
                { "\xed\xa0\x80", "\"???\"" },            /* half a pair */
                { "\xf4\x90\x80\x80", "\"????\"" },       /* beyond Unicode */
                { "\xc2\x9b" "31m", "\"??31m\"" },        /* a control of the upper half */
                { "x\xe2\x80\xaey", "\"x???y\"" },        /* from right to left */
                { "\"\\/", "\"\\\"\\\\/\"" },
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                expect(json_text_new(table[i].in), table[i].out);
        assert_null(json_text_new(NULL));
}

static void test_job_least(void **state) {
        const Job job = { .id = 1, .source = SOURCE_ACPI, .current_block = -1, .eta_usec = UINT64_MAX };

        expect(json_from_job(&job),
               "{\"id\":1,\"source\":\"acpi\",\"operation\":\"unplug\",\"state\":\"queued\","
               "\"requestedBytes\":0,"
               "\"removedBytes\":0,\"evacuatedBytes\":0,\"moveBytes\":0,\"totalBlocks\":0,"
               "\"removedBlocks\":0,"
               "\"attempts\":0,\"createdAt\":0}");
}

static void test_job_most(void **state) {
        char reason[] = "pinned\npages";
        JobBlocker blockers[] = {
                { .address = 0x1234000, .class = MEMUNPLUG_CLASS_PINNED, .ref_count = 3, .map_count = -1,
                  .owner = "qemu\x1b", .pids = { 1, 4711 }, .n_pids = 2 },
                { .address = UINT64_MAX, .class = 99 },
                { .class = MEMUNPLUG_CLASS_LOCKED }, { .class = MEMUNPLUG_CLASS_WRITEBACK },
        };
        const Job job = {
                .id = UINT32_MAX,
                .kind = DEMAND_REPLUG,
                .source = SOURCE_OPERATOR,
                .caller = "uid 0",
                .device = "PNP0C80:00",
                .state = JOB_FAILED,
                .cause = CAUSE_IN_USE,
                .reason = reason,
                .requested_bytes = UINT64_MAX,
                .removed_bytes = 2,
                .evacuated_bytes = 3,
                .move_bytes = 4,
                .total_blocks = 5,
                .removed_blocks = 6,
                .current_block = 0,
                .attempts = 8,
                .blockers = blockers,
                .n_blockers = 4,
                .created_at = 9,
                .started_at = 10,
                .finished_at = 11,
                .deadline_at = 12,
                .eta_usec = 0,
        };

        expect(json_from_job(&job),
               "{\"id\":4294967295,\"source\":\"operator\",\"caller\":\"uid 0\",\"operation\":\"replug\","
               "\"device\":\"PNP0C80:00\",\"state\":\"failed\",\"cause\":\"in_use\","
               "\"requestedBytes\":9223372036854775807,\"removedBytes\":2,\"evacuatedBytes\":3,"
               "\"moveBytes\":4,"
               "\"totalBlocks\":5,\"removedBlocks\":6,\"currentBlock\":0,\"attempts\":8,"
               "\"reason\":\"pinned?pages\","
               "\"blockers\":[{\"physicalAddress\":19087360,\"class\":\"pinned\",\"refCount\":3,"
               "\"mapCount\":-1,"
               "\"owner\":\"qemu?\",\"pids\":[1,4711]},{\"physicalAddress\":9223372036854775807,"
               "\"class\":\"unknown\",\"refCount\":0,\"mapCount\":0},"
               "{\"physicalAddress\":0,\"class\":\"locked\",\"refCount\":0,\"mapCount\":0},"
               "{\"physicalAddress\":0,\"class\":\"writeback\",\"refCount\":0,\"mapCount\":0}],\"createdAt\":9,\"startedAt\":10,"
               "\"finishedAt\":11,\"deadlineAt\":12,\"etaUsec\":0}");
}

static void test_block(void **state) {
        Queue queue;
        Block block;

        fake_queue_init(&queue);
        block = (Block) { .index = 9, .device = BLOCK_DEVICE_NONE, .state = BLOCK_ONLINE, .node = -1,
                          .used_bytes = BLOCK_USAGE_UNKNOWN, .unmovable_bytes = BLOCK_USAGE_UNKNOWN,
                          .zone = ZONE_MOVABLE };
        expect(json_from_block(&queue.table, &block, &queue.policy),
               "{\"index\":9,\"physicalAddress\":0,\"sizeBytes\":134217728,\"state\":\"online\","
               "\"zone\":\"Movable\","
               "\"verdict\":\"movable\"}");
        /* Usage that is not known of one block is not known of the device. */
        queue.blocks[2].used_bytes = BLOCK_USAGE_UNKNOWN;
        expect(json_from_device(&queue.table, &queue.devices[1], &queue.policy),
               "{\"name\":\"PNP0C80:00\",\"kind\":\"acpi_dimm\",\"firstBlock\":32,\"blocks\":2,"
               "\"sizeBytes\":268435456,\"onlineBytes\":134217728,\"verdict\":\"movable\"}");
        queue.devices[1].kind = DEVICE_VIRTIO_MEM;
        queue.devices[1].target_known = true; /* wanted: nothing, which is to be seen */
        queue.devices[1].plugged_bytes = 268435456;
        expect(json_from_device(&queue.table, &queue.devices[1], &queue.policy),
               "{\"name\":\"PNP0C80:00\",\"kind\":\"virtio_mem\",\"firstBlock\":32,\"blocks\":2,"
               "\"sizeBytes\":268435456,\"onlineBytes\":134217728,\"requestedBytes\":0,"
               "\"pluggedBytes\":268435456,\"verdict\":\"movable\"}");
        fake_queue_clear(&queue);
}

static void test_plan(void **state) {
        PlanStep steps[] = {
                { .block = 33, .zone = ZONE_NONE, .node = -1, .device = BLOCK_DEVICE_NONE,
                  .move_bytes = BLOCK_USAGE_UNKNOWN },
                { .block = 32, .zone = ZONE_MOVABLE, .node = 0, .device = 1, .move_bytes = 0 },
        };
        char why[] = "why", reason[] = "not all";
        Refusal refused[] = {
                { .block = 1, .verdict = VERDICT_GUARDED, .reason = why },
                { .is_device = true, .device = "boot", .verdict = VERDICT_BUSY, .reason = why },
        };
        const Plan plan = { .outcome = PLAN_TOO_LITTLE, .reason = reason, .steps = steps, .n_steps = 2,
                            .refused = refused, .n_refused = 2, .block_size = 5, .removable_bytes = 1,
                            .move_bytes = 2, .free_bytes = 3, .reserve_bytes = 4,
                            .cheapest_device = "PNP0C80:00" };
        Queue queue;

        fake_queue_init(&queue);
        expect(json_from_plan(&queue.table, &plan),
               "{\"steps\":[{\"block\":33,\"sizeBytes\":5},{\"block\":32,\"sizeBytes\":5,\"moveBytes\":0,"
               "\"zone\":\"Movable\",\"node\":0,\"device\":\"PNP0C80:00\"}],\"refused\":[{\"block\":1,"
               "\"verdict\":\"guarded\",\"reason\":\"why\"},{\"device\":\"boot\",\"verdict\":\"busy\","
               "\"reason\":\"why\"}],\"feasible\":false,\"removableBytes\":1,\"moveBytes\":2,"
               "\"freeBytes\":3,"
               "\"reserveBytes\":4,\"cheapestDevice\":\"PNP0C80:00\",\"reason\":\"not all\"}");
        fake_queue_clear(&queue);
}

static void test_survey(void **state) {
        const EngineSurvey none = {}, some = { .class_bytes = { [MEMUNPLUG_CLASS_MOVABLE] = 1, [15] = 2 },
                                               .hole_bytes = 3 };

        expect(json_from_survey(&none, VERDICT_ABSENT, NULL),
               "{\"verdict\":\"absent\",\"classes\":[],\"blockers\":[]}");
        expect(json_from_survey(&some, VERDICT_FREE, "r"),
               "{\"verdict\":\"free\",\"reason\":\"r\",\"classes\":[{\"class\":\"movable\",\"bytes\":1},"
               "{\"class\":\"unknown\",\"bytes\":2},{\"class\":\"hole\",\"bytes\":3}],\"blockers\":[]}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_job_least),
                cmocka_unit_test(test_job_most),
                cmocka_unit_test(test_block),
                cmocka_unit_test(test_plan),
                cmocka_unit_test(test_survey),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
