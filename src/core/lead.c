/*
 * lead.c - what the Raft leader proposes: the ladder of lead_decide() and the rungs while no operation is open.
 *
 * The leader believes reports for as long as they are fresh and belong to their sender's present life; everything it
 * wants becomes true only by a committed command that cluster_apply() accepts. It proposes one decision at a time and
 * waits until that shows in the applied state, or a moment has passed.
 */
#include "core/lead.h"

#define PROPOSAL_PATIENCE_US 1000000

void lead_because(struct lead_turn *turn, enum why why, const char *detail)
{
    turn->plan->why = why;
    (void)text_copy(turn->plan->waiting, sizeof turn->plan->waiting, detail ? detail : "");
}

struct command *lead_propose(struct lead_turn *turn, enum command_kind kind)
{
    struct command *command = &turn->plan->commands[turn->plan->command_count];

    assert(turn->plan->command_count < PLAN_COMMANDS);
    turn->plan->command_count++;
    *command = (struct command){ .kind = kind, .token = turn->cluster->token };
    return command;
}

int64_t lead_failure_us(const struct lead_turn *turn)
{
    return (int64_t)turn->cluster->policy.failure_timeout_ms * 1000;
}

uint32_t lead_index(const struct lead_turn *turn, int32_t node_id)
{
    uint32_t i = 0;

    while (i < turn->cluster->member_count && turn->cluster->members[i].node_id != node_id)
        i++;
    return i;
}

const struct report *lead_fresh(const struct lead_turn *turn, uint32_t index)
{
    if (index >= turn->cluster->member_count)
        return NULL;
    const struct member *member = &turn->cluster->members[index];
    const struct heard *heard = &turn->view->heard[index];

    if (!heard->report || heard->age_us > lead_failure_us(turn) || heard->report->raft_id != member->raft_id ||
        heard->report->start_no != member->start_no)
        return NULL;
    return heard->report;
}

void lead_fence(struct lead_turn *turn, enum why why, const char *reason)
{
    struct command *command = lead_propose(turn, COMMAND_FENCE);

    command->token = turn->cluster->primary.token;
    (void)text_copy(command->text, sizeof command->text, reason);
    lead_because(turn, why, reason);
}

/* Youngest sign of a healthy holder of the token, as this node and every voter whose report is fresh have it. */
static int64_t sign_age_us(const struct lead_turn *turn)
{
    const struct lead_view *view = turn->view;
    int64_t since_us = view->primary_seen_us > view->leader_since_us ? view->primary_seen_us : view->leader_since_us;
    /* Signs come as often as the settings before asked for: silence counts from the new ones. */
    if (view->policy_since_us > since_us)
        since_us = view->policy_since_us;
    int64_t youngest_us = turn->now_us - since_us;

    for (uint32_t i = 0; i < turn->cluster->member_count; i++) {
        const struct report *report = lead_fresh(turn, i);
        if (!report || !turn->cluster->members[i].voter || report->primary_seen_us < 0 ||
            !token_is(report->token, turn->cluster->token))
            continue;
        int64_t age_us = report->primary_seen_us + view->heard[i].age_us;
        if (age_us < youngest_us)
            youngest_us = age_us;
    }
    return youngest_us;
}

/* A member that could be elected if the fence came now: would the standbys' reports meet the demands? */
static bool replaceable(const struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    struct directory_id reachable[MEMBERS_MAX];
    uint32_t count = 0;
    bool electable = false;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        const struct report *report = lead_fresh(turn, i);
        if (member->kind != NODE_DATA || member->node_id == cluster->primary.node_id || member->written_off ||
            !report || report->pg_state != PG_STANDBY || report->lagging || !report->following ||
            !directory_is(report->directory, member->directory))
            continue;
        reachable[count++] = member->directory;
        electable = electable || (member->registered && member->priority > 0 && !member->manual);
    }
    bool async = lead_async(cluster);
    return electable && (async || demands_met(cluster, reachable, count));
}

