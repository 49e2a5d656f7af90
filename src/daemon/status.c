/* status.c - the status object: what this node is, the cluster's parts, history. Members: status_members.c; what is in
 * progress and what comes next: status_outlook.c. See status.h. */
#include "daemon/status.h"

#include <stdarg.h>

#include "base/clock.h"

#define VERSION_OF_FORMAT 1
#define HISTORY_SHOWN 10

/* -- values ------------------------------------------------------------------------------------------------------- */

void status_put(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value ? value : json_null());
}

void status_put_text(json_t *object, const char *name, const char *text)
{
    status_put(object, name, text ? json_string(text) : NULL);
}

void status_put_number(json_t *object, const char *name, int64_t number)
{
    status_put(object, name, json_integer(number));
}

void status_put_flag(json_t *object, const char *name, bool flag)
{
    status_put(object, name, json_boolean(flag));
}

void status_say(json_t *list, const char *format, ...)
{
    char text[2 * TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* Other programs' texts may be no UTF-8. */
    json_t *value = json_string(text);
    for (char *at = text; !value && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    (void)json_array_append_new(list, value ? value : json_string(text));
}

const char *status_duration(int64_t us, char *text, size_t size)
{
    int64_t s = us / 1000000;

    if (s < 60)
        (void)snprintf(text, size, "%" PRId64 ".%" PRId64 " s", s, us % 1000000 / 100000);
    else if (s < 3600)
        (void)snprintf(text, size, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else
        (void)snprintf(text, size, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    return text;
}

/* -- what is known ------------------------------------------------------------------------------------------------ */

void status_look(struct daemon *daemon, int64_t now_us, struct status_facts *ret_facts)
{
    struct guard_state guard;

    *ret_facts = (struct status_facts){
        .settings = &daemon->settings,
        .identity = &daemon->identity,
        .manager = &daemon->manager,
        .member = daemon->consensus != NULL,
        .join_problem = daemon->join_problem,
        .guard_attached = guard_alive(&daemon->guard),
        .now_us = now_us,
        .wall_us = clock_wall_us(),
    };
    if (daemon->consensus) {
        struct consensus_status raft;
        consensus_status(daemon->consensus, &raft);
        ret_facts->down = raft.role == CONSENSUS_DOWN;
        ret_facts->term = raft.term;
        ret_facts->commit_index = raft.commit_index;
        ret_facts->applied_index = raft.applied_index;
        (void)text_copy(ret_facts->raft_text, sizeof ret_facts->raft_text, raft.problem);
    }
    ret_facts->raft_problem = ret_facts->raft_text;
    if (ret_facts->guard_attached && guard_state(&daemon->guard, &guard)) {
        ret_facts->guard_pid = guard.pid;
        ret_facts->guard_armed = guard_armed(&daemon->guard);
    }
}

const struct report *status_report(const struct status_facts *facts, const struct member *member, int64_t *ret_age_us)
{
    const struct manager *manager = facts->manager;

    *ret_age_us = 0;
    if (member->raft_id == manager->node.raft_id)
        return &manager->report;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        const struct manager_heard *heard = &manager->heard[i];
        if (heard->at_us == 0 || heard->raft_id != member->raft_id)
            continue;
        *ret_age_us = facts->now_us - heard->at_us;
        return &heard->report;
    }
    return NULL;
}

const struct report *status_fresh(const struct status_facts *facts, const struct member *member)
{
    int64_t fresh_us = (int64_t)facts->manager->cluster.policy.failure_timeout_ms * 1000;
    int64_t age_us = 0;
    const struct report *report = member ? status_report(facts, member, &age_us) : NULL;

    if (fresh_us < 1000000)
        fresh_us = 1000000;
    return report && age_us <= fresh_us ? report : NULL;
}

bool status_leased(const struct status_facts *facts, int64_t *ret_left_us)
{
    const struct manager *manager = facts->manager;
    const struct cluster *cluster = &manager->cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);
    int64_t age_us = 0;
    int64_t left_us = 0;
    const struct report *report = primary ? status_report(facts, primary, &age_us) : NULL;

    if (primary && primary->raft_id == manager->node.raft_id)
        left_us =
            lease_valid(&manager->node.lease, cluster, facts->now_us) ? manager->node.lease.end_us - facts->now_us : 0;
    else if (report && report->lease_valid && token_is(report->token, cluster->primary.token))
        left_us = report->lease_left_us - age_us;
    if (ret_left_us)
        *ret_left_us = left_us > 0 ? left_us : 0;
    return left_us > 0 && !cluster_fenced(cluster);
}

bool status_writable(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct report *report = status_fresh(facts, cluster_member(cluster, cluster->primary.node_id));

    return cluster->primary.phase == PRIMARY_ACTIVE && !cluster_fenced(cluster) && report &&
           report->pg_state == PG_PRIMARY && report->pg_answering &&
           (cluster->pause != PAUSE_OFF || status_leased(facts, NULL));
}

/* -- parts -------------------------------------------------------------------------------------------------------- */

static void put_moment(json_t *object, const char *name, int64_t wall_us)
{
    char text[48];

    clock_wall_text(wall_us, text, sizeof text);
    status_put_text(object, name, text);
}

static const char *state_text(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct member *self = cluster_member_by_raft(cluster, facts->manager->node.raft_id);

    if (facts->down)
        return "damaged";
    if (!facts->member || cluster->cluster_id == 0)
        return facts->identity->founder || (!facts->member && !facts->settings->join[0]) ? "unfounded" : "joining";
    /* An id that was not given out yet, as this log goes: it has not read so far. */
    if (!self)
        return facts->manager->node.raft_id > cluster->raft_id_last ? "joining" : "removed";
    return self->registered ? "member" : "learner";
}

static void put_waiting(json_t *status, const struct status_facts *facts, const char *state)
{
    const char *text = NULL;

    bool known = strcmp(state, "removed") == 0 || facts->manager->node.hello;
    if (facts->down || (facts->member && !known && facts->raft_problem[0]))
        text = facts->raft_problem;
    else if (strcmp(state, "unfounded") == 0)
        text = facts->member ? "the founding of the cluster, which is being committed"
               : facts->settings->node_kind == NODE_WITNESS
                   ? "members to ask: set join to host:port of a member and restart raftmgrd"
                   : "\"rmctl primary register\", which founds the cluster on the running server of this host";
    else if (strcmp(state, "joining") == 0)
        text = facts->join_problem[0] ? facts->join_problem : "its admission by the members";
    else if (strcmp(state, "removed") == 0)
        text = "it was removed: empty its state directory, start it again, and register it with --force";
    else if (!facts->manager->node.hello)
        text = "the commit of its own start, for which it needs a Raft leader";
    status_put_text(status, "waiting_for", text);
}

static json_t *cluster_part(const struct cluster *cluster)
{
    json_t *part = json_object();
    char text[32];

    (void)snprintf(text, sizeof text, "%016" PRIx64, cluster->cluster_id);
    status_put_text(part, "id", text);
    (void)snprintf(text, sizeof text, "%" PRIu64, cluster->system_identifier);
    status_put_text(part, "system_identifier", text);
    status_put_number(part, "epoch", cluster->epoch);
    return part;
}

static json_t *node_part(const struct status_facts *facts)
{
    json_t *part = json_object();

    status_put_number(part, "node_id", facts->settings->node_id);
    status_put_text(part, "node_name", facts->settings->node_name);
    status_put_text(part, "kind", facts->settings->node_kind == NODE_WITNESS ? "witness" : "data");
    status_put_number(part, "start_no", (int64_t)facts->identity->start_no);
    status_put_flag(part, "hello_applied", facts->manager->node.hello);
    status_put_text(part, "daemon_version", RAFTMGR_VERSION);
    return part;
}

static json_t *servers_of(const struct manager *manager, enum raft_role role)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < manager->lead.raft.server_count; i++) {
        const struct member *member = cluster_member_by_raft(&manager->cluster, manager->lead.raft.servers[i].raft_id);
        if (member && manager->lead.raft.servers[i].role == role)
            (void)json_array_append_new(list, json_integer(member->node_id));
    }
    return list;
}

