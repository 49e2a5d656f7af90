/* test_pg_leftover.c - an unfinished copy of our own is told from everything else, which is never removed. */
#include "loop_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "pg/child.h"
#include "pg/leftover.h"
#include "pg/place.h"

static const char ours[] =
    "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nLABEL: raftmgr base backup\n";
static const char theirs[] = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nLABEL: nightly\n";

static void init(struct pg_config *config, const char *name)
{
    char top[PATH_SIZE];

    *config = (struct pg_config){ .node_id = 1 };
    (void)unit_path(top, sizeof top, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(top, 0700), 0);
    (void)snprintf(config->data_directory, PATH_SIZE, "%.900s/data", top);
    (void)snprintf(config->state_directory, PATH_SIZE, "%.900s/state", top);
    CU_ASSERT_EQUAL_FATAL(mkdir(config->state_directory, 0700), 0);
}

static void put(const struct pg_config *config, const char *name, const char *text)
{
    char path[PLACE_PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", config->data_directory, name);
    CU_ASSERT_EQUAL(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void knows_its_own(void)
{
    struct pg_config config;
    struct token token = { 0 };
    char path[PLACE_PATH_SIZE];
    char what[16];

    init(&config, "leftover-own");
    CU_ASSERT_FALSE(leftover_is_ours(&config));
    CU_ASSERT_EQUAL(leftover_begin(&config, (struct token){ 7 }, NULL), 0);
    CU_ASSERT_TRUE(place_unfinished(&config, what, &token)); /* the mark says what it said before */
    CU_ASSERT_STRING_EQUAL(what, "clone");
    CU_ASSERT_EQUAL(token.no, 7);
    CU_ASSERT_TRUE(leftover_is_ours(&config));
    (void)snprintf(path, sizeof path, "%s/pg_wal", config.data_directory);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_TRUE(leftover_is_ours(&config));
    put(&config, "backup_label", ours);
    put(&config, "PG_VERSION", "15\n");
    CU_ASSERT_TRUE(leftover_is_ours(&config));
}

static void takes_nothing_else_for_its_own(void)
{
    struct pg_config config;
    char path[PLACE_PATH_SIZE];
    char path_old[PLACE_PATH_SIZE];

    init(&config, "leftover-other");
    CU_ASSERT_EQUAL(leftover_begin(&config, (struct token){ 7 }, NULL), 0);
    put(&config, "PG_VERSION", "15\n");
    CU_ASSERT_FALSE(leftover_is_ours(&config)); /* no label: it was started, or is somebody's */
    put(&config, "backup_label", theirs);
    CU_ASSERT_FALSE(leftover_is_ours(&config));
    put(&config, "backup_label", ours);
    CU_ASSERT_TRUE(leftover_is_ours(&config));
    /* Another directory in its place, with the same in it. */
    (void)snprintf(path_old, sizeof path_old, "%s.mine", config.data_directory);
    CU_ASSERT_EQUAL(rename(config.data_directory, path_old), 0);
    CU_ASSERT_FALSE(leftover_is_ours(&config));
    CU_ASSERT_EQUAL(mkdir(config.data_directory, 0700), 0);
    put(&config, "backup_label", ours);
    CU_ASSERT_FALSE(leftover_is_ours(&config));
    /* The mark of before the old data were set aside names nothing. */
    CU_ASSERT_EQUAL(place_mark_unfinished(&config, "clone", (struct token){ 7 }, NULL), 0);
    CU_ASSERT_FALSE(leftover_is_ours(&config));
    CU_ASSERT_EQUAL(leftover_begin(&config, (struct token){ 7 }, NULL), 0);
    CU_ASSERT_TRUE(leftover_is_ours(&config));
    (void)snprintf(path, sizeof path, "%s/unfinished", config.state_directory);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_FALSE(leftover_is_ours(&config));
}

struct ending {
    unsigned ends;
    bool timed_out;
    int64_t ended_us;
    char problem[512];
};

static void ended(void *ctx, const struct child_end *end)
{
    struct ending *ending = ctx;

    ending->ends++;
    ending->timed_out = end->timed_out;
    ending->ended_us = clock_boot_us();
    (void)text_copy(ending->problem, sizeof ending->problem, end->problem);
}

/* pg_basebackup says why it fails, then that its other half ended. */
static void tells_the_error(void)
{
    const char *const fails[] = { "/bin/sh", "-c",
                                  "echo 'backup: error: no room' >&2; echo 'backup: error: a child ended' >&2; exit 1",
                                  NULL };
    const char *const cleans[] = { "/bin/sh", "-c", "echo 'backup: removing contents' >&2; exit 1", NULL };
    struct child_spec spec = { .argv = fails, .timeout_ms = 5000 };
    struct ending ending = { 0 };
    struct pool pool = { .loop = &loop };

    loop_start();
    (void)child_run(&pool, &spec, ended, &ending);
    RUN_UNTIL(ending.ends == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(ending.problem, "backup: error: no room"));
    spec.argv = cleans;
    (void)child_run(&pool, &spec, ended, &ending);
    RUN_UNTIL(ending.ends == 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(ending.problem, "removing contents"));
    loop_end();
}

/* What a clone rests on: its time is counted from the last word. */
static void lives_while_it_says_something(void)
{
    const char *const talks[] = { "/bin/sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.3; echo $i >&2; done", NULL };
    const char *const stops[] = { "/bin/sh", "-c", "for i in 1 2 3; do sleep 0.3; echo $i >&2; done; sleep 60", NULL };
    struct child_spec spec = { .argv = talks, .timeout_ms = 1500, .while_silent = true, .group = true };
    struct ending ending = { 0 };
    struct pool pool = { .loop = &loop };

    loop_start();
    (void)child_run(&pool, &spec, ended, &ending);
    RUN_UNTIL(ending.ends == 1);
    CU_ASSERT_FALSE(ending.timed_out);
    spec.argv = stops;
    int64_t begun_us = clock_boot_us();
    (void)child_run(&pool, &spec, ended, &ending);
    RUN_UNTIL(ending.ends == 2);
    CU_ASSERT_TRUE(ending.timed_out);
    CU_ASSERT(ending.ended_us - begun_us >= 2300000);
    loop_end();
}

static const struct unit_test tests[] = {
    { "an unfinished copy of our own is known", knows_its_own },
    { "nothing else is taken for it", takes_nothing_else_for_its_own },
    { "a program lives on while it says something", lives_while_it_says_something },
    { "the first error is told, not what came of it", tells_the_error },
};

const struct unit_suite suite_pg_leftover = UNIT_SUITE("pg_leftover", tests);
