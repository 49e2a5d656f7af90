/*
 * test_pg_act.c - actions with programs that only say what they are called: what an earlier life has left is ended, and
 * what fails before a rewind begins leaves a server that can be started.
 */
#include "loop_test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "guard/process.h"
#include "pg/adapter.h"
#include "pg/clone.h"

#define CONTROL_BYTES 64
#define SEGMENT_BYTES (1 << 20)

static const char version[] = "#!/bin/sh\necho 'pg_ctl (PostgreSQL) 15.1'\n";
/* The last argument is the setting's name. */
static const char answers[] = "#!/bin/sh\n"
                              "case \"$6\" in\n"
                              "ssl_crl_file) echo revoked.crl ;;\n"
                              "log_directory) echo log ;;\n"
                              "hba_file) echo $$ >\"$2/pid\"; exec sleep 60 ;;\n"
                              "esac\n";
static const char controldata[] = "#!/bin/sh\n"
                                  "echo \"Latest checkpoint's TimeLineID:       5\"\n"
                                  "echo \"Min recovery ending loc's timeline:   0\"\n";
/* --target-pgdata is the first; where it is asked in earnest the mark must be there, and the log away. */
static const char rewinds[] =
    "#!/bin/sh\n"
    "case \"$*\" in\n"
    "*--dry-run*) echo 'servers diverged at WAL location 0/300028 on timeline 4' >&2 ;;\n"
    "*) test -e \"$2/../state/unfinished\" && test ! -e \"$2/log\" && touch \"$2/rewound\" ;;\n"
    "esac\n";

/* Of a whole file system it takes its time. */
static const char syncs[] = "#!/bin/sh\nexit 0\n";
static const char copies[] = "#!/bin/sh\necho \"${RAFTMGR_PROGRAM_OF-none}\" >\"$0.mark\"\n";

struct heard {
    unsigned steps;
    bool closed;
    struct pg_result result;
};

static struct heard heard;
static char top[512];
static char search[PATH_SIZE]; /* PATH as it was */

static void seen(void *ctx, const struct pg_seen *what)
{
    (void)ctx;
    (void)what;
}

static void done(void *ctx, const struct pg_result *result)
{
    ((struct heard *)ctx)->result = *result;
    ((struct heard *)ctx)->steps++;
}

static void schema_done(void *ctx, int code, const char *text)
{
    (void)ctx;
    (void)code;
    (void)text;
}

static void closed(void *ctx)
{
    ((struct heard *)ctx)->closed = true;
}

static void path_of(const char *name, char *path)
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", top, name);
}

static bool there(const char *name)
{
    char path[PATH_SIZE];

    path_of(name, path);
    return file_exists(path);
}

static void put_bytes(const char *name, const void *bytes, size_t length, mode_t mode)
{
    char path[PATH_SIZE];

    path_of(name, path);
    CU_ASSERT_EQUAL_FATAL(file_replace(path, bytes, length, mode, NULL), 0);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text), 0700);
}

static void make_directory(const char *name)
{
    char path[PATH_SIZE];

    path_of(name, path);
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
}

static void make_long(const char *name, off_t length)
{
    char path[PATH_SIZE];

    put(name, "");
    path_of(name, path);
    CU_ASSERT_EQUAL(truncate(path, length), 0);
}

