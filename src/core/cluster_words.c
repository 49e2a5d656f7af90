/*
 * cluster_words.c - what an operator says while a failover is open: WRITE_OFF, ACCEPT_LOSS, HOST_OFF (design 5.2, 5.3
 * step 6; R17, R25, R30; decision 0012).
 *
 * Each word belongs to one FENCE: it names its token, and the next FENCE forgets it. A word about data names the demand
 * version as well and makes a new one, so that one that comes late, twice, or for what has changed meanwhile is
 * refused, and so is an ELECT that was decided before. It also names the position that was shown to be kept: nobody is
 * elected who holds less, whoever leads by then and whatever that leader has heard.
 *
 * WRITE_OFF looks at what the demands come to together, {S, k} of their union and least k. A commit that was
 * acknowledged under it lies on k of S, so on k - 1 at least of those left: {S less X, k - 1} still asks for one of
 * them. With k = 1, and with k = 0 where X is the primary itself, all that are left are asked: what any of them holds
 * is kept, and what X alone held is the loss. Where nobody is left in S nobody is asked. A directory that no member has
 * any more is taken out likewise: what it held is not there.
 */
#include "core/cluster_rules.h"

static enum apply_result not_open(const struct cluster *cluster, const struct command *command, char *reason)
{
    if (cluster->operation.kind != OPERATION_FAILOVER || !cluster_fenced(cluster) ||
        !token_is(command->token, cluster->token))
        return rules_refuse(reason, "no failover waits under token %" PRIu64 " any more", command->token.no);
    return APPLY_OK;
}

static enum apply_result not_as_shown(const struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = not_open(cluster, command, reason);

    if (refused != APPLY_OK)
        return refused;
    if (command->expect != cluster->demand_version)
        return rules_refuse(reason, "it was said of a situation that has changed since");
    if (command->timeline.no == 0 || command->lsn.at == 0)
        return rules_refuse(reason, "it does not say what is kept");
    return APPLY_OK;
}

static void keep(struct cluster *cluster, const struct command *command)
{
    struct words *words = &cluster->operation.words;

    words->timeline = command->timeline;
    words->lsn = command->lsn;
    cluster->demands[cluster->demand_count - 1].version = ++cluster->demand_version;
}

static void take_out(struct demand *demand, struct directory_id directory)
{
    uint32_t kept = 0;

    if (!demand_names(demand, directory))
        return;
    if (demand->k > 1)
        demand->k--;

    for (uint32_t i = 0; i < demand->count; i++)
        if (!directory_is(demand->directories[i], directory))
            demand->directories[kept++] = demand->directories[i];
    memset(&demand->directories[kept], 0, (demand->count - kept) * sizeof demand->directories[0]);
    demand->count = kept;
}

/*
 * What no member has any more was written over by a rewind or clone: nobody can bring it back. Not where a member has
 * not said yet which directory it has: it may be that one.
 */
static void take_out_retired(const struct cluster *cluster, struct demand *demand)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].kind == NODE_DATA && cluster->members[i].directory.no == 0)
            return;
    for (uint32_t i = demand->count; i > 0; i--)
        if (!cluster_member_by_directory(cluster, demand->directories[i - 1]))
            take_out(demand, demand->directories[i - 1]);
}

/* Somebody else could be elected: who is the last one is not written off, there would be no way on. */
static bool another(const struct cluster *cluster, int32_t node_id)
{
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        if (member->node_id != node_id && member->kind == NODE_DATA && member->registered && !member->written_off &&
            member->directory.no != 0)
            return true;
    }
    return false;
}

enum apply_result rules_write_off(struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = not_as_shown(cluster, command, reason);
    struct member *member = rules_member(cluster, command->node_id);
    bool named = false;
    uint32_t least = UINT32_MAX;

    if (refused != APPLY_OK)
        return refused;
    if (!member || !directory_is(member->directory, command->directory) || command->directory.no == 0)
        return rules_refuse(reason, "node %d does not have that data directory", command->node_id);
    for (uint32_t i = 0; i < cluster->demand_count; i++) {
        named = named || demand_names(&cluster->demands[i], command->directory);
        least = cluster->demands[i].k < least ? cluster->demands[i].k : least;
    }
    bool alone = least == 0 && directory_is(command->directory, cluster->primary.directory);
    if (!named && !alone)
        return rules_refuse(reason, "no demand asks for node %d: nothing waits for it", command->node_id);
    if (!another(cluster, command->node_id))
        return rules_refuse(reason, "node %d is the last one with data", command->node_id);
    if (cluster->demand_count == DEMANDS_MAX)
        rules_merge_demands(cluster);
    struct demand *demand = &cluster->demands[0];
    take_out(demand, command->directory);
    take_out_retired(cluster, demand);
    if (alone)
        demand->k = 1;
    keep(cluster, command);
    cluster->operation.words.written_off = true;
    cluster->operation.words.accepted = false; /* that was of another situation: those who are left are waited for */
    member->written_off = true;
    rules_record(cluster, command, command->node_id, "raftmgr_write_off", "node \"%s\" (ID: %d) is written off: %s",
                 member->name, command->node_id, command->text);
    return APPLY_OK;
}

enum apply_result rules_accept_loss(struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = not_as_shown(cluster, command, reason);
    struct member *member = rules_member(cluster, command->node_id);

    if (refused != APPLY_OK)
        return refused;
    if (!member || !directory_is(member->directory, command->directory) || command->directory.no == 0)
        return rules_refuse(reason, "node %d does not have that data directory", command->node_id);
    keep(cluster, command);
    cluster->operation.words.accepted = true;
    member->written_off = false; /* where nobody else is left, the operator names one that was written off before */
    rules_record(cluster, command, command->node_id, "raftmgr_accept_loss", "%s", command->text);
    return APPLY_OK;
}

enum apply_result rules_host_off(struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = not_open(cluster, command, reason);
    const struct member *member = cluster_member(cluster, command->node_id);

    if (refused != APPLY_OK)
        return refused;
    if (!member || command->node_id != cluster->primary.node_id)
        return rules_refuse(reason, "node %d is not the primary that is replaced", command->node_id);
    if (command->stopped_start_no != member->start_no)
        return rules_refuse(reason, "its daemon has started since this was said: its host is not off");
    if (cluster->operation.words.host_off)
        return APPLY_NOTHING;
    cluster->operation.words.host_off = true;
    rules_record(cluster, command, command->node_id, "raftmgr_host_off",
                 "an operator says that the host of node \"%s\" (ID: %d) is off: token %" PRIu64 " waits for no lease",
                 member->name, member->node_id, command->token.no);
    return APPLY_OK;
}

void rules_words_hello(struct cluster *cluster, int32_t node_id)
{
    if (node_id == cluster->primary.node_id)
        cluster->operation.words.host_off = false;
}

bool words_less(const struct cluster *cluster, struct timeline timeline, struct lsn lsn)
{
    const struct words *words = &cluster->operation.words;

    if (timeline.no != words->timeline.no)
        return timeline.no < words->timeline.no;
    return lsn_cmp(lsn, words->lsn) < 0;
}
