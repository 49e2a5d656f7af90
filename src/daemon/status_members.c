/* status_members.c - the members and the lease in the status object. See status.h. */
#include "daemon/status.h"

#include <stdlib.h>

#include "daemon/publish.h"

/* How the primary sees this member's walsender; -1: not at all. */
static int walsender_of(const struct report *primary, int32_t node_id)
{
    for (uint32_t i = 0; primary && i < primary->walsender_count; i++)
        if (primary->walsenders[i].node_id == node_id)
            return (int)i;
    return -1;
}

static const char *acting_text(enum act_kind kind)
{
    switch (kind) {
    case ACT_START_STANDBY:
    case ACT_START_PRIMARY:
        return "starting";
    case ACT_STOP:
    case ACT_KILL:
        return "stopping";
    case ACT_PROMOTE:
        return "promoting";
    case ACT_REWIND:
        return "rewinding";
    case ACT_CLONE:
        return "cloning";
    default:
        return NULL;
    }
}

static const char *data_state(const struct cluster *cluster, const struct report *report)
{
    const char *acting = acting_text(report->acting);

    if (acting)
        return acting;
    switch (report->pg_state) {
    case PG_STANDBY:
    case PG_PRIMARY:
        if (!report->pg_answering)
            return "not answering";
        return report->pg_state == PG_STANDBY && cluster_fenced(cluster) ? "fenced" : "running";
    case PG_STARTING:
        return "starting";
    case PG_STOPPED:
        return "stopped";
    case PG_ORPHANS:
        return "stopping";
    case PG_ABSENT:
        return "no data";
    case PG_UNKNOWN:
        break;
    }
    return "unknown";
}

static const char *member_state(const struct cluster *cluster, const struct member *member, const struct report *report)
{
    if (!report)
        return "unreachable";
    const char *state =
        member->kind == NODE_WITNESS ? report->hello ? "running" : "starting" : data_state(cluster, report);
    return !member->registered && strcmp(state, "running") == 0 ? "not registered" : state;
}

static const char *raft_text(const struct manager *manager, const struct member *member)
{
    for (uint32_t i = 0; i < manager->lead.raft.server_count; i++) {
        if (manager->lead.raft.servers[i].raft_id != member->raft_id)
            continue;
        if (manager->lead.raft.servers[i].role == RAFT_ROLE_VOTER)
            return "voter";
        return manager->lead.raft.servers[i].role == RAFT_ROLE_LEARNER ? "learner" : "spare";
    }
    return "spare";
}

static const char *trouble_text(enum trouble trouble)
{
    switch (trouble) {
    case TROUBLE_STOPPED:
        return "PostgreSQL died";
    case TROUBLE_DOWN:
        return "PostgreSQL is down";
    case TROUBLE_HUNG:
        return "PostgreSQL accepts no new connections";
    case TROUBLE_READ_ONLY:
        return "PostgreSQL cannot write";
    case TROUBLE_GIVING_UP:
        return "no majority renews its lease";
    case TROUBLE_FAILED:
        return "its promotion failed";
    case TROUBLE_NO_SPACE:
        return "there is no room in its data directory";
    case TROUBLE_NONE:
        break;
    }
    return NULL;
}

static json_t *member_problems(const struct status_facts *facts, const struct member *member,
                               const struct report *report, int64_t age_us)
{
    const struct cluster *cluster = &facts->manager->cluster;
    bool primary = member->node_id == cluster->primary.node_id;
    json_t *list = json_array();
    char age[48];

    if (!report) {
        status_say(list, "no sign of its daemon since this one started");
        return list;
    }
    if (!status_fresh(facts, member)) {
        status_say(list, "no sign of its daemon for %s", status_duration(age_us, age, sizeof age));
        return list;
    }
    if (trouble_text(report->trouble))
        status_say(list, "%s", trouble_text(report->trouble));
    if (report->problem[0])
        status_say(list, "%s", report->problem);
    if (report->lagging)
        status_say(list, "its WAL is of a timeline that it has not learned of yet");
    else if (!cluster_owns_wal(cluster, &report->history, report->timeline))
        status_say(list, "its WAL, of timeline %" PRIu32 ", was made by hand: it counts nowhere", report->timeline.no);
    if (member->kind == NODE_WITNESS || cluster->operation.kind != OPERATION_NONE)
        return list;
    if (!primary && !(report->pg_state == PG_STANDBY && report->following && report->receiver_streaming))
        status_say(list, "does not stream from the primary: %s", report->waiting);
    if (primary && report->pg_state == PG_PRIMARY && !report->pg_answering)
        status_say(list, "its PostgreSQL does not answer");
    if (primary && cluster->pause == PAUSE_OFF && !status_leased(facts, NULL))
        status_say(list, "holds no valid lease");
    return list;
}

