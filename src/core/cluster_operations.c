/*
 * cluster_operations.c - who is primary: FENCE, ELECT, PROMOTED, RESTART, SWITCHOVER, and what surrounds them.
 *
 * A token belongs to one node: ELECT is accepted once per token, a further try begins with a new FENCE (R13). Timeline
 * numbers are given out once (cluster_timelines.c). A start as primary is permitted by ELECT or RESTART alone (5.1).
 */
#include "core/cluster_rules.h"

#include "core/candidate.h"

static bool open_primary(const struct cluster *cluster, struct token token)
{
    return cluster->primary.phase != PRIMARY_NONE && token_is(token, cluster->token) &&
           token_is(token, cluster->primary.token);
}

enum apply_result rules_fence(struct cluster *cluster, const struct command *command, char *reason)
{
    if (!open_primary(cluster, command->token))
        return rules_refuse(reason, "token %" PRIu64 " is not the primary's any more", command->token.no);
    if (cluster->pause == PAUSE_ON)
        return rules_refuse(reason, "the cluster is paused");
    int32_t from = cluster->primary.node_id;
    if (cluster->operation.kind != OPERATION_FAILOVER)
        cluster->operation =
            (struct operation){ .kind = OPERATION_FAILOVER, .from = from, .since_us = command->wall_us };
    cluster->operation.at = cluster->version;
    cluster->operation.words = (struct words){ 0 };
    (void)text_copy(cluster->operation.reason, sizeof cluster->operation.reason, command->text);
    cluster->token.no++;
    rules_record(cluster, command, from, "raftmgr_fence", "token %" PRIu64 " fences node %d: %s", cluster->token.no,
                 from, command->text);
    return APPLY_OK;
}

static enum apply_result elect_refused(const struct cluster *cluster, const struct command *command, char *reason)
{
    const struct operation *operation = &cluster->operation;
    const struct member *winner = cluster_member(cluster, command->node_id);

    if (operation->kind == OPERATION_FAILOVER) {
        if (!cluster_fenced(cluster) || !token_is(command->token, cluster->token))
            return rules_refuse(reason, "token %" PRIu64 " is given out, or not the fence's", command->token.no);
        if (command->stopped_start_no != 0)
            return rules_refuse(reason, "it was decided for a switchover that a failover has taken over");
        if (words_less(cluster, command->timeline, command->lsn))
            return rules_refuse(reason, "the winner holds less than operators were told");
    } else if (operation->kind == OPERATION_SWITCHOVER) {
        const struct member *from = cluster_member(cluster, operation->from);
        if (cluster->primary.phase != PRIMARY_ACTIVE || command->token.no != cluster->token.no + 1)
            return rules_refuse(reason, "token %" PRIu64 " is given out, or not the reserved one", command->token.no);
        if (!from || from->start_no != command->stopped_start_no)
            return rules_refuse(reason, "the old primary's daemon has started since it reported its stop");
        if (command->node_id != operation->from && command->node_id != operation->to)
            return rules_refuse(reason, "node %d takes no part in this switchover", command->node_id);
    } else {
        return rules_refuse(reason, "no operation is open");
    }
    if (command->expect != cluster->demand_version)
        return rules_refuse(reason, "the synchronous set has changed since this was decided");
    if (!winner || winner->kind != NODE_DATA || !winner->registered || winner->written_off ||
        winner->directory.no == 0 || !directory_is(winner->directory, command->directory))
        return rules_refuse(reason, "node %d cannot be elected with that data directory", command->node_id);
    if (!cluster_gave_out(cluster, command->timeline))
        return rules_refuse(reason, "the winner's timeline %" PRIu32 " is not one of this cluster",
                            command->timeline.no);
    if (!elect_demand_allowed(cluster, winner->directory, &command->demand))
        return rules_refuse(reason, "the demand it would leave does not hold what was promised");
    return APPLY_OK;
}

enum apply_result rules_elect(struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = elect_refused(cluster, command, reason);

    if (refused != APPLY_OK)
        return refused;
    cluster->token = command->token;
    cluster->primary = (struct primary){
        .node_id = command->node_id,
        .phase = PRIMARY_ELECTED,
        .directory = command->directory,
        .token = command->token,
        .timeline = rules_give_timeline(cluster, command->node_id, command->timeline),
        .from_timeline = command->timeline,
        .position = command->lsn,
        .permitted_at = cluster->version,
        .since_us = command->wall_us,
    };
    cluster->demand_count = 1;
    cluster->demands[0] = command->demand;
    cluster->demands[0].version = ++cluster->demand_version;
    cluster->demands[0].token = cluster->token;
    cluster->pause = PAUSE_OFF; /* the lease without end was the one that is over; the winner's ends as any */
    rules_record(cluster, command, command->node_id, "raftmgr_elect",
                 "node %d elected under token %" PRIu64 " for timeline %" PRIu32, command->node_id, cluster->token.no,
                 cluster->primary.timeline.no);
    return APPLY_OK;
}

enum apply_result rules_promoted(struct cluster *cluster, const struct command *command, char *reason)
{
    struct primary *primary = &cluster->primary;
    const struct member *proposer = cluster_member_by_raft(cluster, command->raft_id);

