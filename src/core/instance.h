/*
 * instance.h - what one look at a PostgreSQL instance tells, and what may be asked of it.
 *
 * These are the words between the deciding code and the adapter (src/pg/) or the simulator's fake PostgreSQL: pg_seen
 * goes in, pg_action comes out, pg_result says how it ended.
 */
#ifndef RAFTMGR_INSTANCE_H
#define RAFTMGR_INSTANCE_H

#include "core/types.h"

enum pg_state {
    PG_UNKNOWN,  /* not looked at yet */
    PG_ABSENT,   /* the data directory is missing, empty, or a clone that did not finish */
    PG_STOPPED,  /* no PostgreSQL process of the directory is left */
    PG_ORPHANS,  /* the postmaster is gone, other processes of the directory are not */
    PG_STARTING, /* a postmaster runs and does not accept connections yet */
    PG_STANDBY,  /* runs in recovery */
    PG_PRIMARY,  /* runs read-write */
};

/* A connection of the server's: a pid alone may have become another's. */
struct connection_id {
    int32_t pid;        /* 0: none */
    int64_t started_us; /* backend_start, microseconds of the server's clock */
};

/* A walsender, as pg_stat_replication shows it. */
struct walsender_seen {
    char name[NAME_SIZE]; /* application_name */
    int32_t pid;
    int64_t started_us; /* backend_start, microseconds of the server's clock: tells a new connection from an old one */
    bool streaming;
    bool synchronous;    /* sync_priority > 0 */
    struct lsn flushed;  /* flush_lsn */
    struct lsn replayed; /* replay_lsn */
    int64_t replied_us;  /* reply_time, the standby's clock: only compared for change */
    int64_t lag_us;      /* replay_lag, 0 when unknown or none */
    int32_t slot_node;   /* the node whose slot it holds; -1: no node's, 0: not known */
    uint64_t slot_no;    /* the number behind that node's in the slot's name, 0: none (member_slot()) */
};

/* What the settings file that raftmgr owns in the data directory says. Written whole, durably, by rename. */
struct pg_conf {
    /* upstream: node id whose conninfo stands in primary_conninfo; 0 = none (detached) */
    int32_t upstream;
    char upstream_conninfo[CONNINFO_SIZE]; /* as registered; the adapter adds user, application_name, passfile */
    char slot[NAME_SIZE];                  /* primary_slot_name */
    char name[NAME_SIZE];                  /* application_name: the log's name of this node; "": the file's */
    uint64_t source;                       /* a hash of upstream_conninfo and name: noted and read back; 0: none */
    /* synchronous_standby_names: ANY sync_count (names...); sync_count 0 = empty */
    uint32_t sync_count;
    uint32_t sync_name_count;
    char sync_names[MEMBERS_MAX][NAME_SIZE];
    uint64_t demand_version; /* which demand of the log this is: noted in the file as a comment, read back */
    struct token token;      /* under which token the file was written: noted and read back likewise */
    bool agent_only;         /* only connections of the agent get in (after a start in place, design 5.5) */
};

struct pg_seen {
    enum pg_state state;
    int64_t at_us;           /* CLOCK_BOOTTIME when this look began: nothing that ended later is in it */
    bool clean;              /* STOPPED: pg_control says "shut down" or "shut down in recovery" */
    bool was_primary;        /* STOPPED: pg_control says it last ran as a primary ("shut down" or "in production") */
    bool answering;          /* a new connection and a trivial query worked when last tried (STANDBY, PRIMARY) */
    int64_t answered_at_us;  /* CLOCK_BOOTTIME when that last worked; 0 = never */
    bool write_failed;       /* PRIMARY: the write-path check failed with an error (read-only, no space, I/O error) */
    int64_t full_since_us;   /* no room in the data directory since (CLOCK_BOOTTIME); 0: there is, or not looked */
    char problem[TEXT_SIZE]; /* why not answering or not writable, for people */

    uint64_t system_identifier;
    uint32_t version_number; /* server_version_num, 0 = unknown */
    uint32_t programs_major; /* of this host's PostgreSQL programs, 0 = unknown */
    int64_t postmaster_started_us;