/* Bytes behind the primary's last known position; the walsender's and the primary's are of the same moment. */
static json_t *lag_bytes(const struct report *primary, const struct report *own, int walsender)
{
    if (!primary || primary->end.at == 0)
        return NULL;
    uint64_t end = primary->end.at;
    uint64_t at = walsender >= 0 ? primary->walsenders[walsender].flushed.at : 0;
    at = at ? at : own->end.at;
    if (at == 0)
        return NULL;
    return json_integer(end > at ? (json_int_t)(end - at) : 0);
}

static void put_registered(json_t *part, const struct status_facts *facts, const struct member *member)
{
    const struct manager *manager = facts->manager;
    const struct cluster *cluster = &manager->cluster;
    bool witness = member->kind == NODE_WITNESS;
    char conninfo[CONNINFO_SIZE];

    status_put_number(part, "node_id", member->node_id);
    status_put_text(part, "node_name", member->name);
    status_put_text(part, "kind", witness ? "witness" : "data");
    status_put_text(part, "location", member->location);
    status_put_number(part, "priority", witness ? 0 : member->priority);
    status_put_text(part, "role",
                    witness                                       ? "witness"
                    : member->node_id == cluster->primary.node_id ? "primary"
                                                                  : "standby");
    status_put_text(part, "raft", raft_text(manager, member));
    status_put_flag(part, "registered", member->registered);
    status_put_flag(part, "active", publish_active(manager, member, facts->now_us));
    status_put_text(part, "address", member->address);
    (void)text_copy(conninfo, sizeof conninfo, member->conninfo);
    if (witness)
        publish_witness_conninfo(cluster, conninfo);
    status_put_text(part, "conninfo", conninfo[0] ? conninfo : NULL);
}

static void put_postgres(json_t *part, const struct status_facts *facts, const struct member *member,
                         const struct report *report, bool fresh)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);
    int64_t primary_age_us;
    const struct report *last = primary ? status_report(facts, primary, &primary_age_us) : NULL;
    const struct report *above = status_fresh(facts, primary);
    bool standby = member->kind == NODE_DATA && member != primary;
    int walsender = standby ? walsender_of(above, member->node_id) : -1;
    const struct demand *demand = cluster_demand(cluster);
    bool known = report && member->kind == NODE_DATA;
    bool own = member->raft_id == facts->manager->node.raft_id;
    char text[NAME_SIZE];

    status_put_text(part, "pg",
                    member->kind == NODE_WITNESS ? NULL
                                                 : pg_state_name(known && fresh ? report->pg_state : PG_UNKNOWN));
    status_put(part, "answering",
               member->kind == NODE_WITNESS ? NULL : json_boolean(known && fresh && report->pg_answering));
    status_put(part, "timeline", known && report->timeline.no ? json_integer(report->timeline.no) : NULL);
    if (known)
        (void)snprintf(text, sizeof text, "%" PRIX64 "/%" PRIX64, report->end.at >> 32, report->end.at & UINT32_MAX);
    status_put_text(part, "lsn", known && report->end.at ? text : NULL);
    status_put(part, "lag_bytes", known && standby ? lag_bytes(last, report, walsender) : NULL);
    status_put(part, "lag_ms",
               known && fresh && standby && report->receiver_streaming ? json_integer(report->replay_lag_us / 1000)
                                                                       : NULL);
    status_put_number(part, "upstream", known && fresh && standby ? report->upstream : 0);
    status_put_flag(part, "streaming", known && fresh && standby && report->receiver_streaming);
    status_put_text(part, "attached",
                    !above || walsender < 0                  ? NULL
                    : above->walsenders[walsender].streaming ? "streaming"
                                                             : "catchup");
    status_put_flag(part, "synchronous",
                    standby && demand && demand->k > 0 && member->directory.no != 0 &&
                        demand_names(demand, member->directory));
    member_slot(member, text);
    status_put_text(part, "slot", member->kind == NODE_DATA ? text : NULL);
    status_put_flag(part, "replay_paused", own && facts->manager->node.pg.replay_paused);
}

