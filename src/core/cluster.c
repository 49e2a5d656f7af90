/*
 * cluster.c - looking things up in the agreed state, and the one entrance for commands. The rules stand in
 * cluster_members.c (who is in), cluster_operations.c (who is primary), cluster_timelines.c (which WAL is its own) and
 * cluster_demands.c (what was promised).
 */
#include "core/cluster.h"

#include "core/cluster_rules.h"

#include <stdarg.h>

const struct member *cluster_member(const struct cluster *cluster, int32_t node_id)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].node_id == node_id)
            return &cluster->members[i];
    return NULL;
}

const struct member *cluster_member_by_raft(const struct cluster *cluster, uint64_t raft_id)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].raft_id == raft_id)
            return &cluster->members[i];
    return NULL;
}

const struct member *cluster_member_by_directory(const struct cluster *cluster, struct directory_id directory)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (directory.no != 0 && directory_is(cluster->members[i].directory, directory))
            return &cluster->members[i];
    return NULL;
}

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

/* As PostgreSQL compares synchronous_standby_names with application_name: names are ASCII, its case does not count. */
static bool name_is(const char *left, const char *right)
{
    while (*left && lower(*left) == lower(*right)) {
        left++;
        right++;
    }
    return lower(*left) == lower(*right);
}

const struct member *cluster_member_by_name(const struct cluster *cluster, const char *name)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (name_is(cluster->members[i].name, name))
            return &cluster->members[i];
    return NULL;
}

void member_slot(const struct member *member, char *ret_slot)
{
    if (member->slot_no == 0)
        (void)snprintf(ret_slot, NAME_SIZE, "repmgr_slot_%" PRId32, member->node_id);
    else
        (void)snprintf(ret_slot, NAME_SIZE, "repmgr_slot_%" PRId32 "_%" PRIu64, member->node_id, member->slot_no);
}

bool cluster_fenced(const struct cluster *cluster)
{
    return cluster->primary.phase != PRIMARY_NONE && token_is_newer(cluster->token, cluster->primary.token);
}

bool cluster_is_primary(const struct cluster *cluster, int32_t node_id)
{
    return cluster->primary.phase != PRIMARY_NONE && cluster->primary.node_id == node_id && !cluster_fenced(cluster);
}

uint32_t cluster_voters(const struct cluster *cluster)
{
    uint32_t voters = 0;

    for (uint32_t i = 0; i < cluster->member_count; i++)
        voters += cluster->members[i].voter;
    return voters;
}

uint32_t cluster_majority(const struct cluster *cluster)
{
    return cluster_voters(cluster) / 2 + 1;
}

const struct demand *cluster_demand(const struct cluster *cluster)
{
    return cluster->demand_count == 0 ? NULL : &cluster->demands[cluster->demand_count - 1];
}

bool demand_names(const struct demand *demand, struct directory_id directory)
{
    for (uint32_t i = 0; i < demand->count; i++)
        if (directory_is(demand->directories[i], directory))
            return true;
    return false;
}

bool demand_sound(const struct demand *demand)
{
    if (demand->k > demand->count || demand->count > DIRECTORIES_MAX)
        return false;
    for (uint32_t i = 0; i < demand->count; i++) {
        if (demand->directories[i].no == 0)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (directory_is(demand->directories[i], demand->directories[j]))
                return false;
    }
    return true;
}

bool demand_same(const struct demand *left, const struct demand *right)
{
    if (left->k != right->k || left->count != right->count)
        return false;
    for (uint32_t i = 0; i < left->count; i++)
        if (!demand_names(right, left->directories[i]))
            return false;
    return true;
}

const char *command_name(enum command_kind kind)
{
    static const char *const names[COMMAND_COUNT] = {
        [COMMAND_FOUND] = "found",
        [COMMAND_HELLO] = "hello",
        [COMMAND_JOIN] = "join",
        [COMMAND_REGISTER] = "register",
        [COMMAND_VOTER] = "voter",
        [COMMAND_DIRECTORY] = "directory",
        [COMMAND_POLICY] = "policy",
        [COMMAND_LEASE_MAX] = "lease_max",
        [COMMAND_FENCE] = "fence",
        [COMMAND_ELECT] = "elect",
        [COMMAND_PROMOTED] = "promoted",
        [COMMAND_RESTART] = "restart",
        [COMMAND_SWITCHOVER] = "switchover",
        [COMMAND_ADD] = "add",
        [COMMAND_END] = "end",
        [COMMAND_RESERVE] = "reserve",
        [COMMAND_PAUSE] = "pause",
        [COMMAND_WRITE_OFF] = "write_off",
        [COMMAND_ACCEPT_LOSS] = "accept_loss",
        [COMMAND_HOST_OFF] = "host_off",
    };

    return kind < COMMAND_COUNT && names[kind] ? names[kind] : "unknown";
}