/* A standby that might be elected has room where the primary has none: two full disks would take turns. */
static bool somebody_has_room(const struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        const struct report *report = lead_fresh(turn, i);
        if (member->kind == NODE_DATA && member->registered && member->priority > 0 && !member->manual && report &&
            report->pg_state == PG_STANDBY && report->following && report->trouble != TROUBLE_NO_SPACE)
            return true;
    }
    return false;
}

bool lead_async(const struct cluster *cluster)
{
    return cluster->policy.durability == DURABILITY_ASYNC && cluster->demand_count == 1 && cluster->demands[0].k == 0;
}

static const char *trouble_text(enum trouble trouble)
{
    static const char *const texts[] = {
        [TROUBLE_NONE] = "no trouble",
        [TROUBLE_STOPPED] = "its PostgreSQL died",
        [TROUBLE_DOWN] = "its PostgreSQL is down",
        [TROUBLE_HUNG] = "its PostgreSQL accepts no new connections",
        [TROUBLE_READ_ONLY] = "its PostgreSQL cannot write",
        [TROUBLE_GIVING_UP] = "no majority renews its lease",
        [TROUBLE_FAILED] = "its promotion failed",
        [TROUBLE_NO_SPACE] = "no room in its data directory",
    };

    assert((size_t)trouble < ARRAY_LEN(texts));
    return texts[trouble];
}

static void restart_in_place(struct lead_turn *turn, const struct report *report)
{
    const struct primary *primary = &turn->cluster->primary;
    struct command *command = lead_propose(turn, COMMAND_RESTART);

    command->node_id = primary->node_id;
    command->token = primary->token;
    command->directory = primary->directory;
    command->expect = primary->permitted_at;
    command->stopped_start_no = report->start_no;
    (void)text_copy(command->text, sizeof command->text, trouble_text(report->trouble));
    lead_because(turn, WHY_RESTART_IN_PLACE, NULL);
}

/* Why no start in place makes it a primary again; NULL where one may. Only an election does, of itself too. */
static const char *not_in_place(const struct lead_turn *turn, const struct report *report)
{
    if (report->pg_state == PG_ABSENT)
        return "its data is gone";
    if (report->pg_state == PG_STOPPED && !report->pg_was_primary)
        return "its PostgreSQL last ran as a standby";
    if (report->pg_state == PG_STOPPED && !directory_is(report->directory, turn->cluster->primary.directory))
        return "its data directory is another one";
    return NULL;
}

/* The primary itself says that something is wrong. True when that settled the turn. */
static bool primary_in_trouble(struct lead_turn *turn, const struct report *report)
{
    bool down = report->trouble == TROUBLE_STOPPED || report->trouble == TROUBLE_DOWN;
    bool stopped = down && report->pg_state == PG_STOPPED && !not_in_place(turn, report);

    /* What was reported before the last permission to start says nothing of what came of it. */
    if (report->trouble == TROUBLE_NONE || !token_is(report->token, turn->cluster->token) ||
        report->applied < turn->cluster->primary.permitted_at)
        return false;
    /* At a cold start the primary goes on where it was; a crash under our eyes is worth a failover when one can be. */
    bool prefer_restart = report->trouble == TROUBLE_DOWN || turn->cluster->policy.primary_start_timeout_ms > 0;
    if (stopped && prefer_restart && (report->trouble == TROUBLE_DOWN || !lead_restart_overdue(turn))) {
        restart_in_place(turn, report);
        return true;
    }
    bool full = report->trouble == TROUBLE_NO_SPACE;
    if (replaceable(turn) && (!full || somebody_has_room(turn))) {
        lead_fence(turn, WHY_SUSPECT_REPORT, trouble_text(report->trouble));
        return true;
    }
    /* It reads, and writes what fits: better than nobody. */
    if (full)
        return false;
    if (stopped) {
        restart_in_place(turn, report);
        return true;
    }
    if (down && not_in_place(turn, report)) {
        /* Nothing that writes is stopped by it; and a failover that waits says for whom, and hears operators (G6). */
        lead_fence(turn, WHY_SUSPECT_REPORT, not_in_place(turn, report));
        return true;
    }
    lead_because(turn, WHY_NOBODY_CAN, trouble_text(report->trouble));
    return true;
}

