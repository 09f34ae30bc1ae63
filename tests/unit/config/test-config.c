/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "tree.h"
#include "util/cleanup.h"

static const char *shipped_path;

/* Warnings of a test go into a file, so that it can look at them. */
static char warnings_path[] = "/tmp/memunplug-config-XXXXXX";
static int warnings_fd = -1, saved_stderr = -1;

static int setup(void **state) {
        strcpy(warnings_path + strlen(warnings_path) - 6, "XXXXXX");
        unsetenv("JOURNAL_STREAM");
        warnings_fd = mkstemp(warnings_path);
        saved_stderr = dup(STDERR_FILENO);
        return warnings_fd >= 0 && dup2(warnings_fd, STDERR_FILENO) >= 0 ? 0 : -1;
}

static int teardown(void **state) {
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        close(warnings_fd);
        return unlink(warnings_path);
}

static const char *warnings(void) {
        static char text[16384];
        ssize_t n = pread(warnings_fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = 0;
        return text;
}

static void parse(Config *config, const char *text) {
        assert_int_equal(config_parse(config, "/x.conf", text, strlen(text)), 0);
}

static Config defaults(void) {
        Tree tree = tree_new();
        Config config;

        assert_int_equal(config_load(tree.fd, &config), 0); /* no file at all */
        tree_remove(&tree);
        return config;
}

static void assert_same(const Config *a, const Config *b) {
        assert_int_equal(a->source_acpi, b->source_acpi);
        assert_int_equal(a->source_virtio_mem, b->source_virtio_mem);
        assert_int_equal(a->source_balloon, b->source_balloon);
        assert_int_equal(a->virtio_serial, b->virtio_serial);
        assert_int_equal(a->virtio_serial_unplug, b->virtio_serial_unplug);
        assert_true(a->keep_free_bytes == b->keep_free_bytes);
        assert_int_equal(a->n_protected_blocks, b->n_protected_blocks);
        assert_int_equal(a->n_protected_nodes, b->n_protected_nodes);
        assert_int_equal(a->pressure_limit, b->pressure_limit);
        assert_true(a->pressure_pause_usec == b->pressure_pause_usec);
        assert_int_equal(a->try_kernel_zones, b->try_kernel_zones);
        assert_int_equal(a->online_movable, b->online_movable);
        assert_int_equal(a->online_ratio, b->online_ratio);
        assert_int_equal(a->keep_node_memory, b->keep_node_memory);
        assert_true(a->deadline_usec == b->deadline_usec);
        assert_true(a->deadline_per_gib_usec == b->deadline_per_gib_usec);
        assert_int_equal(a->retries, b->retries);
        assert_true(a->retry_delay_usec == b->retry_delay_usec);
        assert_true(a->retry_max_delay_usec == b->retry_max_delay_usec);
        assert_int_equal(a->order, b->order);
        assert_int_equal(a->keep_cache, b->keep_cache);
        assert_true(a->hook_timeout_usec == b->hook_timeout_usec);
}

static void test_defaults(void **state) {
        CLEANUP(config_clear) Config config = defaults();

        assert_int_equal(config.source_acpi, CONFIG_SOURCE_YES);
        assert_true(config.virtio_serial);
        assert_int_equal(config.virtio_serial_unplug, CONFIG_SOURCE_YES);
        assert_true(config.keep_free_bytes == UINT64_MAX);
        assert_null(config.protected_blocks);
        assert_int_equal(config.pressure_limit, 20);
        assert_int_equal(config.pressure_pause_usec, 30000000);
        assert_false(config.try_kernel_zones);
        assert_true(config.keep_node_memory);
        assert_false(config.online_movable);
        assert_int_equal(config.online_ratio, 3);
        assert_int_equal(config.deadline_usec, 60000000);
        assert_int_equal(config.deadline_per_gib_usec, 10000000);
        assert_int_equal(config.retries, 5);
        assert_false(config.keep_cache);
        assert_int_equal(config.hook_timeout_usec, 10000000);
        assert_null(config.user);
        assert_string_equal(warnings(), "");
}

static char *read_shipped(void) {
        FILE *f = fopen(shipped_path, "re");
        char *text = calloc(1, 65536);

        assert_non_null(f);
        assert_true(fread(text, 1, 65535, f) > 0);
        fclose(f);
        return text;
}

/* "#Key=value" is a default, "# words" is a comment. */
static void uncomment(char *text) {
        for (char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (line[0] == '#' && line[1] >= 'A' && line[1] <= 'Z')
                        line[0] = ' ';
        }
}

/* The file that we ship changes nothing, and says what is so. */
static void test_shipped_file(void **state) {
        CLEANUP(config_clear) Config expected = defaults(), as_is = defaults(), shown = {};
        CLEANUP(freep) char *text = read_shipped();

        parse(&as_is, text);
        assert_same(&as_is, &expected);
        uncomment(text);
        shown.retries = 99;
        shown.retry_delay_usec = shown.retry_max_delay_usec = 99;
        shown.order = CONFIG_ORDER_LOWEST;
        shown.keep_cache = true;
        shown.deadline_per_gib_usec = 99;
        shown.hook_timeout_usec = 99;
        shown.pressure_limit = 99;
        shown.pressure_pause_usec = 99;
        shown.online_movable = true;
        shown.online_ratio = 99;
        parse(&shown, text);
        assert_same(&shown, &expected);
        assert_string_equal(warnings(), "");
        for (const char *const *key =
                     (const char *const[]){
                             "\n Acpi=", "\n VirtioMem=", "\n Balloon=", "\n VirtioSerial=", "\n KeepFreeBytes=",
                             "\n ProtectBlocks=",
                             "\n TryKernelZones=", "\n OnlinePolicy=", "\n ProtectNodes=",
                             "\n PressureLimit=", "\n PressurePauseSec=",
                             "\n OnlineMovableRatio=", "\n KeepNodeMemory=",
                             "\n DeadlineSec=", "\n DeadlinePerGiBSec=", "\n Retries=", "\n HookTimeoutSec=",
                             "\n RetryDelaySec=", "\n RetryMaxDelaySec=", "\n Order=", "\n CleanCache=", NULL };
             *key; key++)
                assert_non_null(strstr(text, *key));
}

static void test_pressure(void **state) {
        static const struct {
                const char *text;
                uint32_t expected;
                const char *warning;
        } cases[] = {
                { "35%", 35, "" },
                { "1", 1, "" },
                { "100%", 100, "" },
                { "off", 0, "" },
                { "no", 0, "" },
                { "", 20, "" },
                { "0", 7, "<4>/x.conf:2: Value '0' of PressureLimit= is out of range, ignoring\n" },
                { "101%", 7, "<4>/x.conf:2: Value '101%' of PressureLimit= is out of range, ignoring\n" },
                { "%", 7, "<4>/x.conf:2: Cannot understand '%' for PressureLimit=, ignoring\n" },
                { "20%%", 7, "<4>/x.conf:2: Cannot understand '20%%' for PressureLimit=, ignoring\n" },
                { "yes", 7, "<4>/x.conf:2: Cannot understand 'yes' for PressureLimit=, ignoring\n" },
                { "000000020", 7,
                  "<4>/x.conf:2: Cannot understand '000000020' for PressureLimit=, ignoring\n" },
        };

        const char *all;
        size_t seen = 0;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                CLEANUP(config_clear) Config config = defaults();
                char text[64];

                config.pressure_limit = 7;
                snprintf(text, sizeof(text), "[Policy]\nPressureLimit=%s\n", cases[i].text);
                parse(&config, text);
                assert_int_equal(config.pressure_limit, cases[i].expected);
                all = warnings();
                assert_string_equal(all + seen, cases[i].warning);
                seen = strlen(all);
        }
}

