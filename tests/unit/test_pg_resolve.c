/* test_pg_resolve.c - the local server's host name: libpq, which would wait for a name service, never sees it alone. */
#include "pool_held.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pg/adapter.h"
#include "pg/resolve.h"

struct heard {
    unsigned schemas;
    int code;
    char text[TEXT_SIZE];
    bool closed;
};

static void seen(void *ctx, const struct pg_seen *what)
{
    (void)ctx;
    (void)what;
}

static void done(void *ctx, const struct pg_result *result)
{
    (void)ctx;
    (void)result;
}

static void schema_done(void *ctx, int code, const char *text)
{
    struct heard *heard = ctx;

    heard->schemas++;
    heard->code = code;
    (void)text_copy(heard->text, sizeof heard->text, text);
}

static void closed(void *ctx)
{
    ((struct heard *)ctx)->closed = true;
}

static int open_pg(struct pg **ret, struct heard *heard, const char *name, const char *conninfo, struct err *err)
{
    struct pg_callbacks callbacks = { .ctx = heard, .seen = seen, .done = done, .schema_done = schema_done };
    struct pg_config config = { .node_id = 1 };
    char program[PATH_SIZE + 16];
    static const char version[] = "#!/bin/sh\necho 'pg_ctl (PostgreSQL) 15.1'\n";

    (void)unit_path(config.data_directory, sizeof config.data_directory, name);
    (void)unit_path(config.runtime_directory, sizeof config.runtime_directory, ".");
    (void)unit_path(config.state_directory, sizeof config.state_directory, ".");
    (void)mkdir(config.data_directory, 0700);
    (void)text_copy(config.bindir, sizeof config.bindir, config.data_directory);
    (void)snprintf(program, sizeof program, "%s/pg_ctl", config.bindir);
    CU_ASSERT_EQUAL(file_replace(program, version, strlen(version), 0700, NULL), 0);
    (void)text_copy(config.conninfo, sizeof config.conninfo, conninfo);
    return pg_open(ret, &loop, &config, &callbacks, err);
}

/* While the name service does not answer, a connection fails from the loop; and once a server runs, it is asked by the
 * address that it says. */
static void no_name_is_left_to_libpq(void)
{
    static struct pg_schema schema;
    struct heard heard = { 0 };
    struct pg *pg;
    struct err err = { 0 };
    char path[PATH_SIZE + 32];
    static const char file[] = "99\n/data\n1700000000\n5432\n/tmp\n10.1.2.3\n  1 2\nready\n";

    loop_start();
    pool_hold();
    CU_ASSERT_EQUAL_FATAL(open_pg(&pg, &heard, "resolve", "host=localhost user=nobody connect_timeout=1", &err), 0);
    CU_ASSERT_TRUE(resolve_waits(pg));
    pg_schema(pg, &schema);
    RUN_UNTIL(heard.schemas == 1);
    CU_ASSERT_EQUAL(heard.code, -ERR_DB_CONN);
    CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, "not known yet"));
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", pg->config.data_directory);
    CU_ASSERT_EQUAL(file_replace(path, file, strlen(file), 0600, NULL), 0);
    CU_ASSERT_TRUE(resolve_waits(pg)); /* the name's own answer would be better */
    resolve_hurry(pg);
    CU_ASSERT_FALSE(pg->target.unresolved);
    CU_ASSERT_STRING_EQUAL(pg->target.hostaddr, "10.1.2.3");
    CU_ASSERT_FALSE(resolve_waits(pg));
    pool_let_go();
    RUN_UNTIL(!pg->resolving);
    CU_ASSERT_STRING_NOT_EQUAL(pg->target.hostaddr, "10.1.2.3");
    pg_close(pg, closed, &heard);
    RUN_UNTIL(heard.closed);
    loop_end();
    pool_forget();
}

static void never_answers(void *ctx, const struct conn_answer *answer)
{
    (void)ctx;
    (void)answer;
}

/* Registered for its users, who want the primary: on a standby raftmgrd itself would never get in. */
static void a_server_is_taken_in_either_role(void)
{
    struct conn_target target = { .conninfo = "host=/nowhere user=nobody target_session_attrs=read-write" };
    struct pool pool = { .loop = &loop };
    bool any = false;

    loop_start();
    struct conn *conn = conn_open(&pool, &target, 1000, never_answers, NULL);
    PQconninfoOption *options = PQconninfo(conn_pq(conn));
    for (const PQconninfoOption *at = options; at && at->keyword; at++)
        any = any || (strcmp(at->keyword, "target_session_attrs") == 0 && at->val && strcmp(at->val, "any") == 0);
    CU_ASSERT_TRUE(any);
    PQconninfoFree(options);
    conn_drop(conn);
    loop_end();
}

static void refuses_what_names_no_host_of_its_own(void)
{
    static const char *const conninfos[] = { "host=a,b", "hostaddr=10.0.0.1,10.0.0.2", "postgresql://a:1,b:2/db",
                                             "service=cluster" };
    struct heard heard = { 0 };
    struct pg *pg;

    loop_start();
    for (size_t i = 0; i < ARRAY_LEN(conninfos); i++) {
        struct err err = { 0 };
        CU_ASSERT_EQUAL(open_pg(&pg, &heard, "resolve-refused", conninfos[i], &err), -ERR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "conninfo names"));
    }
    loop_end();
}

/* PGHOST is taken by libpq where nothing else is said. */
static void looks_up_what_the_environment_names(void)
{
    struct heard heard = { 0 };
    struct pg *pg;
    struct err err = { 0 };

    loop_start();
    CU_ASSERT_EQUAL(setenv("PGHOST", "localhost", 1), 0);
    CU_ASSERT_EQUAL_FATAL(open_pg(&pg, &heard, "resolve-env", "user=nobody", &err), 0);
    CU_ASSERT_TRUE(pg->target.unresolved);
    (void)unsetenv("PGHOST");
    pg_close(pg, closed, &heard);
    RUN_UNTIL(heard.closed);
    loop_end();
}

static const struct unit_test tests[] = {
    { "no name is left to libpq", no_name_is_left_to_libpq },
    { "several hosts and a service are refused", refuses_what_names_no_host_of_its_own },
    { "a server is taken in either role", a_server_is_taken_in_either_role },
    { "a name from the environment is looked up as well", looks_up_what_the_environment_names },
};

const struct unit_suite suite_pg_resolve = UNIT_SUITE("pg_resolve", tests);
