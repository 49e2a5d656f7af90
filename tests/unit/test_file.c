/* test_file.c - a file is read whole or not at all, and replaced whole or not at all. */
#include "unit.h"

#include "base/file.h"

#include <sys/stat.h>
#include <unistd.h>

static void replaced_is_read_back(void)
{
    char path[200];
    AUTO(buf) text = { 0 };
    struct err err;

    unit_path(path, sizeof path, "state");
    buf_init(&text, 100);
    CU_ASSERT_EQUAL(file_replace(path, "first", 5, 0600, &err), 0);
    CU_ASSERT_EQUAL(file_replace(path, "second!", 7, 0600, &err), 0);
    CU_ASSERT_EQUAL(file_read(path, &text, &err), 0);
    CU_ASSERT_EQUAL_FATAL(text.length, 7);
    CU_ASSERT_EQUAL(memcmp(text.bytes, "second!", 7), 0);
    /* Appended to what was there. */
    CU_ASSERT_EQUAL(file_read(path, &text, &err), 0);
    CU_ASSERT_EQUAL(text.length, 14);
}

static void mode_is_the_one_asked_for(void)
{
    char path[200];
    struct stat found;
    mode_t old = umask(077);

    unit_path(path, sizeof path, "mode");
    CU_ASSERT_EQUAL(file_replace(path, "x", 1, 0644, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(stat(path, &found), 0);
    CU_ASSERT_EQUAL(found.st_mode & 0777, 0644);
    CU_ASSERT_EQUAL(file_replace(path, "x", 1, 0600, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(stat(path, &found), 0);
    CU_ASSERT_EQUAL(found.st_mode & 0777, 0600);
    umask(old);
}

static void missing_file_is_told_apart(void)
{
    char path[200];
    AUTO(buf) text = { 0 };
    struct err err;

    unit_path(path, sizeof path, "missing");
    buf_init(&text, 100);
    CU_ASSERT_EQUAL(file_read(path, &text, &err), -(int)ERR_NOT_FOUND);
    CU_ASSERT_FALSE(file_exists(path));
    CU_ASSERT_EQUAL(file_read("/", &text, &err), -(int)ERR_SYSTEM);
    CU_ASSERT_TRUE(file_exists("/"));
}

static void file_beyond_the_maximum_is_refused(void)
{
    char path[200];
    AUTO(buf) text = { 0 };
    struct err err;

    unit_path(path, sizeof path, "big");
    CU_ASSERT_EQUAL(file_replace(path, "12345678", 8, 0600, &err), 0);
    buf_init(&text, 8);
    CU_ASSERT_EQUAL(file_read(path, &text, &err), 0);
    buf_release(&text);
    buf_init(&text, 7);
    CU_ASSERT_EQUAL(file_read(path, &text, &err), -(int)ERR_TOO_BIG);
}

/* A directory in the way makes the rename fail, also for root. */
static void failed_replacement_leaves_everything(void)
{
    char path[200];
    char inside[220];
    char temporary[240];
    struct err err;

    unit_path(path, sizeof path, "in-the-way");
    (void)snprintf(inside, sizeof inside, "%s/file", path);
    (void)snprintf(temporary, sizeof temporary, "%s.raftmgr-new", path);
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL(file_replace(inside, "x", 1, 0600, &err), 0);
    CU_ASSERT_EQUAL(file_replace(path, "y", 1, 0600, &err), -(int)ERR_SYSTEM);
    CU_ASSERT_TRUE(file_exists(inside));
    CU_ASSERT_FALSE(file_exists(temporary));
    CU_ASSERT_EQUAL(file_replace("/nowhere/at/all", "y", 1, 0600, &err), -(int)ERR_SYSTEM);
}

/* A crash may leave a temporary file behind, longer than what is written next. */
static void leftover_of_a_crash_does_no_harm(void)
{
    char path[200];
    char temporary[240];
    AUTO(buf) text = { 0 };

    unit_path(path, sizeof path, "crashed");
    (void)snprintf(temporary, sizeof temporary, "%s.raftmgr-new", path);
    CU_ASSERT_EQUAL(file_replace(temporary, "half of a longer text", 21, 0600, NULL), 0);
    CU_ASSERT_EQUAL(file_replace(path, "new", 3, 0600, NULL), 0);
    buf_init(&text, 100);
    CU_ASSERT_EQUAL(file_read(path, &text, NULL), 0);
    CU_ASSERT_EQUAL(text.length, 3);
    CU_ASSERT_FALSE(file_exists(temporary));
}

static void full_disk_is_told_apart(void)
{
    struct err err;

    /* /dev/full answers every write with ENOSPC; a link gives it the temporary file's name. */
    char path[200];
    char temporary[240];
    unit_path(path, sizeof path, "full");
    (void)snprintf(temporary, sizeof temporary, "%s.raftmgr-new", path);
    CU_ASSERT_EQUAL_FATAL(symlink("/dev/full", temporary), 0);
    mode_t before = 0;
    struct stat found;
    if (stat("/dev/full", &found) == 0)
        before = found.st_mode & 07777;
    CU_ASSERT_EQUAL(file_replace(path, "x", 1, before, &err), -(int)ERR_NO_SPACE);
    CU_ASSERT_FALSE(file_exists(path));
}

static void directory_can_be_synced(void)
{
    char path[200];
    struct err err;

    unit_path(path, sizeof path, ".");
    CU_ASSERT_EQUAL(file_sync_dir(path, &err), 0);
    CU_ASSERT_EQUAL(file_sync_dir("/nowhere/at/all", &err), -(int)ERR_SYSTEM);
}

static const struct unit_test tests[] = {
    { "what was replaced is read back", replaced_is_read_back },
    { "the mode is the one asked for, whatever the umask", mode_is_the_one_asked_for },
    { "a missing file is told apart", missing_file_is_told_apart },
    { "a file beyond the maximum is refused", file_beyond_the_maximum_is_refused },
    { "a failed replacement leaves everything as it was", failed_replacement_leaves_everything },
    { "the leftover of a crash does no harm", leftover_of_a_crash_does_no_harm },
    { "a full disk is told apart", full_disk_is_told_apart },
    { "a directory can be synced", directory_can_be_synced },
};

const struct unit_suite suite_file = UNIT_SUITE("file", tests);