static void test_values(void **state) {
        CLEANUP(config_clear) Config config = defaults();

        parse(&config,
              "[Sources]\nAcpi=off\nVirtioMem=no\nBalloon=ask\n"
              "[Policy]\nKeepFreeBytes = 1.5G\nProtectBlocks=3,1\nProtectBlocks=2-3\nTryKernelZones=yes\n"
              "OnlinePolicy=movable\nOnlineMovableRatio=7\nProtectNodes=2\nProtectNodes=0\n"
              "KeepNodeMemory=no\nPressurePauseSec=2min\n"
              "[Unplug]\nDeadlineSec=2min 5s\nDeadlinePerGiBSec=0\nRetries=0\nHookTimeoutSec=100ms\n"
              "RetryDelaySec=20ms\nRetryMaxDelaySec=1min\nOrder=highest\nCleanCache=keep\n");
        assert_int_equal(config.source_acpi, CONFIG_SOURCE_NO);
        assert_false(config.source_virtio_mem);
        assert_int_equal(config.source_balloon, CONFIG_SOURCE_ASK);
        assert_true(config.keep_free_bytes == UINT64_C(3) << 29);
        assert_int_equal(config.n_protected_blocks, 3);
        for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(config.protected_blocks[i], i + 1);
        assert_true(config.try_kernel_zones);
        assert_false(config.keep_node_memory);
        assert_int_equal(config.pressure_pause_usec, 120000000);
        assert_true(config.online_movable);
        assert_int_equal(config.online_ratio, 7);
        assert_int_equal(config.n_protected_nodes, 2);
        assert_true(config.protected_nodes[0] == 0 && config.protected_nodes[1] == 2);
        assert_int_equal(config.deadline_usec, 125000000);
        assert_int_equal(config.deadline_per_gib_usec, 0);
        assert_int_equal(config.retries, 0);
        assert_int_equal(config.hook_timeout_usec, 100000);
        assert_int_equal(config.retry_delay_usec, 20000);
        assert_int_equal(config.retry_max_delay_usec, 60000000);
        assert_int_equal(config.order, CONFIG_ORDER_HIGHEST);
        assert_true(config.keep_cache);
        assert_string_equal(warnings(), "");

        parse(&config, "[Policy]\nProtectBlocks=\nKeepFreeBytes=\n[Unplug]\nRetries=\nOrder=\nCleanCache=\n"
              "[Sources]\nAcpi=\n"
              "VirtioMem=\nBalloon=\n");
        assert_int_equal(config.n_protected_blocks, 0);
        assert_true(config.keep_free_bytes == UINT64_MAX);
        assert_int_equal(config.retries, 5);
        assert_int_equal(config.order, CONFIG_ORDER_CHEAPEST);
        assert_false(config.keep_cache);
        parse(&config, "[Unplug]\nCleanCache=keep\nCleanCache=yes\n");
        assert_true(config.keep_cache);
        assert_string_equal(warnings(), "<4>/x.conf:3: Cannot understand 'yes' for CleanCache=, ignoring\n");
        parse(&config, "[Unplug]\nCleanCache=drop\n");
        assert_false(config.keep_cache);
        assert_int_equal(config.source_acpi, CONFIG_SOURCE_YES);
        assert_true(config.source_virtio_mem);
        assert_int_equal(config.source_balloon, CONFIG_SOURCE_YES);
}

