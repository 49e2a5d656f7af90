/*
 * agenda.h - what happens next in a simulated world: a binary heap of moments, ordered by time and then by the order in
 * which they were put, so that the same seed gives the same run for ever.
 */
#ifndef RAFTMGR_SIM_AGENDA_H
#define RAFTMGR_SIM_AGENDA_H

#include "base/base.h"

#define AGENDA_MAX 65536

/* MOMENT(name, scope, function): see the table in world.c for what each is. */
enum moment_kind {
    AT_TIMER,      /* the manager asked to be cranked */
    AT_MESSAGE,    /* a peer message arrives; a: slot */
    AT_PROPOSED,   /* a: ticket, b: committed */
    AT_LOOK,       /* a look at PostgreSQL begins */
    AT_LOOKED,     /* its result reaches the manager */
    AT_ACTED,      /* an action's result reaches the manager */
    AT_GUARD_TOLD, /* the manager hears of its guard */
    AT_RAFT,       /* a raft message arrives; a: slot */
    AT_ELECTION,   /* raft's election timer */
    AT_HEARTBEAT,  /* a raft leader's heartbeat; a: term */
    AT_DURABLE,    /* a raft leader's own disk; a: index, b: entry */
    AT_ACT,        /* a running action's next step; a: serial */
    AT_STARTED,    /* PostgreSQL accepts connections; a: run */
    AT_STOPPING,   /* a fast shutdown looks whether it may end; a: run */
    AT_PROMOTED,   /* a promotion comes about; a: run, b: timeline expected */
    AT_ATTACH,     /* a standby tries to connect to its upstream; a: run */
    AT_REPLAYED,   /* replay of what is on disk is done; a: run */
    AT_WAL,        /* WAL or a keepalive reaches a standby; a: connection and branch, b: end */
    AT_ACK,        /* a standby's reply reaches its upstream; a: connection, b: flushed */
    AT_SENDERS,    /* an upstream looks after its connections; a: run */
    AT_RECEIVER,   /* a standby looks after its connection; a: run */
    AT_HANGUP,     /* one side learns that a connection is gone; a: connection */
    AT_RECONNECT,  /* the startup process ends a receiver whose settings have changed; a: connection */
    AT_VIEW,       /* a walsender reads the settings anew; a: connection */
    AT_DEFINED,    /* the checkpointer has read the settings anew; a: run */
    AT_CLIENT,     /* a client's next try; a: which client */
    AT_GUARD,      /* the guard's alarm; a: its life */
    AT_GUARD_KILL, /* the guard's signals have had their effect; a: its life */
    AT_DAEMON,     /* the daemon is started again */
    AT_POWER,      /* the host is switched on again */
    AT_MOUNT,      /* the host is switched off, and on with its file system mounted again */
    AT_OPERATOR,   /* founding, joining and what an operator does */
    AT_FAULT,      /* the next fault */
    AT_HEAL,       /* all faults end */
    AT_KIND_COUNT
};

struct moment {
    int64_t at_us;
    uint64_t order;
    uint64_t a, b;
    uint32_t life; /* of the daemon or the boot that it belongs to; 0: any */
    uint16_t kind;
    uint16_t host;
};

struct agenda {
    uint64_t order;
    uint32_t count;
    struct moment heap[AGENDA_MAX];
};

void agenda_clear(struct agenda *agenda);
/* order is given here. Asserts that there is room. */
void agenda_put(struct agenda *agenda, struct moment moment);
/* False when empty. */
bool agenda_take(struct agenda *agenda, struct moment *ret_moment);

#endif
