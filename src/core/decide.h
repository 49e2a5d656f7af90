/*
 * decide.h - what to do, from what is agreed and what is seen. Pure: state in, plan out, time as a number.
 *
 * Two deciders. node_decide() runs on every member and cares for its own PostgreSQL, lease and guard; it does only what
 * the committed state allows. lead_decide() runs on the Raft leader and turns what members report into proposals. Both
 * are ladders of named guards; every plan has a `why`, which logs, `rmctl status`, tests and the simulator speak in.
 */
#ifndef RAFTMGR_DECIDE_H
#define RAFTMGR_DECIDE_H

#include "core/candidate.h"
#include "core/cluster.h"
#include "core/lease.h"
#include "core/mend.h"
#include "core/report.h"
#include "core/settings.h"
#include "core/sync.h"
#include "core/why.h"

enum guard_wish { WISH_STANDBY, WISH_PRIMARY, WISH_PAUSED, WISH_LEAVE };

/* What one member sees and remembers. Owned by the manager; node_decide() only reads it. */
struct node_view {
    int32_t node_id;
    uint64_t raft_id;
    uint64_t start_no;
    enum node_kind kind;
    bool hello; /* own HELLO applied */
    enum rejoin rejoin;
    struct pg_seen pg;             /* newest look */
    struct directory_id directory; /* identity found in the data directory; 0: none, or an unfinished clone or rewind */
    bool foreign_shown;            /* its history was seen to be foreign: pg_rewind can tell where it parted */
    bool directory_known;          /* the log names it */
    uint64_t directory_at;         /* cluster version when the log learned of it in this life; 0: it knew before */
    struct lease_holder lease;
    bool guard_alive;
    enum guard_wish guard_mode; /* what the guard's page says */
    int64_t guard_kill_at_us;
    enum act_kind acting; /* running action; ACT_NONE */
    struct pg_conf acting_conf;
    bool acting_cancelled;
    int64_t acting_since_us;
    uint64_t stopped_at;        /* cluster version when PostgreSQL was last seen not running; own HELLO's at first */
    bool stop_watched;          /* it died while this daemon watched a running server */
    struct fence_report fence;  /* what has been reported under the newest fence or switchover */
    struct token rewound_under; /* a rewind or clone from this token's primary succeeded */
    int64_t failed_at_us;       /* newest failed action, for pacing retries; 0: none */
    enum act_kind failed_kind;
    uint32_t failed_count;       /* in a row */
    struct mend mend;            /* of a server that ends in recovery */
    struct token promote_failed; /* the promotion under this token failed: do not try again */
    struct sync_progress sync;
    struct connection_id stray;      /* sync_stray() of the newest look; pid 0: none */
    bool stray_again;                /* and of the look before */
    int64_t slots_at_us;             /* last time slots were brought in line; 0: never */
    uint64_t slots_for;              /* node_slots() they were made for */
    uint64_t checkpointed_for;       /* operation.at of the switchover whose checkpoint is done */
    struct token checkpointed_under; /* a checkpoint has been written since the promotion under this token */
    int64_t primary_since_us;        /* seen as the running primary of the current token since; 0: it is not */
    struct token diverged_under;     /* compared with this token's primary: its WAL is not on that history */
    bool pg_started_standby;         /* the running server has been seen as a standby */
    bool open_anyway;                /* the running server does not let itself be closed to others */
    bool in_place;                   /* started in place, and k of S have not flushed the recovered end of WAL yet */
    bool want_primary_data;          /* the leader asks the replaced primary for its end of WAL */
    int32_t fetch_from; /* the leader asks this fenced standby to receive from that fenced one; 0: it does not */
    const struct report *primary; /* newest report of the present primary's node, NULL: none in this life */
};

#define PLAN_COMMANDS 4

/* What a member does now. */
struct node_plan {
    enum why why;
    char waiting[TEXT_SIZE];
    struct pg_action action; /* kind ACT_NONE: nothing new */
    bool cancel;             /* give the running action up first */
    bool lease;              /* keep a lease */
    enum guard_wish guard;
    int64_t guard_kill_at_us;
    bool forget_directory;       /* the identity is removed before a rewind or clone begins */
    bool spoil_directory;        /* the server is a primary without the right: only a rewind or clone mends that */
    struct fence_report fence;   /* to be reported from now on */
    enum trouble trouble;        /* likewise */
    struct token diverged_under; /* to be remembered */
    bool foreign_shown;          /* likewise */
    bool new_identity;           /* the data directory has none and needs one */
    bool look;                   /* something is awaited that a look at PostgreSQL shows */
    uint32_t command_count;
    struct command commands[PLAN_COMMANDS]; /* proposals of this member itself */
    int64_t wake_at_us;
};