static void test_sources(void **state) {
        static const struct {
                const char *word;
                ConfigSource acpi, unplug; /* a word that one of them does not know changes nothing of it */
                bool served;
        } words[] = { { "no", CONFIG_SOURCE_NO, CONFIG_SOURCE_NO, false },
                      { "read", CONFIG_SOURCE_NO, CONFIG_SOURCE_NO, true },
                      { "unplug", CONFIG_SOURCE_NO, CONFIG_SOURCE_YES, true },
                      { "ask", CONFIG_SOURCE_ASK, CONFIG_SOURCE_ASK, true },
                      { "yes", CONFIG_SOURCE_YES, CONFIG_SOURCE_ASK, true },
                      { "off", CONFIG_SOURCE_NO, CONFIG_SOURCE_ASK, true },
                      { "Ask", CONFIG_SOURCE_NO, CONFIG_SOURCE_ASK, true },
                      { "", CONFIG_SOURCE_YES, CONFIG_SOURCE_YES, true } };
        CLEANUP(config_clear) Config config = defaults();

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                char text[96];

                (void) snprintf(text, sizeof(text), "[Sources]\nVirtioSerial=%s\nAcpi=%s\n", words[i].word,
                                words[i].word);
                parse(&config, text);
                assert_int_equal(config.source_acpi, words[i].acpi);
                assert_int_equal(config.virtio_serial, words[i].served);
                assert_int_equal(config.virtio_serial_unplug, words[i].unplug);
        }
        assert_non_null(strstr(warnings(), "/x.conf:2: Cannot understand 'yes' for VirtioSerial="));
        assert_non_null(strstr(warnings(), "/x.conf:3: Cannot understand 'read' for Acpi="));
        assert_non_null(strstr(warnings(), "/x.conf:2: Cannot understand 'Ask'"));
        assert_null(strstr(warnings(), "'ask'"));
}

static void test_syntax(void **state) {
        CLEANUP(config_clear) Config config = defaults();

        parse(&config, "\xef\xbb\xbf# comment\r\n; another\r\n\r\n  [Unplug]\t\r\n"
                       "  Retries \t=\t 1 \\\r\n"
                       "# a comment in between\n"
                       "\n"
                       "DeadlineSec = 1min \\\n"
                       "   ; also in between\n"
                       "   30s\n"
                       "[Policy]\nProtectBlocks=1,\\\n2\n"
                       "ProtectBlocks=7");
        assert_int_equal(config.retries, 1);
        assert_int_equal(config.deadline_usec, 90000000);
        assert_int_equal(config.n_protected_blocks, 1); /* a line that goes on is joined by a blank */
        assert_string_equal(warnings(),
                            "<4>/x.conf:12: Cannot understand '1, 2' for ProtectBlocks=, ignoring\n");
}

