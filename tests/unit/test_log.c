/* test_log.c - one line an event, whatever is in it. */
#include "unit.h"

#include "base/file.h"
#include "base/log.h"

/* Lets write() log into a fresh file and reads it back as a text. */
static const char *logged(char *text, size_t size, void (*write)(void))
{
    static int count;
    char name[32];
    char path[200];
    AUTO(buf) buf = { 0 };

    (void)snprintf(name, sizeof name, "log.%d", count++);
    CU_ASSERT_EQUAL_FATAL(log_set_file(unit_path(path, sizeof path, name)), 0);
    write();
    CU_ASSERT_EQUAL(log_set_file(NULL), 0);
    log_set_level(LOG_INFO);
    buf_init(&buf, size - 1);
    CU_ASSERT_EQUAL(file_read(path, &buf, NULL), 0);
    if (buf.length > 0)
        memcpy(text, buf.bytes, buf.length);
    text[buf.length] = '\0';
    return text;
}

static void write_one(void)
{
    log_line(LOG_WARN, "node.phase", "node=%s token=%d", "b", 7);
}

static void line_has_time_level_name_and_pairs(void)
{
    char text[200];

    logged(text, sizeof text, write_one);
    CU_ASSERT_EQUAL_FATAL(strlen(text), strlen("2026-01-31 12:34:56.789+00 warn node.phase node=b token=7\n"));
    CU_ASSERT_EQUAL(text[10], ' ');
    CU_ASSERT_STRING_EQUAL(text + 23, "+00 warn node.phase node=b token=7\n");
}

static void write_levels(void)
{
    log_line(LOG_DEBUG, "unseen", "x=%d", 1);
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "seen", "x=%d", 2);
    log_set_level(LOG_ERROR);
    log_line(LOG_WARN, "unseen", "x=%d", 3);
}

static void levels_above_the_limit_are_dropped(void)
{
    char text[200];

    logged(text, sizeof text, write_levels);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "debug seen x=2\n"));
    CU_ASSERT_PTR_NULL(strstr(text, "unseen"));
}

static void write_long(void)
{
    char value[6000];

    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    log_line(LOG_INFO, "long", "value=%s", value);
    log_line(LOG_INFO, "next", "x=%d", 1);
}

static void long_line_is_cut_and_ends(void)
{
    char text[10000];

    logged(text, sizeof text, write_long);
    const char *end = strchr(text, '\n');
    CU_ASSERT_PTR_NOT_NULL_FATAL(end);
    CU_ASSERT_TRUE(end - text >= 4000 && end - text < 4096);
    CU_ASSERT_PTR_NOT_NULL(strstr(end, "info next x=1\n"));
    CU_ASSERT_EQUAL(strlen(text), (size_t)(end - text) + strlen(strchr(text, '\n')));
}

static void quoted_values_stay_in_their_line(void)
{
    char text[64];

    CU_ASSERT_STRING_EQUAL(log_quoted(text, sizeof text, "a b"), "\"a b\"");
    CU_ASSERT_STRING_EQUAL(log_quoted(text, sizeof text, "a\nb\tc"), "\"a b c\"");
    CU_ASSERT_STRING_EQUAL(log_quoted(text, sizeof text, "say \"no\" \\"), "\"say \\\"no\\\" \\\\\"");
    CU_ASSERT_STRING_EQUAL(log_quoted(text, sizeof text, ""), "\"\"");
}

/* Every size and a value that must be escaped throughout: the quote is closed inside the storage. */
static void quoted_values_are_cut_inside(void)
{
    char text[16];

    for (size_t size = 3; size <= sizeof text; size++) {
        memset(text, '#', sizeof text);
        log_quoted(text, size, "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"");
        CU_ASSERT_TRUE_FATAL(strnlen(text, size) < size);
        CU_ASSERT_EQUAL(text[strlen(text) - 1], '"');
        CU_ASSERT_EQUAL(strlen(text) % 2, 0);
    }
}

static void unwritable_file_keeps_the_old_target(void)
{
    CU_ASSERT_TRUE(log_set_file("/nowhere/at/all") < 0);
}

static const struct unit_test tests[] = {
    { "a line has time, level, name and pairs", line_has_time_level_name_and_pairs },
    { "levels above the limit are dropped", levels_above_the_limit_are_dropped },
    { "a line too long is cut and still ends", long_line_is_cut_and_ends },
    { "quoted values stay in their line", quoted_values_stay_in_their_line },
    { "quoted values too long are cut inside the storage", quoted_values_are_cut_inside },
    { "a file that cannot be opened is an error", unwritable_file_keeps_the_old_target },
};

const struct unit_suite suite_log = UNIT_SUITE("log", tests);
