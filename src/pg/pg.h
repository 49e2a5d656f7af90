/*
 * pg.h - the adapter to the one PostgreSQL of this host: looks at it and carries decisions out.
 *
 * Everything runs on the caller's libuv loop and never blocks it: libpq is used asynchronously, programs run as
 * children, only small files are written at once. What a look tells and what may be asked stands in core/instance.h.
 * The adapter decides nothing: it does not start, stop or promote unless an action says so. It has to run as the owner
 * of the data directory. Children are run by uv_spawn, so nobody else in the process may wait for any child.
 */
#ifndef RAFTMGR_PG_H
#define RAFTMGR_PG_H

#include <uv.h>

#include "base/err.h"
#include "core/instance.h"
#include "pg/schema.h"

#define PG_LOOK_MS 1000 /* defaults of pg_pace() */
#define PG_KNOCK_MS 2000
#define PG_PATIENCE_MS 2000

struct pg;

struct pg_config {
    int32_t node_id;
    char node_name[NAME_SIZE];         /* application_name towards the upstream */
    char data_directory[PATH_SIZE];    /* absolute */
    char config_directory[PATH_SIZE];  /* where postgresql.conf is; empty: in the data directory */
    char bindir[PATH_SIZE];            /* empty: /usr/lib/postgresql/NN/bin of PG_VERSION or the newest, else PATH */
    char conninfo[CONNINFO_SIZE];      /* of the local server, as registered */
    char passfile[PATH_SIZE];          /* empty: libpq's default */
    char replication_user[NAME_SIZE];  /* empty: the user of the upstream's conninfo */
    char runtime_directory[PATH_SIZE]; /* under /run, gone after a boot: the latch file, private sockets */
    char state_directory[PATH_SIZE];   /* durable: diverged/<token>/, the mark of an unfinished clone or rewind */
    char log_file[PATH_SIZE];          /* standard error of a started server; empty: raftmgr-server.log in PGDATA */
    bool start_latch;                  /* the server starts only once raftmgrd wrote the latch file in this boot */
};

struct pg_callbacks {
    void *ctx;
    /* After every look and at once on the postmaster's death. The value is borrowed until return. */
    void (*seen)(void *ctx, const struct pg_seen *seen);
    /* Exactly once for every pg_act(), never from within it. */
    void (*done)(void *ctx, const struct pg_result *result);
    /* Exactly once for every pg_schema(), never from within it; code 0 or negative, text says why. */
    void (*schema_done)(void *ctx, int code, const char *text);
};

/* Takes the instance under observation; the first seen() comes soon after. Writes the latch where a server runs, and
 * puts standby.signal back where the directory is raftmgr's and lacks it; ends programs that an earlier life has left
 * (survivor.h), and takes back its order to promote. The data directory need not exist, the state directory must.
 * ERR_CONFIG: paths that are not absolute, a bad conninfo, a data directory of another user, no PostgreSQL programs. */
int pg_open(struct pg **ret, uv_loop_t *loop, const struct pg_config *config, const struct pg_callbacks *callbacks,
            struct err *err);

/* Gives everything up; PostgreSQL itself is left alone. No callback of pg_callbacks comes any more; frees pg, then
 * calls done(ctx) (may be NULL) from the loop. A running action's child is killed. */
void pg_close(struct pg *pg, void (*done)(void *ctx), void *ctx);

/* Looks again now, or right after the look that is under way; calls in between count as one. */
void pg_look(struct pg *pg);

/* How often to look over the kept connection; how often to see whether a new one is taken; and how long the latter may
 * take, at least 500 ms. A connection that has to be opened, or a statement, has twice that. */
void pg_pace(struct pg *pg, unsigned look_ms, unsigned knock_ms, unsigned patience_ms);

/* Begins an action; the value is copied. One at a time: must not be called before the last one's done(). */
void pg_act(struct pg *pg, const struct pg_action *action);

/* Gives the running action up: its child is killed, done() comes soon with -ERR_CANCELED (or how it ended just before).
 * What was begun in the server is not undone; standby.signal is in place again. Does nothing where no action runs. */
void pg_act_cancel(struct pg *pg);

/* Makes the repmgr schema equal to this committed state, over a connection of its own and beside any action. The value
 * is copied. One at a time: must not be called before the last one's schema_done(). On a standby: ERR_REFUSED. */
void pg_schema(struct pg *pg, const struct pg_schema *schema);

#endif
