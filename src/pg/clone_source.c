/* clone_source.c - the source's side of a clone: facts, replication connections, the slot. Blocking. See clone.h. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>

#include "pg/clone.h"
#include "pg/conf.h"

#define TRIES_MAX 8
#define DROP_TRIES 50
#define DROP_PAUSE_MS 100

static void connection_release(PGconn **connection)
{
    PQfinish(*connection); /* accepts NULL */
}
#define AUTO_CONNECTION __attribute__((cleanup(connection_release))) PGconn *

static void rows_release(PGresult **rows)
{
    PQclear(*rows);
}
#define AUTO_ROWS __attribute__((cleanup(rows_release))) PGresult *

static void one_line(char *text)
{
    for (char *at = text; *at; at++) {
        if (*at == '\n' || *at == '\t')
            *at = ' ';
    }
    for (size_t length = strlen(text); length > 0 && text[length - 1] == ' '; length--)
        text[length - 1] = '\0';
}

static int failure(struct err *err, enum err_code code, const char *what, const char *message)
{
    char text[512];

    (void)text_copy(text, sizeof text, message);
    one_line(text);
    return err_set(err, code, "%s: %s", what, text);
}

/* Connects to the source. replication: as a walsender. NULL when it fails. */
static PGconn *connect_source(const struct clone_options *options, bool replication, struct err *err)
{
    const char *user = replication && options->replication_user[0] ? options->replication_user : NULL;
    const char *keys[8] = { "dbname", "fallback_application_name", "connect_timeout" };
    const char *values[8] = { options->source_conninfo, "raftmgr", "10" };
    size_t used = 3;

    if (user) {
        keys[used] = "user";
        values[used++] = user;
    }
    if (options->passfile[0]) {
        keys[used] = "passfile";
        values[used++] = options->passfile;
    }
    if (replication) {
        keys[used] = "replication";
        values[used++] = "true";
        keys[used] = "dbname"; /* the name by which programs and receivers look into the password file */
        values[used++] = "replication";
    } else {
        keys[used] = "options";
        values[used++] = "-c search_path=";
    }
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    if (PQstatus(connection) == CONNECTION_OK)
        return connection;
    (void)failure(err, ERR_DB_CONN, "could not connect to the source", PQerrorMessage(connection));
    PQfinish(connection);
    return NULL;
}

