/*
 * consensus.h - one member of a Raft group: bytes proposed in, agreed bytes out, in order, on every node.
 *
 * The only door to libraft; nothing outside of consensus/ includes raft.h. One loop, one thread. Callbacks come from
 * the loop, never from inside a call made here, except apply, snapshot and restore, which libraft calls as it goes
 * (restore also from inside consensus_open) and which must call nothing here.
 *
 * A leader is not a lease: for up to about two election timeouts two members may say LEADER (libraft.md, section 2).
 * Nobody acts on a role; what counts is what was applied.
 */
#ifndef RAFTMGR_CONSENSUS_H
#define RAFTMGR_CONSENSUS_H

#include "base/buf.h"
#include "base/err.h"

#include <uv.h>

#define CONSENSUS_MEMBERS_MAX 16
#define CONSENSUS_ADDRESS_MAX 128
#define CONSENSUS_PROBLEM_MAX 512
#define CONSENSUS_PROPOSAL_BYTES_MAX (64u << 10)
#define CONSENSUS_IN_FLIGHT_MAX 64            /* proposals without an outcome; more are refused */
#define CONSENSUS_STATE_BYTES_MAX (16u << 20) /* what snapshot() may put */

enum consensus_role {
    CONSENSUS_DOWN,     /* gave up: problem says why; close it and end the process */
    CONSENSUS_FOLLOWER, /* or not (yet) a member of any group */
    CONSENSUS_CANDIDATE,
    CONSENSUS_LEADER_PENDING, /* elected; entries of earlier terms may be unapplied here */
    CONSENSUS_LEADER,         /* has applied everything up to an own entry of its term */
};

enum consensus_outcome {
    CONSENSUS_COMMITTED, /* applied here */
    CONSENSUS_REFUSED,   /* certainly never committed: not LEADER, queue full, too big */
    CONSENSUS_UNKNOWN,   /* may be committed, now or later, or never */
};

enum consensus_member_role {
    CONSENSUS_SPARE,   /* listed, gets nothing */
    CONSENSUS_LEARNER, /* gets the log, does not vote */
    CONSENSUS_VOTER,
};

struct consensus_config {         /* borrowed during consensus_open */
    const char *directory;        /* exists, ours alone; at most 800 bytes */
    uint64_t id;                  /* never 0, never used before by a member with another or a lost log */
    const char *address;          /* what the others dial */
    unsigned election_timeout_ms; /* 150 to 60000; each election draws from it to its double */
    unsigned heartbeat_ms;        /* 20 to a third of election_timeout_ms */
};

struct consensus_callbacks {
    void *ctx;
    /* Agreed bytes, borrowed until return. Every node gets the same ones in the same order; empty proposals are not
     * delivered. After a restart everything since the last snapshot comes again. Must take them, whatever they say. */
    void (*apply)(void *ctx, const uint8_t *bytes, size_t length);
    /* Puts the whole state (at least one byte) into *ret_state. Negative on failure: it is asked for again later. */
    int (*snapshot)(void *ctx, struct buf *ret_state);
    /* Replaces the whole state by one that snapshot() put, here or on another node. On failure consensus goes DOWN. */
    int (*restore)(void *ctx, const uint8_t *bytes, size_t length, struct err *err);
    /* Role, term, leader or members changed: read consensus_status. Deferred, several changes may come as one. */
    void (*changed)(void *ctx);
    /* Open a raft stream to another member; answer exactly once, later, with an fd (given away) or -1. */
    void (*dial)(void *ctx, uint64_t id, const char *address, void (*done)(void *dial_ctx, int fd), void *dial_ctx);
};

struct consensus;

/* True when a raft log, or the remains of one, is in directory. */
bool consensus_exists(const char *directory);

/* True when there are entries or a snapshot in it. A log that ever held something always does: where only term and vote
 * are left, it was lost. */
bool consensus_holds(const char *directory);

/* Founds a group in an empty directory: this id is the only voter. ERR_REFUSED where consensus_exists(). */
int consensus_bootstrap(const char *directory, uint64_t id, const char *address, struct err *err);

