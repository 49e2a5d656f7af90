/*
 * cluster_members.c - who is in, under which raft id, with which data directory, and who counts as a voter.
 *
 * The members table, not libraft's configuration, says whose leases and fences count. Voters change one at a time, each
 * change naming the configuration it follows, and never between a FENCE and the end of its operation (R11). An empty
 * raft directory never gets an old raft id back (R19): every JOIN hands out a new one.
 */
#include "core/cluster_rules.h"

enum apply_result rules_found(struct cluster *cluster, const struct command *command, char *reason)
{
    if (cluster->cluster_id != 0)
        return rules_refuse(reason, "the cluster is founded already");
    if (command->cluster_id == 0 || command->member.kind != NODE_DATA || command->member.directory.no == 0)
        return rules_refuse(reason, "a cluster is founded by a data node with an identity");
    if (command->timeline.no == 0)
        return rules_refuse(reason, "the founder's timeline is not known");

    uint64_t version = cluster->version;
    *cluster = (struct cluster){
        .cluster_id = command->cluster_id,
        .system_identifier = command->system_identifier,
        .version = version,
        .config_version = version,
        .policy_version = version,
        .raft_id_last = command->member.raft_id,
        .policy = command->policy,
        .lease_max_ms = command->policy.lease_ttl_ms,
        .member_count = 1,
        .token = { 1 },
        .demand_version = 1,
        .demand_count = 1,
        .timeline_max = command->timeline,
        .timeline_old = { command->timeline.no - 1 },
        .given_count = 1,
        .given = { { .timeline = command->timeline, .node_id = command->member.node_id } },
    };
    struct member *founder = &cluster->members[0];
    *founder = command->member;
    founder->voter = true;
    founder->registered = true;
    founder->written_off = false;
    founder->slot_no = 0;
    founder->start_no = command->start_no;
    cluster->demands[0] = (struct demand){ .version = 1, .token = cluster->token };
    cluster->primary = (struct primary){
        .node_id = founder->node_id,
        .phase = PRIMARY_ACTIVE,
        .directory = founder->directory,
        .token = cluster->token,
        .timeline = command->timeline,
        .from_timeline = command->timeline,
        .permitted_at = version,
        .since_us = command->wall_us,
    };
    rules_record(cluster, command, founder->node_id, "cluster_created", "cluster founded by node \"%s\" (ID: %d)",
                 founder->name, founder->node_id);
    rules_record(cluster, command, founder->node_id, "primary_register", "%s", "");
    return APPLY_OK;
}

/* What a node's own file says of it; identity, raft id and standing are the cluster's. */
static void take_description(struct member *member, const struct member *from)
{
    member->priority = from->priority;
    member->manual = from->manual;
    (void)text_copy(member->address, sizeof member->address, from->address);
    (void)text_copy(member->conninfo, sizeof member->conninfo, from->conninfo);
    (void)text_copy(member->location, sizeof member->location, from->location);
    (void)text_copy(member->replication_user, sizeof member->replication_user, from->replication_user);
    (void)text_copy(member->config_file, sizeof member->config_file, from->config_file);
}

enum apply_result rules_hello(struct cluster *cluster, const struct command *command, char *reason)
{
    const struct member *found = cluster_member_by_raft(cluster, command->raft_id);

    if (!found)
        return rules_refuse(reason, "raft id %" PRIu64 " is no member", command->raft_id);
    if (command->start_no <= found->start_no)
        return rules_refuse(reason, "start %" PRIu64 " is not newer than start %" PRIu64, command->start_no,
                            found->start_no);
    struct member *member = rules_member(cluster, found->node_id);
    take_description(member, &command->member);
    member->start_no = command->start_no;
    rules_words_hello(cluster, member->node_id);
    return APPLY_OK;
}

/*
 * While a longer lease than lease_ttl may be out, a renewal by a new configuration says nothing of how long the old
 * one's lease lasts (R11).
 */
