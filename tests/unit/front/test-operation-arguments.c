/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every parameter of every operation: good, of the wrong type, out of range, missing, too much. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/operation-internal.h"
#include "util/json.h"

static int parse(OperationId id, const char *text, OperationArguments *ret, char parameter[static 64]) {
        CLEANUP(json_putp) json_object *o = NULL;
        const char *wrong = NULL;
        int r;

        if (text)
                assert_int_equal(json_parse(text, strlen(text), &o), 0);
        r = operation_arguments_parse(id, o, ret, &wrong);
        (void) snprintf(parameter, 64, "%s", wrong ?: "");
        return r;
}

static void expect_good(OperationId id, const char *text) {
        CLEANUP(operation_arguments_clear) OperationArguments arguments = {};
        char parameter[64];

        if (parse(id, text, &arguments, parameter) != 0)
                fail_msg("%s refuses %s: %s", operation_get(id)->name, text, parameter);
}

static void expect_bad(OperationId id, const char *text, const char *wrong) {
        OperationArguments arguments = { .id = 4711 };
        char parameter[64];

        if (parse(id, text, &arguments, parameter) != -EINVAL)
                fail_msg("%s accepts %s", operation_get(id)->name, text);
        assert_string_equal(parameter, wrong);
        assert_int_equal(arguments.id, 4711);
}

/* With something beside it that is needed. */
static void expect_bad_value(OperationId id, const char *key, const char *value) {
        char text[400];
        bool is_target = strcmp(key, "sizeBytes") == 0 || strcmp(key, "blocks") == 0 ||
                         strcmp(key, "device") == 0 || strcmp(key, "node") == 0;
        bool takes_demand = id == OPERATION_PLAN || id == OPERATION_UNPLUG || id == OPERATION_REPLUG;

        (void) snprintf(text, sizeof(text), "{%s\"%s\":%s}", takes_demand &&
                        !is_target ? "\"device\":\"boot\"," : "",
                        key, value);
        expect_bad(id, text, key);
}

/* Which parameters there are, apart from the code under test. */
static const struct {
        const char *key;
        const char *good, *bad; /* separated by spaces */
        unsigned operations;
} parameters[] = {
        { "sizeBytes", "1 134217728 9007199254740991",
          "0 -1 9007199254740992 9223372036854775807 1.0 1.5 1e3 \"1\" \"2G\" true [] {} [1]",
          1U << OPERATION_PLAN | 1U << OPERATION_UNPLUG | 1U << OPERATION_REPLUG },
        { "blocks", "[0] [4294967295] [1,2,3] [5,5]",
          "[] [-1] [4294967296] [1,null] [1,\"2\"] [1.0] [[1]] 1 \"1\" \"1-2\" true {} {\"0\":1}",
          1U << OPERATION_PLAN | 1U << OPERATION_UNPLUG | 1U << OPERATION_REPLUG },
        { "device", "\"boot\" \"PNP0C80:00\" \"dax0.0\" \"a_b-c\"",
          "\"\" \"a/b\" \"../x\" \"a\\u0020b\" \"\\u00e4\" \"a\\n\" \"%s\" 1 true [] {} [\"boot\"] "
          "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
          1U << OPERATION_PLAN | 1U << OPERATION_UNPLUG | 1U << OPERATION_REPLUG },
        { "node", "0 1 2147483647", "-1 2147483648 4294967296 1.0 \"1\" true [] {} [0]",
          1U << OPERATION_PLAN | 1U << OPERATION_UNPLUG | 1U << OPERATION_REPLUG },
        { "deadlineUsec", "1 9007199254740991", "0 -5 9007199254740992 1.0 \"30s\" true [] {}",
          1U << OPERATION_UNPLUG },
        { "allowPartial", "true false", "0 1 \"true\" [] {} 1.0", 1U << OPERATION_UNPLUG },
        { "id", "0 1 4294967295", "-1 4294967296 1.0 \"1\" true [] {}",
          1U << OPERATION_CANCEL | 1U << OPERATION_CONFIRM | 1U << OPERATION_LIST_JOBS },
        { "block", "0 4294967295", "-1 4294967296 0.0 \"1\" false [] {}", 1U << OPERATION_EXPLAIN },
        { "allowInteractiveAuthentication", "true false", "0 \"true\" [] {} 1.0", UINT32_MAX },
};

