/*
 * lead_operation.c - the leader while a failover or a switchover is open (design 5.3 steps 3 to 6, 5.4).
 *
 * Safe to promote is two questions, asked anew each turn from fresh reports: is the writer over, and is the data there.
 */
#include "core/lead.h"

#include "core/history.h"
#include "core/lag.h"

#define FETCH_PATIENCE_US 60000000
#define AGAIN_FIRST_US 1000000
#define AGAIN_MAX_US 60000000
#define OVERTIME_US 10000000 /* of a switchover: after its time is up the old primary is elected again */
#define STANDBYS_FIRST_US                                                                                              \
    500000 /* the standbys' reports get this long before the old primary is asked for its data                         \
            */

/* Every grant that could still be a lease has ended, as a majority of the voters itself says after applying the fence.
 */
static bool grants_over(const struct lead_turn *turn)
{
    uint32_t over = 0;

    for (uint32_t i = 0; i < turn->cluster->member_count; i++) {
        const struct report *report = lead_fresh(turn, i);
        over += turn->cluster->members[i].voter && report && report->hello && report->fence.grants_over &&
                token_is(report->fence.token, turn->cluster->token) && token_is(report->token, turn->cluster->token);
    }
    return over >= cluster_majority(turn->cluster);
}

static bool writer_over(const struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    const struct words *words = &cluster->operation.words;
    const struct report *old = lead_fresh(turn, lead_index(turn, cluster->primary.node_id));

    if (old && old->fence.stopped && token_is(old->fence.token, cluster->token))
        return true;
    /* An operator's word counts for as long as nothing is heard of a daemon there: one that lives stops by itself. */
    if (words->host_off && !old)
        return true;
    /* A pause was a lease without end: nothing but the primary's own word, or an operator's, ends it (R17). */
    if (cluster->pause != PAUSE_OFF)
        return false;
    /* The waiver rests on members that the demands ask for and that are fenced: not where some are not asked for. */
    if (cluster->policy.fence_wait == FENCE_WAIT_NONE && !lead_async(cluster) && !words->accepted &&
        !words->written_off)
        return true;
    return grants_over(turn);
}

/*
 * This member's WAL is on the winner's history. Under a fence its report says so. In a switchover nobody is fenced: who
 * follows the old primary holds a beginning of its WAL, which is what any winner has.
 */
static bool answers(const struct lead_turn *turn, const struct report *report, const struct ranking *ranking,
                    struct token token)
{
    if (token_is(report->fence.token, token) && report->fence.data)
        return directory_is(report->fence.directory, report->directory) &&
               report->fence.timeline.no == ranking->timeline.no && lsn_cmp(report->fence.end, ranking->position) <= 0;
    return turn->cluster->operation.kind == OPERATION_SWITCHOVER && report->pg_state == PG_STANDBY &&
           report->following && !report->lagging && report->timeline.no == ranking->timeline.no;
}

/* The directories of the others that answer. */
static uint32_t answering(const struct lead_turn *turn, const struct ranking *ranking, struct token token,
                          struct directory_id ret_directories[MEMBERS_MAX])
{
    const struct cluster *cluster = turn->cluster;
    uint32_t count = 0;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        const struct report *report = lead_fresh(turn, i);
        if (report && member->kind == NODE_DATA && member->node_id != ranking->winner && !member->written_off &&
            directory_is(report->directory, member->directory) && answers(turn, report, ranking, token))
            ret_directories[count++] = member->directory;
    }
    return count;
}

static void elect(struct lead_turn *turn, const struct ranking *ranking, struct token token, uint64_t stopped_start_no,
                  enum why why)
{
    const struct cluster *cluster = turn->cluster;
    const struct member *winner = cluster_member(cluster, ranking->winner);
    struct directory_id directories[MEMBERS_MAX];
    uint32_t count = answering(turn, ranking, token, directories);
    struct command *command = lead_propose(turn, COMMAND_ELECT);

