/*
 * adopt.c - takes a running server under management without a restart.
 *
 * Its settings file and include line are written; names of ours that ALTER SYSTEM has set, which would win over the
 * file, are reset by the server itself, for it may be writing that file; where it does not write it at all
 * (allow_alter_system, PostgreSQL 17) they are taken out here; standby.signal is put beside it. What a reload cannot
 * change shows as pending_restart afterwards.
 */
#include <stdlib.h>

#include "base/file.h"
#include "pg/adapter.h"
#include "pg/conf.h"

#define CLASHES_MAX 32 /* more than there are names of ours */

struct clashes {
    size_t count;
    char names[CLASHES_MAX][NAME_SIZE];
};

static void fail(struct pg *pg, enum err_code code, const char *text)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, code, "adopt: %s", text), &err);
}

static void settled(struct pg *pg)
{
    struct err err = { 0 };

    int failed = place_signal(pg->config.data_directory, &err);
    if (failed) {
        act_finish(pg, failed, &err);
        return;
    }
    act_reload(pg);
    act_confirm(pg, act_done);
}

/* ALTER SYSTEM wants a transaction of its own: one name at a time. */
static void reset_next(struct pg *pg, const struct conn_answer *answer)
{
    struct clashes *clashes = pg->act.scratch;
    char sql[128];

    if (answer->problem[0]) {
        fail(pg, ERR_DB_QUERY, answer->problem);
        return;
    }
    if (clashes->count == 0) {
        settled(pg);
        return;
    }
    (void)snprintf(sql, sizeof sql, "ALTER SYSTEM RESET %s", clashes->names[--clashes->count]);
    act_query(pg, sql, reset_next);
}

static void may_alter(struct pg *pg, const struct conn_answer *answer)
{
    struct err err = { 0 };

    if (answer->problem[0]) {
        fail(pg, ERR_DB_QUERY, answer->problem);
    } else if (strcmp(PQgetvalue(answer->rows, 0, 0), "off") != 0) {
        reset_next(pg, answer);
    } else if (place_strip_auto(&pg->config, &err) < 0) {
        act_finish(pg, -(int)err.code, &err);
    } else {
        settled(pg);
    }
}

static void add(void *ctx, const char *name)
{
    struct clashes *clashes = ctx;

    if (clashes->count < CLASHES_MAX)
        (void)text_copy(clashes->names[clashes->count++], NAME_SIZE, name);
}

static void connected(struct pg *pg, const struct conn_answer *answer)
{
    char path[PLACE_PATH_SIZE];
    AUTO(buf) text;

    buf_init(&text, CONF_BYTES_MAX);
    if (answer->problem[0]) {
        fail(pg, ERR_DB_CONN, answer->problem);
        return;
    }
    pg->act.scratch = calloc(1, sizeof(struct clashes));
    assert(pg->act.scratch);
    (void)snprintf(path, sizeof path, "%s/postgresql.auto.conf", pg->config.data_directory);
    (void)file_read(path, &text, NULL); /* without one nothing is to be reset */
    buf_put_u8(&text, 0);
    if (text.failed) {
        fail(pg, ERR_TOO_BIG, "postgresql.auto.conf is too large");
        return;
    }
    conf_clashes((const char *)text.bytes, add, pg->act.scratch);
    act_query(pg, "SELECT current_setting('allow_alter_system', true)", may_alter);
}

void verb_adopt(struct pg *pg)
{
    if (!probe_find(pg)) {
        fail(pg, ERR_REFUSED, "no server runs");
        return;
    }
    if (act_write_conf(pg))
        act_connect(pg, connected);
}
