/*
 * cluster.h - what the cluster has agreed on: the replicated state machine.
 *
 * cluster_apply() runs on every node in log order. It is pure, reads no clock, counts tokens, timelines, raft ids and
 * demand versions itself, and refuses commands that do not fit (compare-and-set on token, operation and versions), so
 * that a proposal that comes late, twice, or from a daemon's former life changes nothing (design 5.1; R10, R13, R35).
 */
#ifndef RAFTMGR_CLUSTER_H
#define RAFTMGR_CLUSTER_H

#include "core/demand.h"
#include "core/policy.h"
#include "core/timelines.h"
#include "core/types.h"
#include "core/words.h"

#define DEMANDS_MAX 2  /* the current one and one older (design 5.6) */
#define RECORDS_MAX 32 /* history kept in the log's state */

struct member {
    int32_t node_id;
    uint64_t raft_id;
    enum node_kind kind;
    int32_t priority; /* 0: never elected */
    bool voter;       /* counts for leases and fences */
    bool registered;  /* may be elected, has a row in repmgr.nodes */
    bool manual;      /* becomes primary by a switchover alone (failover=manual) */
    bool written_off; /* its present directory counts for nothing any more, until it has another (WRITE_OFF) */
    char name[NAME_SIZE];
    char address[ADDRESS_SIZE]; /* host:port of its daemon */
    char conninfo[CONNINFO_SIZE];
    char location[NAME_SIZE];
    char replication_user[NAME_SIZE];
    char config_file[PATH_SIZE];
    struct directory_id directory; /* of its data; 0: none, or unknown */
    uint64_t start_no;             /* of its last HELLO; 0: none yet */
    uint64_t slot_no;              /* a part of its slot's name: see member_slot(); 0: none */
};

enum primary_phase {
    PRIMARY_NONE,
    PRIMARY_ELECTED, /* ELECT is committed, the promotion is not reported yet */
    PRIMARY_ACTIVE,
};

struct primary {
    int32_t node_id;
    enum primary_phase phase;
    struct directory_id directory;
    struct token token;
    struct timeline timeline;      /* reserved by ELECT; of the founder at first */
    struct timeline from_timeline; /* ELECT: timeline of the winner's last record */
    struct lsn position;           /* ELECT: what the winner must hold before it promotes */
    uint64_t permitted_at;         /* cluster version of the ELECT, RESTART or FOUND that permits a start */
    int64_t since_us;              /* wall clock of the proposer: for people */
};

enum operation_kind { OPERATION_NONE, OPERATION_FAILOVER, OPERATION_SWITCHOVER };

struct operation {
    enum operation_kind kind;
    int32_t from; /* node id of the primary that is replaced */
    int32_t to;   /* SWITCHOVER: the wanted successor */
    uint64_t at;  /* cluster version when it began */
    uint32_t timeout_ms;
    int64_t since_us;
    char reason[TEXT_SIZE];
    struct words words;
};

struct record {
    int64_t wall_us;
    int32_t node_id;
    struct token token;
    char event[48]; /* repmgr's event names where it has one */
    bool successful;
    char text[TEXT_SIZE];
};

enum pause_state { PAUSE_OFF, PAUSE_ON, PAUSE_ENDING /* lifted, the primary's guard is not reported armed yet */ };

struct cluster {
    uint64_t cluster_id; /* 0: not founded */
    uint64_t system_identifier;
    uint32_t epoch;
    uint64_t version;        /* counts every applied command, refused ones included */
    uint64_t config_version; /* version of the last change of the voters */
    uint64_t policy_version; /* version of the last change of the policy */
    uint64_t raft_id_last;   /* highest raft id given out */
    struct policy policy;
    uint32_t lease_max_ms; /* longest lease that may still be out (R12) */
    uint32_t member_count;
    struct member members[MEMBERS_MAX];
    struct token token; /* the current one; newer than primary.token while fenced */
    struct primary primary;
    uint64_t demand_version; /* of the newest demand */
    uint32_t demand_count;
    struct demand demands[DEMANDS_MAX]; /* oldest first; the last one is the newest */
    struct timeline timeline_max;       /* highest that was given out or seen */
    struct timeline timeline_old;       /* up to this number they are not told apart: of before `given` */
    uint32_t given_count;
    struct given given[GIVEN_MAX]; /* oldest first; other numbers up to timeline_max are foreign (R36) */
    struct operation operation;
    enum pause_state pause;
    uint64_t pause_version; /* of its last change: a word about another pause is too late */
    uint64_t record_count;  /* records ever written; the newest RECORDS_MAX are kept, record n at n % RECORDS_MAX */
    struct record records[RECORDS_MAX];
};

