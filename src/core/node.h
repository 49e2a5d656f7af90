/* node.h - shared between the parts of node_decide(): node.c, node_fence.c, node_primary.c, node_standby.c alone. */
#ifndef RAFTMGR_NODE_H
#define RAFTMGR_NODE_H

#include "core/decide.h"

#define START_TIMEOUT_US (60 * 1000000LL)
#define REPLAY_TIMEOUT_US (3600 * 1000000LL) /* a start that replays, a clone, a rewind */
#define RELOAD_TIMEOUT_US (5 * 1000000LL)
#define STOP_TIMEOUT_US (60 * 1000000LL)
#define CHECKPOINT_TIMEOUT_US (600 * 1000000LL)
#define SLOTS_EVERY_US (20 * 1000000LL)

/* One turn of the crank for one node: what is known, and the plan that grows. */
struct node_turn {
    const struct cluster *cluster;
    const struct node_view *view;
    const struct member *self;
    int64_t now_us;
    struct node_plan *plan;
    bool other_system; /* a directory of another PostgreSQL system lies where the data should: the view has none */
};

/* Names the reason; detail (may be NULL) for people. */
void node_because(struct node_turn *turn, enum why why, const char *detail);
/* Asks for an action with the settings file `conf` (NULL: none). */
struct pg_action *node_want(struct node_turn *turn, enum act_kind kind, int64_t timeout_us, const struct pg_conf *conf);
/* A proposal of this node. */
struct command *node_propose(struct node_turn *turn, enum command_kind kind);
/* There is no data, or none of this cluster's: names the reason. */
void node_because_no_data(struct node_turn *turn);
/* The guard stops PostgreSQL from now on, and so does the daemon. */
void node_kill(struct node_turn *turn, enum why why);
/* Settings of a server without upstream, under the current token. */
void node_conf_detached(const struct node_turn *turn, struct pg_conf *conf);
/* Points the settings at this member's server, as the log describes both ends. */
void node_conf_from(const struct node_turn *turn, const struct member *from, struct pg_conf *conf);
/* Settings of a standby of the present primary. */
void node_conf_follow(const struct node_turn *turn, struct pg_conf *conf);
bool node_pg_runs(const struct pg_seen *pg);
bool node_lease_valid(const struct node_turn *turn);
bool node_guard_armed(const struct node_turn *turn);
/* Nobody vouches for this writable server: neither a lease nor a guard that knows when it ends. */
bool node_lease_missed(const struct node_turn *turn);
/* The running action may make a primary of the server at any moment. */
bool node_may_become_primary(const struct node_view *view);
/* The settings file names nobody under the current token, is in force, and no receiver is left. */
bool node_detached(const struct node_turn *turn);
/* Slots in line with the members; true when an action was asked for. */
bool node_keep_slots(struct node_turn *turn, enum why why);

void node_fenced_primary(struct node_turn *turn);
void node_fenced_standby(struct node_turn *turn);
void node_switchover_primary(struct node_turn *turn);
void node_elected(struct node_turn *turn);
void node_primary(struct node_turn *turn);
void node_standby(struct node_turn *turn);

#endif
