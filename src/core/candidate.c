/* candidate.c - coverage, ranking, and the demand that an election leaves. The argument stands in candidate.h. */
#include "core/candidate.h"

#include "core/history.h"

static bool listed(const struct directory_id *list, uint32_t count, struct directory_id directory)
{
    for (uint32_t i = 0; i < count; i++)
        if (directory_is(list[i], directory))
            return true;
    return false;
}

/* How many of these directories are neither reporters nor named by an earlier demand. */
static uint32_t newly_missing(const struct cluster *cluster, uint32_t index, const struct directory_id *reported,
                              uint32_t reported_count)
{
    const struct demand *demand = &cluster->demands[index];
    uint32_t missing = 0;

    for (uint32_t i = 0; i < demand->count; i++) {
        bool counted = listed(reported, reported_count, demand->directories[i]);
        for (uint32_t j = 0; j < index; j++)
            counted = counted || demand_names(&cluster->demands[j], demand->directories[i]);
        missing += !counted;
    }
    return missing;
}

bool demands_met(const struct cluster *cluster, const struct directory_id *reported, uint32_t reported_count)
{
    uint32_t missing = 0;
    uint32_t least = UINT32_MAX;

    if (listed(reported, reported_count, cluster->primary.directory))
        return true;
    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        missing += newly_missing(cluster, i, reported, reported_count);
        least = cluster->demands[i].k < least ? cluster->demands[i].k : least;
    }
    return missing < least;
}

/* What it reported is the cluster's own WAL; the history is told beside, and may be of a later look. */
static bool owns(const struct cluster *cluster, const struct report *report)
{
    static const struct history none;
    bool same = report->timeline.no == report->fence.timeline.no;

    return cluster_owns_wal(cluster, same ? &report->history : &none, report->fence.timeline);
}

/* What speaks against this member before anyone is compared with it. VERDICT_READY: it is a reporter. */
static enum verdict reporter(const struct cluster *cluster, const struct member *member, const struct heard *heard,
                             struct token fence_token)
{
    const struct report *report = heard->report;

    if (member->kind == NODE_WITNESS)
        return VERDICT_WITNESS;
    if (!report || report->raft_id != member->raft_id || report->start_no != member->start_no ||
        heard->age_us > (int64_t)cluster->policy.failure_timeout_ms * 1000 ||
        !token_is(report->fence.token, fence_token))
        return VERDICT_SILENT;
    if (report->system_identifier != 0 && report->system_identifier != cluster->system_identifier)
        return VERDICT_SYSTEM;
    if (!report->fence.data || report->system_identifier == 0)
        return VERDICT_NO_DATA;
    if (member->directory.no == 0 || !directory_is(report->fence.directory, member->directory))
        return VERDICT_DIRECTORY;
    if (member->written_off)
        return VERDICT_WRITTEN_OFF;
    if (report->lagging || report->fence.timeline.no > cluster->timeline_max.no)
        return VERDICT_LAGGING;
    if (!owns(cluster, report))
        return VERDICT_FOREIGN;
    return VERDICT_READY;
}

static bool holds_more(const struct fence_report *left, const struct fence_report *right)
{
    if (left->timeline.no != right->timeline.no)
        return left->timeline.no > right->timeline.no;
    return lsn_cmp(left->end, right->end) > 0;
}

static bool holds_same(const struct fence_report *left, const struct fence_report *right)
{
    return left->timeline.no == right->timeline.no && lsn_cmp(left->end, right->end) == 0;
}

/* Takes the replaced primary out of the ranking, or puts it in, and says whether all demands are met. */
static bool cover(const struct cluster *cluster, enum verdict verdicts[MEMBERS_MAX], bool with_primary)
{
    struct directory_id reported[MEMBERS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (verdicts[i] == VERDICT_REPLACED && with_primary)
            verdicts[i] = VERDICT_READY;
        if (verdicts[i] == VERDICT_READY)
            reported[count++] = cluster->members[i].directory;
    }
    return demands_met(cluster, reported, count);
}

struct order {
    const struct cluster *cluster;
    int32_t preferred;
    uint32_t avoid;
    char location[NAME_SIZE]; /* of the replaced primary */
};

/* Among those who hold the same, does the left one go first? */
static bool goes_first(const struct order *order, uint32_t left, uint32_t right)
{
    const struct member *a = &order->cluster->members[left];
    const struct member *b = &order->cluster->members[right];
    bool a_near = strcmp(a->location, order->location) == 0;
    bool b_near = strcmp(b->location, order->location) == 0;
    bool a_avoid = order->avoid >> left & 1;
    bool b_avoid = order->avoid >> right & 1;

    if (a_avoid != b_avoid)
        return b_avoid;
    if ((a->node_id == order->preferred) != (b->node_id == order->preferred))
        return a->node_id == order->preferred;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a_near != b_near)
        return a_near;
    return a->node_id < b->node_id;
}

