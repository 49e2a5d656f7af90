/* schema_sql.h - the statements that make the repmgr schema equal to a committed state. */
#ifndef RAFTMGR_PG_SCHEMA_SQL_H
#define RAFTMGR_PG_SCHEMA_SQL_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "pg/schema.h"

#define SCHEMA_SQL_MAX (1024 * 1024)

/* Appends statements that make what is missing of schema, tables and views, and set their rows; to be sent as one
 * query, which is one transaction. Literals are quoted by this connection. */
void schema_sql(PGconn *connection, const struct pg_schema *schema, struct buf *ret);

#endif
