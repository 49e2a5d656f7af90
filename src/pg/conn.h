/*
 * conn.h - one connection to a PostgreSQL server on the loop: opened, asked and dropped without blocking, each with a
 * deadline.
 *
 * Every connection calls itself raftmgr and works at synchronous_commit = local: it never waits for a standby
 * (design-review.md R38). It takes the server as it is, whatever target_session_attrs a conninfo
 * asks for. An object lives from conn_open to conn_drop; its memory goes when its handles are
 * closed. Callbacks never come from within the call that asked for them, and never after conn_drop.
 */
#ifndef RAFTMGR_PG_CONN_H
#define RAFTMGR_PG_CONN_H

#include <libpq-fe.h>

#include "core/types.h"
#include "pg/pool.h"

struct conn;

struct conn_target {
    char conninfo[CONNINFO_SIZE];
    char hostaddr[ADDRESS_SIZE]; /* empty: as conninfo says. Numeric, so that libpq resolves no name */
    char host[PATH_SIZE];        /* a socket directory to be used instead; empty: as conninfo says */
    char passfile[PATH_SIZE];    /* empty: libpq's default */
    bool unresolved;             /* its host is a name, and no address is known: a connection fails at once */
};

struct conn_answer {
    const PGresult *rows; /* NULL: it failed. Borrowed until return */
    const char *problem;  /* why, one line; empty on success */
    const char *sqlstate; /* of a failed query, else empty */
    bool timed_out;
};

typedef void (*conn_answer_fn)(void *ctx, const struct conn_answer *answer);

/* Begins to connect. opened() comes once; rows is NULL there also on success, so look at problem. */
struct conn *conn_open(struct pool *pool, const struct conn_target *target, int64_t timeout_ms, conn_answer_fn opened,
                       void *ctx);

/* Begins to connect without a password and without TLS, and goes no further than where the server asks for the first: a
 * sign that its postmaster accepts and forks, for the price of a few bytes (scram-sha-256 is meant to be slow).
 * answered() comes once; the connection is good for nothing but conn_drop then. */
struct conn *conn_knock(struct pool *pool, const struct conn_target *target, int64_t timeout_ms,
                        conn_answer_fn answered, void *ctx);

/* Sends one simple query (it may hold several statements: one transaction). Answered once: the first error, or the last
 * statement's rows. One at a time. After a timeout or a lost connection the connection is good for nothing but
 * conn_drop. */
void conn_query(struct conn *conn, const char *sql, int64_t timeout_ms, conn_answer_fn answered, void *ctx);

/* Open, no query under way, not lost. Accepts NULL. */
bool conn_is_idle(const struct conn *conn);

/* server_version_num. */
uint32_t conn_version(const struct conn *conn);

/* The libpq handle, for quoting only. */
PGconn *conn_pq(struct conn *conn);

/* Closes it; what is under way is forgotten. Accepts NULL. */
void conn_drop(struct conn *conn);

#endif