static int find_furthest(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX],
                         const enum verdict verdicts[MEMBERS_MAX])
{
    int furthest = -1;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (verdicts[i] != VERDICT_READY)
            continue;
        if (furthest < 0 || holds_more(&heard[i].report->fence, &heard[furthest].report->fence))
            furthest = (int)i;
    }
    return furthest;
}

/* How far this WAL is the replaced primary's: bare positions of another timeline say nothing of what it lacks. */
static struct lsn shared_end(const struct cluster *cluster, const struct report *report)
{
    const struct primary *primary = &cluster->primary;
    const struct fence_report *own = &report->fence;

    if (own->timeline.no == primary->timeline.no)
        return own->end;
    /* On a timeline that began after what the primary was elected with: it has all of that, and nothing beyond. */
    if (own->timeline.no > primary->from_timeline.no && report->timeline.no == own->timeline.no &&
        history_contains(&report->history, own->timeline, primary->from_timeline, primary->position))
        return primary->position;
    if (own->timeline.no != primary->from_timeline.no)
        return (struct lsn){ 0 };
    return lsn_cmp(own->end, primary->position) < 0 ? own->end : primary->position;
}

/* Why a reporter may not lead, or VERDICT_READY. */
static enum verdict may_lead(const struct cluster *cluster, uint32_t index, const struct report *report,
                             const struct fence_report *furthest, struct lsn async_lsn)
{
    const struct member *member = &cluster->members[index];
    const struct fence_report *own = &report->fence;

    if (!member->registered)
        return VERDICT_UNREGISTERED;
    if (member->priority == 0 && member->node_id != cluster->primary.node_id)
        return VERDICT_PRIORITY;
    if (member->manual && member->node_id != cluster->primary.node_id)
        return VERDICT_MANUAL;
    if (!holds_same(own, furthest))
        return VERDICT_BEHIND;
    if (async_lsn.at != 0 &&
        shared_end(cluster, report).at + cluster->policy.maximum_lag_on_failover_bytes < async_lsn.at)
        return VERDICT_LAG_LIMIT;
    return VERDICT_READY;
}

static void choose(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], const struct order *order,
                   struct lsn async_lsn, struct ranking *ranking)
{
    int furthest = find_furthest(cluster, heard, ranking->verdicts);
    int winner = -1;

    if (furthest < 0)
        return;
    const struct fence_report *most = &heard[furthest].report->fence;
    ranking->furthest = cluster->members[furthest].node_id;
    ranking->timeline = most->timeline;
    ranking->position = most->end;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (ranking->verdicts[i] != VERDICT_READY)
            continue;
        ranking->verdicts[i] = may_lead(cluster, i, heard[i].report, most, async_lsn);
        if (ranking->verdicts[i] == VERDICT_READY && (winner < 0 || goes_first(order, i, (uint32_t)winner)))
            winner = (int)i;
    }
    if (winner < 0) {
        /* More than was agreed to lose is missing, and nobody else can be told to hold it. */
        ranking->covered = ranking->covered && ranking->verdicts[furthest] != VERDICT_LAG_LIMIT;
        return;
    }
    ranking->verdicts[winner] = VERDICT_WINNER;
    ranking->winner = cluster->members[winner].node_id;
    ranking->furthest = ranking->winner;
}

/* What operators were told is kept outlives whoever told them: nobody is elected who holds less (design 5.3 step 6). */
static void hold_to_words(const struct cluster *cluster, struct ranking *ranking)
{
    if (ranking->furthest == 0 || !words_less(cluster, ranking->timeline, ranking->position))
        return;
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (ranking->verdicts[i] == VERDICT_WINNER)
            ranking->verdicts[i] = VERDICT_READY;
    ranking->less = true;
    ranking->covered = false;
    ranking->winner = 0;
    ranking->furthest = 0;
}

void candidate_rank(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], struct token fence_token,
                    int32_t preferred, uint32_t avoid, struct lsn async_lsn, struct ranking *ret_ranking)
{
    struct ranking ranking = { 0 };
    struct order order = { .cluster = cluster, .preferred = preferred, .avoid = avoid };
    const struct member *replaced = cluster_member(cluster, cluster->primary.node_id);

    if (replaced)
        (void)text_copy(order.location, sizeof order.location, replaced->location);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        ranking.verdicts[i] = reporter(cluster, &cluster->members[i], &heard[i], fence_token);
        if (ranking.verdicts[i] == VERDICT_READY && cluster->members[i].node_id == cluster->primary.node_id)
            ranking.verdicts[i] = VERDICT_REPLACED;
    }
    bool standbys_cover = cover(cluster, ranking.verdicts, false);
    ranking.covered = standbys_cover || async_lsn.at != 0;
    if (!ranking.covered) {
        ranking.want_primary_data = true;
        ranking.covered = cover(cluster, ranking.verdicts, true) || cluster->operation.words.accepted;
    }
    if (ranking.covered) {
        struct ranking standbys = ranking;
        choose(cluster, heard, &order, async_lsn, &ranking);
        hold_to_words(cluster, &ranking);
        if (ranking.winner == 0) {
            /*
             * None of them may lead: then the replaced primary itself, once it has told its end of WAL; or whoever
             * holds more than it, and it does not matter how far it had come.
             */
            ranking.want_primary_data = true;
            standbys.want_primary_data = true;
            bool told = cover(cluster, standbys.verdicts, true);
            choose(cluster, heard, &order, told ? (struct lsn){ 0 } : async_lsn, &standbys);
            hold_to_words(cluster, &standbys);
            ranking = standbys.winner != 0 ? standbys : ranking;
        }
    }
    *ret_ranking = ranking;
}