    assert(winner);
    command->node_id = winner->node_id;
    command->token = token;
    command->expect = cluster->demand_version;
    command->directory = winner->directory;
    command->timeline = ranking->timeline;
    command->lsn = ranking->position;
    command->stopped_start_no = stopped_start_no;
    elect_demand(cluster, winner->directory, directories, count, &command->demand);
    lead_because(turn, why, winner->name);
}

/* Async: every reachable data node has reported, or it has had its time. */
static bool async_ready(const struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;

    if (turn->now_us - turn->view->operation_since_us >= lead_failure_us(turn))
        return true;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = lead_fresh(turn, i);
        if (cluster->members[i].kind == NODE_DATA && cluster->members[i].node_id != cluster->primary.node_id &&
            report && !(token_is(report->fence.token, cluster->token) && report->fence.data))
            return false;
    }
    return true;
}

/* Names of the members that have not reported, for people; `blind`: too few know how far the primary had come. */
static void name_missing(const struct lead_turn *turn, const struct ranking *ranking, bool blind, char *text)
{
    const struct cluster *cluster = turn->cluster;
    size_t used;

    text[0] = '\0';
    if (blind)
        (void)text_copy(text, TEXT_SIZE, "its last position is not known to a majority; ");
    size_t names = used = strlen(text);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        enum verdict verdict = ranking->verdicts[i];
        if (verdict != VERDICT_SILENT && verdict != VERDICT_NO_DATA && verdict != VERDICT_LAGGING)
            continue;
        int more = snprintf(text + used, TEXT_SIZE - used, "%s%s", used > names ? ", " : "", cluster->members[i].name);
        if (more < 0 || (size_t)more >= TEXT_SIZE - used)
            return;
        used += (size_t)more;
    }
}

/* One fetch at a time, until it holds what was asked for or its time is up. True while it goes on. */
static bool fetch_goes_on(struct lead_turn *turn)
{
    const struct fetch *fetch = &turn->view->fetch;
    const struct report *report = lead_fresh(turn, lead_index(turn, fetch->node_id));

    if (fetch->node_id == 0 || !token_is(fetch->token, turn->cluster->token) || !report ||
        turn->now_us - fetch->since_us > FETCH_PATIENCE_US ||
        (report->timeline.no == fetch->timeline.no && lsn_cmp(report->end, fetch->position) >= 0))
        return false;
    turn->plan->fetch = *fetch;
    return true;
}

/* The furthest may not lead, or fails: the best of those that may, and whose WAL is a beginning of its, gets the rest
 * (R28). */
static void begin_fetch(struct lead_turn *turn, const struct ranking *ranking)
{
    const struct cluster *cluster = turn->cluster;
    const struct report *furthest = lead_fresh(turn, lead_index(turn, ranking->furthest));
    const struct report *best = NULL;

    if (!furthest)
        return;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = lead_fresh(turn, i);
        if (ranking->verdicts[i] == VERDICT_BEHIND && report &&
            history_contains(&furthest->history, ranking->timeline, report->fence.timeline, report->fence.end) &&
            (!best || lsn_cmp(report->fence.end, best->fence.end) > 0))
            best = report;
    }
    if (!best)
        return;
    turn->plan->fetch = (struct fetch){
        .token = cluster->token,
        .node_id = best->node_id,
        .from = ranking->furthest,
        .timeline = ranking->timeline,
        .position = ranking->position,
        .since_us = turn->now_us,
    };
}

/* Where too few know how far the primary had come, the lag rule has nothing to go by: only its own data will do. */
static bool position_known(const struct lead_turn *turn, struct lsn *ret_lsn)
{
    const struct report *heard[MEMBERS_MAX] = { 0 };

    for (uint32_t i = 0; i < turn->cluster->member_count; i++)
        heard[i] = turn->view->heard[i].report;
    return lag_known(turn->cluster, heard, ret_lsn);
}