static json_t *raft_part(const struct status_facts *facts)
{
    const struct manager *manager = facts->manager;
    const struct member *leader = cluster_member_by_raft(&manager->cluster, manager->lead.raft.leader_id);
    json_t *part = json_object();

    status_put_number(part, "leader", leader ? leader->node_id : 0);
    status_put_number(part, "term", (int64_t)facts->term);
    status_put_number(part, "commit_index", (int64_t)facts->commit_index);
    status_put_number(part, "applied_index", (int64_t)facts->applied_index);
    status_put(part, "voters", servers_of(manager, RAFT_ROLE_VOTER));
    status_put(part, "learners", servers_of(manager, RAFT_ROLE_LEARNER));
    return part;
}

static const char *phase_text(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct report *report = status_fresh(facts, cluster_member(cluster, cluster->primary.node_id));

    if (cluster_fenced(cluster))
        return "fenced";
    if (cluster->primary.phase == PRIMARY_ELECTED)
        return "elected";
    if (cluster->operation.kind == OPERATION_SWITCHOVER && report && report->fence.stopped)
        return "stopped";
    if (cluster->operation.kind == OPERATION_SWITCHOVER && report && report->acting == ACT_STOP)
        return "stopping";
    return "active";
}

static json_t *primary_part(const struct status_facts *facts)
{
    const struct primary *primary = &facts->manager->cluster.primary;
    const struct member *member = cluster_member(&facts->manager->cluster, primary->node_id);
    json_t *part = json_object();

    if (primary->phase == PRIMARY_NONE) {
        json_decref(part);
        return NULL;
    }
    status_put_number(part, "node_id", primary->node_id);
    status_put_text(part, "node_name", member ? member->name : "");
    status_put_number(part, "token", (int64_t)primary->token.no);
    status_put_number(part, "timeline", primary->timeline.no);
    status_put_text(part, "phase", phase_text(facts));
    put_moment(part, "since", primary->since_us);
    status_put_number(part, "since_ms",
                      facts->wall_us > primary->since_us ? (facts->wall_us - primary->since_us) / 1000 : 0);
    return part;
}

