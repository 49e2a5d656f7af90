/*
 * sync.h - the synchronous set while a primary is active: which demand there should be, and when the newest one has
 * been seen through on the primary so that the older may end (design 5.6; R1, R2, R6 to R8).
 */
#ifndef RAFTMGR_SYNC_H
#define RAFTMGR_SYNC_H

#include "core/candidate.h"
#include "core/cluster.h"
#include "core/report.h"

/*
 * On the leader: the demand that the primary should have now. `primary` is the primary's report; lost_us is how long a
 * named standby may be silent before it is dropped (failure_timeout). Members named in the newest demand stay until
 * they are lost; others enter once they stream and have caught up to what the primary had.
 * Returns true and fills *ret_demand (version and token left zero) when it differs from the newest demand in the log.
 */
bool sync_wanted(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], int64_t lost_us,
                 struct demand *ret_demand);

/* On the primary: how far the newest applied demand has come. Zero-initialised; one for each daemon. */
struct sync_progress {
    uint64_t version;       /* the demand it is about */
    uint64_t settled;       /* the newest version that has been seen through */
    bool effective;         /* every walsender has shown it */
    struct lsn position;    /* written after it was in effect; k of S must flush it */
    bool checkpoint_needed; /* coming from k = 0: backends begin to wait only after the checkpointer saw the reload */
    bool checkpoint_done;
    uint32_t replied_count; /* walsenders' replies when the settings were first seen loaded */
    struct {
        int32_t pid;
        int64_t started_us;
        int64_t replied_us;
        uint32_t changes;
    } replied[MEMBERS_MAX];
};

/* Takes one look at the primary in. `settled` moves to the newest version when all of step 3 has been seen. */
void sync_observe(struct sync_progress *progress, const struct cluster *cluster, const struct pg_seen *seen);

/*
 * Is this walsender, which goes by the member's name, the member's? It holds its slot, which admits one connection, and
 * which no server knows that this node had before it was admitted anew.
 */
bool sync_is_own(const struct member *member, const struct walsender_seen *walsender);
/*
 * A connection that PostgreSQL counts as a member's, by its name, and that does not hold the member's slot: it would
 * acknowledge what the member lacks, or count twice (R7). NULL: none. Borrowed from *seen.
 */
const struct walsender_seen *sync_stray(const struct cluster *cluster, const struct pg_seen *seen);

/* The settings that a server under this state must have: the newest demand's {S, k} as names, for this node. */
void sync_conf(const struct cluster *cluster, int32_t self_node_id, struct pg_conf *conf);

#endif