bool lead_restart_overdue(const struct lead_turn *turn)
{
    return turn->view->trouble_since_us != 0 &&
           turn->now_us - turn->view->trouble_since_us > (int64_t)turn->cluster->policy.primary_start_timeout_ms * 1000;
}

/* Another voter that hears both this leader and the primary, so that entries reach the primary through it (R34). */
static uint64_t who_reaches_primary(const struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct report *report = lead_fresh(turn, i);
        if (report && cluster->members[i].voter && cluster->members[i].node_id != cluster->primary.node_id &&
            cluster->members[i].node_id != turn->view->node_id && report->primary_seen_us >= 0 &&
            report->primary_seen_us < lead_failure_us(turn) / 2)
            return cluster->members[i].raft_id;
    }
    return 0;
}

/* Is the primary alive, reachable, and well? True when the turn is settled by it. */
static bool watch_primary(struct lead_turn *turn)
{
    const struct lead_view *view = turn->view;
    uint32_t index = lead_index(turn, turn->cluster->primary.node_id);
    const struct report *report = lead_fresh(turn, index);

    if (report && primary_in_trouble(turn, report))
        return true;
    int64_t sign_us = sign_age_us(turn);
    if (sign_us >= lead_failure_us(turn)) {
        if (report && report->hello && report->trouble == TROUBLE_NONE && report->lease_valid && !replaceable(turn)) {
            lead_because(turn, WHY_NOBODY_CAN, "no sign of the primary");
            return true;
        }
        lead_fence(turn, WHY_SUSPECT_SILENT, "no sign of a healthy primary");
        return true;
    }
    turn->plan->wake_at_us = turn->now_us + lead_failure_us(turn) - sign_us;

    /* Its daemon said goodbye and its lease runs: it is waited for. */
    if (view->primary_seen_us > turn->now_us)
        return false;
    bool own = turn->cluster->primary.node_id == view->node_id;
    int64_t silent_us = index < turn->cluster->member_count && view->heard[index].report
                            ? view->heard[index].age_us
                            : turn->now_us - view->leader_since_us;
    if (view->behind_since_us != 0 && turn->now_us - view->behind_since_us > silent_us)
        silent_us = turn->now_us - view->behind_since_us;
    if (turn->now_us - view->policy_since_us < silent_us)
        silent_us = turn->now_us - view->policy_since_us;
    if (own || silent_us < lead_failure_us(turn) / 2)
        return false;
    uint64_t other = who_reaches_primary(turn);
    if (other != 0 && turn->now_us - view->transfer_at_us > lead_failure_us(turn)) {
        turn->plan->transfer_to = other;
        lead_because(turn, WHY_UNCUT_LINK, NULL);
        return true;
    }
    if (other == 0 && silent_us >= lead_failure_us(turn) && replaceable(turn)) {
        lead_fence(turn, WHY_SUSPECT_SILENT, "the primary cannot be reached");
        return true;
    }
    return false;
}

static enum raft_role role_of(const struct lead_turn *turn, uint64_t raft_id)
{
    for (uint32_t i = 0; i < turn->view->raft.server_count; i++)
        if (turn->view->raft.servers[i].raft_id == raft_id)
            return turn->view->raft.servers[i].role;
    return RAFT_ROLE_NONE;
}