/* When this winner may be elected; 0: at once, it has not failed while this operation is open. */
static int64_t again_at_us(const struct lead_turn *turn, int32_t winner)
{
    const struct failures *failures = &turn->view->failures;
    int64_t pause_us = AGAIN_FIRST_US;

    if (!(failures->mask >> lead_index(turn, winner) & 1))
        return 0;
    for (uint32_t i = 1; i < failures->count && pause_us < AGAIN_MAX_US; i++)
        pause_us *= 2;
    return failures->at_us + (pause_us < AGAIN_MAX_US ? pause_us : AGAIN_MAX_US);
}

/*
 * Elects, but for who has failed: each try takes a token, a timeline and records, and what made it fail may take time
 * to mend. While such a one waits for its next turn somebody else may fetch what it holds, and be elected in its place.
 */
static void elect_or_pause(struct lead_turn *turn)
{
    struct ranking *ranking = &turn->plan->ranking;
    int64_t again_us = again_at_us(turn, ranking->winner);

    if (turn->now_us >= again_us) {
        elect(turn, ranking, turn->cluster->token, 0, WHY_ELECT);
        return;
    }
    lead_because(turn, WHY_ELECT_AGAIN, cluster_member(turn->cluster, ranking->winner)->name);
    if (turn->view->failures.count > 1 && !fetch_goes_on(turn))
        begin_fetch(turn, ranking);
}

static void fenced(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    struct lead_plan *plan = turn->plan;
    char missing[TEXT_SIZE];
    struct lsn async_lsn = { 0 };
    bool lag_rule = lead_async(cluster) && !cluster->operation.words.accepted;
    bool blind = lag_rule && !position_known(turn, &async_lsn);

    /* A winner that had not promoted: what it was elected with is all that it had, and none of that is given up. */
    if (lag_rule && !blind && async_lsn.at == 0)
        async_lsn.at = cluster->primary.position.at + cluster->policy.maximum_lag_on_failover_bytes;
    candidate_rank(cluster, turn->view->heard, cluster->token, 0, turn->view->failures.avoid, async_lsn,
                   &plan->ranking);
    plan->ranked = true;
    plan->want_primary_data =
        plan->ranking.want_primary_data && turn->now_us - turn->view->operation_since_us >= STANDBYS_FIRST_US;
    plan->wake_at_us = turn->now_us + 100000;
    if (!writer_over(turn)) {
        lead_because(turn, WHY_WRITER_LIVE, NULL);
    } else if (plan->ranking.winner == 0 && fetch_goes_on(turn)) {
        lead_because(turn, WHY_FURTHEST_MAY_NOT, NULL);
    } else if (plan->ranking.less) {
        lead_because(turn, WHY_LESS_THAN_TOLD, NULL);
    } else if (!plan->ranking.covered || (lag_rule && !blind && !async_ready(turn))) {
        name_missing(turn, &plan->ranking, blind, missing);
        lead_because(turn, WHY_DEMANDS_UNMET, missing);
    } else if (plan->ranking.winner != 0) {
        elect_or_pause(turn);
    } else if (plan->ranking.furthest != 0) {
        lead_because(turn, WHY_FURTHEST_MAY_NOT, NULL);
        begin_fetch(turn, &plan->ranking);
    } else {
        lead_because(turn, WHY_NO_CANDIDATE, NULL);
    }
}

/* The winner works, or has failed, or fell silent: then the next try begins with a new FENCE (R13). */
static void elected(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    uint32_t index = lead_index(turn, cluster->primary.node_id);
    const struct report *winner = lead_fresh(turn, index);
    int64_t waited_us = turn->now_us - turn->view->operation_since_us;
    int64_t patience_us = lead_failure_us(turn);

    turn->plan->wake_at_us = turn->now_us + 100000;
    if (winner && token_is(winner->token, cluster->token) && winner->trouble == TROUBLE_FAILED)
        lead_fence(turn, WHY_WINNER_FAILED, "the winner's promotion failed");
    else if (!winner && waited_us > patience_us)
        lead_fence(turn, WHY_WINNER_FAILED, "the winner fell silent");
    else if (winner && waited_us > 5 * patience_us + 10000000 && !winner->lease_valid)
        lead_fence(turn, WHY_WINNER_FAILED, "the winner got no lease");
    else if (waited_us > 5 * patience_us + 60000000)
        lead_fence(turn, WHY_WINNER_FAILED, "the winner did not promote in time");
    else
        lead_because(turn, WHY_WINNER_WORKS, winner ? winner->waiting : NULL);
}

