/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "util/owners-protocol.h"

#define PAGE 4096U

/* Where things are in the bytes. */
enum { REQUEST_COUNT = 8, REQUEST_RESERVED = 12, REQUEST_ADDRESSES = 16 };
enum { REPLY_FLAGS = 8, REPLY_COUNT = 12, REPLY_RESERVED = 16, REPLY_PAGES = 24 };
enum { PAGE_COMM = 8, PAGE_N_PIDS = 24, PAGE_FLAGS = 28, PAGE_PIDS = 32, PAGE_SIZE = 64 };

static OwnersRequest two_pages(void) {
        return (OwnersRequest) { .addresses = { 0x140000000, 0x100001000 }, .n_addresses = 2 };
}

static void test_request(void **state) {
        OwnersRequest request = two_pages(), again;
        uint8_t data[OWNERS_REQUEST_SIZE], data_again[OWNERS_REQUEST_SIZE];

        assert_int_equal(owners_request_encode(&request, PAGE, data), 0);
        assert_int_equal(owners_request_decode(data, sizeof(data), PAGE, &again), 0);
        assert_int_equal(again.n_addresses, 2);
        assert_memory_equal(again.addresses, request.addresses, sizeof(request.addresses));
        assert_int_equal(owners_request_encode(&again, PAGE, data_again), 0);
        assert_memory_equal(data, data_again, sizeof(data));
}

static void test_request_refused(void **state) {
        OwnersRequest request = two_pages();
        uint8_t data[OWNERS_REQUEST_SIZE];

        request.n_addresses = 0;
        assert_int_equal(owners_request_encode(&request, PAGE, data), -EINVAL);
        request.n_addresses = OWNERS_PAGES_MAX + 1;
        assert_int_equal(owners_request_encode(&request, PAGE, data), -EINVAL);
        request.n_addresses = 3; /* the third is 0 */
        assert_int_equal(owners_request_encode(&request, PAGE, data), -EINVAL);
        request.n_addresses = 2;
        request.addresses[1] = 0x100001800;
        assert_int_equal(owners_request_encode(&request, PAGE, data), -EINVAL);
        request.addresses[1] = 0x100001000;
        assert_int_equal(owners_request_encode(&request, 65536, data), -EINVAL);
}

static void check_request_byte(size_t at, uint8_t value) {
        OwnersRequest request = two_pages(), ret = { .n_addresses = 77 };
        uint8_t data[OWNERS_REQUEST_SIZE];

        assert_int_equal(owners_request_encode(&request, PAGE, data), 0);
        assert_int_not_equal(data[at], value);
        data[at] = value;
        assert_int_equal(owners_request_decode(data, sizeof(data), PAGE, &ret), -EBADMSG);
        assert_int_equal(ret.n_addresses, 77);
}

static void test_request_bytes(void **state) {
        OwnersRequest request = two_pages(), ret;
        uint8_t data[OWNERS_REQUEST_SIZE + 1] = {};

        for (size_t i = 0; i < 8; i++)
                check_request_byte(i, 0xff); /* magic */
        check_request_byte(REQUEST_COUNT, 0);
        check_request_byte(REQUEST_COUNT, 1);  /* something behind the last */
        check_request_byte(REQUEST_COUNT, 33);
        check_request_byte(REQUEST_COUNT + 3, 0x80);
        check_request_byte(REQUEST_RESERVED, 1);
        check_request_byte(REQUEST_RESERVED + 3, 1);
        check_request_byte(REQUEST_ADDRESSES, 1); /* not aligned */
        check_request_byte(REQUEST_ADDRESSES + 2 * 8 + 1, 0x10);
        check_request_byte(OWNERS_REQUEST_SIZE - 1, 1);
        assert_int_equal(owners_request_encode(&request, PAGE, data), 0);
        for (size_t n = 0; n <= sizeof(data); n++)
                assert_int_equal(owners_request_decode(data, n, PAGE, &ret),
                                 n == OWNERS_REQUEST_SIZE ? 0 : -EBADMSG);
}

static OwnersReply some_reply(void) {
        OwnersRequest request = two_pages();
        OwnersReply reply;

        owners_reply_init(&reply, &request);
        owners_reply_add(&reply, 1, 4242, "holder\n");
        owners_reply_add(&reply, 1, 17, "other\n");
        reply.last = reply.complete = true;
        return reply;
}

static void test_reply(void **state) {
        OwnersReply reply = some_reply(), again;
        uint8_t data[OWNERS_REPLY_SIZE], data_again[OWNERS_REPLY_SIZE];
        OwnersRequest request = two_pages();

        assert_int_equal(owners_reply_encode(&reply, data), 0);
        assert_int_equal(owners_reply_decode(data, sizeof(data), &again), 0);
        assert_true(again.last && again.complete && !again.out_of_time);
        assert_int_equal(again.n_pages, 2);
        assert_int_equal(again.pages[0].n_pids, 0);
        assert_int_equal(again.pages[1].n_pids, 2);
        assert_int_equal(again.pages[1].pids[0], 4242);
        assert_int_equal(again.pages[1].pids[1], 17);
        assert_string_equal(again.pages[1].comm, "holder");
        assert_true(owners_reply_answers(&again, &request));
        request.addresses[0] += PAGE;
        assert_false(owners_reply_answers(&again, &request));
        request.n_addresses = 1;
        assert_false(owners_reply_answers(&again, &request));
        assert_int_equal(owners_reply_encode(&again, data_again), 0);
        assert_memory_equal(data, data_again, sizeof(data));
}

