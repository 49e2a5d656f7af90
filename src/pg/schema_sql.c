/*
 * schema_sql.c - repmgr's tables and views in plain SQL. See schema_sql.h.
 *
 * Where the real extension is installed its tables are there already and are used; CREATE ... IF NOT EXISTS leaves
 * them alone. Rows that are as wanted are not touched, so that nothing is written where nothing has changed. The
 * functions stand in for repmgr's, which read shared memory that is not there: real repmgr clients call them to
 * show a node's state.
 */
#include "pg/schema_sql.h"

#include <stdlib.h>

/* Each is made only where it is missing: IF NOT EXISTS alone would ask for rights that are not needed then. */
static const struct {
    const char *missing; /* an expression that is true when it is missing */
    const char *make;
} objects[] = {
    { "to_regnamespace('repmgr') IS NULL", "CREATE SCHEMA repmgr" },
    { "to_regclass('repmgr.nodes') IS NULL",
      "CREATE TABLE repmgr.nodes ("
      " node_id INTEGER PRIMARY KEY,"
      " upstream_node_id INTEGER NULL REFERENCES repmgr.nodes (node_id) DEFERRABLE,"
      " active BOOLEAN NOT NULL DEFAULT TRUE,"
      " node_name TEXT NOT NULL,"
      " type TEXT NOT NULL CHECK (type IN ('primary', 'standby', 'witness', 'bdr')),"
      " location TEXT NOT NULL DEFAULT 'default',"
      " priority INT NOT NULL DEFAULT 100,"
      " conninfo TEXT NOT NULL,"
      " repluser VARCHAR(63) NOT NULL,"
      " slot_name TEXT NULL,"
      " config_file TEXT NOT NULL)" },
    { "to_regclass('repmgr.events') IS NULL",
      "CREATE TABLE repmgr.events ("
      " node_id INTEGER NOT NULL,"
      " event TEXT NOT NULL,"
      " successful BOOLEAN NOT NULL DEFAULT TRUE,"
      " event_timestamp TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,"
      " details TEXT NULL)" },
    { "to_regclass('repmgr.monitoring_history') IS NULL", "CREATE TABLE repmgr.monitoring_history ("
                                                          " primary_node_id INTEGER NOT NULL,"
                                                          " standby_node_id INTEGER NOT NULL,"
                                                          " last_monitor_time TIMESTAMP WITH TIME ZONE NOT NULL,"
                                                          " last_apply_time TIMESTAMP WITH TIME ZONE,"
                                                          " last_wal_primary_location PG_LSN NOT NULL,"
                                                          " last_wal_standby_location PG_LSN,"
                                                          " replication_lag BIGINT NOT NULL,"
                                                          " apply_lag BIGINT NOT NULL)" },
    { "to_regclass('repmgr.idx_monitoring_history_time') IS NULL",
      "CREATE INDEX idx_monitoring_history_time ON repmgr.monitoring_history (last_monitor_time, standby_node_id)" },
    { "to_regclass('repmgr.voting_term') IS NULL", "CREATE TABLE repmgr.voting_term (term INT NOT NULL)" },
    { "to_regclass('repmgr.voting_term_restrict') IS NULL",
      "CREATE UNIQUE INDEX voting_term_restrict ON repmgr.voting_term ((TRUE))" },
    { "NOT EXISTS (SELECT FROM pg_rules WHERE schemaname = 'repmgr' AND rulename = 'voting_term_delete')",
      "CREATE RULE voting_term_delete AS ON DELETE TO repmgr.voting_term DO INSTEAD NOTHING" },
    { "to_regclass('repmgr.show_nodes') IS NULL",
      "CREATE VIEW repmgr.show_nodes AS SELECT n.node_id, n.node_name, n.active, n.upstream_node_id,"
      " u.node_name AS upstream_node_name, n.type, n.priority, n.conninfo"
      " FROM repmgr.nodes n LEFT JOIN repmgr.nodes u ON n.upstream_node_id = u.node_id" },
    { "to_regprocedure('repmgr.standby_get_last_updated()') IS NULL",
      "CREATE FUNCTION repmgr.standby_get_last_updated() RETURNS timestamptz LANGUAGE sql STABLE"
      " AS 'SELECT max(last_monitor_time) FROM repmgr.monitoring_history'" },
    { "to_regclass('repmgr.replication_status') IS NULL",
      "CREATE VIEW repmgr.replication_status AS SELECT m.primary_node_id, m.standby_node_id,"
      " n.node_name AS standby_name, n.type AS node_type, n.active, m.last_monitor_time,"
      " CASE WHEN n.type = 'standby' THEN m.last_wal_primary_location END AS last_wal_primary_location,"
      " m.last_wal_standby_location,"
      " CASE WHEN n.type = 'standby' THEN pg_size_pretty(m.replication_lag) END AS replication_lag,"
      " CASE WHEN n.type = 'standby' THEN CASE WHEN m.replication_lag > 0 THEN age(now(), m.last_apply_time)"
      " ELSE '0'::interval END END AS replication_time_lag,"
      " CASE WHEN n.type = 'standby' THEN pg_size_pretty(m.apply_lag) END AS apply_lag,"
      " age(now(), CASE WHEN pg_is_in_recovery() THEN repmgr.standby_get_last_updated()"
      " ELSE m.last_monitor_time END) AS communication_time_lag"
      " FROM repmgr.monitoring_history m JOIN repmgr.nodes n ON m.standby_node_id = n.node_id"
      " WHERE (m.standby_node_id, m.last_monitor_time) IN (SELECT h.standby_node_id, max(h.last_monitor_time)"
      " FROM repmgr.monitoring_history h GROUP BY 1)" },
    { "to_regprocedure('repmgr.get_repmgrd_pid()') IS NULL",
      "CREATE FUNCTION repmgr.get_repmgrd_pid() RETURNS int LANGUAGE sql AS 'SELECT -1'" },
    { "to_regprocedure('repmgr.repmgrd_is_running()') IS NULL",
      "CREATE FUNCTION repmgr.repmgrd_is_running() RETURNS bool LANGUAGE sql AS 'SELECT false'" },
    { "to_regprocedure('repmgr.repmgrd_is_paused()') IS NULL",
      "CREATE FUNCTION repmgr.repmgrd_is_paused() RETURNS bool LANGUAGE sql AS 'SELECT false'" },
    { "to_regprocedure('repmgr.get_upstream_last_seen()') IS NULL",
      "CREATE FUNCTION repmgr.get_upstream_last_seen() RETURNS int LANGUAGE sql AS 'SELECT -1'" },
    { "to_regprocedure('repmgr.get_upstream_node_id()') IS NULL",
      "CREATE FUNCTION repmgr.get_upstream_node_id() RETURNS int LANGUAGE sql AS 'SELECT -1'" },
};

