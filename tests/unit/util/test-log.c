/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/log.h"

static char journal[16][256];
static int n_journal, journal_result;

int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

int __wrap_sd_journal_sendv(const struct iovec *iov, int n) {
        n_journal = n;
        for (int i = 0; i < n && i < 16; i++)
                snprintf(journal[i], sizeof(journal[i]), "%.*s", (int) iov[i].iov_len,
                         (const char *) iov[i].iov_base);
        return journal_result;
}

static char path[] = "/tmp/memunplug-log-XXXXXX";
static int log_fd = -1, saved_stderr = -1;

static int setup(void **state) {
        strcpy(path + strlen(path) - 6, "XXXXXX");
        log_fd = mkstemp(path);
        saved_stderr = dup(STDERR_FILENO);
        n_journal = journal_result = 0;
        log_set_max_level(LOG_INFO);
        unsetenv("JOURNAL_STREAM");
        return log_fd >= 0 && dup2(log_fd, STDERR_FILENO) >= 0 ? 0 : -1;
}

static int teardown(void **state) {
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        close(log_fd);
        return unlink(path);
}

static const char *written(void) {
        static char text[8192];
        ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = 0;
        return text;
}

static void test_to_stderr(void **state) {
        errno = EPERM;
        assert_int_equal(log_error_errno(-ENOENT, "Cannot read '%s': %m", "x"), -ENOENT);
        assert_int_equal(errno, EPERM);
        log_debug("not at this level");
        log_warning("evil\n<0>forged\033[2J");
        assert_string_equal(written(),
                            "<3>Cannot read 'x': No such file or directory\n<4>evil <0>forged [2J\n");
        assert_int_equal(n_journal, 0);
}

static void test_long_lines_end(void **state) {
        char text[10000];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = 0;
        log_info("%s", text);
        assert_true(strlen(written()) < 3000);
        assert_int_equal(written()[strlen(written()) - 1], '\n');
}

/* other_file: not the one that standard error is. */
static void name_stream(unsigned other_file) {
        char stream[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev,
                 (uintmax_t) st.st_ino + other_file);
        setenv("JOURNAL_STREAM", stream, 1);
}

static void test_to_journal(void **state) {
        const char *const fields[] = { "MEMUNPLUG_JOB=7", "MESSAGE_ID=00", NULL };

        name_stream(0);
        assert_int_equal(log_full(LOG_NOTICE, -EBUSY, fields, "hello %d", 5), -EBUSY);
        assert_string_equal(written(), "");
        assert_int_equal(n_journal, 6);
        assert_string_equal(journal[0], "MESSAGE=hello 5");
        assert_string_equal(journal[1], "PRIORITY=5");
        assert_string_equal(journal[3], "ERRNO=16");
        assert_string_equal(journal[4], "MEMUNPLUG_JOB=7");
        assert_string_equal(journal[5], "MESSAGE_ID=00");
}

static void test_without_journal(void **state) {
        name_stream(1); /* we were redirected since */
        log_info("one");
        setenv("JOURNAL_STREAM", "nonsense", 1);
        log_info("two");
        name_stream(0);
        journal_result = -ENOENT;
        log_info("three");
        assert_string_equal(written(), "<6>one\n<6>two\n<6>three\n");
}

static void test_levels(void **state) {
        assert_int_equal(log_level_from_string("debug"), LOG_DEBUG);
        assert_int_equal(log_level_from_string("Error"), LOG_ERR);
        assert_int_equal(log_level_from_string("4"), LOG_WARNING);
        assert_int_equal(log_level_from_string("8"), -EINVAL);
        assert_int_equal(log_level_from_string("44"), -EINVAL);
        assert_int_equal(log_level_from_string(""), -EINVAL);
        assert_string_equal(log_level_to_string(LOG_NOTICE), "notice");
        assert_null(log_level_to_string(8));
        assert_null(log_level_to_string(-1));
        log_set_max_level(99);
        assert_int_equal(log_get_max_level(), LOG_INFO);
        log_set_max_level(LOG_DEBUG);
        log_debug("now");
        assert_string_equal(written(), "<7>now\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_to_stderr, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_lines_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_to_journal, setup, teardown),
                cmocka_unit_test_setup_teardown(test_without_journal, setup, teardown),
                cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
