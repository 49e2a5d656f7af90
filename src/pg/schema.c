/*
 * schema.c - makes the repmgr schema equal to the committed state, over a connection of its own. See pg.h, schema.h.
 */
#include "pg/schema.h"

#include <stdlib.h>

#include "pg/adapter.h"
#include "pg/resolve.h"
#include "pg/schema_sql.h"

#define CONNECT_MS 5000
#define QUERY_MS 15000

static void finish(struct pg *pg, int code, const char *text)
{
    struct schema_run *run = &pg->schema;

    conn_drop(run->conn);
    run->conn = NULL;
    free(run->schema);
    run->schema = NULL;
    run->running = false;
    if (!pg->closing && pg->callbacks.schema_done)
        pg->callbacks.schema_done(pg->callbacks.ctx, code, text);
}

static void stored(void *ctx, const struct conn_answer *answer)
{
    finish(ctx, answer->problem[0] ? -(int)ERR_DB_QUERY : 0, answer->problem);
}

static void send_all(struct pg *pg)
{
    AUTO(buf) sql;

    buf_init(&sql, SCHEMA_SQL_MAX);
    schema_sql(conn_pq(pg->schema.conn), pg->schema.schema, &sql);
    if (sql.failed)
        finish(pg, -(int)ERR_TOO_BIG, "the committed state is too large for one query");
    else
        conn_query(pg->schema.conn, (const char *)sql.bytes, QUERY_MS, stored, pg);
}

static void told(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;

    if (answer->problem[0])
        finish(pg, -(int)ERR_DB_QUERY, answer->problem);
    else if (PQgetvalue(answer->rows, 0, 0)[0] == 't')
        finish(pg, -(int)ERR_REFUSED, "the server is a standby");
    else
        send_all(pg);
}

static void opened(void *ctx, const struct conn_answer *answer)
{
    struct pg *pg = ctx;

    if (answer->problem[0])
        finish(pg, -(int)ERR_DB_CONN, answer->problem);
    else
        conn_query(pg->schema.conn, "SELECT pg_is_in_recovery()", QUERY_MS, told, pg);
}

void pg_schema(struct pg *pg, const struct pg_schema *schema)
{
    struct schema_run *run = &pg->schema;

    assert(!run->running);
    run->schema = malloc(sizeof *run->schema);
    assert(run->schema);
    *run->schema = *schema;
    run->running = true;
    resolve_hurry(pg);
    run->conn = conn_open(&pg->pool, &pg->target, CONNECT_MS, opened, pg);
}

void schema_end(struct pg *pg)
{
    conn_drop(pg->schema.conn);
    free(pg->schema.schema);
    pg->schema.conn = NULL;
    pg->schema.schema = NULL;
}
