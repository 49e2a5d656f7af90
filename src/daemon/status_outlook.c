/*
 * status_outlook.c - what is in progress and what it waits for, who comes next, what one more failure would do.
 *
 * The leader's decision is a pure function of state and reports, and every member has both: so this node asks that
 * function what it would decide, whether it leads or not. See status.h.
 */
#include "daemon/status.h"

#include "base/clock.h"
#include "core/survive.h"

void status_plan(const struct status_facts *facts, struct lead_plan *ret_plan)
{
    const struct manager *manager = facts->manager;
    struct lead_view view = manager->lead;

    *ret_plan = (struct lead_plan){ .why = WHY_NOTHING };
    if (!facts->member || manager->cluster.cluster_id == 0 || !manager->node.hello)
        return;
    if (!view.raft.leader) {
        view.raft.leader = true;
        view.leader_since_us = manager->started_us;
        view.proposed_at_us = 0;
        view.raft.changing = true; /* membership is not what is asked for */
    }
    lead_decide(&manager->cluster, &view, facts->now_us, ret_plan);
}

/* -- operation ---------------------------------------------------------------------------------------------------- */

/* What the leader waits for, as a sentence. */
static json_t *waiting_for(const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct manager *manager = facts->manager;
    int64_t over_us = lease_voter_over_at(&manager->voter, &manager->cluster) - facts->now_us;
    char left[48];
    json_t *texts = json_array();

    if (plan->why == WHY_WRITER_LIVE && over_us > 0)
        status_say(texts, "%s, in %s", why_text(plan->why), status_duration(over_us, left, sizeof left));
    else if (plan->waiting[0])
        status_say(texts, "%s (%s)", why_text(plan->why), plan->waiting);
    else
        status_say(texts, "%s", why_text(plan->why));
    json_t *text = json_incref(json_array_get(texts, 0));
    json_decref(texts);
    return text;
}

/* Member by member: what was reported, what is missing. */
static void say_member(json_t *list, const struct status_facts *facts, const struct member *member,
                       const struct lead_plan *plan)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct report *report = status_fresh(facts, member);
    uint32_t index = (uint32_t)(member - cluster->members);
    int64_t age_us = 0;
    char text[48];

    if (!report) {
        if (status_report(facts, member, &age_us))
            status_say(list, "%s has not been heard for %s: start its raftmgrd", member->name,
                       status_duration(age_us, text, sizeof text));
        else
            status_say(list, "%s has not been heard: start its raftmgrd", member->name);
        return;
    }
    bool answers = token_is(report->fence.token, cluster->token);
    if (answers && report->fence.stopped)
        status_say(list, "%s has stopped", member->name);
    if (answers && report->fence.data)
        status_say(list, "%s has reported %" PRIX64 "/%" PRIX64 " on timeline %" PRIu32, member->name,
                   report->fence.end.at >> 32, report->fence.end.at & UINT32_MAX, report->fence.timeline.no);
    else if (member->kind == NODE_DATA && plan->ranked)
        status_say(list, "%s %s (%s)", member->name, verdict_text(plan->ranking.verdicts[index]), report->waiting);
    if (member->voter && cluster_fenced(cluster) && !(answers && report->fence.grants_over))
        status_say(list, "the grants of %s have not ended yet", member->name);
}

/* Who is waited for may never come back: the commands by which a person says so (design 5.3 step 6). */
static void say_ways_out(json_t *list, const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct member *from = cluster_member(cluster, cluster->primary.node_id);
    bool away = false;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = status_fresh(facts, &cluster->members[i]);
        away = away || (cluster->members[i].kind == NODE_DATA && (!report || report->pg_state == PG_ABSENT));
    }
    if (!cluster_fenced(cluster))
        return;
    if (plan->why == WHY_WRITER_LIVE && cluster->pause != PAUSE_OFF && from && !status_fresh(facts, from))
        status_say(list,
                   "after a pause only %s itself says that it has stopped; if its host is off for sure: rmctl failover "
                   "host-off %s",
                   from->name, from->name);
    if (plan->why == WHY_LESS_THAN_TOLD || (plan->why == WHY_DEMANDS_UNMET && (away || !plan->waiting[0])))
        status_say(list,
                   "if who is missing is gone for good: \"rmctl failover accept-loss\" or \"rmctl failover write-off "
                   "NODE\" says what would be lost, and how to go on without");
}

static json_t *reasons(const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct demand *demand = cluster_demand(cluster);
    const struct member *from = cluster_member(cluster, cluster->operation.from);
    const struct member *members[MEMBERS_MAX];
    uint32_t count = status_order(cluster, members);
    json_t *list = json_array();

    if (cluster->operation.reason[0])
        status_say(list, "began because: %s", cluster->operation.reason);
    if (cluster_fenced(cluster) && plan->ranked && !plan->ranking.covered && demand && demand->k == 0)
        status_say(list,
                   "demand %" PRIu64 " names nobody: only the data directory of %s is sure to hold every acknowledged "
                   "commit",
                   demand->version, from ? from->name : "the old primary");
    for (uint32_t i = 0; i < count; i++)
        say_member(list, facts, members[i], plan);
    say_ways_out(list, facts, plan);
    return list;
}

