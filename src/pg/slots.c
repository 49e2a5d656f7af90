/*
 * slots.c - the replication slots of the cluster's other nodes, on primary and standbys alike.
 *
 * They are named repmgr_slot_<node id>, as repmgr does; that of a node that was admitted anew has a number of its own
 * behind that (member_slot()). On a standby they wait for its promotion, and are moved along with replay. One that is
 * not listed may be a clone's whose node joins in a moment, and stays. But a slot that such a node had before is
 * dropped, and before the new one is made: so no server that the node had before can stream any more once the new one
 * can. What WAL it kept, the new one keeps. A walsender that goes by a member's name without its slot is ended here
 * too.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "pg/adapter.h"

#define SQL_MAX 8192

/* Slots of other nodes on a standby must not hold WAL for ever: they follow what it has replayed. */
#define ADVANCE_SQL                                                                                                    \
    "; SELECT count(pg_replication_slot_advance(slot_name, pg_last_wal_replay_lsn())) FROM pg_replication_slots"       \
    " WHERE pg_is_in_recovery() AND slot_type = 'physical' AND NOT active AND slot_name ~ "                            \
    "'^repmgr_slot_[0-9]+(_[0-9]+)?$'"                                                                                 \
    " AND restart_lsn < pg_last_wal_replay_lsn()"

/* Slots that have a number of their own. Base backups are left alone: they acknowledge nothing. */
#define ANEW_PATTERN "'^repmgr_slot_[0-9]+_[0-9]+$'"
#define ANEW_SQL                                                                                                       \
    "]::name[] LOOP"                                                                                                   \
    " CONTINUE WHEN n !~ " ANEW_PATTERN ";"                                                                            \
    " kept := false;"                                                                                                  \
    " FOR f IN SELECT slot_name, restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary" \
    "  AND slot_name <> n AND slot_name ~ ('^' || substring(n from '^repmgr_slot_[0-9]+') || '(_[0-9]+)?$')"           \
    "  AND (active_pid IS NULL OR active_pid NOT IN (SELECT pid FROM pg_stat_replication"                              \
    "  WHERE application_name = 'pg_basebackup')) ORDER BY restart_lsn"                                                \
    " LOOP"                                                                                                            \
    "  IF NOT kept AND f.restart_lsn IS NOT NULL THEN BEGIN"                                                           \
    "   PERFORM pg_copy_physical_replication_slot(f.slot_name, 'raftmgr_kept', true);"                                 \
    "   kept := true;"                                                                                                 \
    "   EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'slot %: %', f.slot_name, SQLERRM;"                                    \
    "  END; END IF;"                                                                                                   \
    "  FOR i IN 1..100 LOOP BEGIN"                                                                                     \
    "   PERFORM pg_drop_replication_slot(f.slot_name);"                                                                \
    "   EXIT;"                                                                                                         \
    "   EXCEPTION WHEN undefined_object THEN EXIT; WHEN object_in_use THEN"                                            \
    "    IF i = 100 THEN RAISE; END IF;"                                                                               \
    "    PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots"                                           \
    "     WHERE slot_name = f.slot_name AND active_pid IS NOT NULL;"                                                   \
    "    PERFORM pg_sleep(0.01);"                                                                                      \
    "  END; END LOOP;"                                                                                                 \
    " END LOOP;"                                                                                                       \
    " IF NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = n) THEN"                                       \
    "  IF kept THEN PERFORM pg_copy_physical_replication_slot('raftmgr_kept', n, false);"                              \
    "  ELSE PERFORM pg_create_physical_replication_slot(n, true); END IF;"                                             \
    " END IF;"                                                                                                         \
    " IF kept THEN PERFORM pg_drop_replication_slot('raftmgr_kept'); END IF;"                                          \
    " END LOOP; END $raftmgr$"

static void fail(struct pg *pg, enum err_code code, const char *text)
{
    struct err err = { 0 };
    act_finish(pg, err_set(&err, code, "%s", text), &err);
}

static void ended(struct pg *pg, const struct conn_answer *answer)
{
    if (answer->problem[0])
        fail(pg, ERR_DB_QUERY, answer->problem);
    else
        act_done(pg);
}

/* Slots come first: whoever may not end the connection still gets them. */
static void end_stray(struct pg *pg, const struct conn_answer *answer)
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

static bool any_anew(const struct pg *pg)
{
    const struct pg_action *what = &pg->act.what;

    for (uint32_t i = 0; i < what->slot_count && i < MEMBERS_MAX; i++)
        if (strchr(what->slots[i] + strcspn(what->slots[i], "0123456789"), '_'))
            return true;
    return false;
}

static void made(struct pg *pg, const struct conn_answer *answer)
{
    AUTO(buf) sql;

    buf_init(&sql, SQL_MAX);
    if (answer->problem[0] || !any_anew(pg)) {
        end_stray(pg, answer);
        return;
    }
    put(&sql, "DO $raftmgr$ DECLARE n name; f record; kept boolean; BEGIN FOREACH n IN ARRAY ARRAY[");
    put_names(pg, &sql);
    put(&sql, ANEW_SQL);
    buf_put_u8(&sql, 0);
    assert(!sql.failed);
    act_query(pg, (const char *)sql.bytes, end_stray);
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
    put(&sql, "]::name[]) AS n WHERE n <> '' AND n !~ " ANEW_PATTERN
              " AND n NOT IN (SELECT slot_name FROM pg_replication_slots)" ADVANCE_SQL);
    buf_put_u8(&sql, 0);
    assert(!sql.failed);
    act_query(pg, (const char *)sql.bytes, made);
}

void verb_slots(struct pg *pg)
{
    act_connect(pg, connected);
}
