/*
 * test_cli_docs.c - what is printed from tables stands in the documents as the tables have it now. A manual that has
 * fallen behind is believed by whoever reads it; `make docs` writes it again.
 */
#include <stdlib.h>

#include "base/file.h"
#include "cli/settings_text.h"
#include "core/settings.h"
#include "unit.h"

#define DOCUMENT_BYTES_MAX (1u << 20)

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    print(out);
    CU_ASSERT_EQUAL(fclose(out), 0);
    return text;
}

static void contains(const char *path, void (*print)(FILE *out))
{
    AUTO(buf) document;
    struct err err;
    char *text = printed(print);

    buf_init(&document, DOCUMENT_BYTES_MAX);
    CU_ASSERT_EQUAL_FATAL(file_read(path, &document, &err), 0);
    buf_put_u8(&document, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)document.bytes, text));
    free(text);
}

static void documents(void)
{
    contains("docs/reference/raftmgr.conf.sample", settings_sample);
    contains("docs/man/raftmgr.conf.5", settings_manual);
    contains("docs/man/raftmgr.conf.5", settings_manual_postgresql);
}

/* The sample with its comment signs taken away is read, and sets what is the default. */
static void sample_is_read(void)
{
    static struct settings_reader reader;
    static struct settings settings;
    static struct settings defaults;
    char *text = printed(settings_sample);
    struct err err = { .text = "" };
    char names[1024];
    size_t rows = 0;

    for (char *at = text; (at = strstr(at, "\n#")); at++)
        if (at[2] >= 'a' && at[2] <= 'z') {
            at[1] = ' ';
            rows++;
        }
    settings_begin(&reader, &settings);
    CU_ASSERT_EQUAL(ini_parse(text, strlen(text), "sample", settings_accept, &reader, &err), 0);
    settings_init(&defaults);
    CU_ASSERT_FALSE(settings_policy_diff(&settings.policy, &defaults.policy, names, sizeof names));
    CU_ASSERT_FALSE(settings_need_restart(&settings, &defaults, names, sizeof names));
    /* node_id and node_name have no default that could stand in a file. */
    CU_ASSERT_EQUAL(reader.note_count, 2);
    CU_ASSERT_EQUAL(reader.error_count, 2);
    CU_ASSERT_PTR_NULL(settings_row(rows));
    CU_ASSERT(rows > 0 && settings_row(rows - 1));
    free(text);
}

static const struct unit_test tests[] = {
    { "sample file and manual page are as the tables", documents },
    { "the sample file sets the defaults", sample_is_read },
};

const struct unit_suite suite_cli_docs = UNIT_SUITE("cli_docs", tests);
