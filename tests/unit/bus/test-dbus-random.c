/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls with arguments of any type and value: each gets one answer, and the service goes on. What the
 * operation table is handed is always within its limits. The sequence is the same in each run. */
#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory/demand.h"

#define PATH "/org/memunplug1"
#define CALLS_MAX 20000U
#define DEPTH_MAX 4U

typedef struct Random {
        uint64_t state;
} Random;

static uint64_t next(Random *random) {
        random->state ^= random->state << 13;
        random->state ^= random->state >> 7;
        random->state ^= random->state << 17;
        return random->state;
}

/* Edges are likelier than what lies between. */
static uint64_t number(Random *random) {
        static const uint64_t edges[] = { 0,          1,
                                          4096,       INT32_MAX,
                                          UINT32_MAX, (uint64_t) UINT32_MAX + 1,
                                          INT64_MAX,  (uint64_t) INT64_MAX + 1,
                                          UINT64_MAX };
        uint64_t n = next(random);

        return n % 3 ? edges[n / 3 % (sizeof(edges) / sizeof(edges[0]))] : next(random) >> next(random) % 64;
}

static const char *text(Random *random) {
        static const char *const texts[] = {
                "",
                "deadline_usec",
                "allow_partial",
                "PNP0C80:00",
                "boot",
                "../../../etc/passwd",
                "%s%n",
                "\"}",
                "\n",
                "\x1b[31m",
                "ä€😀",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        };

        return texts[next(random) % (sizeof(texts) / sizeof(texts[0]))];
}

static void append_basic(Random *random, sd_bus_message *message, char type) {
        uint64_t n = number(random);
        double d = (double) n;
        int b = (int) (n & 1);

        switch (type) {
        case 's':
                assert_true(sd_bus_message_append_basic(message, type, text(random)) >= 0);
                break;
        case 'o':
                assert_true(sd_bus_message_append_basic(message, type, "/org/memunplug1/job/_1") >= 0);
                break;
        case 'g':
                assert_true(sd_bus_message_append_basic(message, type, "a{sv}") >= 0);
                break;
        case 'b':
                assert_true(sd_bus_message_append_basic(message, type, &b) >= 0);
                break;
        case 'd':
                assert_true(sd_bus_message_append_basic(message, type, &d) >= 0);
                break;
        default: /* the low bytes of a number */
                assert_true(sd_bus_message_append_basic(message, type, &n) >= 0);
                break;
        }
}

static void append_any(Random *random, sd_bus_message *message, unsigned depth) {
        static const char basic[] = "ybnqiuxtdsog";
        char type[2] = { basic[next(random) % (sizeof(basic) - 1)], '\0' };
        unsigned n = (unsigned) (next(random) % 5), kind = (unsigned) (next(random) % 6);

        if (kind < 3 || depth >= DEPTH_MAX) {
                append_basic(random, message, *type);
                return;
        }
        if (kind == 3) {
                assert_true(sd_bus_message_open_container(message, 'a', type) >= 0);
                while (n-- > 0)
                        append_basic(random, message, *type);
        } else {
                assert_true(sd_bus_message_open_container(message, 'v', type) >= 0);
                append_basic(random, message, *type);
        }
        assert_true(sd_bus_message_close_container(message) >= 0);
}

/* The right types, any values. */
static void append_demand(Random *random, sd_bus_message *message) {
        unsigned n = (unsigned) (next(random) % 4);

        if (next(random) % 50 == 0)
                n = DEMAND_BLOCKS_MAX - 1 + (unsigned) (next(random) % 4);
        append_basic(random, message, 't');
        assert_true(sd_bus_message_open_container(message, 'a', "t") >= 0);
        while (n-- > 0)
                append_basic(random, message, 't');
        assert_true(sd_bus_message_close_container(message) >= 0);
        append_basic(random, message, 's');
        assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
        for (n = (unsigned) (next(random) % 4); n > 0; n--) {
                const char type[] = { "tbsx"[next(random) % 4], '\0' };

                assert_true(sd_bus_message_open_container(message, 'e', "sv") >= 0);
                append_basic(random, message, 's');
                assert_true(sd_bus_message_open_container(message, 'v', type) >= 0);
                append_basic(random, message, *type);
                assert_true(sd_bus_message_close_container(message) >= 0);
                assert_true(sd_bus_message_close_container(message) >= 0);
        }
        assert_true(sd_bus_message_close_container(message) >= 0);
}

