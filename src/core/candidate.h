/*
 * candidate.h - is the data there, who should be the next primary, and why each other is not.
 *
 * Coverage: an acknowledged commit is on k of S's directories for the demand {S, k} of the log. With R the set of
 * directories that are fenced for good and have reported their end of WAL, every such commit is in R if |S \ R| < k, or
 * if the replaced primary itself reported (it flushes before it acknowledges). While a change is under way, with two
 * demands, it is {union of S, least k} that must be met, not each demand alone: walsenders read the new settings one by
 * one, each counts by its own k all those who count themselves in by their own S, and so k of the old may be made up by
 * a member of the new (design 5.3 step 3, decision 0011; R1 to R3, R23). The greatest (timeline of the last record, LSN
 * on disk) in R then holds them all, because timeline numbers are given out once (R9), and WAL that does not come from
 * these promotions does not rank (cluster_owns_wal(), decision 0013).
 */
#ifndef RAFTMGR_CANDIDATE_H
#define RAFTMGR_CANDIDATE_H

#include "core/cluster.h"
#include "core/report.h"

enum verdict {
    VERDICT_WINNER,
    VERDICT_READY,   /* could lead, another is preferred */
    VERDICT_SILENT,  /* no report under this fence */
    VERDICT_NO_DATA, /* has reported, but not its end of WAL yet */
    VERDICT_BEHIND,  /* another holds more WAL */
    VERDICT_WITNESS,
    VERDICT_PRIORITY, /* priority 0 */
    VERDICT_MANUAL,   /* failover=manual */
    VERDICT_UNREGISTERED,
    VERDICT_FOREIGN,     /* WAL of a timeline made by hand */
    VERDICT_LAGGING,     /* WAL of a timeline its applied state does not know */
    VERDICT_DIRECTORY,   /* reported for another data directory than the log names */
    VERDICT_LAG_LIMIT,   /* async: further behind than maximum_lag_on_failover */
    VERDICT_REPLACED,    /* the primary that is being replaced ranks only while the standbys do not meet the demands */
    VERDICT_SYSTEM,      /* its data directory belongs to another PostgreSQL system */
    VERDICT_WRITTEN_OFF, /* an operator wrote its data directory off */
};

/* A member's report as the deciding node has it. */
struct heard {
    const struct report *report; /* NULL: never */
    int64_t age_us;
};

struct ranking {
    bool covered;           /* every acknowledged commit is on a reporter, but for what is within
                               maximum_lag_on_failover (async) or operators accepted to lose */
    bool less;              /* nobody who reports holds what operators were told is kept: nobody wins */
    bool want_primary_data; /* standbys alone do not cover: the old primary's end of WAL is asked for */
    int32_t winner;         /* node id, 0: none */
    int32_t furthest;       /* node id of who holds most, 0: none; differs from winner when it may not lead */
    struct timeline timeline;
    struct lsn position;                /* of the furthest */
    enum verdict verdicts[MEMBERS_MAX]; /* by index in cluster->members */
};

/*
 * Ranks under the current fence (token of the reports = fence_token). heard[] goes by index in cluster->members.
 * preferred: node id that wins among equals (the switchover's target), 0: none. avoid: bit mask by index of members
 * that just failed under an earlier token and come last among equals.
 * async_lsn: with durability async and {none; 0} alone, the primary's LSN at its last renewal; 0 = not async, the
 * synchronous rule holds.
 */
void candidate_rank(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], struct token fence_token,
                    int32_t preferred, uint32_t avoid, struct lsn async_lsn, struct ranking *ret_ranking);

/*
 * Who of those that have reported under the current fence holds most, whatever the demands ask for: what an operator is
 * shown (words.h). Where nobody else has, those that were written off are looked at too. Node id, 0: nobody.
 */
int32_t candidate_most(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX],
                       struct timeline *ret_timeline, struct lsn *ret_end);

/* The demands are met by R (directories), `primary_in` saying that the replaced primary's own directory is in R. */
bool demands_met(const struct cluster *cluster, const struct directory_id *reported, uint32_t reported_count);

/*
 * The demand that ELECT leaves: S' = all named by the replaced demands and the old primary, less the winner; k' at most
 * the least k; under `quorum` at most as many as answer (`answering` directories other than the winner's).
 */
void elect_demand(const struct cluster *cluster, struct directory_id winner, const struct directory_id *answering,
                  uint32_t answering_count, struct demand *ret_demand);

/* What cluster_apply asks of ELECT's demand (R31). */
bool elect_demand_allowed(const struct cluster *cluster, struct directory_id winner, const struct demand *demand);

const char *verdict_text(enum verdict verdict);

#endif
