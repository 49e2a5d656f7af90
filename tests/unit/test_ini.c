/*
 * test_ini.c - the syntax of repmgr.conf. A file that repmgr reads must mean the same here, and a broken one must be
 * refused with the line, or a host would run under settings that nobody wrote.
 */
#include "base/ini.h"

#include <stdio.h>
#include <sys/stat.h>

#include "unit.h"

struct seen {
    char text[2048]; /* "name=value;" in order */
    const char *refuse;
};

static int collect(void *context, const struct ini_entry *entry, struct err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    if (seen->refuse && !strcmp(seen->refuse, entry->name))
        return err_set(err, ERR_REFUSED, "line %u", entry->line);
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s=%s;", entry->name, entry->value);
    return 0;
}

static void reads(const char *text, const char *expected)
{
    struct seen seen = { .text = "" };
    struct err err = { .text = "" };

    CU_ASSERT_EQUAL(ini_parse(text, strlen(text), "f", collect, &seen, &err), 0);
    CU_ASSERT_STRING_EQUAL(seen.text, expected);
    if (strcmp(seen.text, expected) != 0)
        printf("\n  read '%s', not '%s' %s\n", seen.text, expected, err.text);
}

static void refuses(const char *text, const char *reason)
{
    struct seen seen = { .text = "" };
    struct err err = { .text = "" };

    CU_ASSERT_EQUAL(ini_parse(text, strlen(text), "f", collect, &seen, &err), -ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, reason));
    if (!strstr(err.text, reason))
        printf("\n  said '%s', not '%s'\n", err.text, reason);
}

static void plain_lines(void)
{
    reads("", "");
    reads("\n  \n# nothing\n\t# here", "");
    reads("a=1\nb = 2\n c  3\nd 4 # four\ne=5#five", "a=1;b=2;c=3;d=4;e=5;");
    reads("node_id=1\r\nlog_level=INFO\r\n", "node_id=1;log_level=INFO;");
    reads("\xef\xbb\xbfnode_id=1\n", "node_id=1;");
    reads("data_directory=/var/lib/x\nconninfo=host=a", "data_directory=/var/lib/x;conninfo=host=a;");
}

static void quoted_values(void)
{
    reads("a='host=h user=u'", "a=host=h user=u;");
    reads("a=''", "a=;");
    reads("a 'it''s' # c", "a=it's;");
    reads("a='it\\'s'", "a=it's;");
    reads("a='\\\\ \\t\\101\\1012'", "a=\\ \tAA2;");
    reads("a='# no comment'", "a=# no comment;");
}

static void broken_lines(void)
{
    refuses("\n\na='x", "f:3: the closing quote");
    refuses("a='x\\", "the closing quote");
    refuses("a", "f:1: the value is missing");
    refuses("a = # x", "the value is missing");
    refuses("=1", "begins with the name");
    refuses("1a=1", "begins with the name");
    refuses("conninfo=host=a user=b", "something follows");
    refuses("a='x' y", "something follows");
    refuses("a=x'y'", "a quote inside");
    refuses("a='\\0'", "zero byte");
}

static void long_things(void)
{
    char text[INI_VALUE_SIZE + 200];

    (void)snprintf(text, sizeof text, "%0*d=1", INI_NAME_SIZE, 0);
    text[0] = 'n';
    refuses(text, "name of the parameter is too long");
    (void)snprintf(text, sizeof text, "a=%0*d", INI_VALUE_SIZE, 0);
    refuses(text, "the value is too long");
    (void)snprintf(text, sizeof text, "a='%0*d'", INI_VALUE_SIZE, 0);
    refuses(text, "the value is too long");

    struct err err;
    struct seen seen = { .text = "" };
    CU_ASSERT_EQUAL(ini_parse("a=1\0b=2", 7, "f", collect, &seen, &err), -ERR_CONFIG);
}

static void taker_ends_it(void)
{
    struct seen seen = { .text = "", .refuse = "b" };
    struct err err;
    const char *text = "a=1\nb=2\nc=3\n";

    CU_ASSERT_EQUAL(ini_parse(text, strlen(text), "f", collect, &seen, &err), -ERR_REFUSED);
    CU_ASSERT_STRING_EQUAL(err.text, "line 2");
    CU_ASSERT_STRING_EQUAL(seen.text, "a=1;");
}

static void put_file(const char *name, const char *text)
{
    char path[512];
    FILE *file = fopen(unit_path(path, sizeof path, name), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT(fputs(text, file) >= 0);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static int loads(const char *name, struct seen *seen, struct err *err)
{
    char path[512];

    *seen = (struct seen){ .text = "" };
    return ini_load(unit_path(path, sizeof path, name), collect, seen, err);
}

static void includes(void)
{
    struct seen seen;
    struct err err;

    put_file("ini-main.conf", "a=1\ninclude 'ini-more.conf'\ninclude_if_exists = 'ini-none.conf'\nb=2\n");
    put_file("ini-more.conf", "a=3\n");
    CU_ASSERT_EQUAL(loads("ini-main.conf", &seen, &err), 0);
    CU_ASSERT_STRING_EQUAL(seen.text, "a=1;a=3;b=2;");

    put_file("ini-main.conf", "a=1\ninclude 'ini-none.conf'\n");
    CU_ASSERT(loads("ini-main.conf", &seen, &err) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ini-main.conf:2: include: "));

    put_file("ini-main.conf", "include 'ini-main.conf'\n");
    CU_ASSERT_EQUAL(loads("ini-main.conf", &seen, &err), -ERR_CONFIG);
    CU_ASSERT_EQUAL(loads("ini-none.conf", &seen, &err), -ERR_NOT_FOUND);
}

static void include_directory(void)
{
    struct seen seen;
    struct err err;
    char path[512];

    CU_ASSERT_EQUAL(mkdir(unit_path(path, sizeof path, "ini.d"), 0700), 0);
    put_file("ini.d/20.conf", "b=2\n");
    put_file("ini.d/10.conf", "a=1\n");
    put_file("ini.d/30.conf~", "c=3\n");
    put_file("ini.d/.hidden.conf", "d=4\n");
    put_file("ini-main.conf", "include_dir ini.d\n");
    CU_ASSERT_EQUAL(loads("ini-main.conf", &seen, &err), 0);
    CU_ASSERT_STRING_EQUAL(seen.text, "a=1;b=2;");
}

static const struct unit_test tests[] = {
    { "names and plain values, '=' or not, comments, CRLF", plain_lines },
    { "quotes and escapes mean what they mean to PostgreSQL", quoted_values },
    { "a broken line is refused with its number", broken_lines },
    { "names, values and files have bounds", long_things },
    { "whoever takes the entries can end the reading", taker_ends_it },
    { "included files, missing ones, and a loop of them", includes },
    { "a directory gives its .conf files by name", include_directory },
};

const struct unit_suite suite_ini = UNIT_SUITE("ini", tests);