static bool voters_frozen(const struct cluster *cluster)
{
    return cluster->operation.kind == OPERATION_FAILOVER || cluster->pause == PAUSE_ENDING ||
           cluster->lease_max_ms > cluster->policy.lease_ttl_ms;
}

static enum apply_result join_refused(const struct cluster *cluster, const struct command *command, char *reason)
{
    const struct member *wanted = &command->member;
    const struct member *same = cluster_member(cluster, wanted->node_id);
    const struct member *namesake = cluster_member_by_name(cluster, wanted->name);

    if (wanted->node_id <= 0 || wanted->name[0] == '\0')
        return rules_refuse(reason, "a member needs a node id above 0 and a name");
    if (wanted->kind == NODE_DATA && command->system_identifier != cluster->system_identifier)
        return rules_refuse(reason,
                            "its data directory belongs to another PostgreSQL system (%" PRIu64 ", here %" PRIu64
                            "): clone it from this cluster",
                            command->system_identifier, cluster->system_identifier);
    if (namesake && namesake->node_id != wanted->node_id)
        return rules_refuse(reason, "node %d has the name '%s' already; case does not tell names apart",
                            namesake->node_id, namesake->name);
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].node_id != wanted->node_id && strcmp(cluster->members[i].address, wanted->address) == 0)
            return rules_refuse(reason, "node %d has the address '%s': set another peer_advertise",
                                cluster->members[i].node_id, wanted->address);
    if (!same && cluster->member_count >= MEMBERS_MAX)
        return rules_refuse(reason, "the cluster has its %d members", MEMBERS_MAX);
    if (!same || (same->start_no == 0 && !same->voter))
        return APPLY_OK;
    if (!command->flag)
        return rules_refuse(reason,
                            "node id %d belongs to member '%s' already; if that node lost its state directory, run "
                            "'rmctl standby register --force' (a witness: 'rmctl witness register --force') on it",
                            wanted->node_id, same->name);
    if (cluster->primary.node_id == wanted->node_id)
        return rules_refuse(reason, "node %d is the primary: it cannot be admitted anew before another is elected",
                            wanted->node_id);
    if (same->voter && (voters_frozen(cluster) || command->expect != cluster->config_version))
        return rules_refuse(reason, "another change of the cluster is under way: try again");
    if (same->voter && cluster_voters(cluster) == 1)
        return rules_refuse(reason, "node %d is the only voter", wanted->node_id);
    if (same->kind != wanted->kind)
        return rules_refuse(reason, "node %d is a %s", wanted->node_id,
                            same->kind == NODE_WITNESS ? "witness" : "data node");
    return APPLY_OK;
}

enum apply_result rules_join(struct cluster *cluster, const struct command *command, char *reason)
{
    enum apply_result refused = join_refused(cluster, command, reason);

    if (refused != APPLY_OK)
        return refused;
    struct member *member = rules_member(cluster, command->member.node_id);
    /* A server of this node may be streaming still: what it acknowledges from now on is not the new one's. */
    bool anew = member && member->kind == NODE_DATA && (member->start_no != 0 || member->slot_no != 0);
    if (!member)
        member = &cluster->members[cluster->member_count++];
    else if (member->voter)
        cluster->config_version = cluster->version;
    *member = command->member;
    member->raft_id = ++cluster->raft_id_last;
    member->slot_no = anew ? member->raft_id : 0;
    member->voter = false;
    member->registered = false;
    member->written_off = false;
    member->directory = (struct directory_id){ 0 }; /* named by DIRECTORY alone, which knows all others (R20) */
    member->start_no = 0;
    if (member->kind == NODE_WITNESS)
        member->priority = 0;
    rules_record(cluster, command, member->node_id, "raftmgr_join",
                 "node \"%s\" (ID: %d) admitted under raft id %" PRIu64, member->name, member->node_id,
                 member->raft_id);
    return APPLY_OK;
}