void node_decide(const struct cluster *cluster, const struct node_view *view, int64_t now_us, struct node_plan *plan);

/* A PostgreSQL server in the Raft group, as libraft's configuration has it. */
enum raft_role { RAFT_ROLE_NONE, RAFT_ROLE_SPARE, RAFT_ROLE_LEARNER, RAFT_ROLE_VOTER };

struct raft_seen {
    bool leader;        /* of the present term, with its barrier applied */
    uint64_t leader_id; /* 0: unknown */
    uint64_t term;
    bool changing; /* a membership change or transfer is under way */
    uint32_t server_count;
    struct raft_server_seen {
        uint64_t raft_id;
        enum raft_role role;
    } servers[MEMBERS_MAX];
};

/* The newest change of the Raft group that was asked for; raft id 0: none. It may have been refused. */
struct asked_change {
    uint64_t raft_id;
    enum raft_role role;
    int64_t at_us;
};

/*
 * Who holds most may not lead: one that may receives from it alone, both still fenced, and reports again (R28). The
 * one that fetches cannot count as a reporter meanwhile.
 */
struct fetch {
    struct token token;
    int32_t node_id;
    int32_t from;
    struct timeline timeline;
    struct lsn position; /* what it is to hold */
    int64_t since_us;
};

/* Elections that failed while this operation is open. Masks go by index in cluster->members. */
struct failures {
    uint32_t mask;  /* who was elected and failed */
    uint32_t avoid; /* of those: who has failed since the others had their turn */
    uint32_t count;
    struct token token; /* of the newest one */
    int64_t at_us;      /* when it was noticed */
};

/* What the leader knows and remembers. Soft state: a new leader starts with nothing but zeros. */
struct lead_view {
    int32_t node_id;
    uint64_t raft_id;
    uint64_t start_no;
    bool hello;
    struct raft_seen raft;
    struct heard heard[MEMBERS_MAX]; /* by index in cluster->members, its own report included */
    int64_t leader_since_us;         /* 0: does not lead */
    int64_t primary_seen_us;         /* when this node itself last saw a healthy holder's round; 0: never */
    int64_t operation_since_us;      /* when it first saw the present operation and token */
    int64_t proposed_at_us;          /* newest decision proposed and not yet seen applied; 0: none */
    uint64_t proposed_version;       /* cluster version at that time */
    enum command_kind proposed_kind;
    uint32_t refused;        /* how often in a row that kind was refused */
    int64_t transfer_at_us;  /* last hand-over tried */
    uint32_t transfers;      /* tried lately, up to TRANSFERS_MAX: who cannot keep leadership is asked less and less */
    uint64_t policy_version; /* of the settings in force here, */
    int64_t policy_since_us; /* and since when */
    struct asked_change asked;
    uint64_t primary_applied; /* newest version that the primary's daemon has applied */
    int64_t behind_since_us;  /* it lacks entries, and has applied none, since; 0: it does not */
    int64_t trouble_since_us; /* the primary has been in trouble since, starts that failed included; 0: it is not */
    struct token trouble_token;
    int64_t serves_since_us;  /* the primary runs, answers and is in no trouble since; 0: it does not */
    int64_t shorter_since_us; /* the primary renews by the shorter lease since; 0: it does not */
    struct fetch fetch;       /* under way, token included; node 0: none */
    struct failures failures;
};

struct lead_plan {
    enum why why;
    char waiting[TEXT_SIZE];
    uint32_t command_count;
    struct command commands[PLAN_COMMANDS];
    uint64_t raft_change;     /* raft id whose role in the Raft group should change; 0: none */
    enum raft_role raft_role; /* to this; NONE: removed */
    char raft_address[ADDRESS_SIZE];
    uint64_t transfer_to; /* raft id; 0: keep the leadership */
    bool want_primary_data;
    struct fetch fetch;     /* to be remembered and told; node 0: none */
    struct ranking ranking; /* while an operation is open: for status */
    bool ranked;
    int64_t wake_at_us;
};

void lead_decide(const struct cluster *cluster, const struct lead_view *view, int64_t now_us, struct lead_plan *plan);

/* The primary has applied the last change of the voters and renewed its lease by it: the next may come (R11). */
bool lead_voters_settled(const struct cluster *cluster, const struct lead_view *view);
/* What was looked at is another PostgreSQL system's: none of its WAL is this cluster's. */
bool node_other_system(const struct cluster *cluster, const struct pg_seen *pg);
/* A number that changes with the set of slots that this node should have. */
uint64_t node_slots(const struct cluster *cluster, int32_t node_id);
/* This server's WAL is of a timeline that the applied state has not reserved (R26). */
bool node_lags(const struct cluster *cluster, const struct pg_seen *pg);

#endif
