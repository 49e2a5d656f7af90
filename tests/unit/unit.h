/*
 * unit.h - what a file of unit tests includes. It defines one suite, named after the module it tests:
 *
 *     static void keeps_order(void) { CU_ASSERT_EQUAL(...); }
 *     static const struct unit_test tests[] = { { "what it proves", keeps_order } };
 *     const struct unit_suite suite_buf = UNIT_SUITE("buf", tests);
 *
 * in tests/unit/test_buf.c. The Makefile writes the list of suites from the names of the files, so that none is
 * forgotten; `make unit T=buf` runs one.
 */
#ifndef RAFTMGR_UNIT_H
#define RAFTMGR_UNIT_H

#include <CUnit/CUnit.h>

#include "base/base.h"

struct unit_test {
    const char *name; /* what it proves */
    void (*run)(void);
};

struct unit_suite {
    const char *name;
    const struct unit_test *tests;
    size_t count;
};

#define UNIT_SUITE(suite_name, suite_tests)                                                                            \
    {                                                                                                                  \
        .name = (suite_name), .tests = (suite_tests), .count = ARRAY_LEN(suite_tests)                                  \
    }

/* A path below this run's own directory for files, emptied at the start and removed at the end of the run. */
const char *unit_path(char *text, size_t size, const char *name);

#endif
