/* private.h - struct consensus, and what the files of consensus/ need from each other. */
#ifndef RAFTMGR_CONSENSUS_PRIVATE_H
#define RAFTMGR_CONSENSUS_PRIVATE_H

#include "consensus/consensus.h"

#include <pthread.h>
#include <raft.h>
#include <raft/uv.h>

struct proposal {              /* one raft_apply */
    struct raft_apply request; /* data: this proposal */
    struct proposal *next;     /* in finished */
    struct consensus *consensus;
    void (*done)(void *ctx, enum consensus_outcome outcome);
    void *ctx;
    enum consensus_outcome outcome;
};

enum change_step { CHANGE_NONE, CHANGE_ADD, CHANGE_ASSIGN, CHANGE_REMOVE };

struct change { /* the one member change under way */
    struct raft_change request;
    bool active;           /* libraft may still point to request, or the end is to be told */
    enum change_step step; /* what libraft has been asked for */
    enum change_step next; /* to be asked for from a deferred place */
    bool told;             /* done has been called */
    bool finished;         /* failed or succeeded; to be told */
    uint64_t id;
    char address[CONSENSUS_ADDRESS_MAX];
    enum consensus_member_role role;
    uint64_t deadline_at; /* uv_now() */
    struct err result;    /* ERR_OK: it worked */
    void (*done)(void *ctx, int status, const struct err *err);
    void *ctx;
};

struct dial { /* one raft stream asked for */
    struct dial *next;
    struct consensus *consensus; /* NULL: nobody waits any more */
    struct raft_uv_connect *request;
};

struct appended { /* the AppendEntries that a member was sent last */
    raft_id to;   /* 0: none yet */
    raft_term term;
    raft_index prev_log_index;
    raft_term prev_log_term;
    raft_index leader_commit;
    uint64_t at; /* uv_now() */
};

struct consensus {
    uv_loop_t *loop;
    struct consensus_callbacks callbacks;
    uint64_t id;
    char *directory;
    char *address;
    int lock_fd;

    struct raft raft;
    struct raft_io io;
    struct raft_io io_of_uv; /* the functions of io before guard_io() put its own in front */
    struct raft_fsm fsm;
    struct raft_uv_transport transport;
    struct raft_tracer tracer;
    raft_uv_accept_cb accept_stream; /* NULL: not listening */
    struct dial *dials;
    pthread_t thread;

    enum { RAFT_CLOSED, RAFT_OPEN, RAFT_CLOSING } raft_phase;
    bool closing;
    bool down;
    char problem[CONSENSUS_PROBLEM_MAX];
    void (*closed)(void *ctx);
    void *closed_ctx;

    uv_prepare_t prepare; /* both look for changes of libraft's state, which it does not tell */
    uv_check_t check;
    uv_idle_t idle;       /* active while something waits to be delivered */
    uv_timer_t timer;     /* this and what follows: pace.c, uv_now() */
    raft_io_tick_cb tick; /* NULL: not started */
    uint64_t ticked_at;
    uint64_t tick_due_at; /* what timer is set to; 0: not set */
    struct appended appended[CONSENSUS_MEMBERS_MAX];
    unsigned handles;
    bool changed;
    struct proposal *finished, **finished_end;
    unsigned in_flight;
    struct change change;
    struct raft_transfer transfer;

    int seen_state;
    uint64_t seen_term, seen_leader;
    unsigned seen_members;
    uint64_t seen_configuration; /* its index in the log */
    int64_t since_us;
    uint64_t barrier_term; /* a barrier of this term has been asked for */
    uint64_t leading_term; /* and of this one has been applied */

    uint64_t looked_at; /* this and what follows: guard.c, uv_now() */
    uint64_t seen_applied;
    uint64_t applied_at; /* when it last advanced or had nothing to do */
    uint64_t seen_stored;
    uint64_t append_since;   /* entries wait to be written, none was since then; 0: none waits */
    uint64_t snapshot_since; /* a snapshot is being written; 0: none */
};

/* Gives up, for a reason in words; the first one stays. May be called from inside of libraft. */
void consensus_down(struct consensus *consensus, const char *format, ...) PRINTF_LIKE(2, 3);
/* Something is to be delivered in the next turn of the loop. */
void consensus_defer(struct consensus *consensus);

/* fsm.c: fills consensus->fsm. */
void fsm_init(struct consensus *consensus);

/* guard.c: puts our own functions before those of raft_uv, which keep a node that could not write from speaking. */
void guard_io(struct consensus *consensus);
/* Looks for writes that hang, and for what does not get applied. Now and then. */
void guard_look(struct consensus *consensus);

/* pace.c: the timer, a handle of the loop. */
void pace_init(struct consensus *consensus);
/* Puts our own timer in place of libraft's. After guard_io(), before raft_start(). */
void pace_io(struct consensus *consensus);
/* Sets the timer by libraft's state. Before each poll. */
void pace_arm(struct consensus *consensus);
/*
 * Whether this message is a heartbeat that need not be sent: like the last AppendEntries to the same member, which is
 * less than about a fifth of the election timeout old. A heartbeat is there to put off elections, and its answer tells
 * the leader, which asks once in an election timeout, that it still hears a majority (dissertation 3.4, 6.2). A new
 * commit index and new entries go out at once; what was lost is said with the next one. What is to be sent is
 * remembered.
 */
bool pace_says_nothing_new(struct consensus *consensus, const struct raft_message *message);

/* transport.c: fills consensus->transport. */
void transport_init(struct consensus *consensus);

/* members.c: the next step of the change under way, and telling its end. From a deferred place. */
void members_proceed(struct consensus *consensus);
/* The change under way ends here. */
void members_close(struct consensus *consensus);

/* store.c */
int store_lock(const char *directory, int *ret_fd, struct err *err);
int store_check(const char *directory, struct err *err);
/* A libraft error met while loading, in words that say what to do. */
int store_failure(const char *directory, uint64_t id, int status, const char *detail, struct err *err);

/* Zeroed memory, or the end of the process. */
void *consensus_alloc(size_t size);

#endif
