/*
 * adapter.h - the adapter's own state, shared by the files of src/pg/ and by nobody else.
 *
 * Three parts run beside each other on the loop: the probe (looks), at most one action, at most one schema run. Each
 * has connections of its own. Everything that lives on the loop is counted in pool; the memory goes when all is closed.
 */
#ifndef RAFTMGR_PG_ADAPTER_H
#define RAFTMGR_PG_ADAPTER_H

#include "guard/instance.h"
#include "pg/child.h"
#include "pg/conn.h"
#include "pg/look.h"
#include "pg/pg.h"
#include "pg/place.h"
#include "pg/probe.h"
#include "pg/survivor.h"

typedef void (*step_fn)(struct pg *pg);
typedef void (*answer_fn)(struct pg *pg, const struct conn_answer *answer);
typedef void (*end_fn)(struct pg *pg, const struct child_end *end);

/* A server process that was started here. */
struct server {
    uv_process_t process;
    struct pool *pool;
    struct pg *pg; /* NULL once nobody asks any more */
    bool exited;
    int status; /* of its exit; negative: the signal that ended it */
};

struct act {
    bool running;
    struct pg_action what;
    struct pg_result result;
    uv_timer_t deadline;
    uv_timer_t step;
    step_fn next;
    answer_fn answered;
    end_fn ended;
    struct conn *conn;
    struct child *child;
    int64_t begun_us;
    struct own *own;       /* part of scratch, of a rewind */
    bool while_silent;     /* its time counts from the last output of its program */
    bool signal_owed;      /* standby.signal has to be there when the action ends */
    uint64_t written;      /* by this action */
    char waits[TEXT_SIZE]; /* for what, for the message at the deadline */
    step_fn confirmed;
    int64_t stage_us; /* when the present stage began */
    int stage;
    int passes;
    int failures;                           /* tries to confirm that failed */
    void *scratch;                          /* a verb's own memory, freed at the end: */
    void (*scratch_release)(void *scratch); /* NULL: by free() */
};

struct schema_run {
    bool running;
    struct conn *conn;
    struct pg_schema *schema; /* ours while it runs */
};

struct pg {
    struct pool pool;
    struct pg_config config;
    struct pg_callbacks callbacks;
    char bindir[PATH_SIZE];
    char mark[SURVIVOR_MARK_SIZE]; /* of the programs of actions */
    struct instance instance;
    struct conn_target target; /* of the local server */
    char host[ADDRESS_SIZE];   /* name to be resolved; empty: none */
    uv_getaddrinfo_t *resolving;
    int64_t resolving_since_us;
    int64_t resolved_at_us;
    struct probe probe;
    struct act act;
    struct schema_run schema;
    struct server *server;
    char hba_file[2 * PATH_SIZE]; /* the operator's, of a server that runs with ours; empty: not known yet */
    off_t server_log_from;        /* where what it writes begins */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* probe.c */
void probe_begin(struct pg *pg);
void probe_end(struct pg *pg);
/* Finds the postmaster now, if it is not known yet. True when there is one. */
bool probe_find(struct pg *pg);
/* Sends a signal to the postmaster, never to a later process of its number. False when it is gone. */
bool probe_signal(struct pg *pg, int signal);
/* Wakes the startup process out of its sleep between two attempts to get WAL (reference/postgres.md, the hidden five
 * seconds): a SIGHUP to it alone. */
void probe_nudge(struct pg *pg);
/* The settings file was written with this number; not loaded yet. */
void probe_written(struct pg *pg, uint64_t written);
/* A new connection has seen this number in effect. */
void probe_loaded(struct pg *pg, uint64_t written);
/* The timeline that startup or the server is on, as last seen or by the control file. */
struct timeline probe_timeline(struct pg *pg);

/* seen.c: merges what was looked at into pg_seen */
void seen_without_server(struct pg *pg);
void seen_from_look(struct pg *pg, const struct look *look, bool fresh);
void seen_conf(struct pg *pg);
void seen_tell(struct pg *pg);

/* act.c */
void act_begin(struct pg *pg);
void act_end(struct pg *pg);
/* Ends the action: result is filled with code and the error's text. */
void act_finish(struct pg *pg, int code, const struct err *err);
void act_done(struct pg *pg);
/* Runs next after that many milliseconds. */
void act_later(struct pg *pg, unsigned ms, step_fn next);
/* Notes what the action waits for: it is named when the time is up. */
void act_waits(struct pg *pg, const char *format, ...) PRINTF_LIKE(2, 3);
/* Opens a connection of the action's own; an old one is dropped. */
void act_connect(struct pg *pg, answer_fn fn);
void act_query(struct pg *pg, const char *sql, answer_fn fn);
/* For what may take as long as the action has time. */
void act_query_patiently(struct pg *pg, const char *sql, answer_fn fn);
/* Runs a program of PostgreSQL's with LC_ALL=C until the action's deadline. */
void act_run(struct pg *pg, const char *const *argv, const char *env, end_fn fn);
/* Asks the programs what a setting is in the data directory, whether a server runs or not; fn gets the value by
 * act_setting(): empty where it is empty, where this version does not know it, and where it could not be asked
 * (end->problem). */
void act_ask_setting(struct pg *pg, const char *name, end_fn fn);
void act_setting(const struct child_end *end, char *value, size_t size);
/* Writes the action's conf and has the running server load it. False: the action was ended with an error. */
bool act_write_conf(struct pg *pg);
void act_reload(struct pg *pg);
/* Opens new connections until one shows the written settings in effect, then calls next. */
void act_confirm(struct pg *pg, step_fn next);
/* Microseconds since the stage began; act_stage begins one. */
void act_stage(struct pg *pg, int stage);
int64_t act_stage_us(const struct pg *pg);
/* The path of one of PostgreSQL's programs. Size PATH_SIZE + 32. */
const char *act_program(const struct pg *pg, const char *name, char *path);

/* server.c: starts the postmaster as a process that outlives us */
int server_start(struct pg *pg, const char *const *extra, struct err *err);
bool server_ended(const struct pg *pg);
void server_forget(struct pg *pg);

/* verbs */
void verb_adopt(struct pg *pg);
void verb_start_standby(struct pg *pg);
void verb_start_primary(struct pg *pg);
void verb_stop(struct pg *pg);
void verb_kill(struct pg *pg);
void verb_configure(struct pg *pg);
void verb_detach(struct pg *pg);
void verb_promote(struct pg *pg);
void verb_rewind(struct pg *pg);
void verb_clone(struct pg *pg);
void verb_slots(struct pg *pg);
void verb_checkpoint(struct pg *pg);

/* schema.c */
void schema_end(struct pg *pg);

#endif