#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static void test_values(void **state) {
        for (OperationId id = 0; id < _OPERATION_MAX; id++)
                for (size_t i = 0; i < N_PARAMETERS; i++) {
                        bool takes = (parameters[i].operations & 1U << id) != 0;
                        char *list, *value, *rest;

                        list = strdup(takes ? parameters[i].bad : parameters[i].good);
                        assert_non_null(list);
                        /* A parameter that the operation does not have is wrong whatever it says. */
                        for (value = strtok_r(list, " ", &rest); value; value = strtok_r(NULL, " ", &rest))
                                expect_bad_value(id, parameters[i].key, value);
                        free(list);
                        if (!takes)
                                expect_bad_value(id, parameters[i].key, "null");
                }
}

static void test_good_values(void **state) {
        for (OperationId id = 0; id < _OPERATION_MAX; id++)
                for (size_t i = 0; i < N_PARAMETERS; i++) {
                        const char *key = parameters[i].key;
                        bool alone = i < 4 || strcmp(key, "id") == 0 || strcmp(key, "block") == 0;
                        char *list, *value, *rest, text[400];

                        if (!(parameters[i].operations & 1U << id))
                                continue;
                        list = strdup(parameters[i].good);
                        assert_non_null(list);
                        for (value = strtok_r(list, " ", &rest); value; value = strtok_r(NULL, " ", &rest)) {
                                const char *needed = alone                       ? ""
                                                     : id == OPERATION_EXPLAIN   ? "\"block\":1,"
                                                     : id == OPERATION_CANCEL || id == OPERATION_CONFIRM ? "\"id\":1,"
                                                     : parameters[0].operations & 1U << id ? "\"sizeBytes\""
                                                                                             ":1,"
                                                                                           : "";

                                (void) snprintf(text, sizeof(text), "{%s\"%s\":%s}", needed, key, value);
                                expect_good(id, text);
                        }
                        free(list);
                }
}