static void put(struct buf *sql, const char *text)
{
    buf_put(sql, text, strlen(text));
}

static void put_literal(PGconn *connection, struct buf *sql, const char *text)
{
    char *quoted = PQescapeLiteral(connection, text, strlen(text));

    /* Text that is not valid in the client's encoding cannot be quoted: it is not stored at all. */
    put(sql, quoted ? quoted : "''");
    PQfreemem(quoted);
}

static void put_or_null(PGconn *connection, struct buf *sql, const char *text)
{
    if (text[0])
        put_literal(connection, sql, text);
    else
        put(sql, "NULL");
}

static void put_number(struct buf *sql, int64_t number)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, number);
    put(sql, text);
}

static void put_objects(PGconn *connection, struct buf *sql)
{
    put(sql, "DO $raftmgr$ BEGIN ");
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        put(sql, "IF ");
        put(sql, objects[i].missing);
        put(sql, " THEN EXECUTE ");
        put_literal(connection, sql, objects[i].make);
        put(sql, "; END IF; ");
    }
    put(sql, "END $raftmgr$;");
}

static void put_node(PGconn *connection, struct buf *sql, const struct pg_schema_node *node)
{
    put(sql, "(");
    put_number(sql, node->node_id);
    put(sql, ",");
    if (node->upstream_node_id)
        put_number(sql, node->upstream_node_id);
    else
        put(sql, "NULL::int");
    put(sql, node->active ? ",true," : ",false,");
    put_literal(connection, sql, node->node_name);
    put(sql, ",");
    put_literal(connection, sql, node->type);
    put(sql, ",");
    put_literal(connection, sql, node->location);
    put(sql, ",");
    put_number(sql, node->priority);
    put(sql, ",");
    put_literal(connection, sql, node->conninfo);
    put(sql, ",");
    put_literal(connection, sql, node->repluser);
    put(sql, ",");
    put_or_null(connection, sql, node->slot_name);
    put(sql, "::text,");
    put_literal(connection, sql, node->config_file);
    put(sql, ")");
}