static void test_warnings(void **state) {
        CLEANUP(config_clear) Config config = defaults(), expected = defaults();

        parse(&config,
              "Retries=1\n[Nonsense]\nKey=1\n[Unplug]\nRetires=1\nRetries=-1\nRetries=101\nDeadlineSec=0\n"
              "DeadlineSec=infinity\nDeadlineSec=soon\nwords\n=1\n[Unplug\nRetries=2\n[]\n"
              "[Policy]\nKeepFreeBytes=9E\nKeepFreeBytes=-1\nProtectBlocks=0-99999\nTryKernelZones=perhaps\n"
              "retries=1\n");
        assert_same(&config, &expected);
        assert_string_equal(warnings(),
                            "<4>/x.conf:1: Assignment outside of a section, ignoring\n"
                            "<4>/x.conf:2: Unknown section [Nonsense], ignoring\n"
                            "<4>/x.conf:5: Unknown key 'Retires' in section [Unplug], ignoring\n"
                            "<4>/x.conf:6: Cannot understand '-1' for Retries=, ignoring\n"
                            "<4>/x.conf:7: Value '101' of Retries= is out of range, ignoring\n"
                            "<4>/x.conf:8: Value '0' of DeadlineSec= is out of range, ignoring\n"
                            "<4>/x.conf:9: Value 'infinity' of DeadlineSec= is out of range, ignoring\n"
                            "<4>/x.conf:10: Cannot understand 'soon' for DeadlineSec=, ignoring\n"
                            "<4>/x.conf:11: Neither a section nor an assignment, ignoring\n"
                            "<4>/x.conf:12: Neither a section nor an assignment, ignoring\n"
                            "<4>/x.conf:13: Section head without an end, ignoring\n"
                            "<4>/x.conf:14: Assignment outside of a section, ignoring\n"
                            "<4>/x.conf:15: Section head without an end, ignoring\n"
                            "<4>/x.conf:17: Value '9E' of KeepFreeBytes= is out of range, ignoring\n"
                            "<4>/x.conf:18: Cannot understand '-1' for KeepFreeBytes=, ignoring\n"
                            "<4>/x.conf:19: Value '0-99999' of ProtectBlocks= is out of range, ignoring\n"
                            "<4>/x.conf:20: Cannot understand 'perhaps' for TryKernelZones=, ignoring\n"
                            "<4>/x.conf:21: Unknown key 'retries' in section [Policy], ignoring\n");
}

static void test_odd_bytes(void **state) {
        static const char nul[] = "[Unplug]\nRetries=1\0\nRetries=2\n";
        CLEANUP(config_clear) Config config = defaults();
        CLEANUP(freep) char *text = malloc(10000);

        assert_int_equal(config_parse(&config, "/x.conf", nul, sizeof(nul) - 1), 0);
        assert_int_equal(config.retries, 2);
        memset(text, 'x', 10000);
        memcpy(text, "[Unplug]\nRetries=", 17);
        memcpy(text + 9980, "\nRetries=3\n", 11);
        assert_int_equal(config_parse(&config, "/x.conf", text, 9991), 0);
        assert_int_equal(config.retries, 3);
        assert_string_equal(warnings(), "<4>/x.conf:2: Line with a NUL byte, ignoring\n"
                                        "<4>/x.conf:2: Line too long, ignoring\n");
        assert_int_equal(config_parse(&config, "/x.conf", "", 0), 0);
        assert_int_equal(config_parse(&config, "/x.conf", "\\", 1), 0);
        assert_int_equal(config_parse(&config, "/x.conf", "[Unplug]\nRetries=4\\", 19), 0);
        assert_int_equal(config.retries, 4);
}

#define CONF "memunplug/memunplugd.conf"
#define RETRIES(n) "[Unplug]\nRetries=" #n "\n"

static uint32_t load_retries(const Tree *tree) {
        CLEANUP(config_clear) Config config = {};

        assert_int_equal(config_load(tree->fd, &config), 0);
        return config.retries;
}