struct member *rules_member(struct cluster *cluster, int32_t node_id)
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].node_id == node_id)
            return &cluster->members[i];
    return NULL;
}

enum apply_result rules_refuse(char *reason, const char *format, ...)
{
    va_list args;

    if (reason) {
        va_start(args, format);
        (void)vsnprintf(reason, TEXT_SIZE, format, args);
        va_end(args);
    }
    return APPLY_REFUSED;
}

void rules_record(struct cluster *cluster, const struct command *command, int32_t node_id, const char *event,
                  const char *format, ...)
{
    struct record *record = &cluster->records[cluster->record_count % RECORDS_MAX];
    va_list args;

    *record =
        (struct record){ .wall_us = command->wall_us, .node_id = node_id, .token = cluster->token, .successful = true };
    (void)text_copy(record->event, sizeof record->event, event);
    va_start(args, format);
    (void)vsnprintf(record->text, sizeof record->text, format, args);
    va_end(args);
    cluster->record_count++;
}

/* A proposal does not outlive its proposer's restart (R35). */
static bool proposer_current(const struct cluster *cluster, const struct command *command)
{
    const struct member *proposer = cluster_member_by_raft(cluster, command->raft_id);

    return proposer && proposer->start_no == command->start_no && command->start_no != 0;
}

static enum apply_result apply(struct cluster *cluster, const struct command *command, char *reason)
{
    if (command->kind == COMMAND_FOUND)
        return rules_found(cluster, command, reason);
    if (cluster->cluster_id == 0)
        return rules_refuse(reason, "the cluster is not founded");
    if (command->kind == COMMAND_HELLO)
        return rules_hello(cluster, command, reason);
    if (!proposer_current(cluster, command))
        return rules_refuse(reason, "proposed by a daemon that has restarted since, or by no member");

    switch (command->kind) {
    case COMMAND_JOIN:
        return rules_join(cluster, command, reason);
    case COMMAND_REGISTER:
        return rules_register(cluster, command, reason);
    case COMMAND_VOTER:
        return rules_voter(cluster, command, reason);
    case COMMAND_DIRECTORY:
        return rules_directory(cluster, command, reason);
    case COMMAND_POLICY:
        return rules_policy(cluster, command, reason);
    case COMMAND_LEASE_MAX:
        return rules_lease_max(cluster, command, reason);
    case COMMAND_FENCE:
        return rules_fence(cluster, command, reason);
    case COMMAND_ELECT:
        return rules_elect(cluster, command, reason);
    case COMMAND_PROMOTED:
        return rules_promoted(cluster, command, reason);
    case COMMAND_RESTART:
        return rules_restart(cluster, command, reason);
    case COMMAND_SWITCHOVER:
        return rules_switchover(cluster, command, reason);
    case COMMAND_ADD:
        return rules_add(cluster, command, reason);
    case COMMAND_END:
        return rules_end(cluster, command, reason);
    case COMMAND_RESERVE:
        return rules_reserve(cluster, command, reason);
    case COMMAND_PAUSE:
        return rules_pause(cluster, command, reason);
    case COMMAND_WRITE_OFF:
        return rules_write_off(cluster, command, reason);
    case COMMAND_ACCEPT_LOSS:
        return rules_accept_loss(cluster, command, reason);
    case COMMAND_HOST_OFF:
        return rules_host_off(cluster, command, reason);
    case COMMAND_FOUND:
    case COMMAND_HELLO:
    case COMMAND_COUNT:
        break;
    }
    return rules_refuse(reason, "unknown command");
}

enum apply_result cluster_apply(struct cluster *cluster, const struct command *command, char *ret_reason)
{
    if (ret_reason)
        ret_reason[0] = '\0';
    cluster->version++;
    enum apply_result result = apply(cluster, command, ret_reason);
    assert(cluster->demand_count <= DEMANDS_MAX && cluster->member_count <= MEMBERS_MAX);
    assert(!token_is_newer(cluster->primary.token, cluster->token));
    return result;
}