#define COLUMNS                                                                                                        \
    "node_id, upstream_node_id, active, node_name, type, location, priority, conninfo, repluser"                       \
    ", slot_name, config_file"
#define COLUMNS_OF(t)                                                                                                  \
    t ".node_id, " t ".upstream_node_id, " t ".active, " t ".node_name, " t ".type, " t ".location, " t                \
      ".priority, " t ".conninfo, " t ".repluser, " t ".slot_name, " t ".config_file"

static void put_nodes(PGconn *connection, struct buf *sql, const struct pg_schema *schema)
{
    if (schema->node_count == 0) {
        put(sql, "DELETE FROM repmgr.nodes;");
        return;
    }
    put(sql, "SET CONSTRAINTS ALL DEFERRED; WITH v (" COLUMNS ") AS (VALUES ");
    for (uint32_t i = 0; i < schema->node_count && i < MEMBERS_MAX; i++) {
        if (i > 0)
            put(sql, ",");
        put_node(connection, sql, &schema->nodes[i]);
    }
    put(sql, "), gone AS (DELETE FROM repmgr.nodes WHERE node_id NOT IN (SELECT node_id FROM v))"
             " INSERT INTO repmgr.nodes AS n (" COLUMNS ") SELECT " COLUMNS " FROM v"
             " ON CONFLICT (node_id) DO UPDATE SET (" COLUMNS ") = ROW(" COLUMNS_OF(
                 "excluded") ")"
                             " WHERE (" COLUMNS_OF("n") ") IS DISTINCT FROM (" COLUMNS_OF("excluded") ");");
}

static void put_event(PGconn *connection, struct buf *sql, const struct pg_schema_event *event)
{
    put(sql, "INSERT INTO repmgr.events (node_id, event, successful, event_timestamp, details)"
             " SELECT v.* FROM (VALUES (");
    put_number(sql, event->node_id);
    put(sql, ",");
    put_literal(connection, sql, event->event);
    put(sql, event->successful ? "::text,true,'epoch'::timestamptz + " : "::text,false,'epoch'::timestamptz + ");
    put_number(sql, event->at_us);
    put(sql, " * interval '1 microsecond',");
    put_or_null(connection, sql, event->details);
    put(sql, "::text)) AS v (node_id, event, successful, at, details) WHERE NOT EXISTS (SELECT FROM repmgr.events e"
             " WHERE e.node_id = v.node_id AND e.event = v.event AND e.event_timestamp = v.at);");
}

void schema_sql(PGconn *connection, const struct pg_schema *schema, struct buf *ret)
{
    put_objects(connection, ret);
    put_nodes(connection, ret, schema);
    for (uint32_t i = 0; i < schema->event_count && i < SCHEMA_EVENTS_MAX; i++)
        put_event(connection, ret, &schema->events[i]);
    put(ret, "INSERT INTO repmgr.voting_term (term) SELECT ");
    put_number(ret, schema->voting_term);
    put(ret, " WHERE NOT EXISTS (SELECT FROM repmgr.voting_term); UPDATE repmgr.voting_term SET term = ");
    put_number(ret, schema->voting_term);
    put(ret, " WHERE term <> ");
    put_number(ret, schema->voting_term);
    put(ret, ";");
    buf_put_u8(ret, 0);
}
