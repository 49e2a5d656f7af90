/*
 * ports.h - everything the manager needs from the world: live in the daemon, faked in tests/sim. Calls return at once;
 * what comes of them is told to the manager later through manager.h.
 */
#ifndef RAFTMGR_PORTS_H
#define RAFTMGR_PORTS_H

#include "core/decide.h"
#include "core/event.h"

struct ports {
    void *ctx;
    /* To one member, best effort; never called with the own raft id. */
    void (*send)(void *ctx, uint64_t raft_id, const struct message *message);
    /* Leader only: propose encoded bytes. manager_proposed() follows exactly once, never from inside. */
    void (*propose)(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket);
    /* Leader only: an empty entry, so that followers learn the commit index at once (R39). */
    void (*flush)(void *ctx);
    void (*transfer)(void *ctx, uint64_t raft_id);
    /* Leader only: bring one server of the Raft group to a role (NONE removes it). raft_seen.changing until it ends. */
    void (*raft_change)(void *ctx, uint64_t raft_id, const char *address, enum raft_role role);
    /* PostgreSQL: one action at a time; manager_acted() follows exactly once, never from inside. */
    void (*act)(void *ctx, const struct pg_action *action);
    void (*act_cancel)(void *ctx);
    /* Look at PostgreSQL again soon; manager_seen() follows. */
    void (*look)(void *ctx);
    void (*guard)(void *ctx, enum guard_wish wish, int64_t kill_at_us, struct token token);
    /* The data directory's identity, durably; 0 removes it. Returns 0 or a negative error code. */
    int (*save_directory)(void *ctx, struct directory_id directory);
    /* 64 unpredictable bits, never 0. */
    uint64_t (*identity)(void *ctx);
    int64_t (*wall_us)(void *ctx);
    /* One event: a log line and hooks in the daemon, a trace in the simulator. text is logfmt pairs. */
    void (*event)(void *ctx, enum event event, const char *text);
};

#endif