static json_t *guard_part(const struct status_facts *facts)
{
    const struct node_view *node = &facts->manager->node;
    json_t *part = json_object();
    bool armed = facts->guard_armed && node->guard_mode == WISH_PRIMARY;

    status_put_flag(part, "armed", armed);
    status_put(part, "pid", facts->guard_pid ? json_integer(facts->guard_pid) : NULL);
    status_put(part, "kill_in_ms",
               armed && node->guard_kill_at_us > facts->now_us
                   ? json_integer((node->guard_kill_at_us - facts->now_us) / 1000)
                   : NULL);
    status_put_text(part, "problem", facts->guard_attached ? NULL : "there is no guard: this node may hold no lease");
    return part;
}

static json_t *demands_part(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);
    int64_t age_us;
    const struct report *report = primary ? status_report(facts, primary, &age_us) : NULL;
    json_t *list = json_array();

    for (uint32_t i = cluster->demand_count; i > 0; i--) {
        const struct demand *demand = &cluster->demands[i - 1];
        json_t *part = json_object();
        json_t *members = json_array();
        for (uint32_t j = 0; j < demand->count; j++) {
            const struct member *member = cluster_member_by_directory(cluster, demand->directories[j]);
            if (member)
                (void)json_array_append_new(members, json_integer(member->node_id));
        }
        status_put_number(part, "version", (int64_t)demand->version);
        status_put_number(part, "token", (int64_t)demand->token.no);
        status_put_number(part, "k", demand->k);
        status_put(part, "members", members);
        status_put_flag(part, "in_effect",
                        i < cluster->demand_count || (report && report->demand_settled == demand->version));
        (void)json_array_append_new(list, part);
    }
    return list;
}