static void change_raft(struct lead_turn *turn, const struct member *member, uint64_t raft_id, enum raft_role role)
{
    turn->plan->raft_change = raft_id;
    turn->plan->raft_role = role;
    if (member)
        (void)text_copy(turn->plan->raft_address, sizeof turn->plan->raft_address, member->address);
    lead_because(turn, WHY_MEMBERSHIP, NULL);
}

bool lead_voters_settled(const struct cluster *cluster, const struct lead_view *view)
{
    struct lead_turn turn = { .cluster = cluster, .view = view };
    const struct report *report = lead_fresh(&turn, lead_index(&turn, cluster->primary.node_id));

    return cluster->operation.kind == OPERATION_NONE && report && report->lease_valid &&
           report->lease_config == cluster->config_version && cluster->lease_max_ms <= cluster->policy.lease_ttl_ms;
}

/*
 * What Raft's configuration lacks there: its servers come first, since a node that comes back under a new raft id has
 * the address of its old one, then the members.
 */
static bool raft_lacks(struct lead_turn *turn, uint32_t position)
{
    const struct raft_seen *raft = &turn->view->raft;

    if (position < raft->server_count) {
        uint64_t raft_id = raft->servers[position].raft_id;
        if (cluster_member_by_raft(turn->cluster, raft_id) || raft_id == turn->view->raft_id)
            return false;
        change_raft(turn, NULL, raft_id, RAFT_ROLE_NONE);
        return true;
    }
    uint32_t index = position - raft->server_count;
    const struct member *member = &turn->cluster->members[index];
    enum raft_role role = role_of(turn, member->raft_id);
    bool voter = role == RAFT_ROLE_LEARNER && member->registered && lead_fresh(turn, index) &&
                 lead_voters_settled(turn->cluster, turn->view);
    if (!voter && role != RAFT_ROLE_NONE && role != RAFT_ROLE_SPARE)
        return false;
    change_raft(turn, member, member->raft_id, voter ? RAFT_ROLE_VOTER : RAFT_ROLE_LEARNER);
    return true;
}

static uint32_t position_of(const struct lead_turn *turn, uint64_t raft_id)
{
    const struct raft_seen *raft = &turn->view->raft;
    uint32_t i = 0;

    for (; i < raft->server_count; i++)
        if (raft->servers[i].raft_id == raft_id && !cluster_member_by_raft(turn->cluster, raft_id))
            return i;
    for (i = 0; i < turn->cluster->member_count; i++)
        if (turn->cluster->members[i].raft_id == raft_id)
            return raft->server_count + i;
    return raft->server_count + turn->cluster->member_count - 1;
}

/*
 * Raft's servers follow the members table: learners first, voters when registered; who is no member leaves. A change
 * that Raft refuses, or that fails, neither keeps the leader from its other duties nor comes before everybody else's.
 */
static bool keep_raft(struct lead_turn *turn)
{
    const struct asked_change *asked = &turn->view->asked;
    uint32_t count = turn->view->raft.server_count + turn->cluster->member_count;
    uint32_t first = 0;

    if (asked->raft_id != 0 && role_of(turn, asked->raft_id) != asked->role) {
        if (turn->now_us - asked->at_us < lead_failure_us(turn))
            return false;
        first = position_of(turn, asked->raft_id) + 1;
    }
    for (uint32_t i = 0; i < count; i++)
        if (raft_lacks(turn, (first + i) % count))
            return true;
    return false;
}

static bool keep_members(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;

    if (turn->view->raft.changing)
        return false;
    if (keep_raft(turn))
        return true;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        if (role_of(turn, member->raft_id) != RAFT_ROLE_VOTER || !member->registered || member->voter ||
            !lead_voters_settled(turn->cluster, turn->view))
            continue;
        struct command *command = lead_propose(turn, COMMAND_VOTER);
        command->node_id = member->node_id;
        command->flag = true;
        command->expect = cluster->config_version;
        lead_because(turn, WHY_MEMBERSHIP, NULL);
        return true;
    }
    return false;
}

