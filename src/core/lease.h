/*
 * lease.h - all lease arithmetic: who may be primary for how long, and when that is surely over.
 *
 * The holder counts from the moment it *sent* a round that a majority granted; a voter remembers from the moment of
 * receipt, on its own CLOCK_BOOTTIME. The holder takes drift off its side: clock rates of two hosts may differ by up to
 * LEASE_DRIFT. So holder's end = sent + length - drift <= receipt + length = the end at every voter that granted, and a
 * majority that says "my grants have ended" contains one of those voters (design 5.2, 5.8; R11, R12, R24).
 *
 * A grant touches no disk, so a restarted voter has forgotten it: it counts as having granted lease_max at its start.
 */
#ifndef RAFTMGR_LEASE_H
#define RAFTMGR_LEASE_H

#include "core/cluster.h"
#include "core/report.h"

#define LEASE_DRIFT 100  /* one part in LEASE_DRIFT of a lease's length is taken off by the holder */
#define LEASE_RENEWALS 5 /* rounds begun per lease length, at least */
#define LEASE_SIGNS 4    /* and per failure_timeout: rounds are the sign of life that suspicion goes by */

/* A voter's memory. */
struct lease_voter {
    int64_t start_us;         /* when this daemon started */
    int64_t granted_until_us; /* latest end of any grant of this life; 0: none */
};

void lease_voter_init(struct lease_voter *voter, int64_t now_us);

/*
 * Answers one round. Granted only when the voter has applied its own HELLO (`hello`), and its applied state says that
 * the asker is the primary of the current token, which is not fenced, and the length is no longer than lease_max.
 */
struct lease_reply lease_voter_answer(struct lease_voter *voter, const struct cluster *cluster, int32_t self_node_id,
                                      bool hello, const struct lease_ask *ask, int64_t now_us);

/* Every grant of this voter, those forgotten included, has ended. To be asked after the fence is applied. */
bool lease_voter_over(const struct lease_voter *voter, const struct cluster *cluster, int64_t now_us);
/* When lease_voter_over() will become true. */
int64_t lease_voter_over_at(const struct lease_voter *voter, const struct cluster *cluster);

/* The holder's side: one round open at a time, a newer one replaces it. */
struct lease_holder {
    struct token token; /* 0: holds and asks for nothing */
    uint64_t round;
    uint32_t tries;          /* rounds under this token */
    int64_t sent_us;         /* of the open round */
    int64_t length_us;       /* of the open round */
    int64_t kill_time_us;    /* guard_kill_time when it was begun */
    uint64_t config_version; /* voters that the open round is counted by */
    uint32_t grant_count;
    int32_t grants[MEMBERS_MAX]; /* node ids that granted the open round */
    int64_t end_us;              /* valid before this moment; 0: never had one */
    int64_t held_length_us;      /* length of the newest round that a majority granted, */
    int64_t held_kill_time_us;   /* and its guard_kill_time: settings that change count from the next one */
    uint64_t held_config;        /* config_version that round was counted by */
    bool refused;                /* a voter knows a newer token: stop at once */
};

/* Gives everything up; asks for nothing any more. */
void lease_drop(struct lease_holder *holder);
/* Begins a round under the primary's token; fills the question to send to every voter (itself included). */
void lease_begin(struct lease_holder *holder, const struct cluster *cluster, int32_t self_node_id, uint64_t incarnation,
                 bool healthy, int64_t now_us, struct lease_ask *ret_ask);
/* Takes a reply in. Replies of other rounds, other lives, or nodes that are no voters do not count. */
void lease_take(struct lease_holder *holder, const struct cluster *cluster, uint64_t incarnation,
                const struct lease_reply *reply);
bool lease_valid(const struct lease_holder *holder, const struct cluster *cluster, int64_t now_us);
/* When the next round is due. */
int64_t lease_due_us(const struct lease_holder *holder, const struct cluster *cluster);
/* The guard's deadline: guard_kill_time before the lease's end. */
int64_t lease_kill_at_us(const struct lease_holder *holder);
/* From here on the holder stops PostgreSQL in good order by itself, while it still can. */
int64_t lease_give_up_at_us(const struct lease_holder *holder);

#endif
