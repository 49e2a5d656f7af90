/*
 * manager.h - the crank: observe, decide, perform, sleep until something happens. The whole member as one value.
 *
 * Everything that happens is told by one of the functions below; they note it, and the caller then calls
 * manager_crank(), which decides and acts through the ports. The simulator runs this very file.
 */
#ifndef RAFTMGR_MANAGER_H
#define RAFTMGR_MANAGER_H

#include "base/err.h"
#include "core/codec.h"
#include "core/lag.h"
#include "daemon/ports.h"

struct manager_config {
    struct member self; /* as the node's file has it; raft_id as given by the cluster; start_no of this life */
    enum rejoin rejoin;
    struct directory_id directory; /* found in the data directory; 0: none */
    int64_t now_us;
};

struct manager_heard {
    uint64_t raft_id;
    struct report report;
    int64_t at_us; /* receipt; 0: never */
};

struct manager {
    struct ports ports;
    struct manager_config config;
    struct cluster cluster;
    struct node_view node;
    struct lead_view lead;
    struct lease_voter voter;
    struct manager_heard heard[MEMBERS_MAX];
    struct node_plan node_plan; /* the newest plans: for status */
    struct lead_plan lead_plan;
    struct report report;                /* the newest own report */
    uint8_t reported[MESSAGE_BYTES_MAX]; /* what changes are told from: the newest one sent, less its moving figures */
    size_t reported_length;
    int64_t reported_at_us;
    struct token acting_token;    /* under which the running action was begun */
    uint64_t acting_slots;        /* the slots that it makes, where it makes slots */
    int64_t acted_at_us;          /* when it ended, until a look begun after that shows what it did; 0: it has not */
    struct token operation_token; /* the operation that lead.operation_since_us is about */
    enum primary_phase operation_phase;
    char problem[TEXT_SIZE]; /* the newest failed action, until one succeeds */
    uint64_t action_id;
    int64_t hello_at_us;      /* when HELLO was last proposed */
    int64_t command_at_us;    /* when this member last sent a proposal of its own */
    uint64_t command_version; /* cluster version at that time */
    enum command_kind command_kind;
    uint32_t command_refused; /* how often in a row that kind was refused */
    int64_t seen_lease_us;    /* when a healthy holder's round of the current token was last received; 0: never */
    struct lag_holder lag;    /* how far this node's own server had come: told in each of its rounds */
    struct lag_word told;     /* how far the holder had come, as this voter was told */
    struct {
        int32_t pid;
        int64_t replied_us; /* as the server shows it */
        int64_t at_us;      /* when it last changed */
    } replies[MEMBERS_MAX]; /* of the walsenders of this node's server */
    int64_t started_us;
    enum pg_state pg_state; /* last logged */
    bool lease_logged;
    bool spoil_owed; /* DIRECTORY_SPOILED is not durable yet */
    bool leaving;    /* told to end: the others wait for the lease's end before they suspect anything */
};

void manager_init(struct manager *manager, const struct manager_config *config, const struct ports *ports);

/* The log: one agreed command in order, or the whole state from a snapshot (also at start). */
void manager_apply(struct manager *manager, const uint8_t *bytes, size_t length, int64_t now_us);
void manager_restore(struct manager *manager, const struct cluster *cluster, int64_t now_us);
/* Raft: role, leader, servers. Called on every change. */
void manager_raft(struct manager *manager, const struct raft_seen *seen, int64_t now_us);
/* How a proposal ended: committed, or refused or unknown. */
void manager_proposed(struct manager *manager, uint64_t ticket, bool committed, int64_t now_us);
void manager_message(struct manager *manager, uint64_t from_raft_id, const struct message *message, int64_t now_us);
void manager_seen(struct manager *manager, const struct pg_seen *seen, int64_t now_us);
void manager_acted(struct manager *manager, const struct pg_result *result, int64_t now_us);
/* The guard: whether it runs, and what its page says (a restarted daemon finds it armed). */
void manager_guard(struct manager *manager, bool alive, enum guard_wish mode, int64_t kill_at_us, int64_t now_us);

/*
 * Proposes a command of an operator: fills in proposer, start number and wall clock, and proposes it or forwards it to
 * the leader. Returns 0, or -ERR_NOT_LEADER when no leader is known. Whether it took effect is read from the state.
 */
int manager_submit(struct manager *manager, struct command *command, int64_t now_us, struct err *err);

/*
 * The daemon was told to end and PostgreSQL stays: tells the others, who then take the primary for well until its lease
 * ends. Not to be cranked any more.
 */
void manager_farewell(struct manager *manager, int64_t now_us);

/* Decides and acts. Returns when it wants to be called again at the latest (CLOCK_BOOTTIME, microseconds). */
int64_t manager_crank(struct manager *manager, int64_t now_us);

#endif