json_t *status_operation(const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct operation *operation = &cluster->operation;
    bool switchover = operation->kind == OPERATION_SWITCHOVER;
    bool elected = cluster->primary.phase == PRIMARY_ELECTED && !cluster_fenced(cluster);
    int64_t since_ms = facts->wall_us > operation->since_us ? (facts->wall_us - operation->since_us) / 1000 : 0;
    char moment[48];

    if (operation->kind == OPERATION_NONE)
        return NULL;
    json_t *part = json_object();
    clock_wall_text(operation->since_us, moment, sizeof moment);
    status_put_text(part, "kind", switchover ? "switchover" : "failover");
    status_put_text(part, "phase", elected ? "promoting" : switchover ? "stopping" : "fenced");
    status_put_number(part, "node_id", elected ? cluster->primary.node_id : switchover ? operation->to : 0);
    status_put_number(part, "from", operation->from);
    status_put_text(part, "since", moment);
    status_put_number(part, "since_ms", since_ms);
    status_put(part, "deadline_ms",
               switchover && operation->timeout_ms > since_ms ? json_integer(operation->timeout_ms - since_ms) : NULL);
    status_put(part, "waiting_for", waiting_for(facts, plan));
    status_put(part, "why", reasons(facts, plan));
    return part;
}

/* -- candidates --------------------------------------------------------------------------------------------------- */

/* Why this member would not be elected if the primary were lost now; NULL: it could be. */
static const char *unfit(const struct status_facts *facts, const struct member *member)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct report *report = status_fresh(facts, member);

    if (member->node_id == cluster->primary.node_id)
        return "is the primary";
    if (!member->registered)
        return "is not registered";
    if (!report)
        return "is unreachable";
    if (report->pg_state != PG_STANDBY)
        return "is no running standby";
    if (report->lagging)
        return verdict_text(VERDICT_LAGGING);
    if (!directory_is(report->directory, member->directory) || member->directory.no == 0)
        return verdict_text(VERDICT_DIRECTORY);
    if (!report->following || !report->receiver_streaming)
        return "does not stream from the primary";
    if (member->manual)
        return verdict_text(VERDICT_MANUAL);
    return member->priority == 0 ? verdict_text(VERDICT_PRIORITY) : NULL;
}

static bool named(const struct cluster *cluster, const struct member *member)
{
    const struct demand *demand = cluster_demand(cluster);

    return demand && demand->k > 0 && demand_names(demand, member->directory);
}

/* Whether the left one would be preferred, holding the same data. */
static bool goes_first(const struct cluster *cluster, const struct member *left, const struct member *right)
{
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);

    if (named(cluster, left) != named(cluster, right))
        return named(cluster, left);
    if (left->priority != right->priority)
        return left->priority > right->priority;
    if (primary) {
        bool left_near = strcmp(left->location, primary->location) == 0;
        bool right_near = strcmp(right->location, primary->location) == 0;
        if (left_near != right_near)
            return left_near;
    }
    return left->node_id < right->node_id;
}

/* The verdicts of the election that is under way. */
static const char *election_reason(const struct status_facts *facts, const struct lead_plan *plan,
                                   const struct member *member)
{
    enum verdict verdict = plan->ranking.verdicts[member - facts->manager->cluster.members];

    if (!status_fresh(facts, member))
        return "is unreachable";
    if (!plan->ranking.covered && verdict == VERDICT_READY)
        return "does not hold for sure what was acknowledged";
    return verdict == VERDICT_WINNER || verdict == VERDICT_READY ? NULL : verdict_text(verdict);
}

json_t *status_candidates(const struct status_facts *facts, const struct lead_plan *plan)
{
    const struct cluster *cluster = &facts->manager->cluster;
    const struct member *members[MEMBERS_MAX];
    const char *why[MEMBERS_MAX] = { NULL };
    uint32_t count = status_order(cluster, members);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++)
        if (members[i]->kind == NODE_DATA)
            why[i] = plan->ranked ? election_reason(facts, plan, members[i]) : unfit(facts, members[i]);
    for (uint32_t i = 0; i < count; i++) {
        int64_t rank = 1;
        if (members[i]->kind != NODE_DATA)
            continue;
        for (uint32_t j = 0; j < count; j++) {
            if (j == i || members[j]->kind != NODE_DATA || why[j])
                continue;
            bool wins = plan->ranked && plan->ranking.winner != 0 ? members[j]->node_id == plan->ranking.winner ||
                                                                        (members[i]->node_id != plan->ranking.winner &&
                                                                         goes_first(cluster, members[j], members[i]))
                                                                  : goes_first(cluster, members[j], members[i]);
            rank += wins;
        }
        json_t *part = json_object();
        status_put_number(part, "node_id", members[i]->node_id);
        status_put_number(part, "rank", why[i] ? 0 : rank);
        status_put_text(part, "why", why[i]);
        (void)json_array_append_new(list, part);
    }
    return list;
}

/* -- one more failure --------------------------------------------------------------------------------------------- */

json_t *status_survivable(const struct status_facts *facts)
{
    const struct cluster *cluster = &facts->manager->cluster;
    struct heard heard[MEMBERS_MAX] = { 0 };
    char why[SURVIVE_WHY_SIZE];
    json_t *part = json_object();

    for (uint32_t i = 0; i < cluster->member_count; i++)
        heard[i].report = status_report(facts, &cluster->members[i], &heard[i].age_us);
    bool survives = survive_one_more(cluster, heard, why);
    status_put_flag(part, "one_more_failure", survives);
    status_put_text(part, "why", survives ? NULL : why);
    return part;
}