void lead_failover(struct lead_turn *turn)
{
    if (cluster_fenced(turn->cluster))
        fenced(turn);
    else
        elected(turn);
}

static void elect_back(struct lead_turn *turn, const struct report *old, const char *detail)
{
    struct ranking ranking = { .winner = old->node_id, .timeline = old->fence.timeline, .position = old->fence.end };

    if (old->fence.timeline.no == 0) {
        lead_fence(turn, WHY_SWITCHOVER_SILENT, "the old primary stopped and has no data");
        return;
    }
    /* Not stopped in order, it may hold more than is seen of it: were it lost again before it promotes, the lag rule
     * would take this for all that it had (lag.h). */
    if (lead_async(turn->cluster) && !(old->fence.clean && old->fence.data))
        ranking.position = (struct lsn){ 0 };
    elect(turn, &ranking, old->fence.token, old->start_no, WHY_SWITCHOVER_BACK);
    lead_because(turn, WHY_SWITCHOVER_BACK, detail);
}

void lead_switchover(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    const struct operation *operation = &cluster->operation;
    struct token reserved = { cluster->token.no + 1 };
    const struct report *old = lead_fresh(turn, lead_index(turn, operation->from));
    const struct report *target = lead_fresh(turn, lead_index(turn, operation->to));
    const struct member *to = cluster_member(cluster, operation->to);
    int64_t waited_us = turn->now_us - turn->view->operation_since_us;
    int64_t timeout_us = (int64_t)operation->timeout_ms * 1000;

    if (cluster->primary.phase == PRIMARY_ELECTED) {
        elected(turn);
        return;
    }
    turn->plan->wake_at_us = turn->now_us + 100000;
    if (!old) {
        if (waited_us > lead_failure_us(turn))
            lead_fence(turn, WHY_SWITCHOVER_SILENT, "the old primary fell silent during the switchover");
        else
            lead_because(turn, WHY_SWITCHOVER_STOPPING, NULL);
        return;
    }
    bool stopped = token_is(old->fence.token, reserved) && old->fence.stopped;
    if (waited_us > timeout_us + OVERTIME_US) {
        /* Whatever it waits for, or proposes in vain: a failover has more ways. */
        lead_fence(turn, WHY_SWITCHOVER_SILENT,
                   stopped ? "nobody could be elected in the switchover's time"
                           : "the old primary did not stop during the switchover");
        return;
    }
    if (!stopped) {
        lead_because(turn, WHY_SWITCHOVER_STOPPING, old->waiting);
        return;
    }
    if (!old->fence.clean || !old->fence.data) {
        elect_back(turn, old, "the old primary did not stop cleanly");
    } else if (target && to && target->pg_state == PG_STANDBY && !target->lagging &&
               directory_is(target->directory, to->directory) && target->timeline.no == old->fence.timeline.no &&
               lsn_cmp(target->end, old->fence.end) >= 0) {
        struct ranking ranking = { .winner = operation->to,
                                   .timeline = old->fence.timeline,
                                   .position = old->fence.end };
        elect(turn, &ranking, reserved, old->start_no, WHY_ELECT);
    } else if (waited_us > timeout_us || (!target && waited_us > lead_failure_us(turn))) {
        elect_back(turn, old, "the target did not receive the shutdown checkpoint in time");
    } else {
        lead_because(turn, WHY_SWITCHOVER_RECEIVING, NULL);
    }
}