    if (primary->phase != PRIMARY_ELECTED || !open_primary(cluster, command->token))
        return rules_refuse(reason, "token %" PRIu64 " is not the elected one", command->token.no);
    if (!proposer || proposer->node_id != primary->node_id || command->timeline.no != primary->timeline.no)
        return rules_refuse(reason, "only the winner reports its promotion, on the reserved timeline");
    if (command->lsn.at == 0)
        return rules_refuse(reason, "it is not said where the timeline begins");
    const struct operation *operation = &cluster->operation;
    int32_t from = operation->from;
    const struct member *old = cluster_member(cluster, from);
    const char *old_name = old ? old->name : "";
    if (from == primary->node_id)
        rules_record(cluster, command, primary->node_id, "standby_promote",
                     "server \"%s\" (ID: %d) is primary again on timeline %" PRIu32, proposer->name, primary->node_id,
                     primary->timeline.no);
    else if (operation->kind == OPERATION_SWITCHOVER)
        rules_record(cluster, command, primary->node_id, "standby_switchover",
                     "node \"%s\" (ID: %d) promoted to primary, node \"%s\" (ID: %d) demoted to standby",
                     proposer->name, primary->node_id, old_name, from);
    else
        rules_record(cluster, command, primary->node_id, "repmgrd_failover_promote",
                     "node \"%s\" (ID: %d) promoted to primary; old primary \"%s\" (ID: %d) marked as failed",
                     proposer->name, primary->node_id, old_name, from);
    rules_timeline_begins(cluster, primary->timeline, command->lsn);
    primary->phase = PRIMARY_ACTIVE;
    primary->position = command->lsn;
    primary->since_us = command->wall_us;
    cluster->operation = (struct operation){ .kind = OPERATION_NONE };
    return APPLY_OK;
}

enum apply_result rules_restart(struct cluster *cluster, const struct command *command, char *reason)
{
    struct primary *primary = &cluster->primary;
    const struct member *member = cluster_member(cluster, command->node_id);

    if (cluster->operation.kind != OPERATION_NONE || primary->phase != PRIMARY_ACTIVE ||
        !open_primary(cluster, command->token))
        return rules_refuse(reason, "an operation is open, or token %" PRIu64 " is old", command->token.no);
    if (!member || primary->node_id != command->node_id || !directory_is(primary->directory, command->directory) ||
        !directory_is(member->directory, command->directory))
        return rules_refuse(reason, "node %d is not the primary with that data directory", command->node_id);
    if (command->expect != primary->permitted_at || command->stopped_start_no != member->start_no)
        return rules_refuse(reason, "the start was permitted already, or its daemon has restarted");
    primary->permitted_at = cluster->version;
    rules_record(cluster, command, member->node_id, "raftmgr_restart",
                 "node \"%s\" (ID: %d) is started again in place: %s", member->name, member->node_id, command->text);
    return APPLY_OK;
}

enum apply_result rules_switchover(struct cluster *cluster, const struct command *command, char *reason)
{
    const struct member *target = cluster_member(cluster, command->node_id);

    if (!open_primary(cluster, command->token) || cluster->primary.phase != PRIMARY_ACTIVE)
        return rules_refuse(reason, "the primary has changed meanwhile");
    if (cluster->operation.kind != OPERATION_NONE)
        return rules_refuse(reason, "another operation is open");
    if (cluster->pause != PAUSE_OFF)
        return rules_refuse(reason, "the cluster is paused: run 'rmctl unpause' first");
    if (!target || target->kind != NODE_DATA || !target->registered || target->written_off ||
        target->directory.no == 0 || target->node_id == cluster->primary.node_id)
        return rules_refuse(reason, "node %d cannot become primary", command->node_id);
    cluster->operation = (struct operation){
        .kind = OPERATION_SWITCHOVER,
        .from = cluster->primary.node_id,
        .to = target->node_id,
        .at = cluster->version,
        .timeout_ms = command->number,
        .since_us = command->wall_us,
    };
    rules_record(cluster, command, target->node_id, "raftmgr_switchover", "switchover from node %d to node %d begins",
                 cluster->primary.node_id, target->node_id);
    return APPLY_OK;
}

enum apply_result rules_pause(struct cluster *cluster, const struct command *command, char *reason)
{
    const struct member *proposer = cluster_member_by_raft(cluster, command->raft_id);

    if (command->number == PAUSE_ON) {
        if (cluster->operation.kind != OPERATION_NONE)
            return rules_refuse(reason, "an operation is open");
        if (cluster->pause == PAUSE_ON)
            return APPLY_NOTHING;
        if (command->expect != cluster->pause_version)
            return rules_refuse(reason, "the cluster was paused or unpaused since");
        cluster->pause = PAUSE_ON;
        cluster->pause_version = cluster->version;
        rules_record(cluster, command, 0, "repmgrd_pause", "%s", "automatic failover is paused");
        return APPLY_OK;
    }
    if (command->number == PAUSE_ENDING) {
        if (cluster->pause != PAUSE_ON)
            return APPLY_NOTHING;
        if (command->expect != cluster->pause_version)
            return rules_refuse(reason, "the cluster was paused or unpaused since");
        cluster->pause = PAUSE_ENDING;
        cluster->pause_version = cluster->version;
        rules_record(cluster, command, 0, "repmgrd_unpause", "%s", "automatic failover goes on");
        return APPLY_OK;
    }
    if (cluster->pause != PAUSE_ENDING)
        return APPLY_NOTHING;
    if (!open_primary(cluster, command->token) || !proposer || proposer->node_id != cluster->primary.node_id)
        return rules_refuse(reason, "only the primary says that its guard is armed");
    if (command->expect != cluster->pause_version)
        return rules_refuse(reason, "its guard was armed after an earlier pause");
    cluster->pause = PAUSE_OFF;
    return APPLY_OK;
}