    struct timeline timeline; /* of the last record on disk */
    struct history history;   /* of that timeline */
    struct lsn end;           /* PRIMARY: pg_current_wal_flush_lsn; STANDBY: greatest of flushed and replayed; STOPPED:
                                 latest checkpoint's position, a lower bound */
    bool end_final;           /* STANDBY without receiver and startup waiting for more WAL: `end` is the end of WAL on
                                 disk. STOPPED and clean: `end` is just after the shutdown checkpoint */
    struct lsn replayed;
    bool replay_paused;
    bool receiver;           /* a WAL receiver process is there */
    bool receiver_streaming; /* and it streams */
    char dry[TEXT_SIZE];     /* pointed at an upstream, without WAL from it for a while: why, for people */
    int64_t replay_lag_us;   /* STANDBY: age of the last replayed commit while behind, 0 when level */

    uint32_t walsender_count;
    struct walsender_seen walsenders[MEMBERS_MAX];

    bool conf_present;               /* raftmgr's own settings file is there and readable */
    struct pg_conf conf;             /* what it says; upstream_conninfo and name are not read back */
    bool conf_loaded;                /* a connection opened after the last write of that file has seen its values */
    char pending_restart[TEXT_SIZE]; /* names of settings that wait for a restart, blank separated */
    bool can_rewind;                 /* wal_log_hints or data checksums are on */
};

enum act_kind {
    ACT_NONE,
    ACT_ADOPT,         /* take a running server under management: own settings file, include line, auto.conf, signal */
    ACT_START_STANDBY, /* start with standby.signal and `conf`; done when it accepts connections */
    ACT_START_PRIMARY, /* start in place without promotion, `conf` in force from the first connection on */
    ACT_STOP,          /* fast, then immediate after stop_fast_us, then SIGKILL; done when no process is left */
    ACT_KILL,          /* immediate and SIGKILL at once; done when no process is left */
    ACT_CONFIGURE,     /* write `conf`, reload, done when a new connection sees it */
    ACT_DETACH,        /* like CONFIGURE with upstream 0, and the WAL receiver is ended; done when none is left */
    ACT_PROMOTE,       /* placeholders for unknown timelines below `timeline`, reload, promote, check the number */
    ACT_REWIND,     /* save the diverged tail, pg_rewind from `source_conninfo`, leave it stopped with standby.signal */
    ACT_CLONE,      /* pg_basebackup from `source_conninfo` into an empty or set-aside directory, leave it stopped */
    ACT_SLOTS,      /* make the slots of `slots` that are not there, drop the former ones of nodes that were admitted
                       anew; end the connection `stray` */
    ACT_CHECKPOINT, /* CHECKPOINT */
};

struct pg_action {
    uint64_t id; /* given by the manager; comes back in the result */
    enum act_kind kind;
    int64_t timeout_us; /* the action fails with ERR_TIMEOUT after this */
    struct pg_conf conf;
    int64_t stop_fast_us;                /* STOP: how long a fast shutdown may take */
    struct timeline timeline;            /* PROMOTE: the reserved number */
    struct token token;                  /* names the directory for a diverged tail: diverged/<token>/ */
    char source_conninfo[CONNINFO_SIZE]; /* REWIND, CLONE: the primary */
    uint32_t slot_count;
    char slots[MEMBERS_MAX][NAME_SIZE];
    struct connection_id stray; /* SLOTS: a walsender to be ended; pid 0: none */
    bool strange;               /* CLONE: what lies there is another system's: none of its settings files are kept */
    bool once; /* CLONE: refused (ERR_REJOIN) while what another one under this token set aside is still there */
};

struct pg_result {
    uint64_t id;
    enum act_kind kind;
    int code;                 /* 0 or a negative err_code */
    char text[TEXT_SIZE];     /* the error */
    bool clean;               /* STOP: ended by a fast shutdown */
    struct lsn end;           /* STOP: end of the shutdown checkpoint, where clean */
    bool ended_in_recovery;   /* START_STANDBY: the server ended by itself in its recovery, and for no outer cause */
    struct timeline timeline; /* PROMOTE: the new one */
    struct lsn switched_at;   /* PROMOTE: where it begins */
};

/* The name of an action for logs and status ("start standby"). */
const char *act_name(enum act_kind kind);
const char *pg_state_name(enum pg_state state);

#endif