enum apply_result rules_register(struct cluster *cluster, const struct command *command, char *reason)
{
    struct member *member = rules_member(cluster, command->node_id);

    if (!member)
        return rules_refuse(reason, "node %d is no member", command->node_id);
    if (member->registered)
        return APPLY_NOTHING;
    member->registered = true;
    bool witness = member->kind == NODE_WITNESS;
    rules_record(cluster, command, member->node_id, witness ? "witness_register" : "standby_register",
                 "%s registration succeeded; upstream node ID is %d", witness ? "witness" : "standby",
                 cluster->primary.node_id);
    return APPLY_OK;
}

enum apply_result rules_voter(struct cluster *cluster, const struct command *command, char *reason)
{
    struct member *member = rules_member(cluster, command->node_id);

    if (!member)
        return rules_refuse(reason, "node %d is no member", command->node_id);
    if (member->voter == command->flag)
        return APPLY_NOTHING;
    if (voters_frozen(cluster) || command->expect != cluster->config_version)
        return rules_refuse(reason, "another change of the cluster is under way");
    if (!command->flag && cluster_voters(cluster) == 1)
        return rules_refuse(reason, "node %d is the only voter", command->node_id);
    if (command->flag && !member->registered)
        return rules_refuse(reason, "node %d is not registered", command->node_id);
    member->voter = command->flag;
    cluster->config_version = cluster->version;
    return APPLY_OK;
}

enum apply_result rules_directory(struct cluster *cluster, const struct command *command, char *reason)
{
    struct member *member = rules_member(cluster, command->node_id);

    if (!member || member->raft_id != command->raft_id || member->kind != NODE_DATA)
        return rules_refuse(reason, "only a data node itself names its data directory");
    if (directory_spoiled(command->directory))
        return rules_refuse(reason, "node %d's server was a primary without the right", command->node_id);
    if (directory_is(member->directory, command->directory))
        return APPLY_NOTHING;
    if (cluster_is_primary(cluster, member->node_id))
        return rules_refuse(reason, "the primary's data directory does not change");
    const struct member *other = cluster_member_by_directory(cluster, command->directory);
    if (other)
        return rules_refuse(reason, "data directory %" PRIx64 " is node %d's", command->directory.no, other->node_id);
    member->directory = command->directory;
    member->written_off = false;
    return APPLY_OK;
}

enum apply_result rules_policy(struct cluster *cluster, const struct command *command, char *reason)
{
    const struct policy *now = &cluster->policy;
    const struct policy *next = &command->policy;
    bool open = cluster->operation.kind != OPERATION_NONE;

    if (command->expect != cluster->policy_version)
        return rules_refuse(reason, "the settings have changed meanwhile: look again");
    if (open && (next->lease_ttl_ms != now->lease_ttl_ms || next->durability != now->durability ||
                 next->fence_wait != now->fence_wait || next->guard_kill_time_ms != now->guard_kill_time_ms))
        return rules_refuse(reason, "lease_ttl, guard_kill_time, durability and fence_wait do not change while an "
                                    "operation is open");
    cluster->policy = *next;
    cluster->policy_version = cluster->version;
    if (next->lease_ttl_ms > cluster->lease_max_ms)
        cluster->lease_max_ms = next->lease_ttl_ms;
    rules_record(cluster, command, 0, "raftmgr_config", "%s", command->text);
    return APPLY_OK;
}

enum apply_result rules_lease_max(struct cluster *cluster, const struct command *command, char *reason)
{
    if (command->number >= cluster->lease_max_ms)
        return APPLY_NOTHING;
    if (cluster->operation.kind != OPERATION_NONE || command->number < cluster->policy.lease_ttl_ms ||
        command->expect != cluster->policy_version)
        return rules_refuse(reason, "a longer lease may still be out");
    cluster->lease_max_ms = command->number;
    return APPLY_OK;
}