static sd_bus_message *any_call(Random *random, sd_bus *client) {
        static const char *const members[] = { "Unplug",   "Replug",      "Plan",       "Cancel",
                                               "ListJobs", "DescribeJob", "ListBlocks", "ListDevices",
                                               "Explain",  "Describe", "Diagnose" };
        size_t i = next(random) % (sizeof(members) / sizeof(members[0]));
        bool job = next(random) % 8 == 0;
        sd_bus_message *message = NULL;

        assert_true(sd_bus_message_new_method_call(client, &message, "org.memunplug1",
                                                   job ? PATH "/job/_1" : PATH, job ? JOB : MANAGER,
                                                   job ? (i % 2 ? "Cancel" : "Describe") : members[i]) >= 0);
        if (i < 3 && next(random) % 4)
                append_demand(random, message);
        else
                for (unsigned n = (unsigned) (next(random) % 5); n > 0; n--)
                        append_any(random, message, 0);
        return message;
}

/* What a D-Bus caller can make the operation table see. */
static void check_parameters(const char *parameters) {
        json_object *object = json_tokener_parse(parameters), *value;

        assert_true(json_object_is_type(object, json_type_object));
        if (json_object_object_get_ex(object, "sizeBytes", &value))
                assert_true(json_object_get_int64(value) > 0);
        if (json_object_object_get_ex(object, "deadlineUsec", &value))
                assert_true(json_object_get_int64(value) > 0);
        if (json_object_object_get_ex(object, "device", &value))
                assert_in_range(json_object_get_string_len(value), 1, DEMAND_NAME_SIZE - 1);
        if (json_object_object_get_ex(object, "blocks", &value))
                assert_in_range(json_object_array_length(value), 1, DEMAND_BLOCKS_MAX);
        json_object_put(object);
}

static void test_random_calls(void **state) {
        Random random = { .state = 20071 };
        unsigned n_bad = 0, n_through = 0;
        Bus *bus = *state;
        sd_bus *client = client_new(bus, geteuid());

        fake_job_new(bus->fake);
        fake_fail(bus->fake, "org.memunplug.Refused", "reason", "A test.");
        for (unsigned i = 0; i < CALLS_MAX; i++) {
                sd_bus_message *message = any_call(&random, client), *reply;
                unsigned runs = fake_runs(bus->fake);

                reply = call_message(bus, client, message);
                assert_true(sd_bus_message_is_method_error(reply, NULL));
                if (fake_runs(bus->fake) == runs) {
                        assert_true(sd_bus_message_is_method_error(
                                reply, "org.freedesktop.DBus.Error.InvalidArgs"));
                        n_bad++;
                } else {
                        assert_int_equal(fake_runs(bus->fake), runs + 1);
                        assert_true(sd_bus_message_is_method_error(reply, "org.memunplug1.Refused"));
                        check_parameters(fake_parameters(bus->fake));
                        n_through++;
                }
                sd_bus_message_unref(reply);
                sd_bus_message_unref(message);
        }
        assert_true(n_bad > CALLS_MAX / 4 && n_through > CALLS_MAX / 20); /* both were tried */
        assert_int_equal(bus->n_ready, 1);
        sd_bus_close_unref(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_random_calls, bus_setup, bus_teardown),
        };

        return cmocka_run_group_tests_name("dbus-random", tests, NULL, NULL);
}
