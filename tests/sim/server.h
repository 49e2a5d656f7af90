/*
 * server.h - a fake PostgreSQL: WAL, timelines, streaming, synchronous commit, starts and stops, as far as the protocol
 * depends on them, with the traps of the real one (R4 to R9).
 *
 * WAL is a tree of branches. Each start of a server as a primary makes a branch of its own, so that two servers which
 * wrote different things at the same position of the same timeline number stay different here, even where PostgreSQL
 * could not tell. A data directory holds one branch up to an end, and its ancestors up to where it forked.
 */
#ifndef RAFTMGR_SIM_SERVER_H
#define RAFTMGR_SIM_SERVER_H

#include "core/instance.h"

#define BRANCHES_MAX 1024
#define SENDERS_MAX 12
#define CLIENTS 2
#define SYSTEM_OWN 7u
#define SYSTEM_OTHER 8u
#define TIMELINES_MAX 2048 /* numbers whose history files are kept track of */

struct host;
struct world;
struct moment;

struct branch {
    uint32_t timeline;
    int32_t parent; /* -1: none */
    uint64_t fork;  /* where it left its parent */
    uint64_t acked; /* end of the last acknowledged commit on it; 0: none */
    uint32_t host;  /* who wrote it */
};

struct wal {
    int32_t branch; /* -1: nothing usable */
    uint64_t end;
};

/* synchronous_standby_names as one process has it: ANY k of hosts by bit. */
struct sync_set {
    uint32_t k;
    uint32_t names;
};

struct sender {
    bool used, streaming, diverged, in_flight;
    uint64_t connection;
    uint32_t to;
    int32_t pid;
    int64_t started_us, replied_us, heard_us;
    uint64_t flushed;
    bool reload_pending; /* it was signalled and has not read the settings yet */
    uint32_t replies;    /* taken in since then */
    struct sync_set view;
    char slot[NAME_SIZE];
};

struct receiver {
    bool running;
    uint64_t connection;
    uint32_t from;
    int64_t heard_us;
};

enum server_state { SERVER_DOWN, SERVER_STARTING, SERVER_STANDBY, SERVER_PRIMARY, SERVER_STOPPING };

struct client {
    uint64_t waits_for; /* end of its commit; 0: none */
    int32_t branch;
    int64_t since_us;
};

struct server {
    /* the data directory */
    uint64_t system; /* identifier */
    bool present, incomplete;
    struct wal wal;
    bool clean, was_primary, signal;
    uint32_t control_timeline; /* of the newest checkpoint, which pg_rewind takes for that of the server */
    uint64_t checkpoint;
    bool conf_present;
    struct pg_conf conf;
    uint64_t conf_no; /* counts writes of the file */
    uint64_t histories[TIMELINES_MAX / 64];
    uint32_t slot_count;
    char slots[MEMBERS_MAX][NAME_SIZE];
    /* its processes */
    enum server_state state, stopping_from;
    bool starting_primary, promoting, by_hand;
    uint64_t run; /* counts starts and ends */
    int64_t started_us;
    bool orphans;
    uint64_t loaded_no;
    int32_t upstream;
    char slot[NAME_SIZE];
    struct sync_set sync;
    bool agent_only;
    bool defined; /* what the checkpointer told the backends: commits wait */
    uint64_t replayed;
    bool replaying, attaching;
    bool received; /* a receiver has run since the start: its flushed position is known */
    struct receiver receiver;
    struct sender senders[SENDERS_MAX];
    struct client clients[CLIENTS];
    uint64_t shutdown_end;
    int64_t answered_us; /* host's clock */
    /* faults, until these true moments */
    bool hung_wholly; /* while it is hung, connections that are open do not answer either */
    int64_t hung_until_us, read_only_until_us, replay_stuck_until_us, slow_until_us;
};

/* wal.c */
int32_t wal_branch(struct world *world, uint32_t timeline, int32_t parent, uint64_t fork);
/* `holder` has every record of `what`. */
bool wal_holds(const struct world *world, struct wal holder, struct wal what);
/* Timeline of the last record. */
uint32_t wal_timeline(const struct world *world, struct wal wal);
void wal_history(const struct world *world, struct wal wal, struct history *ret_history);
/* Where PostgreSQL, which sees timeline numbers and positions only, finds that `wal` left the other's history;
 * UINT64_MAX: it did not; 0: nothing in common. */
uint64_t wal_visible_fork(const struct world *world, struct wal wal, struct wal other);
/* Every acknowledged commit is in there; if not, *ret_lost is one that is not. */
/* How far the holder has what this is: a position on the way to what.end. */
uint64_t wal_common(const struct world *world, struct wal holder, struct wal what);
bool wal_holds_all_acked(const struct world *world, struct wal holder, struct wal *ret_lost);
void histories_add(struct server *server, uint32_t timeline);
bool histories_has(const struct server *server, uint32_t timeline);

/* server.c: processes */
void server_start(struct host *host, bool as_primary);
void server_stop_fast(struct host *host);
void server_kill(struct host *host, bool leave_orphans);
void server_promote(struct host *host, bool by_hand);
void server_load(struct host *host);
void server_place_signal(struct host *host); /* standby.signal, beside a running primary too */
void server_write_conf(struct host *host, const struct pg_conf *conf);
bool server_runs(const struct server *server);
bool server_writable(const struct host *host);
void server_started(struct host *host, const struct moment *moment);
void server_stopping(struct host *host, const struct moment *moment);
void server_promoted(struct host *host, const struct moment *moment);
void server_replayed(struct host *host, const struct moment *moment);
void server_defined(struct host *host, const struct moment *moment);
void server_client(struct host *host, const struct moment *moment);

/* stream.c: connections */
void stream_attach(struct host *host, const struct moment *moment);
void stream_want(struct host *host); /* the startup process wants WAL, if it does */
void stream_wal(struct host *host, const struct moment *moment);
void stream_ack(struct host *host, const struct moment *moment);
void stream_senders(struct host *host, const struct moment *moment);
void stream_receiver(struct host *host, const struct moment *moment);
void stream_hangup(struct host *host, const struct moment *moment);
void stream_reconnect(struct host *host, const struct moment *moment);
void stream_view(struct host *host, const struct moment *moment);
void stream_pump(struct host *host);
void stream_end_receiver(struct host *host);
void stream_end_all(struct host *host);
void stream_end_sender(struct host *host, struct sender *sender);
/* This walsender's own copy of the settings names its client. */
bool stream_named(const struct world *world, const struct sender *sender);
void stream_release(struct host *host, const struct sender *by);

/* look.c */
void server_look(struct host *host, struct pg_seen *ret_seen);

#endif