static void make_old(const char *name)
{
    const struct timespec times[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
    char path[PATH_SIZE];

    path_of(name, path);
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* A file has this line and nothing else. */
static void holds(const char *name, const char *line)
{
    char path[PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, 256);
    path_of(name, path);
    CU_ASSERT_EQUAL_FATAL(file_read(path, &text, NULL), 0);
    buf_put_u8(&text, 0);
    CU_ASSERT_EQUAL(strncmp((const char *)text.bytes, line, strlen(line)), 0);
    CU_ASSERT_EQUAL(text.length, strlen(line) + 2);
}

/* A server that was shut down on timeline 5. */
static void make_data(void)
{
    uint64_t numbers[CONTROL_BYTES / 8] = { 7300000000000000001, 1300, 1, 0, 0x2000028, 0x2000028, 5 };

    make_directory("data/global");
    make_directory("data/pg_wal");
    put_bytes("data/global/pg_control", numbers, sizeof numbers, 0600);
    make_long("data/pg_wal/000000050000000000000003", SEGMENT_BYTES);
    make_old("data/pg_wal/000000050000000000000003");
    put("data/PG_VERSION", "15\n");
    put("data/postgresql.conf", "port = 1\n");
}

static void begin(const char *name)
{
    (void)unit_path(top, sizeof top, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(top, 0700), 0);
    make_directory("data");
    make_directory("state");
    put("pg_ctl", version);
    put("postgres", answers);
    put("pg_controldata", controldata);
    put("pg_rewind", rewinds);
    put("pg_basebackup", copies);
    put("sync", syncs);
    heard = (struct heard){ 0 };
    (void)text_copy(search, sizeof search, getenv("PATH"));
    loop_start();
}

static struct pg *open_pg(void)
{
    const struct pg_callbacks callbacks = { .ctx = &heard, .seen = seen, .done = done, .schema_done = schema_done };
    struct pg_config config = { .node_id = 1, .conninfo = "host=/nowhere user=nobody" };
    struct err err = { 0 };
    struct pg *pg = NULL;

    path_of("data", config.data_directory);
    path_of("state", config.state_directory);
    path_of("", config.runtime_directory);
    path_of("", config.bindir);
    CU_ASSERT_EQUAL_FATAL(pg_open(&pg, &loop, &config, &callbacks, &err), 0);
    return pg;
}

static void end(struct pg *pg)
{
    pg_close(pg, closed, &heard);
    RUN_UNTIL(heard.closed);
    loop_end();
}

/* Its daemon died between the file and the signal, and another was elected: obeyed later it would be a second writer.
 */
static void an_old_order_to_promote_is_taken_back(void)
{
    begin("act-order");
    put("data/raftmgr.postgresql.conf", "");
    put("data/promote", "");
    struct pg *pg = open_pg();
    CU_ASSERT_FALSE(there("data/promote"));
    end(pg);
}

static void ended(struct pg *pg, const struct child_end *how)
{
    CU_ASSERT_EQUAL(how->signal, SIGKILL);
    heard.steps++;
    pg->act.running = false;
}

static pid_t pid_in(const char *name)
{
    char path[PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, 32);
    path_of(name, path);
    if (file_read(path, &text, NULL) < 0)
        return 0;
    buf_put_u8(&text, 0);
    return (pid_t)strtol((const char *)text.bytes, NULL, 10);
}

/* The program goes on, as it does when its daemon is killed; what another node's daemon runs is left alone. */
static void programs_of_an_earlier_life_are_ended(void)
{
    struct process process;
    char mark[SURVIVOR_MARK_SIZE];
    struct err err;

    begin("act-survivor");
    struct pg *pg = open_pg();
    pg->act.running = true;
    pg->act.what = (struct pg_action){ .kind = ACT_START_PRIMARY, .timeout_us = 60000000 };
    act_ask_setting(pg, "hba_file", ended);
    RUN_UNTIL(pid_in("data/pid") > 0);
    CU_ASSERT_EQUAL(survivor_mark(top, mark, &err), 0);
    CU_ASSERT_EQUAL(survivor_end_all(mark, &err), 0);
    CU_ASSERT_TRUE(process_look(pid_in("data/pid"), &process));
    CU_ASSERT_EQUAL(survivor_end_all(pg->mark, &err), 0);
    CU_ASSERT_FALSE(process_look(pid_in("data/pid"), &process));
    RUN_UNTIL(heard.steps == 1);
    end(pg);
}

static void rewind_with_list_of(off_t length)
{
    struct pg_action action = { .id = 1, .kind = ACT_REWIND, .timeout_us = 60000000, .token = { 7 } };
    char path[2 * PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s:%s", top, search);
    CU_ASSERT_EQUAL(setenv("PATH", path, 1), 0);
    make_data();
    make_directory("data/log");
    put("data/log/a.log", "why it failed");
    make_long("data/revoked.crl", length);
    struct pg *pg = open_pg();
    (void)text_copy(action.source_conninfo, sizeof action.source_conninfo, "host=/nowhere user=u dbname=d");
    pg_act(pg, &action);
    RUN_UNTIL(heard.steps == 1);
    CU_ASSERT_FALSE(there("state/unfinished"));
    CU_ASSERT_TRUE(there("data/log/a.log"));
    CU_ASSERT_FALSE(there("data.own-7"));
    CU_ASSERT_TRUE(there("data/standby.signal"));
    CU_ASSERT_EQUAL(setenv("PATH", search, 1), 0);
    end(pg);
}

static void a_long_list_of_certificates_is_no_obstacle(void)
{
    begin("act-rewind");
    rewind_with_list_of(1 << 20);
    CU_ASSERT_STRING_EQUAL(heard.result.text, "");
    CU_ASSERT_TRUE(there("data/rewound"));
}

/* Marked, it would have to be cloned, though nothing of it has been changed. */
static void what_fails_before_a_rewind_marks_nothing(void)
{
    begin("act-refused");
    rewind_with_list_of(20 << 20);
    CU_ASSERT_EQUAL(heard.result.code, -ERR_TOO_BIG);
    CU_ASSERT_FALSE(there("data/rewound"));
}

/* It was cut off in the middle, and so is younger than what it is a copy of. */
static void a_tail_that_was_cut_off_is_saved_again(void)
{
    char path[PATH_SIZE];
    struct stat file;

    begin("act-tail");
    make_directory("state/diverged");
    make_directory("state/diverged/7");
    put("state/diverged/7/000000050000000000000003", "half of it");
    rewind_with_list_of(0);
    CU_ASSERT_STRING_EQUAL(heard.result.text, "");
    path_of("state/diverged/7/000000050000000000000003", path);
    CU_ASSERT_EQUAL(stat(path, &file), 0);
    CU_ASSERT_EQUAL(file.st_size, SEGMENT_BYTES);
}

/* Should rmctl be killed, the next raftmgrd finds it as it finds its own. */
static void a_copy_by_hand_carries_the_mark_too(void)
{
    struct clone_options options = { .source_conninfo = "host=/nowhere user=u" };
    struct err err;

    begin("act-copy");
    path_of("data", options.data_directory);
    path_of("", options.bindir);
    CU_ASSERT_EQUAL(survivor_mark(top, options.mark, &err), 0);
    CU_ASSERT_EQUAL(clone_run(&options, NULL, NULL, &err), 0);
    CU_ASSERT_EQUAL(unsetenv("RAFTMGR_PROGRAM_OF"), 0);
    holds("pg_basebackup.mark", strchr(options.mark, '=') + 1);
    loop_end();
}

/* pg_basebackup would refuse it, but only when the old data had been moved away. */
static void tablespaces_are_looked_at_before_a_clone(void)
{
    char data[PATH_SIZE];
    char path[PATH_SIZE];
    struct err err;

    begin("act-tablespace");
    path_of("data", data);
    CU_ASSERT_EQUAL(clone_check_tablespaces(data, &err), 0);
    make_directory("data/pg_tblspc");
    make_directory("space");
    path_of("data/pg_tblspc/16400", path);
    CU_ASSERT_EQUAL(symlink("../../space", path), 0);
    path_of("data/pg_tblspc/16401", path);
    CU_ASSERT_EQUAL(symlink("../../gone", path), 0);
    CU_ASSERT_EQUAL(clone_check_tablespaces(data, &err), 0);
    make_directory("space/PG_15_202209061");
    CU_ASSERT_EQUAL(clone_check_tablespaces(data, &err), -ERR_REFUSED);
    make_data();
    struct pg *pg = open_pg();
    struct pg_action action = { .id = 1, .kind = ACT_CLONE, .timeout_us = 60000000, .token = { 7 } };
    (void)text_copy(action.source_conninfo, sizeof action.source_conninfo, "host=/nowhere user=u dbname=d");
    pg_act(pg, &action);
    RUN_UNTIL(heard.steps == 1);
    CU_ASSERT_EQUAL(heard.result.code, -ERR_REFUSED);
    CU_ASSERT_TRUE(there("data/PG_VERSION"));
    CU_ASSERT_FALSE(there("state/unfinished"));
    end(pg);
}

static const struct unit_test tests[] = {
    { "an order to promote of an earlier life is taken back", an_old_order_to_promote_is_taken_back },
    { "programs of an earlier life are ended, and no others", programs_of_an_earlier_life_are_ended },
    { "a long list of revoked certificates is no obstacle", a_long_list_of_certificates_is_no_obstacle },
    { "what fails before a rewind marks nothing", what_fails_before_a_rewind_marks_nothing },
    { "a tail that was cut off is saved again", a_tail_that_was_cut_off_is_saved_again },
    { "a copy by hand carries the mark too", a_copy_by_hand_carries_the_mark_too },
    { "tablespaces are looked at before a clone", tablespaces_are_looked_at_before_a_clone },
};

const struct unit_suite suite_pg_act = UNIT_SUITE("pg_act", tests);
