/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixture of the tests of operations: a queue that does as the test says, and a sink that writes down
 * each answer as one line: "last", "part" or "error NAME", and the parameters. */
#pragma once

#include "fake-queue.h"
#include "front/operation.h"

typedef struct Test {
        Queue queue;
        Engine engine;
        OperationContext context;
        OperationCaller caller; /* "uid 1000" */
        OperationCall *call;
        char log[65536]; /* one line per answer */
        size_t n;
        bool full;
        int refuse;      /* what the sink says instead of 0 */
} Test;

int run(Test *t, const char *name, const char *text, bool more);
void forget_log(Test *t);
void expect_start(const Test *t, const char *text);
void expect_log(Test *t, const char *log);
void expect(Test *t, const char *name, const char *text, bool more, const char *log);
bool log_has(Test *t, const char *text);
void let_pass(Test *t, uint64_t usec);
void expect_job(Test *t, const char *kind, const char *state);
int operation_setup(void **state);
int operation_teardown(void **state);
