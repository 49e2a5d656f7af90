/*
 * node.c - what one member does with its own PostgreSQL: the ladder of node_decide() and what its rungs share.
 *
 * The order matters: who may not write stops before anything else is considered; a fence comes before any role; a role
 * is what the committed state says, never what PostgreSQL happens to be (design 5.1 to 5.5).
 */
#include "core/node.h"

void node_because(struct node_turn *turn, enum why why, const char *detail)
{
    turn->plan->why = why;
    (void)text_copy(turn->plan->waiting, sizeof turn->plan->waiting, detail ? detail : "");
}

struct pg_action *node_want(struct node_turn *turn, enum act_kind kind, int64_t timeout_us, const struct pg_conf *conf)
{
    struct pg_action *action = &turn->plan->action;

    *action = (struct pg_action){ .kind = kind, .timeout_us = timeout_us, .token = turn->cluster->token };
    if (conf)
        action->conf = *conf;
    return action;
}

struct command *node_propose(struct node_turn *turn, enum command_kind kind)
{
    struct command *command = &turn->plan->commands[turn->plan->command_count];

    assert(turn->plan->command_count < PLAN_COMMANDS);
    turn->plan->command_count++;
    *command = (struct command){ .kind = kind, .node_id = turn->view->node_id, .token = turn->cluster->token };
    return command;
}

void node_because_no_data(struct node_turn *turn)
{
    node_because(turn, turn->other_system ? WHY_OTHER_SYSTEM : WHY_NO_DATA, NULL);
}

void node_kill(struct node_turn *turn, enum why why)
{
    turn->plan->guard = WISH_PRIMARY;
    turn->plan->guard_kill_at_us = turn->now_us;
    (void)node_want(turn, ACT_KILL, STOP_TIMEOUT_US, NULL);
    node_because(turn, why, NULL);
}

void node_conf_detached(const struct node_turn *turn, struct pg_conf *conf)
{
    *conf = (struct pg_conf){ .token = turn->cluster->token };
    sync_conf(turn->cluster, turn->view->node_id, conf);
}

static uint64_t mix_text(uint64_t mix, const char *text)
{
    do
        mix = (mix ^ (unsigned char)*text) * 1099511628211u;
    while (*text++);
    return mix;
}

void node_conf_from(const struct node_turn *turn, const struct member *from, struct pg_conf *conf)
{
    conf->upstream = from->node_id;
    (void)text_copy(conf->upstream_conninfo, sizeof conf->upstream_conninfo, from->conninfo);
    (void)text_copy(conf->name, sizeof conf->name, turn->self->name);
    conf->source = mix_text(mix_text(14695981039346656037u, conf->upstream_conninfo), conf->name);
    member_slot(turn->self, conf->slot);
}

void node_conf_follow(const struct node_turn *turn, struct pg_conf *conf)
{
    const struct member *primary = cluster_member(turn->cluster, turn->cluster->primary.node_id);

    node_conf_detached(turn, conf);
    if (primary)
        node_conf_from(turn, primary, conf);
}

bool node_pg_runs(const struct pg_seen *pg)
{
    return pg->state == PG_STARTING || pg->state == PG_STANDBY || pg->state == PG_PRIMARY || pg->state == PG_ORPHANS;
}

bool node_lease_valid(const struct node_turn *turn)
{
    if (turn->cluster->pause == PAUSE_ON && cluster_is_primary(turn->cluster, turn->view->node_id))
        return true;
    return lease_valid(&turn->view->lease, turn->cluster, turn->now_us);
}

bool node_guard_armed(const struct node_turn *turn)
{
    /* A pause is a lease without end; its guard stands by. */
    if (turn->cluster->pause == PAUSE_ON)
        return turn->view->guard_alive && turn->view->guard_mode == WISH_PAUSED;
    return turn->view->guard_alive && turn->view->guard_mode == WISH_PRIMARY &&
           turn->view->guard_kill_at_us > turn->now_us;
}

bool node_may_become_primary(const struct node_view *view)
{
    return view->pg.state == PG_PRIMARY || view->acting == ACT_PROMOTE || view->acting == ACT_START_PRIMARY;
}

bool node_detached(const struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;

    return pg->conf_present && pg->conf_loaded && pg->conf.upstream == 0 &&
           token_is(pg->conf.token, turn->cluster->token) && !pg->receiver;
}

bool node_lags(const struct cluster *cluster, const struct pg_seen *pg)
{
    return pg->timeline.no > cluster->timeline_max.no;
}

