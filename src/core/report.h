/*
 * report.h - what members tell each other outside the log: soft state, never a decision.
 *
 * A report replaces the sender's last one. It is believed for as long as the receiver's rules say (its age is counted
 * from receipt), belongs to one life of the sender (start_no), and is asked for anew by every new leader simply because
 * it is sent to all, at intervals and on every change. Lease messages are separate: they carry the round (design 5.2).
 */
#ifndef RAFTMGR_REPORT_H
#define RAFTMGR_REPORT_H

#include "core/instance.h"

/* What a member has done under a FENCE that it has applied (design 5.3 step 2). */
struct fence_report {
    struct token token; /* 0: nothing reported. The fence (or switchover's reserved token) it answers to */
    bool stopped;       /* the old primary: no PostgreSQL process is left, lease and pending actions given up */
    bool clean;         /* by a fast shutdown, its shutdown checkpoint ends at `end` */
    bool data;          /* detached for good, and timeline and end below are the end of WAL on disk */
    struct directory_id directory;
    struct timeline timeline;
    struct lsn end;
    bool grants_over; /* voter: all my grants, and those I may have forgotten, have ended */
};

enum trouble {
    TROUBLE_NONE,
    TROUBLE_STOPPED,   /* primary: PostgreSQL died while the daemon watched */
    TROUBLE_DOWN,      /* primary: the daemon started and found it stopped */
    TROUBLE_HUNG,      /* primary: no new connection within the failure timeout */
    TROUBLE_READ_ONLY, /* primary: cannot write */
    TROUBLE_GIVING_UP, /* primary: no majority renews the lease */
    TROUBLE_FAILED,    /* winner: the promotion failed */
    TROUBLE_NO_SPACE,  /* primary, standby: no room in the data directory */
};

/* What a voter remembers of the holder's position: the newest word of a round that it granted (core/lag.h). */
struct lag_word {
    struct token token; /* of that holder */
    bool known;         /* no round that this voter granted it, in an earlier life either, said more; lsn 0: none did */
    uint64_t incarnation;
    uint64_t round;
    struct lsn lsn;
};

struct report {
    int32_t node_id;
    uint64_t raft_id;
    uint64_t start_no;
    uint64_t applied;   /* cluster version applied */
    struct token token; /* current token of the applied state */
    bool hello;         /* its own HELLO is applied */
    bool leads;         /* it leads the Raft group */
    int32_t fetch_node; /* leader: this member is to receive from fetch_from under `token` (R28); 0: nobody */
    int32_t fetch_from;
    bool
        want_primary_data; /* leader: the standbys' reports do not meet the demands under `token` (design 5.3 step 3) */

    enum pg_state pg_state;
    bool pg_answering;
    bool pg_was_primary; /* STOPPED: it last ran as a primary, and so can be started in place */
    struct directory_id directory;
    uint64_t system_identifier;
    uint32_t version_number;
    struct timeline timeline;
    struct history history;
    struct lsn end;
    struct lsn replayed;
    bool receiver_streaming;
    int32_t upstream; /* node id its settings name, 0: none */
    int64_t replay_lag_us;
    bool lagging;      /* its WAL is of a timeline its applied state has not reserved (R26) */
    bool following;    /* its settings name the current primary under the current token */
    bool checkpointed; /* primary: a checkpoint of its timeline is in its control file, which pg_rewind goes by */

    enum trouble trouble;
    bool leaving; /* the daemon was told to end, PostgreSQL and guard stay: it may be back before the lease ends */
    bool lease_valid;
    int64_t lease_left_us;
    bool guard_armed;
    int64_t lease_length_us;  /* of the last renewal */
    uint64_t lease_config;    /* config_version its last renewed lease was counted by */
    uint64_t demand_settled;  /* newest demand version that this primary has seen through (design 5.6 step 3) */
    uint32_t walsender_count; /* primary: who streams */
    struct {
        int32_t node_id;
        bool streaming;
        bool synchronous;
        struct lsn flushed;
    } walsenders[MEMBERS_MAX];

    struct lag_word told;    /* voter: how far the holder had come */
    int64_t primary_seen_us; /* age of the last lease round of a healthy holder of the current token; -1: never */
    struct fence_report fence;

    enum act_kind acting;    /* what its PostgreSQL is going through */
    char waiting[TEXT_SIZE]; /* what the node waits for, for people */
    char problem[TEXT_SIZE]; /* what a person should mend: settings that need a restart, a failed rewind */
};

struct lease_ask {
    struct token token;
    int32_t node_id;
    uint64_t incarnation; /* start number of the holder's daemon */
    uint64_t round;
    int64_t length_us;
    struct lsn lsn; /* lag_tell(): what the lag rule of `durability = async` goes by */
    bool healthy; /* PostgreSQL runs and answers: the round is a sign of life of the primary, not of the daemon alone */
};

struct lease_reply {
    int32_t node_id; /* voter */
    uint64_t incarnation;
    uint64_t round;
    bool granted;
    struct token token; /* the voter's current token */
};

enum message_kind { MESSAGE_REPORT = 1, MESSAGE_LEASE_ASK, MESSAGE_LEASE_REPLY, MESSAGE_FORWARD };

struct message {
    enum message_kind kind;
    union {
        struct report report;
        struct lease_ask ask;
        struct lease_reply reply;
        struct {
            uint32_t length; /* an encoded command, to be proposed by the leader as it is */
            uint8_t bytes[8192];
        } forward;
    };
};

#endif