static json_t *history_part(const struct cluster *cluster)
{
    json_t *list = json_array();

    for (uint64_t i = cluster->record_count; i > 0 && cluster->record_count - i < HISTORY_SHOWN; i--) {
        const struct record *record = &cluster->records[(i - 1) % RECORDS_MAX];
        json_t *part = json_object();
        put_moment(part, "at", record->wall_us);
        status_put_text(part, "event", record->event);
        status_put_number(part, "node_id", record->node_id);
        status_put_number(part, "token", (int64_t)record->token.no);
        status_put_text(part, "text", record->text[0] ? record->text : NULL);
        (void)json_array_append_new(list, part);
    }
    return list;
}

static json_t *problems_part(const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct manager *manager = facts->manager;
    const struct cluster *cluster = &manager->cluster;
    const struct demand *demand = cluster_demand(cluster);
    json_t *list = json_array();
    uint32_t wanted = 0;

    if (facts->raft_problem[0])
        status_say(list, "this node's Raft log: %s", facts->raft_problem);
    if (facts->member && manager->lead.raft.leader_id == 0)
        status_say(list, "there is no Raft leader as far as this node knows: nothing can be decided");
    if (cluster->cluster_id == 0)
        return list;
    for (uint32_t i = 0; i < cluster->member_count; i++)
        wanted += cluster->members[i].registered && cluster->members[i].kind == NODE_DATA &&
                  cluster->members[i].node_id != cluster->primary.node_id;
    if (wanted > cluster->policy.synchronous_count)
        wanted = cluster->policy.synchronous_count;
    if (cluster->policy.durability != DURABILITY_ASYNC && demand && demand->k < wanted &&
        cluster->operation.kind == OPERATION_NONE)
        status_say(list, "commits wait for %" PRIu32 " standby(s), and %" PRIu32 " are asked for", demand->k, wanted);
    if (cluster->pause == PAUSE_ENDING)
        status_say(list, "the pause is lifted, and ends when the primary's guard is reported armed");
    if (plan->why == WHY_NOBODY_CAN)
        status_say(list, "%s (%s)", why_text(plan->why), plan->waiting);
    return list;
}

json_t *status_json(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    bool founded = facts->member && cluster->cluster_id != 0;
    const char *state = state_text(facts);
    json_t *status = json_object();
    struct lead_plan plan;

    status_plan(facts, &plan);
    status_put_number(status, "version", VERSION_OF_FORMAT);
    put_moment(status, "at", facts->wall_us);
    status_put_text(status, "state", state);
    put_waiting(status, facts, state);
    status_put_flag(status, "writable", founded && status_writable(facts));
    status_put_flag(status, "paused", founded && cluster->pause == PAUSE_ON);
    status_put_number(status, "seen_by", founded ? facts->settings->node_id : 0);
    status_put(status, "problems", problems_part(facts, &plan));
    status_put(status, "cluster", founded ? cluster_part(cluster) : NULL);
    status_put(status, "node", node_part(facts));
    status_put(status, "raft", facts->member ? raft_part(facts) : NULL);
    status_put(status, "primary", founded ? primary_part(facts) : NULL);
    status_put(status, "lease", founded ? status_lease(facts) : NULL);
    status_put(status, "guard", founded && facts->settings->node_kind == NODE_DATA ? guard_part(facts) : NULL);
    status_put(status, "members", founded ? status_members(facts) : json_array());
    status_put(status, "demands", founded ? demands_part(facts) : json_array());
    status_put(status, "operation", founded ? status_operation(facts, &plan) : NULL);
    status_put(status, "candidates", founded ? status_candidates(facts, &plan) : json_array());
    status_put(status, "survivable", founded ? status_survivable(facts) : NULL);
    status_put(status, "history", founded ? history_part(cluster) : json_array());
    return status;
}
