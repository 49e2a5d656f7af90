/*
 * main.c - runs the unit tests: unit [SUITE...], all suites without an argument.
 *
 * Silent but for failures. The last line counts; the exit status is 1 where a test failed or none was run.
 */
#include "unit.h"

#include <CUnit/TestRun.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define SUITE(name) extern const struct unit_suite suite_##name;
#include "suites.inc"
#undef SUITE

static const struct unit_suite *const suites[] = {
#define SUITE(name) &suite_##name,
#include "suites.inc"
#undef SUITE
};

static char directory[] = "/tmp/raftmgr-unit.XXXXXX";
static const char *running = "no test";

const char *unit_path(char *text, size_t size, const char *name)
{
    int length = snprintf(text, size, "%s/%s", directory, name);

    assert(length > 0 && (size_t)length < size);
    return text;
}

static int remove_entry(const char *path, const struct stat *found, int type, struct FTW *walk)
{
    (void)found;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* An assertion of the product, or a crash, ends the run: say in which test. */
static void on_crash(int number)
{
    static const char text[] = "unit: crashed in: ";

    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, running, strlen(running));
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void on_start(const CU_pTest test, const CU_pSuite suite)
{
    (void)suite;
    running = test->pName;
}

static void on_complete(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord first)
{
    for (const CU_FailureRecord *failure = first; failure; failure = failure->pNext)
        printf("%s:%u: %s: %s: %s\n", failure->strFileName, failure->uiLineNumber, suite->pName, test->pName,
               failure->strCondition);
    (void)fflush(stdout);
}

static bool is_wanted(const struct unit_suite *suite, int count, char *const names[])
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], suite->name) == 0)
            return true;
    }
    return count == 0;
}

static void add_suite(const struct unit_suite *suite)
{
    CU_pSuite added = CU_add_suite(suite->name, NULL, NULL);

    assert(added);
    for (size_t i = 0; i < suite->count; i++) {
        CU_pTest test = CU_add_test(added, suite->tests[i].name, suite->tests[i].run);
        assert(test);
        (void)test;
    }
}

int main(int argc, char *argv[])
{
    if (CU_initialize_registry() != CUE_SUCCESS || !mkdtemp(directory))
        return 1;
    (void)atexit(remove_directory);
    (void)signal(SIGABRT, on_crash);
#ifndef __SANITIZE_ADDRESS__ /* which reports it better */
    (void)signal(SIGSEGV, on_crash);
#endif
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        if (is_wanted(suites[i], argc - 1, argv + 1))
            add_suite(suites[i]);
    }
    CU_set_test_start_handler(on_start);
    CU_set_test_complete_handler(on_complete);
    CU_ErrorCode ran = CU_run_all_tests();
    unsigned run = CU_get_number_of_tests_run();
    unsigned failed = CU_get_number_of_tests_failed();

    CU_cleanup_registry();
    printf("unit: %u passed, %u failed\n", run - failed, failed);
    return ran == CUE_SUCCESS && run > 0 && failed == 0 ? 0 : 1;
}