static bool keep_demands(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    const struct report *primary = lead_fresh(turn, lead_index(turn, cluster->primary.node_id));
    struct demand wanted;

    if (!primary || !token_is(primary->token, cluster->token) || primary->pg_state != PG_PRIMARY)
        return false;
    if (sync_wanted(cluster, turn->view->heard, lead_failure_us(turn), &wanted)) {
        lead_propose(turn, COMMAND_ADD)->demand = wanted;
        lead_because(turn, WHY_DEMAND_ADD, NULL);
        return true;
    }
    if (cluster->demand_count < DEMANDS_MAX)
        return false;
    if (primary->demand_settled == cluster->demand_version) {
        lead_propose(turn, COMMAND_END)->expect = cluster->demand_version;
        lead_because(turn, WHY_DEMAND_END, NULL);
        return true;
    }
    lead_because(turn, WHY_DEMAND_SETTLING, NULL);
    return true;
}

/* Could this member lead as well: a voter that is heard, has kept up, and hears the primary? */
static bool may_lead_too(const struct lead_turn *turn, uint32_t index)
{
    const struct member *member = &turn->cluster->members[index];
    const struct report *report = lead_fresh(turn, index);

    return report && member->voter && member->node_id != turn->view->node_id && report->hello &&
           report->primary_seen_us >= 0 && report->primary_seen_us <= lead_failure_us(turn) &&
           report->applied + 16 >= turn->cluster->version;
}

/*
 * Losing the primary's host should cost no Raft election on top (5.6): the leader is better kept off it. Best off
 * every host that may become the primary's, and has PostgreSQL's work to do: on a witness.
 */
static bool hand_over(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    uint32_t own = lead_index(turn, turn->view->node_id);
    bool on_primary = cluster->primary.node_id == turn->view->node_id;
    uint64_t witness = 0, other = 0;

    if (own >= cluster->member_count || cluster->members[own].kind == NODE_WITNESS || turn->view->raft.changing ||
        turn->now_us - turn->view->transfer_at_us < (3 * lead_failure_us(turn) << turn->view->transfers))
        return false;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        uint64_t *best = member->kind == NODE_WITNESS ? &witness : &other;
        if (*best == 0 && may_lead_too(turn, i))
            *best = member->raft_id;
    }
    if (witness == 0 && (other == 0 || !on_primary))
        return false;
    turn->plan->transfer_to = witness != 0 ? witness : other;
    lead_because(turn, WHY_HAND_OVER, NULL);
    return true;
}

/* lease_max comes down when the primary renewed by the shorter lease and the longer has run out (R12). */
static bool lower_lease_max(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    const struct report *primary = lead_fresh(turn, lead_index(turn, cluster->primary.node_id));
    int64_t ttl_us = (int64_t)cluster->policy.lease_ttl_ms * 1000;

    if (cluster->lease_max_ms <= cluster->policy.lease_ttl_ms || !primary || !primary->lease_valid ||
        primary->lease_length_us > ttl_us || turn->view->shorter_since_us == 0 ||
        turn->now_us - turn->view->shorter_since_us < (int64_t)cluster->lease_max_ms * 1000)
        return false;
    struct command *command = lead_propose(turn, COMMAND_LEASE_MAX);
    command->number = cluster->policy.lease_ttl_ms;
    command->expect = cluster->policy_version;
    lead_because(turn, WHY_LEASE_MAX, NULL);
    return true;
}

/* In a pause nobody is replaced; a primary whose server was restarted by hand may go on where it was. */
static bool paused_restart(struct lead_turn *turn)
{
    const struct report *report = lead_fresh(turn, lead_index(turn, turn->cluster->primary.node_id));

    if (!report || report->pg_state != PG_STOPPED || !report->pg_was_primary ||
        !token_is(report->token, turn->cluster->token) || report->applied < turn->cluster->primary.permitted_at ||
        (report->trouble != TROUBLE_STOPPED && report->trouble != TROUBLE_DOWN) ||
        !directory_is(report->directory, turn->cluster->primary.directory))
        return false;
    restart_in_place(turn, report);
    return true;
}

