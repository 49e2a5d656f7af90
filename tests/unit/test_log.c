/* test_log.c - one line an event, whatever is in it. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Fills what stands in for stderr, whose reader has stalled, and lets it be read again. */
static void stalled_reader(int ends[2])
{
    static char text[1 << 20];
    size_t length = 0;
    int err_fd = dup(STDERR_FILENO);

    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    CU_ASSERT_EQUAL_FATAL(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)alarm(20); /* where it blocks, it does for good */
    for (int line = 0; line < 20000; line++)
        log_line(LOG_ERROR, "many", "line=%d", line);
    (void)alarm(0);
    for (ssize_t got = 1; got > 0; length += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], text, sizeof text - 1);
    CU_ASSERT(length > 0);
    log_line(LOG_ERROR, "again", "line=1");
    log_line(LOG_ERROR, "again", "line=2");
    (void)dup2(err_fd, STDERR_FILENO);
    (void)close(err_fd);
    ssize_t got = read(ends[0], text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    const char *lost = strstr(text, " warn log.lost lines=");
    CU_ASSERT_PTR_NOT_NULL_FATAL(lost);
    unsigned long lines = strtoul(lost + strlen(" warn log.lost lines="), NULL, 10);
    CU_ASSERT(lines > 0 && lines < 20000);
    CU_ASSERT_PTR_NOT_NULL(strstr(lost, "again line=1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lost, "again line=2\n"));
    CU_ASSERT_PTR_NULL(strstr(lost + strlen(" warn log.lost"), "log.lost")); /* told once */
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void stalled_reader_holds_nobody_up(void)
{
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    stalled_reader(ends);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0); /* as journald's */
    stalled_reader(ends);
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
    { "a stalled reader holds nobody up, and what it missed is told", stalled_reader_holds_nobody_up },
    { "a file that cannot be opened is an error", unwritable_file_keeps_the_old_target },
};

const struct unit_suite suite_log = UNIT_SUITE("log", tests);
