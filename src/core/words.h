/*
 * words.h - what operators say while a failover is open, and what it leaves in the agreed state (design 5.2, 5.3 step
 * 6; R17, R25, R30; decision 0012). The rules: cluster_words.c.
 *
 * Each is a command that names the token of the FENCE that it was said under.
 *
 * - WRITE_OFF: this data directory (`directory`, of member `node_id`) is gone for good; no demand asks for it any more.
 * - ACCEPT_LOSS: the demands need not be met; `node_id` and `directory` are of who was shown to hold most.
 * - HOST_OFF: the host of the primary that is replaced is off; `stopped_start_no` is its daemon's last known start.
 *
 * The first two name the demand version that they were said of (`expect`), and in `timeline` and `lsn` what is kept.
 */
#ifndef RAFTMGR_WORDS_H
#define RAFTMGR_WORDS_H

#include "core/types.h"

struct cluster;

/* What was said under the present FENCE; the next one forgets it. */
struct words {
    bool host_off;            /* the writer is over */
    bool accepted;            /* the demands need not be met */
    bool written_off;         /* a directory was taken out of the demands */
    struct timeline timeline; /* accepted or written_off: whoever is elected holds at least this ... */
    struct lsn lsn;           /* ... and so no more is lost than was said */
};

/* WAL up to here is less than operators were told under the present FENCE that they keep. */
bool words_less(const struct cluster *cluster, struct timeline timeline, struct lsn lsn);

#endif
