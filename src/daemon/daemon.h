/*
 * daemon.h - raftmgrd: the shell around the manager. One loop, one thread; the parts hang on this one struct.
 *
 * main.c reads the command line, daemon.c opens and closes the parts and turns the crank, live.c makes the manager's
 * ports out of them, identity.c keeps what must not be forgotten, join.c founds and joins, guardian.c watches the
 * guard, publish.c keeps the repmgr schema, hook.c runs event_notification_command, api*.c and status.c answer rmctl.
 */
#ifndef RAFTMGR_DAEMON_H
#define RAFTMGR_DAEMON_H

#include <uv.h>

#include "consensus/consensus.h"
#include "core/settings.h"
#include "daemon/manager.h"
#include "guard/guard.h"
#include "net/net.h"
#include "pg/pg.h"

/* What the state directory says of this node (identity.c). */
struct identity {
    uint64_t cluster_id; /* 0: neither founded nor admitted yet */
    uint64_t raft_id;
    uint32_t epoch;
    uint64_t system_identifier;
    uint64_t start_no; /* of this life */
    bool founder;      /* begins the cluster: FOUND is not committed yet */
    bool begun;        /* the Raft log has held the cluster's state: without it this raft id is used up (R19) */
    unsigned raft_election_timeout_ms; /* as last agreed; 0: not yet, then the file's count */
    unsigned raft_heartbeat_ms;
};

#define ADMISSIONS_MAX 8

/* A node that asked this member to be let in, and whom that was told (join.c). */
struct admission {
    int32_t node_id;         /* 0: free */
    uint64_t asker;          /* which daemon: two hosts may have the same node id by mistake */
    struct net_reply *reply; /* owed; NULL: it has its raft id */
    int64_t wall_us;         /* of the JOIN that was proposed for it, which is known again by that when it is applied */
    int64_t until_us;        /* owed: the answer is due; else: no other daemon gets this node id before */
};

struct api;
struct joiner;

struct daemon {
    uv_loop_t loop;
    char config_path[PATH_SIZE];
    struct settings settings;
    struct identity identity;
    int lock_fd; /* of the state directory */
    struct net *net;
    struct consensus *consensus; /* NULL until founded or admitted */
    struct pg *pg;               /* NULL on a witness */
    struct guard guard;
    uv_poll_t *guard_poll;     /* on the guard's pidfd */
    int64_t guard_retry_at_us; /* before that no other guard is started */
    int64_t guard_stuck_at_us; /* since when it takes no orders; 0: it does */
    bool guard_taken;          /* by another daemon: this one must end */
    struct manager manager;    /* cluster.cluster_id 0 until the log says more */
    struct pg_seen seen;       /* newest look, also before this node is a member */
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_signal_t sigterm, sigint, sighup;
    bool woken;    /* the crank is to be turned before the loop sleeps */
    bool stopping; /* told to end, handing over */
    bool closing;
    int exit_status;
    unsigned again_count; /* starts in a row that came to nothing before this one (again.h) */
    int64_t begun_us;     /* this start */
    bool again;           /* it ends to be started anew, by itself */
    struct api *api;
    struct joiner *joiner;            /* asks for admission; NULL when a member, or without `join` */
    char join_problem[TEXT_SIZE * 2]; /* why this node was not admitted, for status */
    uint64_t peers[MEMBERS_MAX];      /* raft ids that have a peer connection */
    bool flush_wanted;                /* the leader's followers are to learn the commit index at once */
    uint64_t peers_version;           /* cluster version that the peer connections were made for */
    struct admission admissions[ADMISSIONS_MAX];
    int64_t found_at_us;     /* when FOUND was last proposed */
    unsigned paced_by_ms;    /* the failure_timeout that PostgreSQL is looked at by */
    int64_t noted_at_us;     /* when the agreed state could not be noted in identity; 0: it was */
    int64_t published_at_us; /* publish.c */
    bool publishing;
    struct pg_schema published;
    uint64_t hooked;                   /* records that event_notification_command has been run for */
    char policy_notice[2 * TEXT_SIZE]; /* the file's cluster settings that differ, as last told */
    uint64_t policy_compared;          /* policy_version that it was last made from; the file's do not change */
};

