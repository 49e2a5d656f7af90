/* test_pg_own.c - the node's own log and TLS files outlive what pg_rewind does to a data directory. */
#include "loop_test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/adapter.h"
#include "pg/own.h"

/* Stands in for PostgreSQL's answers: the last argument is the setting's name. */
static const char answers[] = "#!/bin/sh\n"
                              "case \"$6\" in\n"
                              "ssl_cert_file) echo tls/node.crt ;;\n"
                              "ssl_key_file) echo server.key ;;\n"
                              "ssl_ca_file) echo /etc/hosts ;;\n"
                              "ssl_crl_file) echo ;;\n"
                              "log_directory) echo log ;;\n"
                              "esac\n";
static const char version[] = "#!/bin/sh\necho 'pg_ctl (PostgreSQL) 15.1'\n";

struct heard {
    unsigned steps;
    bool closed;
};

static struct heard heard;

static void seen(void *ctx, const struct pg_seen *what)
{
    (void)ctx;
    (void)what;
}

static void done(void *ctx, const struct pg_result *result)
{
    (void)ctx;
    CU_ASSERT_STRING_EQUAL(result->text, ""); /* no action is to end here */
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

static void went_on(struct pg *pg)
{
    (void)pg;
    heard.steps++;
}

static void put(const char *directory, const char *name, const char *text, mode_t mode)
{
    char path[PATH_SIZE + 64];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    CU_ASSERT_EQUAL(file_replace(path, text, strlen(text), mode, NULL), 0);
}

static void holds(const char *directory, const char *name, const char *text)
{
    char path[PATH_SIZE + 64];
    AUTO(buf) bytes;

    buf_init(&bytes, 256);
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    CU_ASSERT_EQUAL(file_read(path, &bytes, NULL), 0);
    buf_put_u8(&bytes, 0);
    CU_ASSERT_STRING_EQUAL((const char *)bytes.bytes, text);
}

static struct pg *open_pg(const char *name)
{
    const struct pg_callbacks callbacks = { .ctx = &heard, .seen = seen, .done = done, .schema_done = schema_done };
    struct pg_config config = { .node_id = 1, .conninfo = "host=/nowhere user=nobody" };
    char top[PATH_SIZE];
    char path[PATH_SIZE + 64];
    struct err err = { 0 };
    struct pg *pg = NULL;

    (void)unit_path(top, sizeof top, name);
    (void)snprintf(config.data_directory, PATH_SIZE, "%.900s/data", top);
    (void)snprintf(config.state_directory, PATH_SIZE, "%.900s/state", top);
    (void)snprintf(config.runtime_directory, PATH_SIZE, "%.900s", top);
    (void)snprintf(config.bindir, PATH_SIZE, "%.900s", top);
    CU_ASSERT_FATAL(mkdir(top, 0700) == 0 && mkdir(config.data_directory, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/kept-7", config.state_directory);
    CU_ASSERT_FATAL(mkdir(config.state_directory, 0700) == 0 && mkdir(path, 0700) == 0);
    put(top, "pg_ctl", version, 0700);
    put(top, "postgres", answers, 0700);
    CU_ASSERT_EQUAL_FATAL(pg_open(&pg, &loop, &config, &callbacks, &err), 0);
    return pg;
}

/* What pg_rewind does where the source has other files. */
static void rewind_over(const char *data)
{
    char command[4 * PATH_SIZE];

    (void)snprintf(
        command, sizeof command,
        "cd '%.900s' && rm -rf tls log && mkdir log && echo theirs >log/b.log && printf theirs >server.key && "
        "printf theirs >raftmgr-server.log",
        data);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void own_files_outlive_a_rewind(void)
{
    struct own own = { .token = { 7 } };
    char path[PATH_SIZE + 64];

    loop_start();
    heard = (struct heard){ 0 };
    struct pg *pg = open_pg("own");
    const char *data = pg->config.data_directory;
    (void)snprintf(path, sizeof path, "%s/log", data);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/tls", data);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    put(data, "log/a.log", "why it failed", 0600);
    put(data, "tls/node.crt", "our certificate", 0600);
    put(data, "server.key", "our key", 0600);
    put(data, "raftmgr-server.log", "our words", 0600);
    pg->act.running = true;
    pg->act.what = (struct pg_action){ .kind = ACT_REWIND, .timeout_us = 60000000 };
    own_save(pg, &own, went_on);
    RUN_UNTIL(heard.steps == 1);
    holds(data, "log/a.log", "why it failed");
    own_move(&own);
    rewind_over(data);
    own_restore(pg, &own, went_on);
    RUN_UNTIL(heard.steps == 2);
    holds(data, "log/a.log", "why it failed");
    holds(data, "tls/node.crt", "our certificate");
    holds(data, "server.key", "our key");
    holds(data, "raftmgr-server.log", "our words");
    (void)snprintf(path, sizeof path, "%s/log/b.log", data);
    CU_ASSERT_FALSE(file_exists(path));
    (void)snprintf(path, sizeof path, "%s.own-7", data);
    CU_ASSERT_FALSE(file_exists(path));
    pg->act.running = false;
    pg_close(pg, closed, &heard);
    RUN_UNTIL(heard.closed);
    loop_end();
}

static const struct unit_test tests[] = {
    { "log and TLS files of the node's own outlive a rewind", own_files_outlive_a_rewind },
};

const struct unit_suite suite_pg_own = UNIT_SUITE("pg_own", tests);
