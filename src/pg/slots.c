/*
 * slots.c - the replication slots of the cluster's other nodes, on primary and standbys alike.
 *
 * They are named repmgr_slot_<node id>, as repmgr does. On a standby they wait for its promotion, and are moved
 * along with replay. None is dropped here: one that is not listed may be a clone's whose node joins in a moment.
 * A walsender that goes by a member's name without its slot is ended here too.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "pg/adapter.h"

#define SQL_MAX 8192

/* Slots of other nodes on a standby must not hold WAL for ever: they follow what it has replayed. */
#define ADVANCE_SQL                                                                                                    \
    "; SELECT count(pg_replication_slot_advance(slot_name, pg_last_wal_replay_lsn())) FROM pg_replication_slots"       \
    " WHERE pg_is_in_recovery() AND slot_type = 'physical' AND NOT active AND slot_name ~ '^repmgr_slot_[0-9]+$'"      \
    " AND restart_lsn < pg_last_wal_replay_lsn()"

static void fail(struct pg *pg, enum err_code code, const char *text)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, code, "slots: %s", text), &err);
}

static void ended(struct pg *pg, const struct conn_answer *answer)
{
    if (answer->problem[0])
        fail(pg, ERR_DB_QUERY, answer->problem);
    else
        act_done(pg);
}

/* Slots come first: whoever may not end the connection still gets them. */
static void made(struct pg *pg, const struct conn_answer *answer)
{
    const struct connection_id *stray = &pg->act.what.stray;
    char sql[256];

    if (answer->problem[0]) {
        fail(pg, ERR_DB_QUERY, answer->problem);
    } else if (stray->pid == 0) {
        act_done(pg);
    } else {
        (void)snprintf(sql, sizeof sql,
                       "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid = %" PRId32
                       " AND (extract(epoch FROM backend_start) * 1000000)::bigint = %" PRId64,
                       stray->pid, stray->started_us);
        act_query(pg, sql, ended);
    }
}

/* 'a','b' or, for none, '' which is no slot's name. */
static void put_names(struct pg *pg, struct buf *sql)
{
    const struct pg_action *what = &pg->act.what;

    for (uint32_t i = 0; i < what->slot_count && i < MEMBERS_MAX; i++) {
        char *quoted = PQescapeLiteral(conn_pq(pg->act.conn), what->slots[i], strlen(what->slots[i]));
        assert(quoted);
        if (i > 0)
            buf_put(sql, ",", 1);
        buf_put(sql, quoted, strlen(quoted));
        PQfreemem(quoted);
    }
    if (what->slot_count == 0)
        buf_put(sql, "''", 2);
}

static void put(struct buf *sql, const char *text)
{
    buf_put(sql, text, strlen(text));
}

static void connected(struct pg *pg, const struct conn_answer *answer)
{
    AUTO(buf) sql;

    buf_init(&sql, SQL_MAX);
    if (answer->problem[0]) {
        fail(pg, ERR_DB_CONN, answer->problem);
        return;
    }
    put(&sql, "SELECT pg_create_physical_replication_slot(n, true) FROM unnest(ARRAY[");
    put_names(pg, &sql);
    put(&sql, "]::name[]) AS n WHERE n <> '' AND n NOT IN (SELECT slot_name FROM pg_replication_slots)" ADVANCE_SQL);
    buf_put_u8(&sql, 0);
    assert(!sql.failed);
    act_query(pg, (const char *)sql.bytes, made);
}

void verb_slots(struct pg *pg)
{
    act_connect(pg, connected);
}