static void lead_idle(struct lead_turn *turn)
{
    if (turn->cluster->pause == PAUSE_ON) {
        if (!paused_restart(turn) && !keep_members(turn) && !keep_demands(turn))
            lead_because(turn, WHY_PAUSED, NULL);
        return;
    }
    if (watch_primary(turn) || keep_members(turn) || lower_lease_max(turn) || keep_demands(turn) || hand_over(turn))
        return;
    lead_because(turn, sign_age_us(turn) > lead_failure_us(turn) / 2 ? WHY_NO_SIGN : WHY_HEALTHY, NULL);
}

/*
 * It leads and may decide nothing: it was admitted anew elsewhere, or its start does not get committed. Its heartbeats
 * would keep everybody else from leading, for ever (G6). Nobody reports to who is no member: where nobody is heard, one
 * voter after the other is tried.
 */
static void give_away(struct lead_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    const struct lead_view *view = turn->view;
    bool member = cluster_member_by_raft(cluster, view->raft_id) != NULL;
    uint64_t next = 0;

    lead_because(turn, member ? WHY_HELLO : WHY_NO_MEMBER_LEADS, NULL);
    if ((member && turn->now_us - view->leader_since_us <= lead_failure_us(turn)) || view->raft.changing ||
        turn->now_us - view->transfer_at_us < lead_failure_us(turn))
        return;
    uint32_t first = (uint32_t)((uint64_t)turn->now_us / (uint64_t)lead_failure_us(turn) % cluster->member_count);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        uint32_t index = (first + i) % cluster->member_count;
        const struct member *other = &cluster->members[index];
        if (!other->voter || other->raft_id == view->raft_id || role_of(turn, other->raft_id) != RAFT_ROLE_VOTER)
            continue;
        if (next == 0 || lead_fresh(turn, index))
            next = other->raft_id;
        if (lead_fresh(turn, index))
            break;
    }
    turn->plan->transfer_to = next;
}

/*
 * Its last proposal has neither shown in the state nor had its time. A refused one moves the version, too: what was
 * overtaken once fits the next time, and what is refused again is not repeated at the speed of the log.
 */
static bool proposal_open(const struct lead_turn *turn)
{
    const struct lead_view *view = turn->view;
    bool again =
        view->refused > 1 && turn->plan->command_count > 0 && turn->plan->commands[0].kind == view->proposed_kind;

    return view->proposed_at_us != 0 && (view->proposed_version == turn->cluster->version || again) &&
           turn->now_us - view->proposed_at_us < PROPOSAL_PATIENCE_US;
}

void lead_decide(const struct cluster *cluster, const struct lead_view *view, int64_t now_us, struct lead_plan *plan)
{
    struct lead_turn turn = { .cluster = cluster, .view = view, .now_us = now_us, .plan = plan };

    *plan = (struct lead_plan){ .wake_at_us = now_us + 1000000 };
    if (!view->raft.leader) {
        lead_because(&turn, WHY_FOLLOWER, NULL);
        return;
    }
    if (cluster->cluster_id == 0) {
        lead_because(&turn, WHY_NOT_FOUNDED, NULL);
        return;
    }
    if (!view->hello) {
        give_away(&turn);
        return;
    }
    if (cluster->operation.kind == OPERATION_FAILOVER)
        lead_failover(&turn);
    else if (cluster->operation.kind == OPERATION_SWITCHOVER)
        lead_switchover(&turn);
    else
        lead_idle(&turn);
    if (proposal_open(&turn)) {
        plan->command_count = 0;
        plan->wake_at_us = view->proposed_at_us + PROPOSAL_PATIENCE_US;
    }
}
