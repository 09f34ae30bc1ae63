/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cap-ng.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/privilege.h"

/* Runs a check in a process of its own, since what is dropped does not come back. */
static int in_child(int (*check)(void)) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(check());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static bool only_dac_override(capng_type_t set, bool held) {
        for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
                if (!!capng_have_capability(set, cap) != (held && cap == CAP_DAC_OVERRIDE))
                        return false;
        return true;
}

static int check_sets(bool held, bool bounding) {
        capng_clear(CAPNG_SELECT_ALL);
        if (capng_get_caps_process() < 0)
                return 10;
        if (!only_dac_override(CAPNG_EFFECTIVE, held) || !only_dac_override(CAPNG_PERMITTED, held))
                return 11;
        if (!only_dac_override(CAPNG_INHERITABLE, held) || !only_dac_override(CAPNG_AMBIENT, held))
                return 12;
        if (bounding && !only_dac_override(CAPNG_BOUNDING_SET, held))
                return 13;
        return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0
                                                                                                      : 14;
}

static int stay_root(void) {
        if (privilege_drop(NULL) != 0 || getuid() != 0)
                return 1;
        return check_sets(true, true);
}

static int become_user(void) {
        if (privilege_drop("nobody") != 0 || getuid() == 0 || geteuid() == 0 || getgid() == 0)
                return 1;
        if (setuid(0) == 0 || setgid(0) == 0)
                return 2;
        return check_sets(true, true);
}

/* As the service unit starts us: a user, with the capability as an ambient one. */
static int start_with_ambient(void) {
        capng_clear(CAPNG_SELECT_ALL);
        if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_DAC_OVERRIDE,
                          -1) < 0)
                return 1;
        if (capng_change_id(65534, 65534, CAPNG_DROP_SUPP_GRP) < 0)
                return 2;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) < 0)
                return 3;
        if (privilege_drop("nobody") != 0)
                return 4;
        return check_sets(true, /* bounding= */ false);
}

/* A user without any: there is nothing to keep, and it still works. */
static int start_with_nothing(void) {
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                return 1;
        if (privilege_drop("no such user, but it does not matter") != 0)
                return 2;
        return check_sets(false, /* bounding= */ false);
}

static int no_such_user(void) {
        return privilege_drop("no-such-user-here") == -ESRCH && getuid() == 0 ? 0 : 1;
}

static void check(int (*run)(void)) {
        if (geteuid() != 0) {
                skip();
                return;
        }
        assert_int_equal(in_child(run), 0);
}

static void test_stay_root(void **state) {
        check(stay_root);
}

static void test_become_user(void **state) {
        check(become_user);
}

static void test_ambient(void **state) {
        check(start_with_ambient);
}

static void test_nothing(void **state) {
        check(start_with_nothing);
}

static void test_no_such_user(void **state) {
        check(no_such_user);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stay_root),    cmocka_unit_test(test_become_user),
                cmocka_unit_test(test_ambient),      cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_no_such_user),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