static void test_missing(void **state) {
        static const struct {
                OperationId id;
                const char *text;
                const char *wrong;
        } table[] = {
                { OPERATION_UNPLUG, NULL, "sizeBytes" },
                { OPERATION_UNPLUG, "{}", "sizeBytes" },
                { OPERATION_UNPLUG, "{\"sizeBytes\":null,\"blocks\":null,\"device\":null}", "sizeBytes" },
                { OPERATION_REPLUG, "{}", "sizeBytes" },
                { OPERATION_PLAN, "{}", "sizeBytes" },
                { OPERATION_UNPLUG, "{\"blocks\":[1],\"sizeBytes\":1}", "blocks" },
                { OPERATION_UNPLUG, "{\"sizeBytes\":1,\"device\":\"boot\"}", "device" },
                { OPERATION_UNPLUG, "{\"blocks\":[1],\"device\":\"boot\"}", "device" },
                { OPERATION_UNPLUG, "{\"sizeBytes\":1,\"blocks\":[1],\"device\":\"boot\"}", "blocks" },
                { OPERATION_UNPLUG, "{\"node\":1,\"device\":\"boot\"}", "node" },
                { OPERATION_PLAN, "{\"blocks\":[1],\"node\":1}", "node" },
                { OPERATION_PLAN, "{\"node\":null}", "sizeBytes" },
                { OPERATION_CANCEL, NULL, "id" },
                { OPERATION_CONFIRM, "{}", "id" },
                { OPERATION_CANCEL, "{\"id\":null}", "id" },
                { OPERATION_EXPLAIN, "{}", "block" },
                { OPERATION_GET_STATUS, "{\"x\":1}", "x" },
                { OPERATION_MONITOR, "{\"\":null}", "" },
                { OPERATION_UNPLUG, "{\"sizeBytes\":1,\"SizeBytes\":1}", "SizeBytes" },
                { OPERATION_REPLUG, "{\"sizeBytes\":1,\"allowPartial\":true}", "allowPartial" },
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                expect_bad(table[i].id, table[i].text, table[i].wrong);
        for (OperationId id = 0; id < _OPERATION_MAX; id++)
                expect_bad(id, "{\"bogus\":null}", "bogus");
        expect_good(OPERATION_GET_STATUS, NULL);
        expect_good(OPERATION_LIST_JOBS, "{}");
        expect_good(OPERATION_LIST_JOBS, "{\"id\":null}");
        expect_good(OPERATION_UNPLUG, "{\"sizeBytes\":1,\"blocks\":null,\"deadlineUsec\":null,"
                                      "\"allowPartial\":null}");
}

static void test_many_blocks(void **state) {
        for (unsigned n = DEMAND_BLOCKS_MAX; n <= DEMAND_BLOCKS_MAX + 1; n++) {
                CLEANUP(operation_arguments_clear) OperationArguments arguments = {};
                CLEANUP(freep) char *text = malloc(20 + n * 8);
                char parameter[64], *p = text;

                assert_non_null(text);
                p += sprintf(p, "{\"blocks\":[");
                for (unsigned i = 0; i < n; i++)
                        p += sprintf(p, "%s%u", i > 0 ? "," : "", i);
                (void) sprintf(p, "]}");
                if (n > DEMAND_BLOCKS_MAX) {
                        expect_bad(OPERATION_UNPLUG, text, "blocks");
                        continue;
                }
                assert_int_equal(parse(OPERATION_UNPLUG, text, &arguments, parameter), 0);
                assert_int_equal(arguments.demand.n_blocks, n);
                assert_int_equal(arguments.demand.blocks[n - 1], n - 1);
        }
}

static void test_taken(void **state) {
        CLEANUP(operation_arguments_clear) OperationArguments a = {};
        char parameter[64];

        assert_int_equal(parse(OPERATION_UNPLUG, "{\"device\":\"PNP0C80:00\",\"deadlineUsec\":5,"
                                                 "\"allowPartial\":true}",
                               &a, parameter), 0);
        assert_int_equal(a.demand.kind, DEMAND_UNPLUG);
        assert_string_equal(a.demand.device, "PNP0C80:00");
        assert_int_equal(a.demand.deadline_usec, 5);
        assert_true(a.demand.allow_partial);
        operation_arguments_clear(&a);
        assert_int_equal(parse(OPERATION_REPLUG, "{\"blocks\":[7,3]}", &a, parameter), 0);
        assert_int_equal(a.demand.kind, DEMAND_REPLUG);
        assert_int_equal(a.demand.n_blocks, 2);
        assert_int_equal(a.demand.blocks[0], 7);
        operation_arguments_clear(&a);
        assert_int_equal(parse(OPERATION_REPLUG, "{\"sizeBytes\":5}", &a, parameter), 0);
        assert_false(a.demand.by_node);
        operation_arguments_clear(&a);
        assert_int_equal(parse(OPERATION_PLAN, "{\"sizeBytes\":5,\"node\":7}", &a, parameter), 0);
        assert_true(a.demand.by_node);
        assert_int_equal(a.demand.node, 7);
        assert_int_equal(a.demand.size_bytes, 5);
        operation_arguments_clear(&a);
        assert_int_equal(parse(OPERATION_LIST_JOBS, "{\"id\":0}", &a, parameter), 0);
        assert_true(a.has_id);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_good_values),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_many_blocks),
                cmocka_unit_test(test_taken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