/* Turn the crank before the loop sleeps again. Cheap; any number of times. */
void daemon_wake(struct daemon *daemon);

/* One event line with formatted logfmt pairs. */
void daemon_event(struct daemon *daemon, enum event event, const char *format, ...) PRINTF_LIKE(3, 4);

/* The daemon cannot go on: says so, ends with exit status 1 or err's. PostgreSQL and guard stay. */
void daemon_fail(struct daemon *daemon, const struct err *err);

/* The Raft log cannot be written, or libraft not be relied on: ends as above, to start anew by itself (again.h). */
void daemon_fail_log(struct daemon *daemon, const char *problem);

/* Ends in good order: hands leadership over, closes everything, leaves PostgreSQL and guard alone. */
void daemon_stop(struct daemon *daemon);

/* Opens everything that a member has: consensus, manager. identity must be complete. */
int daemon_become_member(struct daemon *daemon, struct err *err);

/* This node's own row as its file has it (raft_id and start_no from identity). */
void daemon_self(const struct daemon *daemon, struct member *ret_member);

/* live.c: the ports of the manager over net, consensus, pg and guard. */
struct ports live_ports(struct daemon *daemon);
struct net_callbacks live_net_callbacks(struct daemon *daemon);
struct consensus_callbacks live_consensus_callbacks(struct daemon *daemon);
struct pg_callbacks live_pg_callbacks(struct daemon *daemon);
/* Tells the manager what consensus says of itself. */
void live_note_raft(struct daemon *daemon);
/* Peer connections in line with the members. */
void live_keep_peers(struct daemon *daemon);

/* identity.c */
/* mkdir, durably; one that exists is left alone. what: how the operator calls it. */
int identity_make_directory(const char *path, const char *what, struct err *err);
/* Locks the state directory, reads what this node is, counts the start. Durable before it returns. */
int identity_open(struct daemon *daemon, struct err *err);
/* Writes all of it but the start number; durable before it returns. On failure the old one stays in force. */
int identity_save(struct daemon *daemon, const struct identity *identity, struct err *err);
/* The data directory's identity (raftmgr.id in it): its cluster (0: none) and directory id (0: none, or no file). */
int identity_read_directory(const struct daemon *daemon, uint64_t *ret_cluster_id, struct directory_id *ret_directory,
                            struct err *err);
/* Directory 0 removes the file. */
int identity_save_directory(const struct daemon *daemon, struct directory_id directory, struct err *err);

/* join.c */
/* Begins to ask the members of `join` for admission, again and again. force: `standby register --force`. */
void join_start(struct daemon *daemon, bool force);
void join_stop(struct daemon *daemon);
/* The founding of a cluster, up to the proposal of FOUND; the API then waits for the state. */
int join_found(struct daemon *daemon, struct err *err);
/* A request of another host's daemon: admission. The reply is sent now, when the JOIN is applied, or in 5 s. */
void join_request(struct daemon *daemon, struct net_reply *reply, const uint8_t *bytes, size_t length);
/* bytes have been applied; admitted: they gave out a new raft id. Answers whom they were proposed for. */
void join_applied(struct daemon *daemon, const uint8_t *bytes, size_t length, bool admitted);

/* guardian.c */
int guardian_start(struct daemon *daemon, struct err *err);
void guardian_order(struct daemon *daemon, enum guard_wish wish, int64_t kill_at_us, struct token token);
/* Before every turn of the crank: is the guard well, is one to be started? Returns when to be called at the latest. */
int64_t guardian_turn(struct daemon *daemon, int64_t now_us);
void guardian_stop(struct daemon *daemon);

/* publish.c, hook.c: called on every turn of the crank. */
void publish_turn(struct daemon *daemon, int64_t now_us);
void hook_turn(struct daemon *daemon);

/* api.c: the control socket. */
int api_open(struct daemon *daemon, struct err *err);
void api_close(struct daemon *daemon);
/* Called after every turn of the crank: requests that wait for the state look at it. */
void api_turn(struct daemon *daemon, int64_t now_us);

#endif
