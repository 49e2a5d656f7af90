/*
 * group.h - a small, honest Raft: what src/consensus/ gives the daemon, without libraft, disk or sockets.
 *
 * Elections with pre-vote and randomised timeouts, replication, commitment by counting only entries of the own term, a
 * leader that steps down without a majority, snapshots, one membership change at a time, leadership transfer. Term,
 * vote and log survive a crash; a leader's entries that its own disk did not have yet are lost. The commit index is
 * forgotten: after a restart the state begins with the newest snapshot, or with nothing (design 5.1, R10).
 */
#ifndef RAFTMGR_SIM_GROUP_H
#define RAFTMGR_SIM_GROUP_H

#include "core/decide.h"

#define LOG_MAX 2048
#define BATCH_MAX 32
#define PENDING_MAX 64

struct host;
struct world;

enum entry_kind { ENTRY_EMPTY, ENTRY_COMMAND, ENTRY_SERVERS };

/* An entry is made once and never changes; logs hold its number. */
struct entry {
    uint64_t term;
    enum entry_kind kind;
    uint32_t at; /* COMMAND: place of its bytes in the world's store; SERVERS: number of the configuration */
    uint32_t length;
};

struct servers {
    uint32_t count;
    struct {
        uint64_t raft_id;
        enum raft_role role;
    } of[MEMBERS_MAX];
};

struct raft_snapshot {
    uint64_t index, term;
    uint32_t at, length; /* encoded state in the world's store */
    uint32_t servers;
};

enum raft_message_kind { RAFT_APPEND, RAFT_APPEND_REPLY, RAFT_VOTE, RAFT_VOTE_REPLY, RAFT_INSTALL, RAFT_TIMEOUT_NOW };

struct raft_message {
    enum raft_message_kind kind;
    uint64_t from, to; /* raft ids */
    uint64_t term;
    uint64_t index, index_term; /* APPEND: previous entry; VOTE: last entry; REPLY: match, or a hint where refused */
    uint64_t asked;             /* APPEND_REPLY: previous entry of the question */
    uint64_t commit;
    bool pre, ok, forced;
    uint32_t count;
    uint32_t entries[BATCH_MAX];
    struct raft_snapshot snapshot;
};

enum raft_state { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_node {
    /* on disk */
    bool exists;
    uint64_t raft_id, term, vote;
    struct raft_snapshot snapshot;
    uint64_t first, last, durable; /* log[i - first] */
    uint32_t log[LOG_MAX];
    /* in memory */
    enum raft_state state;
    uint64_t leader_id, commit, applied, barrier;
    int64_t deadline_us, heard_us;
    uint32_t votes;                                 /* hosts by bit */
    uint32_t servers;                               /* configuration in force: the newest in the log */
    uint64_t servers_at;                            /* its index; 0: of the snapshot */
    uint64_t next[MEMBERS_MAX], match[MEMBERS_MAX]; /* by host */
    int64_t active_us[MEMBERS_MAX];
    bool changing;
    uint64_t change_id, change_index;
    enum raft_role change_role;
    int64_t change_until_us;
    uint64_t transfer_id;
    int64_t transfer_until_us;
    uint32_t pending_count;
    struct {
        uint64_t index, ticket;
        uint32_t entry;
    } pending[PENDING_MAX];
    struct raft_seen told;
};

/* Makes this host the only voter of a new group. */
void group_bootstrap(struct host *host, uint64_t raft_id);
/* An empty log that waits to be added. */
void group_join(struct host *host, uint64_t raft_id);
/* The daemon starts: restores the snapshot into the manager and takes part. */
void group_open(struct host *host);
/* The daemon is gone. */
void group_close(struct host *host);

/* The manager's ports. */
void group_propose(struct host *host, enum entry_kind kind, const uint8_t *bytes, size_t length, uint64_t ticket);
void group_transfer(struct host *host, uint64_t raft_id);
void group_change(struct host *host, uint64_t raft_id, enum raft_role role);

/* What happens. */
void group_message(struct host *host, const struct raft_message *message);
void group_election(struct host *host);
void group_heartbeat(struct host *host, uint64_t term);
void group_durable(struct host *host, uint64_t index, uint32_t entry);

#endif