/*
 * Locks the directory, loads snapshot and log, and takes part from now on: as what the log says, or with an empty
 * directory as nothing until a leader adds it. A lone voter is elected at once. Blocks for as long as loading takes.
 * ERR_CONFIG (bounds above), ERR_REFUSED (locked by another process), ERR_CORRUPT (the text says how this node can
 * rejoin), ERR_SYSTEM, ERR_NO_SPACE. After a failure the loop must run a little before the directory is unlocked.
 * raft_uv reseeds rand(3): nobody here uses that.
 */
int consensus_open(struct consensus **ret_consensus, uv_loop_t *loop, const struct consensus_config *config,
                   const struct consensus_callbacks *callbacks, struct err *err);

/*
 * Other timeouts from now on; nothing where they are the same, or not within the bounds of consensus_config.
 */
void consensus_set_timing(struct consensus *consensus, unsigned election_timeout_ms, unsigned heartbeat_ms);

/* Leaves the loop, unlocks and frees, then calls done (may be NULL), later. Proposals under way end first, UNKNOWN;
 * member changes with ERR_CANCELED. Dials under way are still to be answered, before or after. */
void consensus_close(struct consensus *consensus, void (*done)(void *ctx), void *ctx);

/* Proposes bytes, which are copied; none is allowed and means: nothing, but do commit. done (may be NULL) is called
 * exactly once, later; COMMITTED after apply() has seen the bytes. UNKNOWN at the latest when this member is deposed,
 * goes DOWN or is closed: there is no deadline, a majority may be away for long. */
void consensus_propose(struct consensus *consensus, const uint8_t *bytes, size_t length,
                       void (*done)(void *ctx, enum consensus_outcome outcome), void *ctx);

/* Leader: submits an empty entry, so that the followers learn now, not a heartbeat later, what is committed (R39). */
void consensus_flush(struct consensus *consensus);

/*
 * Leader: adds the member if it is unknown, then gives it the role, one step after the other. A voter-to-be first
 * catches up. done (may be NULL) is called exactly once, later, within 20 s: with status 0, or a negative code and err;
 * after ERR_TIMEOUT and ERR_UNKNOWN the change may still come about, and what was done before stays. Returned at once,
 * without done: ERR_NOT_LEADER, ERR_CONFIG, ERR_REFUSED (a change or transfer is under way; the group is full; or an
 * unknown id comes with the address that another was admitted at). A known id keeps the address of its admission.
 */
int consensus_member(struct consensus *consensus, uint64_t id, const char *address, enum consensus_member_role role,
                     void (*done)(void *ctx, int status, const struct err *err), void *ctx, struct err *err);

/* Leader: removes a member, which is not told by raft. ERR_NOT_FOUND; otherwise as consensus_member. A leader that
 * removes itself steps down. */
int consensus_remove(struct consensus *consensus, uint64_t id,
                     void (*done)(void *ctx, int status, const struct err *err), void *ctx, struct err *err);

/* Leader: hands leadership over to a voter (0: to the best one). Proposals are refused meanwhile; changed() tells how
 * it ended, within an election timeout. ERR_NOT_LEADER, ERR_REFUSED, ERR_NOT_FOUND. */
int consensus_transfer(struct consensus *consensus, uint64_t id, struct err *err);

/* A raft stream that another member, known to be id, opened to us. Takes fd. */
void consensus_accept(struct consensus *consensus, uint64_t id, const char *address, int fd);

struct consensus_status {
    enum consensus_role role;
    uint64_t term;
    uint64_t leader_id; /* 0: unknown */
    uint64_t last_index, commit_index, applied_index;
    int64_t since_us; /* CLOCK_BOOTTIME: when role, term or leader last changed */
    unsigned member_count;
    struct consensus_member_status {
        uint64_t id;
        char address[CONSENSUS_ADDRESS_MAX];
        enum consensus_member_role role;
    } members[CONSENSUS_MEMBERS_MAX];    /* the newest configuration in the log, committed or not */
    bool changing;                       /* a member change or a transfer is under way */
    char problem[CONSENSUS_PROBLEM_MAX]; /* "": none; set while DOWN, or while the log cannot be written */
};

void consensus_status(const struct consensus *consensus, struct consensus_status *ret_status);

#endif