static json_t *member_part(const struct status_facts *facts, const struct member *member)
{
    const struct cluster *cluster = &facts->manager->cluster;
    int64_t age_us = 0;
    const struct report *report = status_report(facts, member, &age_us);
    const struct report *fresh = status_fresh(facts, member);
    bool own = member->raft_id == facts->manager->node.raft_id;
    bool acting = fresh && fresh->acting != ACT_NONE;
    int64_t left_us = 0;
    json_t *part = json_object();

    put_registered(part, facts, member);
    status_put_text(part, "state", member_state(cluster, member, fresh));
    status_put_flag(part, "reachable", fresh != NULL);
    status_put(part, "age_ms", report ? json_integer(age_us / 1000) : NULL);
    put_postgres(part, facts, member, report, fresh != NULL);
    status_put(part, "start_no", report ? json_integer((json_int_t)report->start_no) : NULL);
    status_put(part, "applied_index", report ? json_integer((json_int_t)report->applied) : NULL);
    status_put_text(part, "daemon_version", own ? RAFTMGR_VERSION : NULL);
    bool leased = member->node_id == cluster->primary.node_id && status_leased(facts, &left_us);
    status_put(part, "lease_left_ms", leased ? json_integer(left_us / 1000) : NULL);
    status_put(part, "guard_armed", member->kind == NODE_DATA && fresh ? json_boolean(fresh->guard_armed) : NULL);
    status_put_text(part, "action", acting ? act_name(fresh->acting) : NULL);
    status_put(part, "problems", member_problems(facts, member, report, age_us));
    return part;
}

static int by_node_id(const void *left, const void *right)
{
    const struct member *const *a = left;
    const struct member *const *b = right;

    return (*a)->node_id < (*b)->node_id ? -1 : (*a)->node_id > (*b)->node_id;
}

uint32_t status_order(const struct cluster *cluster, const struct member *ret_members[MEMBERS_MAX])
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        ret_members[i] = &cluster->members[i];
    qsort(ret_members, cluster->member_count, sizeof(struct member *), by_node_id);
    return cluster->member_count;
}

json_t *status_members(const struct status_facts *facts)
{
    const struct member *members[MEMBERS_MAX];
    uint32_t count = status_order(&facts->manager->cluster, members);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(list, member_part(facts, members[i]));
    return list;
}

/* -- lease -------------------------------------------------------------------------------------------------------- */

static json_t *grant(int32_t node_id, bool granted, int64_t left_us, const char *why)
{
    json_t *part = json_object();

    status_put_number(part, "node_id", node_id);
    status_put_flag(part, "granted", granted);
    status_put(part, "left_ms", left_us > 0 ? json_integer(left_us / 1000) : NULL);
    status_put_text(part, "why", why);
    return part;
}

/* As the holder knows them; of others' grants only while a fence is applied, from what they say. */
static json_t *grants(const struct status_facts *facts)
{
    const struct manager *manager = facts->manager;
    const struct cluster *cluster = &manager->cluster;
    const struct lease_holder *holder = &manager->node.lease;
    bool holds = holder->token.no != 0 && token_is(holder->token, cluster->primary.token);
    const struct member *members[MEMBERS_MAX];
    uint32_t count = status_order(cluster, members);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        const struct report *report = status_fresh(facts, members[i]);
        bool own = members[i]->raft_id == manager->node.raft_id;
        int64_t over_us = lease_voter_over_at(&manager->voter, cluster) - facts->now_us;
        bool granted = false;
        if (!members[i]->voter)
            continue;
        for (uint32_t j = 0; j < holder->grant_count; j++)
            granted = granted || holder->grants[j] == members[i]->node_id;
        if (holds)
            (void)json_array_append_new(list, grant(members[i]->node_id, granted,
                                                    granted ? holder->sent_us + holder->length_us - facts->now_us : 0,
                                                    granted  ? NULL
                                                    : report ? "has not answered the newest round"
                                                             : "unreachable"));
        else if (cluster_fenced(cluster))
            (void)json_array_append_new(list, grant(members[i]->node_id, false, own ? over_us : 0,
                                                    !report ? "unreachable"
                                                    : report->fence.grants_over
                                                        ? "its grants have ended"
                                                        : "a fence is applied, its grants may still be out"));
    }
    return list;
}

json_t *status_lease(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    int64_t left_us = 0;
    json_t *part = json_object();

    status_put_number(part, "node_id", cluster->primary.node_id);
    status_put_number(part, "token", (int64_t)cluster->primary.token.no);
    status_put_flag(part, "valid", status_leased(facts, &left_us));
    status_put_number(part, "left_ms", left_us / 1000);
    status_put_flag(part, "endless", cluster->pause != PAUSE_OFF);
    status_put(part, "grants", grants(facts));
    return part;
}
