/*
 * lag.h - what the lag rule of durability = async goes by: how far the replaced primary had come when it last renewed.
 *
 * Each round of the lease says how far the holder's WAL is on disk, and a voter that grants the round remembers the
 * newest word. A voter that has applied the fence grants nothing more, and any majority of such voters shares one with
 * the majority that granted the last renewal: so the newest word of a majority is at least as new as that renewal
 * (design 5.3 step 3). Whether the round was a healthy one does not matter: a lease was renewed by it.
 *
 * A restarted voter has forgotten what it heard, and counts only once it has granted a round that says something, or
 * where it is known that no life before this one can have granted any: when the token was given out after its HELLO.
 * Where no majority knows, nobody is within any lag, and only the old primary itself can be elected by its own data.
 */
#ifndef RAFTMGR_LAG_H
#define RAFTMGR_LAG_H

#include "core/cluster.h"
#include "core/report.h"

#define LAG_BLIND UINT64_MAX /* a word: it may have written any amount meanwhile */

/* The holder's memory of what it saw of its own server. */
struct lag_holder {
    struct token token;
    struct lsn lsn;     /* greatest position seen under that token in this life; 0: none */
    int64_t seen_at_us; /* when nothing beyond that had been written, for sure; 0: not known of any moment */
};

/*
 * What a round that is sent now says of the position. 0: nothing new, it has not promoted or it died before this life.
 * LAG_BLIND: nothing has been seen of the server for two failure_timeouts, or not at all since this daemon started.
 */
struct lsn lag_tell(struct lag_holder *holder, const struct cluster *cluster, const struct pg_seen *pg, int64_t now_us);

/*
 * The voter's side. To be called whenever the applied state has moved; `hello`: its own HELLO had been applied before
 * that move.
 */
void lag_moved(struct lag_word *word, const struct cluster *cluster, bool hello);
/* A round that this voter has granted. */
void lag_granted(struct lag_word *word, const struct lease_ask *ask);

/*
 * The leader's side, while a fence is in force: the newest word of a majority of the voters, each of which has applied
 * the fence. False where no majority knows, or where it may have written any amount. *ret_lsn is 0 where it never told
 * of a position: when it last renewed it had not promoted yet, and had written nothing beyond what it was elected with.
 * heard[] goes by index in cluster->members; NULL: never heard. The age of a report does not matter, since nothing is
 * granted after it.
 */
bool lag_known(const struct cluster *cluster, const struct report *const heard[MEMBERS_MAX], struct lsn *ret_lsn);

#endif