enum command_kind {
    COMMAND_FOUND = 1, /* the first entry: founder, system identifier, policy, timeline */
    COMMAND_HELLO,     /* a daemon has started: its start number and what its file says of the node */
    COMMAND_JOIN,      /* admit a member; it gets its raft id when this is applied */
    COMMAND_REGISTER,  /* a member becomes a candidate (or a witness that votes) */
    COMMAND_VOTER,     /* the member counts (or no longer counts) for leases and fences */
    COMMAND_DIRECTORY, /* the member's data directory has this identity now */
    COMMAND_POLICY,    /* new settings of the cluster */
    COMMAND_LEASE_MAX, /* no longer lease than this is out any more */
    COMMAND_FENCE,
    COMMAND_ELECT,
    COMMAND_PROMOTED,
    COMMAND_RESTART, /* the primary may be started in place */
    COMMAND_SWITCHOVER,
    COMMAND_ADD,       /* a new demand beside the old */
    COMMAND_END,       /* the newest demand stands alone */
    COMMAND_RESERVE,   /* a timeline seen on disk that nobody reserved */
    COMMAND_PAUSE,     /* on, off, or "guard armed" after off */
    COMMAND_WRITE_OFF, /* words.h: operators, while a failover is open */
    COMMAND_ACCEPT_LOSS,
    COMMAND_HOST_OFF,
    COMMAND_COUNT
};

/* One command. Which fields count stands beside them; the others are zero. */
struct command {
    enum command_kind kind;
    uint64_t raft_id;  /* proposer */
    uint64_t start_no; /* proposer's start number; checked against its last HELLO (all but FOUND and HELLO) */
    int64_t wall_us;   /* proposer's wall clock: history only */
    int32_t node_id;   /* REGISTER, VOTER, DIRECTORY, ELECT, RESTART, SWITCHOVER (target), words: whom it is about */
    struct token
        token;       /* FENCE: the current one; ELECT: the one given out; PROMOTED, RESTART, SWITCHOVER, ADD, words */
    uint64_t expect; /* ELECT, words: demand_version it was checked against; END: version of the demand; VOTER and
                        JOIN with force: config_version; POLICY: policy_version; RESTART: permitted_at;
                        PAUSE: pause_version */
    struct member member;       /* FOUND, HELLO, JOIN */
    bool flag;                  /* VOTER: votes; JOIN: force */
    uint64_t cluster_id;        /* FOUND */
    uint64_t system_identifier; /* FOUND, JOIN (data nodes) */
    struct policy policy;       /* FOUND, POLICY */
    uint32_t number;            /* LEASE_MAX: ms; SWITCHOVER: timeout ms; PAUSE: enum pause_state */
    struct timeline timeline;   /* FOUND, PROMOTED, RESERVE, words; ELECT: of the winner's last record */
    struct lsn lsn;             /* ELECT, words: position the winner must hold; PROMOTED: where the timeline begins */
    struct directory_id directory; /* ELECT, DIRECTORY, RESTART, words */
    uint64_t stopped_start_no;     /* ELECT under SWITCHOVER: start number the stop was reported under (R27); RESTART;
                                      HOST_OFF */
    struct demand demand;          /* ELECT, ADD: k, count, directories */
    char text[TEXT_SIZE];          /* FENCE: reason; words: the loss */
};

enum apply_result { APPLY_OK, APPLY_NOTHING /* already so: repeated or overtaken, harmless */, APPLY_REFUSED };

/*
 * Applies one command. ret_reason (size at least TEXT_SIZE, may be NULL) says why it was refused, for people. Counts
 * cluster->version whatever the result.
 */
enum apply_result cluster_apply(struct cluster *cluster, const struct command *command, char *ret_reason);

/*
 * Members by their numbers or name; NULL when there is none. Case does not tell names apart: PostgreSQL, which counts
 * acknowledgements by application_name, does not heed it (R7).
 */
const struct member *cluster_member(const struct cluster *cluster, int32_t node_id);
const struct member *cluster_member_by_raft(const struct cluster *cluster, uint64_t raft_id);
const struct member *cluster_member_by_directory(const struct cluster *cluster, struct directory_id directory);
const struct member *cluster_member_by_name(const struct cluster *cluster, const char *name);

/*
 * The name of the slot that this member's server streams through: repmgr's, "repmgr_slot_<node id>", and with
 * "_<raft id>" behind it once the node was admitted anew, so that the server that it had before cannot take its place.
 * Size NAME_SIZE.
 */
void member_slot(const struct member *member, char *ret_slot);

/* A FENCE is applied and nobody is elected under it yet. */
bool cluster_fenced(const struct cluster *cluster);
/* This node is the primary of the current token (elected or active). */
bool cluster_is_primary(const struct cluster *cluster, int32_t node_id);
/* How many members count for leases and fences, and how many make a majority of them. */
uint32_t cluster_voters(const struct cluster *cluster);
uint32_t cluster_majority(const struct cluster *cluster);
/* The newest demand; NULL before founding. */
const struct demand *cluster_demand(const struct cluster *cluster);
const char *command_name(enum command_kind kind);

#endif
