/* lag.c - who told whom how far the primary had come. The argument stands in lag.h. */
#include "core/lag.h"

/* It says how much has been written. */
static bool exact(const struct pg_seen *pg, const struct primary *primary)
{
    return pg->timeline.no == primary->timeline.no &&
           (pg->state == PG_PRIMARY || (pg->state == PG_STOPPED && pg->was_primary && pg->clean));
}

/* Nothing is being written. */
static bool idle(const struct pg_seen *pg)
{
    return pg->state == PG_STANDBY || pg->state == PG_STOPPED || pg->state == PG_ABSENT;
}

struct lsn lag_tell(struct lag_holder *holder, const struct cluster *cluster, const struct pg_seen *pg, int64_t now_us)
{
    const struct primary *primary = &cluster->primary;

    if (!token_is(holder->token, primary->token)) {
        /* Elected and no primary yet, it has written nothing under this token; else a former life may have seen it. */
        bool unwritten = primary->phase == PRIMARY_ELECTED && pg->state != PG_PRIMARY;
        *holder = (struct lag_holder){ .token = primary->token, .seen_at_us = unwritten ? now_us : 0 };
    }
    if (exact(pg, primary))
        holder->lsn = lsn_max(holder->lsn, pg->end);
    if ((exact(pg, primary) || idle(pg)) && pg->at_us > holder->seen_at_us)
        holder->seen_at_us = pg->at_us;
    if (holder->seen_at_us == 0 || now_us - holder->seen_at_us > 2 * (int64_t)cluster->policy.failure_timeout_ms * 1000)
        return (struct lsn){ LAG_BLIND };
    return holder->lsn;
}

void lag_moved(struct lag_word *word, const struct cluster *cluster, bool hello)
{
    if (!token_is(word->token, cluster->primary.token))
        *word = (struct lag_word){ .token = cluster->primary.token, .known = hello };
}

static bool newer(uint64_t incarnation, uint64_t round, const struct lag_word *word)
{
    return incarnation != word->incarnation ? incarnation > word->incarnation : round > word->round;
}

void lag_granted(struct lag_word *word, const struct lease_ask *ask)
{
    if (!token_is(ask->token, word->token) || ask->lsn.at == 0 || !newer(ask->incarnation, ask->round, word))
        return;
    word->known = true;
    word->incarnation = ask->incarnation;
    word->round = ask->round;
    word->lsn = ask->lsn;
}

bool lag_known(const struct cluster *cluster, const struct report *const heard[MEMBERS_MAX], struct lsn *ret_lsn)
{
    struct lag_word newest = { 0 };
    uint32_t knowing = 0;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = heard[i];
        if (!report || !cluster->members[i].voter || report->raft_id != cluster->members[i].raft_id ||
            !token_is(report->token, cluster->token) || !report->told.known ||
            !token_is(report->told.token, cluster->primary.token))
            continue;
        knowing++;
        if (newer(report->told.incarnation, report->told.round, &newest))
            newest = report->told;
    }
    if (!cluster_fenced(cluster) || knowing < cluster_majority(cluster) || newest.lsn.at == LAG_BLIND)
        return false;
    *ret_lsn = newest.lsn;
    return newest.lsn.at != 0 || cluster->primary.position.at != 0;
}