bool node_other_system(const struct cluster *cluster, const struct pg_seen *pg)
{
    return cluster->cluster_id != 0 && pg->system_identifier != 0 &&
           pg->system_identifier != cluster->system_identifier;
}

uint64_t node_slots(const struct cluster *cluster, int32_t node_id)
{
    uint64_t mix = 14695981039346656037u;

    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].kind == NODE_DATA && cluster->members[i].node_id != node_id)
            mix = ((mix ^ (uint64_t)cluster->members[i].node_id) * 1099511628211u ^ cluster->members[i].slot_no) *
                  1099511628211u;
    return mix;
}

bool node_keep_slots(struct node_turn *turn, enum why why)
{
    const struct node_view *view = turn->view;

    if (!view->stray_again && view->slots_at_us != 0 && view->slots_for == node_slots(turn->cluster, view->node_id) &&
        turn->now_us - view->slots_at_us < SLOTS_EVERY_US)
        return false;
    struct pg_action *action = node_want(turn, ACT_SLOTS, START_TIMEOUT_US, NULL);
    if (view->stray_again)
        action->stray = view->stray;
    for (uint32_t i = 0; i < turn->cluster->member_count; i++) {
        const struct member *member = &turn->cluster->members[i];
        if (member->kind == NODE_DATA && member->node_id != view->node_id)
            member_slot(member, action->slots[action->slot_count++]);
    }
    node_because(turn, why, NULL);
    return true;
}

/* A primary on a timeline that was given to another, or to nobody. What it writes, nothing need ever show. */
static bool usurped(const struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    const struct given *given = cluster_given(turn->cluster, pg->timeline);

    if (pg->state != PG_PRIMARY || pg->timeline.no == 0 || cluster_is_primary(turn->cluster, turn->view->node_id))
        return false;
    return given ? given->node_id != turn->view->node_id : !cluster_gave_out(turn->cluster, pg->timeline);
}

/* A data directory without identity gets one; the log learns of every new one before anybody counts on it. */
static void announce_directory(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    bool whole = view->pg.state != PG_UNKNOWN && view->pg.state != PG_ABSENT;
    bool reworked = view->acting == ACT_REWIND || view->acting == ACT_CLONE;

    turn->plan->spoil_directory = usurped(turn);
    if (view->directory.no == 0 && whole && !reworked && !turn->plan->spoil_directory)
        turn->plan->new_identity = true;
    if (view->directory.no != 0 && !directory_spoiled(view->directory) &&
        !directory_is(view->directory, turn->self->directory) && !cluster_is_primary(turn->cluster, view->node_id))
        node_propose(turn, COMMAND_DIRECTORY)->directory = view->directory;
}

static void decide_role(struct node_turn *turn)
{
    const struct cluster *cluster = turn->cluster;
    bool mine = cluster->primary.node_id == turn->view->node_id;

    if (turn->view->pg.state == PG_UNKNOWN)
        node_because(turn, WHY_ACTING, "PostgreSQL has not been looked at yet");
    else if (cluster_fenced(cluster) && mine)
        node_fenced_primary(turn);
    else if (cluster_fenced(cluster))
        node_fenced_standby(turn);
    else if (mine && cluster->operation.kind == OPERATION_SWITCHOVER && cluster->primary.phase == PRIMARY_ACTIVE)
        node_switchover_primary(turn);
    else if (mine && cluster->primary.phase == PRIMARY_ELECTED)
        node_elected(turn);
    else if (mine)
        node_primary(turn);
    else
        node_standby(turn);
}

/* Another system's server in this data directory: it serves nobody of this cluster, and what it would write is lost. */
static void stop_other_system(struct node_turn *turn)
{
    turn->plan->trouble = turn->cluster->primary.node_id == turn->view->node_id ? TROUBLE_STOPPED : TROUBLE_NONE;
    if (turn->view->pg.state != PG_STANDBY) {
        node_kill(turn, WHY_OTHER_SYSTEM);
        return;
    }
    node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL)->stop_fast_us = 10000000;
    node_because(turn, WHY_OTHER_SYSTEM, "its server stops");
}

static void decide_server(struct node_turn *turn)
{
    announce_directory(turn);
    if (node_lags(turn->cluster, &turn->view->pg) && turn->view->pg.state != PG_ABSENT &&
        cluster_may_reserve(turn->cluster, turn->view->pg.timeline))
        node_propose(turn, COMMAND_RESERVE)->timeline = turn->view->pg.timeline;
    decide_role(turn);
}

