/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the module's event stream: what is believed, and what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "source/acpi-event.h"

static struct memunplug_event eject_event(const char *name) {
        struct memunplug_event event = {
                .type = MEMUNPLUG_EVENT_EJECT, .size = sizeof(event), .seq = 7, .time = 9, .count = 1,
        };

        memcpy(event.name, name, strnlen(name, sizeof(event.name)));
        return event;
}

static int parse(const struct memunplug_event *event, size_t n, struct memunplug_event *ret) {
        return acpi_event_parse((const char *) event, n, ret);
}

static void good_records_are_taken(void **state) {
        struct memunplug_event event = eject_event("PNP0C80:00"), got;

        assert_int_equal(parse(&event, sizeof(event), &got), 0);
        assert_memory_equal(&got, &event, sizeof(event));
        event = (struct memunplug_event) { .type = MEMUNPLUG_EVENT_OVERRUN, .size = sizeof(event), .count = 5 };
        assert_int_equal(parse(&event, sizeof(event), &got), 0); /* has no name */
        assert_int_equal(got.count, 5);
}

static void longer_records_of_a_later_module_are_taken(void **state) {
        struct memunplug_event events[2] = { eject_event("PNP0C80:00") }, got;

        events[0].size = sizeof(events[0]) + 8;
        assert_int_equal(parse(events, sizeof(events), &got), 0);
        assert_int_equal(got.size, sizeof(events[0]) + 8);
}

static void wrong_sizes_are_refused(void **state) {
        struct memunplug_event event = eject_event("PNP0C80:00"), got;

        for (size_t n = 0; n < sizeof(event); n++)
                assert_int_equal(parse(&event, n, &got), -EBADMSG);
        event.size = sizeof(event) - 1;
        assert_int_equal(parse(&event, sizeof(event), &got), -EBADMSG);
        event.size = sizeof(event) + 1; /* more than there is */
        assert_int_equal(parse(&event, sizeof(event), &got), -EBADMSG);
        event.size = UINT32_MAX;
        assert_int_equal(parse(&event, sizeof(event), &got), -EBADMSG);
}

static void wrong_names_are_refused(void **state) {
        static const char *const names[] = {
                "", ".", "..", "../x", "a/b", "a b", "a\nb", "a\033[2J", "\xff", "AAAAAAAAAAAAAAAAAAAAAAAA",
        };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                struct memunplug_event event = eject_event(names[i]), got;

                if (parse(&event, sizeof(event), &got) != -EBADMSG)
                        fail_msg("believed: '%s'", names[i]);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_records_are_taken),
                cmocka_unit_test(longer_records_of_a_later_module_are_taken),
                cmocka_unit_test(wrong_sizes_are_refused),
                cmocka_unit_test(wrong_names_are_refused),
        };

        return cmocka_run_group_tests_name("acpi-event", tests, NULL, NULL);
}