/* Each file goes before the one of the line above. */
static void test_main_file_order(void **state) {
        static const char *const order[] = { "usr/lib", "usr/local/lib", "run", "etc" };
        Tree tree = tree_new();

        for (unsigned i = 0; i < 4; i++) {
                char text[64];

                snprintf(text, sizeof(text), "[Unplug]\nRetries=%u\n", 10 + i);
                tree_write(&tree, text, "%s/" CONF, order[i]);
                assert_int_equal(load_retries(&tree), 10 + i);
        }
        assert_int_equal(unlinkat(tree.fd, "etc/" CONF, 0), 0);
        tree_link(&tree, "/dev/null", "etc/" CONF);
        assert_int_equal(load_retries(&tree), 5); /* masked: not the next one */
        tree_remove(&tree);
}

static void test_drop_ins(void **state) {
        Tree tree = tree_new();

        tree_write(&tree, RETRIES(10), "etc/" CONF);
        tree_write(&tree, RETRIES(11), "usr/lib/" CONF ".d/10-vendor.conf");
        assert_int_equal(load_retries(&tree), 11); /* above any main file */
        tree_write(&tree, RETRIES(12), "run/" CONF ".d/20-run.conf");
        tree_write(&tree, RETRIES(13), "etc/" CONF ".d/15-admin.conf");
        assert_int_equal(load_retries(&tree), 12); /* by name, whatever the directory */
        tree_write(&tree, RETRIES(14), "usr/lib/" CONF ".d/90-vendor.conf");
        assert_int_equal(load_retries(&tree), 14);
        tree_write(&tree, RETRIES(15), "etc/" CONF ".d/90-vendor.conf");
        assert_int_equal(load_retries(&tree), 15); /* the administrator's of the same name */
        assert_int_equal(unlinkat(tree.fd, "etc/" CONF ".d/90-vendor.conf", 0), 0);
        tree_link(&tree, "/dev/null", "etc/" CONF ".d/90-vendor.conf");
        assert_int_equal(load_retries(&tree), 12); /* masked */
        tree_write(&tree, "", "etc/" CONF ".d/20-run.conf");
        assert_int_equal(load_retries(&tree), 13); /* an empty file masks as well */
        tree_write(&tree, RETRIES(16), "etc/" CONF ".d/99-not.conf.bak");
        tree_write(&tree, RETRIES(16), "etc/" CONF ".d/.99-hidden.conf");
        tree_write(&tree, RETRIES(16), "etc/" CONF ".d/.conf");
        tree_link(&tree, "nowhere", "etc/" CONF ".d/99-dangling.conf");
        assert_int_equal(load_retries(&tree), 13);
        assert_string_equal(warnings(), "");
        tree_remove(&tree);
}

/* What is no file is said, and passed over; a FIFO must not be waited for. */
static void test_no_files(void **state) {
        Tree tree = tree_new();

        tree_mkdir(&tree, "etc/" CONF);
        tree_write(&tree, RETRIES(11), "usr/lib/" CONF);
        tree_write(&tree, RETRIES(12), "etc/" CONF ".d/10-good.conf");
        assert_int_equal(mkfifoat(tree.fd, "etc/" CONF ".d/20-fifo.conf", 0600), 0);
        tree_mkdir(&tree, "etc/" CONF ".d/30-folder.conf");
        assert_int_equal(load_retries(&tree), 12);
        assert_non_null(strstr(warnings(), "Cannot read /etc/" CONF ": "));
        assert_non_null(strstr(warnings(), "Cannot read /etc/" CONF ".d/20-fifo.conf: "));
        assert_non_null(strstr(warnings(), "Cannot read /etc/" CONF ".d/30-folder.conf: "));
        tree_remove(&tree);
}

static void test_warning_names_file(void **state) {
        Tree tree = tree_new();

        tree_write(&tree, "[Unplug]\n\nFoo=1\n", "etc/" CONF ".d/10-a.conf");
        assert_int_equal(load_retries(&tree), 5);
        assert_string_equal(warnings(), "<4>/etc/" CONF
                                        ".d/10-a.conf:3: Unknown key 'Foo' in section [Unplug], ignoring\n");
        tree_remove(&tree);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
                cmocka_unit_test_setup_teardown(test_shipped_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_values, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pressure, setup, teardown),
                cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
                cmocka_unit_test_setup_teardown(test_syntax, setup, teardown),
                cmocka_unit_test_setup_teardown(test_warnings, setup, teardown),
                cmocka_unit_test_setup_teardown(test_odd_bytes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_main_file_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_drop_ins, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_warning_names_file, setup, teardown),
        };

        if (argc != 2)
                return EXIT_FAILURE;
        shipped_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