static PGresult *ask(PGconn *connection, const char *sql, struct err *err)
{
    PGresult *rows = PQexec(connection, sql);

    if (PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    (void)failure(err, ERR_DB_QUERY, "the source refused a query", PQerrorMessage(connection));
    PQclear(rows);
    return NULL;
}

static uint32_t number_of(const PGresult *rows, int column)
{
    return (uint32_t)strtoul(PQgetvalue(rows, 0, column), NULL, 10);
}

static bool truth_of(const PGresult *rows, int column)
{
    return PQgetvalue(rows, 0, column)[0] == 't';
}

static int ask_server(PGconn *connection, const struct clone_options *options, struct clone_facts *facts,
                      struct err *err)
{
    static const char sql[] =
        "SELECT pg_is_in_recovery(), (SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datallowconn)"
        ", current_setting('wal_level'), current_setting('data_checksums'), current_setting('wal_log_hints')"
        ", current_setting('max_wal_senders'), (SELECT count(*) FROM pg_stat_replication)"
        ", current_setting('max_replication_slots'), (SELECT count(*) FROM pg_replication_slots)"
        ", current_database(), current_user, to_regclass('repmgr.nodes') IS NOT NULL"
        ", EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1::name)";
    const char *values[] = { options->slot };
    AUTO_ROWS rows = PQexecParams(connection, sql, 1, NULL, values, NULL, NULL, 0);

    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        return failure(err, ERR_DB_QUERY, "the source refused a query", PQerrorMessage(connection));
    facts->in_recovery = truth_of(rows, 0);
    facts->size_bytes = strtoull(PQgetvalue(rows, 0, 1), NULL, 10);
    (void)text_copy(facts->wal_level, sizeof facts->wal_level, PQgetvalue(rows, 0, 2));
    facts->data_checksums = strcmp(PQgetvalue(rows, 0, 3), "on") == 0;
    facts->wal_log_hints = strcmp(PQgetvalue(rows, 0, 4), "on") == 0;
    facts->max_wal_senders = number_of(rows, 5);
    uint32_t senders = number_of(rows, 6);
    facts->free_wal_senders = senders < facts->max_wal_senders ? facts->max_wal_senders - senders : 0;
    facts->max_replication_slots = number_of(rows, 7);
    uint32_t slots = number_of(rows, 8);
    facts->free_replication_slots = slots < facts->max_replication_slots ? facts->max_replication_slots - slots : 0;
    (void)text_copy(facts->database, sizeof facts->database, PQgetvalue(rows, 0, 9));
    (void)text_copy(facts->user, sizeof facts->user, PQgetvalue(rows, 0, 10));
    facts->has_nodes = truth_of(rows, 11);
    facts->has_slot = truth_of(rows, 12);
    facts->version_number = (uint32_t)PQserverVersion(connection);
    return 0;
}

static int ask_nodes(PGconn *connection, struct clone_facts *facts, struct err *err)
{
    AUTO_ROWS rows =
        ask(connection, "SELECT node_id, node_name FROM repmgr.nodes WHERE type = 'primary' AND active LIMIT 1", err);

    if (!rows)
        return -(int)err->code;
    if (PQntuples(rows) == 0)
        return 0;
    facts->primary_id = (int32_t)number_of(rows, 0);
    (void)text_copy(facts->primary_name, sizeof facts->primary_name, PQgetvalue(rows, 0, 1));
    return 0;
}

int clone_look(const struct clone_options *options, struct clone_facts *ret, struct err *err)
{
    struct clone_facts facts = { 0 };
    AUTO_CONNECTION connection = connect_source(options, false, err);

    if (!connection)
        return -ERR_DB_CONN;
    int failed = ask_server(connection, options, &facts, err);
    if (!failed && facts.has_nodes)
        failed = ask_nodes(connection, &facts, err);
    if (!failed)
        *ret = facts;
    return failed;
}

int clone_name_is_taken(const struct clone_options *options, const char *node_name, int32_t node_id, bool *ret,
                        struct err *err)
{
    char id[16];
    const char *values[] = { node_name, id };
    AUTO_CONNECTION connection = connect_source(options, false, err);

    if (!connection)
        return -ERR_DB_CONN;
    AUTO_ROWS there = ask(connection, "SELECT to_regclass('repmgr.nodes') IS NOT NULL", err);
    if (!there)
        return -(int)err->code;
    *ret = false;
    if (!truth_of(there, 0))
        return 0;
    (void)snprintf(id, sizeof id, "%" PRId32, node_id);
    AUTO_ROWS rows =
        PQexecParams(connection, "SELECT 1 FROM repmgr.nodes WHERE active AND node_name = $1 AND node_id <> $2::int", 2,
                     NULL, values, NULL, NULL, 0);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        return failure(err, ERR_DB_QUERY, "the source refused a query", PQerrorMessage(connection));
    *ret = PQntuples(rows) > 0;
    return 0;
}

int clone_try_replication(const struct clone_options *options, unsigned wanted, unsigned *ret_made, struct err *err)
{
    PGconn *connections[TRIES_MAX] = { NULL };
    unsigned made = 0;

    assert(wanted <= TRIES_MAX);
    while (made < wanted && (connections[made] = connect_source(options, true, err)) != NULL)
        made++;
    for (unsigned i = 0; i < made; i++)
        PQfinish(connections[i]);
    *ret_made = made;
    return made < wanted ? -ERR_DB_CONN : 0;
}

static int run_for_slot(const struct clone_options *options, const char *sql, bool *ret_made, struct err *err)
{
    const char *values[] = { options->slot };
    AUTO_CONNECTION connection = connect_source(options, false, err);

    if (!connection)
        return -ERR_DB_CONN;
    AUTO_ROWS rows = PQexecParams(connection, sql, 1, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        return failure(err, ERR_DB_QUERY, "the source refused a query", PQerrorMessage(connection));
    *ret_made = PQntuples(rows) > 0;
    return 0;
}

int clone_slot_create(const struct clone_options *options, bool *ret_made, struct err *err)
{
    return run_for_slot(options,
                        "SELECT pg_create_physical_replication_slot($1::name, true)"
                        " WHERE $1::name NOT IN (SELECT slot_name FROM pg_replication_slots)",
                        ret_made, err);
}

/* The server notices late that who streamed through it has gone. */
int clone_slot_drop(const struct clone_options *options, struct err *err)
{
    bool dropped = false;
    bool there = true;

    for (int i = 0; i < DROP_TRIES; i++) {
        int failed = run_for_slot(options,
                                  "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                                  " WHERE slot_name = $1::name AND NOT active",
                                  &dropped, err);
        if (!failed && !dropped)
            failed =
                run_for_slot(options, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1::name", &there, err);
        if (failed || dropped || !there)
            return failed;
        (void)poll(NULL, 0, DROP_PAUSE_MS);
    }
    return err_set(err, ERR_REFUSED, "somebody still streams through it");
}
