/* test_err.c - an error keeps its code, and says the deepest reason last, however long the texts are. */
#include "unit.h"

#include "base/err.h"

#include <errno.h>

static void set_returns_negative_code(void)
{
    struct err err;

    CU_ASSERT_EQUAL(err_set(&err, ERR_REFUSED, "no %s", "way"), -(int)ERR_REFUSED);
    CU_ASSERT_EQUAL(err.code, ERR_REFUSED);
    CU_ASSERT_STRING_EQUAL(err.text, "no way");
    CU_ASSERT_EQUAL(err_set(NULL, ERR_TIMEOUT, "nobody asks"), -(int)ERR_TIMEOUT);
}

static void errno_is_explained(void)
{
    struct err err;

    CU_ASSERT_EQUAL(err_set_errno(&err, ENOENT, "could not open '%s'", "x"), -(int)ERR_SYSTEM);
    CU_ASSERT_STRING_EQUAL(err.text, "could not open 'x': No such file or directory");
    CU_ASSERT_EQUAL(err_set_errno(NULL, ENOENT, "nobody asks"), -(int)ERR_SYSTEM);
}

static void full_disk_has_its_own_code(void)
{
    struct err err;

    CU_ASSERT_EQUAL(err_set_errno(&err, ENOSPC, "could not write"), -(int)ERR_NO_SPACE);
    CU_ASSERT_EQUAL(err_set_errno(&err, EDQUOT, "could not write"), -(int)ERR_NO_SPACE);
}

static void wrap_keeps_code_and_reason(void)
{
    struct err err;

    (void)err_set(&err, ERR_COMMAND, "exited with status 1");
    CU_ASSERT_EQUAL(err_wrap(&err, "could not promote node '%s'", "b"), -(int)ERR_COMMAND);
    CU_ASSERT_EQUAL(err.code, ERR_COMMAND);
    CU_ASSERT_STRING_EQUAL(err.text, "could not promote node 'b': exited with status 1");
    CU_ASSERT_TRUE(err_wrap(NULL, "nobody asks") < 0);
}

static void long_texts_are_cut_not_overrun(void)
{
    char text[2 * ERR_TEXT_MAX];
    struct err err;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)err_set(&err, ERR_SYSTEM, "%s", text);
    CU_ASSERT_EQUAL(strlen(err.text), ERR_TEXT_MAX - 1);
    (void)err_set_errno(&err, ENOENT, "%s", text);
    CU_ASSERT_EQUAL(strlen(err.text), ERR_TEXT_MAX - 1);
    (void)err_wrap(&err, "before");
    CU_ASSERT_EQUAL(strlen(err.text), ERR_TEXT_MAX - 1);
    CU_ASSERT_NSTRING_EQUAL(err.text, "before: xxx", 11);
}

static void every_code_has_text_and_status(void)
{
    for (int code = ERR_OK + 1; code < ERR_COUNT; code++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(err_text((enum err_code)code));
        CU_ASSERT_TRUE(err_exit_status((enum err_code)code) > 0);
        CU_ASSERT_TRUE(err_exit_status((enum err_code)code) < 128);
    }
    CU_ASSERT_EQUAL(err_exit_status(ERR_OK), 0);
    /* repmgr's numbers, which scripts rely on. */
    CU_ASSERT_EQUAL(err_exit_status(ERR_DB_CONN), 6);
    CU_ASSERT_EQUAL(err_exit_status(ERR_PROMOTE), 8);
    CU_ASSERT_EQUAL(err_exit_status(ERR_NODE_STATUS), 25);
}

static const struct unit_test tests[] = {
    { "set fills code and text and returns the negative code", set_returns_negative_code },
    { "a system's error number is explained", errno_is_explained },
    { "a full disk is told apart", full_disk_has_its_own_code },
    { "wrapping keeps code and reason", wrap_keeps_code_and_reason },
    { "texts too long are cut", long_texts_are_cut_not_overrun },
    { "every code has a text and an exit status", every_code_has_text_and_status },
};

const struct unit_suite suite_err = UNIT_SUITE("err", tests);