/*
 * A file system that is not mounted, another cluster's volume, a fresh initdb: the member has no data, whatever lies
 * there. It gets no identity, is not started, compared or reported; only a clone, where it is allowed, takes its place.
 */
static void decide_other_system(struct node_turn *turn)
{
    const struct node_view *seen = turn->view;
    struct node_view without = *seen;

    if (node_pg_runs(&seen->pg)) {
        stop_other_system(turn);
        return;
    }
    without.directory = (struct directory_id){ 0 };
    without.pg = (struct pg_seen){ .state = seen->pg.state == PG_UNKNOWN ? PG_UNKNOWN : PG_ABSENT };
    without.pg.at_us = seen->pg.at_us;
    without.pg.programs_major = seen->pg.programs_major;
    turn->other_system = true;
    turn->view = &without;
    decide_server(turn);
    turn->view = seen;
}

static bool urgent(enum act_kind kind)
{
    return kind == ACT_KILL || kind == ACT_STOP || kind == ACT_DETACH;
}

/* How long to leave a failed action alone before it is tried again. */
static int64_t backoff_us(const struct node_view *view)
{
    int64_t wait_us = 100000;

    for (uint32_t i = 1; i < view->failed_count && wait_us < 10000000; i++)
        wait_us *= 2;
    return view->failed_kind == ACT_KILL ? 100000 : wait_us;
}

/* One action at a time: an urgent wish ends the running one, any other waits for it. */
static void hold_action(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    struct pg_action *action = &turn->plan->action;

    if (view->acting != ACT_NONE) {
        bool over_stop = view->acting == ACT_KILL || (view->acting == ACT_STOP && action->kind != ACT_KILL);
        bool same = view->acting == action->kind && token_is(view->acting_conf.token, action->conf.token);
        /* A checkpoint may take minutes; settings that commits wait for do not wait for it. */
        bool patient = view->acting == ACT_CHECKPOINT && action->kind != ACT_NONE && action->kind != ACT_SLOTS;
        turn->plan->cancel = (urgent(action->kind) || patient) && !same && !over_stop && !view->acting_cancelled;
        action->kind = ACT_NONE;
        return;
    }
    if (action->kind == ACT_NONE || view->failed_at_us == 0 || action->kind != view->failed_kind)
        return;
    int64_t again_us = view->failed_at_us + backoff_us(view);
    if (turn->now_us < again_us) {
        action->kind = ACT_NONE;
        turn->plan->forget_directory = false;
        if (again_us < turn->plan->wake_at_us)
            turn->plan->wake_at_us = again_us;
    }
}

/* A writable server, or one that may become it, whatever it is called. */
static bool may_write(const struct node_view *view)
{
    return node_may_become_primary(view) || view->pg.state == PG_ORPHANS ||
           (view->pg.state == PG_STARTING && view->acting != ACT_START_STANDBY);
}

/* The guard is dead, and the next one not there: what it was told is the daemon's to do, whatever else it knows. */
static void in_place_of_guard(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    if (view->kind == NODE_WITNESS || view->guard_alive || view->guard_mode != WISH_PRIMARY || !may_write(view))
        return;
    if (turn->now_us >= view->guard_kill_at_us)
        node_kill(turn, WHY_PRIMARY_NO_GUARD);
    else if (view->guard_kill_at_us < turn->plan->wake_at_us)
        turn->plan->wake_at_us = view->guard_kill_at_us;
}

static void decide(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    if (turn->cluster->cluster_id == 0) {
        node_because(turn, WHY_NOT_FOUNDED, NULL);
    } else if (!turn->self || turn->self->raft_id != view->raft_id) {
        node_because(turn, WHY_NOT_ADMITTED, NULL);
    } else if (!view->hello) {
        node_because(turn, WHY_HELLO, NULL);
    } else if (view->kind == NODE_WITNESS) {
        node_because(turn, WHY_WITNESS, NULL);
    } else if (node_other_system(turn->cluster, &view->pg)) {
        decide_other_system(turn);
    } else {
        decide_server(turn);
    }
}

void node_decide(const struct cluster *cluster, const struct node_view *view, int64_t now_us, struct node_plan *plan)
{
    struct node_turn turn = {
        .cluster = cluster,
        .view = view,
        .self = cluster_member(cluster, view->node_id),
        .now_us = now_us,
        .plan = plan,
    };

    *plan = (struct node_plan){ .guard = WISH_LEAVE, .wake_at_us = now_us + 1000000 };
    decide(&turn);
    in_place_of_guard(&turn);
    hold_action(&turn);
}