int32_t candidate_most(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX],
                       struct timeline *ret_timeline, struct lsn *ret_end)
{
    enum verdict verdicts[MEMBERS_MAX] = { 0 };
    int most;

    for (uint32_t i = 0; i < cluster->member_count; i++)
        verdicts[i] = reporter(cluster, &cluster->members[i], &heard[i], cluster->token);
    most = find_furthest(cluster, heard, verdicts);
    if (most < 0) {
        for (uint32_t i = 0; i < cluster->member_count; i++)
            verdicts[i] = verdicts[i] == VERDICT_WRITTEN_OFF ? VERDICT_READY : verdicts[i];
        most = find_furthest(cluster, heard, verdicts);
    }
    if (most < 0)
        return 0;
    *ret_timeline = heard[most].report->fence.timeline;
    *ret_end = heard[most].report->fence.end;
    return cluster->members[most].node_id;
}

static void add_directory(struct demand *demand, struct directory_id directory, struct directory_id winner)
{
    if (directory.no == 0 || directory_is(directory, winner) || demand_names(demand, directory))
        return;
    if (demand->count < DIRECTORIES_MAX)
        demand->directories[demand->count++] = directory;
}

/* All that the replaced demands name and the replaced primary, less the winner; the least k. */
static void least_demand(const struct cluster *cluster, struct directory_id winner, struct demand *demand)
{
    *demand = (struct demand){ .k = UINT32_MAX };
    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        const struct demand *old = &cluster->demands[i];
        if (old->k < demand->k)
            demand->k = old->k;
        for (uint32_t j = 0; j < old->count; j++)
            add_directory(demand, old->directories[j], winner);
    }
    add_directory(demand, cluster->primary.directory, winner);
    if (demand->k > demand->count)
        demand->k = demand->count;
}

void elect_demand(const struct cluster *cluster, struct directory_id winner, const struct directory_id *answering,
                  uint32_t answering_count, struct demand *ret_demand)
{
    least_demand(cluster, winner, ret_demand);
    for (uint32_t i = 0; i < answering_count; i++)
        add_directory(ret_demand, answering[i], winner);
    if (cluster->policy.durability != DURABILITY_STRICT && ret_demand->k > answering_count)
        ret_demand->k = answering_count;
    if (ret_demand->k == 0)
        *ret_demand = (struct demand){ 0 };
}

bool elect_demand_allowed(const struct cluster *cluster, struct directory_id winner, const struct demand *demand)
{
    struct demand least;

    least_demand(cluster, winner, &least);
    if (demand->k > least.k || demand_names(demand, winner) || !demand_sound(demand))
        return false;
    if (demand->k == 0)
        return demand->count == 0;
    for (uint32_t i = 0; i < least.count; i++)
        if (!demand_names(demand, least.directories[i]))
            return false;
    return true;
}

const char *verdict_text(enum verdict verdict)
{
    static const char *const texts[] = {
        [VERDICT_WINNER] = "the winner",
        [VERDICT_READY] = "could lead, another is preferred",
        [VERDICT_SILENT] = "has not reported under this fence",
        [VERDICT_NO_DATA] = "has not reported its end of WAL yet",
        [VERDICT_BEHIND] = "another holds more WAL",
        [VERDICT_WITNESS] = "keeps no data",
        [VERDICT_PRIORITY] = "its priority is 0",
        [VERDICT_MANUAL] = "its setting failover is manual",
        [VERDICT_UNREGISTERED] = "is not registered",
        [VERDICT_FOREIGN] = "its WAL is of a timeline made by hand",
        [VERDICT_LAGGING] = "its daemon has not learned of its own WAL's timeline yet",
        [VERDICT_DIRECTORY] = "its data directory is not the one the cluster knows",
        [VERDICT_LAG_LIMIT] = "is further behind than maximum_lag_on_failover",
        [VERDICT_REPLACED] = "is the primary being replaced",
        [VERDICT_SYSTEM] = "its data directory belongs to another PostgreSQL system",
        [VERDICT_WRITTEN_OFF] = "its data directory was written off",
    };

    assert((size_t)verdict < ARRAY_LEN(texts));
    return texts[verdict];
}