static void test_reply_fills(void **state) {
        OwnersReply reply = some_reply();
        uint8_t data[OWNERS_REPLY_SIZE];

        owners_reply_add(&reply, 1, 17, "other"); /* is there already */
        assert_int_equal(reply.pages[1].n_pids, 2);
        for (int32_t pid = 100; pid < 106; pid++)
                owners_reply_add(&reply, 1, pid, NULL);
        assert_int_equal(reply.pages[1].n_pids, OWNERS_PIDS_MAX);
        assert_false(reply.pages[1].more);
        owners_reply_add(&reply, 1, 106, NULL);
        assert_true(reply.pages[1].more);
        assert_int_equal(owners_reply_encode(&reply, data), 0);
        assert_int_equal(owners_reply_decode(data, sizeof(data), &reply), 0);
        assert_true(reply.pages[1].more);
}

static void test_comm(void **state) {
        static const struct {
                const char *raw, *clean;
        } cases[] = {
                { "kworker/0:1-x_y.z\n", "kworker/0:1-x_y" },
                { "\033[31mred\n", "__31mred" },
                { "a b\tc", "a_b_c" },
                { "line\nline", "line" },
                { "\xc3\xa4", "__" },
                { "", "" },
        };
        OwnersReply reply;
        OwnersRequest request = two_pages();
        uint8_t data[OWNERS_REPLY_SIZE];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                owners_reply_init(&reply, &request);
                owners_reply_add(&reply, 0, 1, cases[i].raw);
                assert_string_equal(reply.pages[0].comm, cases[i].clean);
                assert_int_equal(owners_reply_encode(&reply, data), 0);
                assert_int_equal(owners_reply_decode(data, sizeof(data), &reply), 0);
        }
}

static void check_reply_byte(size_t at, uint8_t value) {
        OwnersReply reply = some_reply(), ret = { .n_pages = 77 };
        uint8_t data[OWNERS_REPLY_SIZE];

        assert_int_equal(owners_reply_encode(&reply, data), 0);
        assert_int_not_equal(data[at], value);
        data[at] = value;
        assert_int_equal(owners_reply_decode(data, sizeof(data), &ret), -EBADMSG);
        assert_int_equal(ret.n_pages, 77);
}

static void test_reply_bytes(void **state) {
        size_t page = REPLY_PAGES + PAGE_SIZE, behind = page + PAGE_SIZE;
        OwnersReply reply = some_reply();
        uint8_t data[OWNERS_REPLY_SIZE + 1] = {};

        for (size_t i = 0; i < 8; i++)
                check_reply_byte(i, 0xff);
        check_reply_byte(REPLY_FLAGS, 2);     /* complete, but not the last */
        check_reply_byte(REPLY_FLAGS, 7);     /* complete and out of time */
        check_reply_byte(REPLY_FLAGS, 8);
        check_reply_byte(REPLY_FLAGS + 3, 1);
        check_reply_byte(REPLY_COUNT, 0);
        check_reply_byte(REPLY_COUNT, 1);     /* something behind the last */
        check_reply_byte(REPLY_COUNT, 3);     /* page 0 */
        check_reply_byte(REPLY_COUNT, 33);
        check_reply_byte(REPLY_COUNT + 3, 0xff);
        check_reply_byte(REPLY_RESERVED, 1);
        check_reply_byte(page + PAGE_COMM, ' ');
        check_reply_byte(page + PAGE_COMM, '\033');
        check_reply_byte(page + PAGE_COMM + 7, 'x');  /* behind the end */
        check_reply_byte(page + PAGE_COMM + 15, 'x');
        check_reply_byte(page + PAGE_N_PIDS, 9);
        check_reply_byte(page + PAGE_N_PIDS, 3);      /* pid 0 */
        check_reply_byte(page + PAGE_N_PIDS, 1);      /* something behind the last */
        check_reply_byte(page + PAGE_N_PIDS + 3, 0x80);
        check_reply_byte(page + PAGE_FLAGS, 1);       /* more, with room left */
        check_reply_byte(page + PAGE_FLAGS, 2);
        check_reply_byte(page + PAGE_PIDS + 3, 0x80); /* negative */
        check_reply_byte(page - PAGE_SIZE + PAGE_COMM, 'x'); /* a name and no process */
        check_reply_byte(behind, 1);
        check_reply_byte(OWNERS_REPLY_SIZE - 1, 1);
        assert_int_equal(owners_reply_encode(&reply, data), 0);
        memcpy(data + page + PAGE_PIDS + 4, data + page + PAGE_PIDS, 4); /* the same twice */
        assert_int_equal(owners_reply_decode(data, OWNERS_REPLY_SIZE, &reply), -EBADMSG);
        assert_int_equal(owners_reply_decode(data, OWNERS_REPLY_SIZE - 1, &reply), -EBADMSG);
        assert_int_equal(owners_reply_decode(data, OWNERS_REPLY_SIZE + 1, &reply), -EBADMSG);
        assert_int_equal(owners_reply_decode(data, 0, &reply), -EBADMSG);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request),
                cmocka_unit_test(test_request_refused),
                cmocka_unit_test(test_request_bytes),
                cmocka_unit_test(test_reply),
                cmocka_unit_test(test_reply_fills),
                cmocka_unit_test(test_comm),
                cmocka_unit_test(test_reply_bytes),
        };

        return cmocka_run_group_tests_name("owners-protocol", tests, NULL, NULL);
}
