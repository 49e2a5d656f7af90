/*
 * test_decide_node.c - a member does nothing that could make a second writer, whatever it sees. Design 4, 5.1 to 5.5;
 * G1, G2.
 *
 * Every agreed state that matters is put before every combination of what one member may see of PostgreSQL, its lease
 * and its guard; what must hold of each plan stands in check_plan(). Millions of cases in seconds.
 */
#include "node_views.h"

static unsigned reached[WHY_COUNT];

/* --- what must hold ----------------------------------------------------------------------------------------------- */

struct case_of {
    const struct cluster *cluster;
    const struct node_view *view;
    const struct node_plan *plan;
    bool primary; /* of the current token */
    bool fenced;
    bool lease; /* valid */
    bool armed; /* the guard */
    bool writable;
    bool processes; /* PostgreSQL is there, or may be */
};

static bool acts(const struct case_of *c, enum act_kind kind)
{
    return c->plan->action.kind == kind;
}

/* Stops, or is stopping, or ends what is under way so that it can. */
static bool stops(const struct case_of *c)
{
    return acts(c, ACT_KILL) || acts(c, ACT_STOP) || c->view->acting == ACT_KILL || c->view->acting == ACT_STOP ||
           (c->view->acting != ACT_NONE && c->plan->cancel);
}

static const struct command *proposes(const struct case_of *c, enum command_kind kind)
{
    for (uint32_t i = 0; i < c->plan->command_count; i++)
        if (c->plan->commands[i].kind == kind)
            return &c->plan->commands[i];
    return NULL;
}

static bool own_directory(const struct case_of *c)
{
    return directory_is(c->view->directory, c->cluster->primary.directory);
}

/* G1, G2: nobody begins to write without a lease and an armed guard under the current token, and leave to do so. */
static bool starts_rightly(const struct case_of *c)
{
    const struct cluster *cluster = c->cluster;
    const struct pg_seen *pg = &c->view->pg;

    if (acts(c, ACT_PROMOTE))
        return c->primary && c->lease && c->armed && cluster->primary.phase == PRIMARY_ELECTED &&
               pg->state == PG_STANDBY && c->plan->action.timeline.no == cluster->primary.timeline.no &&
               pg->conf_present && pg->conf_loaded && !pg->receiver && pg->conf.upstream == 0 &&
               token_is(pg->conf.token, cluster->token) && pg->conf.demand_version == cluster->demand_version &&
               pg->end_final && pg->timeline.no == cluster->primary.from_timeline.no &&
               pg->end.at >= cluster->primary.position.at && own_directory(c) && c->view->promote_failed.no == 0 &&
               c->plan->action.conf.upstream == 0;
    if (acts(c, ACT_START_PRIMARY))
        return c->primary && c->lease && c->armed && cluster->primary.phase == PRIMARY_ACTIVE &&
               cluster->operation.kind == OPERATION_NONE && pg->state == PG_STOPPED &&
               cluster->primary.permitted_at > c->view->stopped_at && own_directory(c) &&
               c->plan->action.conf.upstream == 0 && c->plan->action.conf.demand_version == cluster->demand_version;
    return true;
}

/* G1: who is writable and may not be stops. A restarted daemon's running guard goes by its page, and is left alone. */
static bool stops_rightly(const struct case_of *c)
{
    bool guarded = c->view->lease.end_us == 0 && !c->view->lease.refused && c->armed;

    if (!c->writable)
        return true;
    if (!c->primary)
        return stops(c);
    /* R17: a lease without end, for the primary alone. */
    if (c->cluster->pause == PAUSE_ON ||
        (c->cluster->pause == PAUSE_ENDING && c->view->guard_alive && c->view->guard_mode == WISH_PAUSED))
        return true;
    bool promoted = c->view->pg.timeline.no == c->cluster->primary.timeline.no && c->view->promote_failed.no == 0;
    if (c->lease || (guarded && (c->cluster->primary.phase == PRIMARY_ACTIVE || promoted)))
        return true;
    return stops(c);
}

/* The page of the guard: a deadline only from a valid lease and guard_kill_time before its end, "standby" only if it
 * is. */
static bool guards_rightly(const struct case_of *c)
{
    const struct node_plan *plan = c->plan;
    int64_t latest_us = c->view->lease.end_us - c->cluster->policy.guard_kill_time_ms * 1000LL;

    if (plan->guard == WISH_PRIMARY && plan->guard_kill_at_us > NOW)
        return c->lease && c->primary && plan->guard_kill_at_us <= latest_us;
    if (plan->guard == WISH_STANDBY)
        return !c->writable && c->view->acting != ACT_START_PRIMARY && c->view->acting != ACT_PROMOTE;
    if (plan->guard == WISH_PAUSED)
        return c->cluster->pause == PAUSE_ON && c->primary;
    return true;
}

/* 5.3 step 2: what is reported under a fence is true, and final. */
static bool reports_rightly(const struct case_of *c)
{
    const struct fence_report *fence = &c->plan->fence;
    const struct pg_seen *pg = &c->view->pg;
    bool over = c->cluster->operation.kind == OPERATION_SWITCHOVER && c->cluster->primary.phase == PRIMARY_ACTIVE;
    uint64_t answers = c->cluster->token.no + over;

    if (fence->token.no == 0)
        return !fence->stopped && !fence->data;
    if (fence->token.no != answers)
        return false;
    if (fence->stopped && (c->processes || c->view->acting != ACT_NONE ||
                           c->cluster->primary.node_id != c->view->node_id || !(c->fenced || over)))
        return false;
    if (fence->data && c->fenced)
        return pg->state == PG_STANDBY && pg->conf_present && pg->conf_loaded && pg->conf.upstream == 0 &&
               !pg->receiver && token_is(pg->conf.token, c->cluster->token) && pg->end_final &&
               fence->end.at == pg->end.at && fence->timeline.no == pg->timeline.no &&
               directory_is(fence->directory, c->view->directory);
    return !fence->data || (over && pg->state == PG_STOPPED && pg->clean);
}

/* 5.5, 5.6, R26: nobody is pointed at an upstream, rewound or cloned while fenced, lagging, or primary. */
static bool follows_rightly(const struct case_of *c)
{
    const struct pg_action *action = &c->plan->action;
    bool reworks = action->kind == ACT_REWIND || action->kind == ACT_CLONE;
    bool lags = node_lags(c->cluster, &c->view->pg);

    if (action->kind == ACT_NONE)
        return true;
    /* A directory that was written off follows nobody: its identity is another one first. */
    const struct member *self = cluster_member(c->cluster, c->view->node_id);
    if (self->written_off && directory_is(self->directory, c->view->directory) && action->conf.upstream != 0 &&
        !reworks)
        return false;
    /* R28: a fenced standby receives from the one that it is told to, and reports nothing meanwhile. */
    if (action->conf.upstream != 0 && c->fenced)
        return c->cluster->primary.node_id != c->view->node_id && action->conf.upstream == c->view->fetch_from &&
               token_is(action->conf.token, c->cluster->token) && !c->plan->fence.data;
    if (action->conf.upstream != 0)
        return !c->fenced && !c->primary && action->conf.upstream == c->cluster->primary.node_id &&
               (!lags || c->view->pg.state == PG_ABSENT);
    if (reworks)
        return !c->fenced && !c->primary && c->cluster->primary.phase == PRIMARY_ACTIVE && !lags;
    return true;
}

static bool proposes_rightly(const struct case_of *c)
{
    const struct command *promoted = proposes(c, COMMAND_PROMOTED), *pause = proposes(c, COMMAND_PAUSE);
    const struct command *directory = proposes(c, COMMAND_DIRECTORY), *reserve = proposes(c, COMMAND_RESERVE);

    if (promoted &&
        !(c->writable && c->lease && c->primary && c->cluster->primary.phase == PRIMARY_ELECTED &&
          promoted->timeline.no == c->view->pg.timeline.no && promoted->timeline.no == c->cluster->primary.timeline.no))
        return false;
    if (pause && !(c->cluster->pause == PAUSE_ENDING && pause->number == PAUSE_OFF && c->armed && c->primary))
        return false;
    if (directory && !(!c->primary && directory_is(directory->directory, c->view->directory)))
        return false;
    return !reserve || (node_lags(c->cluster, &c->view->pg) && reserve->timeline.no == c->view->pg.timeline.no);
}

static bool one_at_a_time(const struct case_of *c)
{
    bool quiet = c->view->acting == ACT_NONE || c->plan->action.kind == ACT_NONE;

    return quiet && (c->plan->why < WHY_COUNT) && why_text(c->plan->why)[0] != '\0' && c->plan->wake_at_us > NOW &&
           (!c->plan->lease || c->primary);
}

static const struct {
    const char *what;
    bool (*holds)(const struct case_of *c);
} rules[] = {
    { "starts", starts_rightly },       { "stops", stops_rightly },     { "guards", guards_rightly },
    { "reports", reports_rightly },     { "follows", follows_rightly }, { "proposes", proposes_rightly },
    { "one at a time", one_at_a_time },
};

/* One line for each rule and reason that broke it. */
static void tell(const struct case_of *c, const char *rule, size_t state)
{
    static const char *told[WHY_COUNT];
    const struct node_view *view = c->view;

    if (told[c->plan->why] == rule)
        return;
    told[c->plan->why] = rule;
    printf("%s: state %zu node %d pg %s lease %d armed %d acting '%s' timeline %u why %s action '%s' guard %d\n", rule,
           state, view->node_id, pg_state_name(view->pg.state), c->lease, c->armed, act_name(view->acting),
           view->pg.timeline.no, why_name(c->plan->why), act_name(c->plan->action.kind), (int)c->plan->guard);
}

static bool check_plan(const struct cluster *cluster, const struct node_view *view, const struct node_plan *plan,
                       size_t state)
{
    struct case_of c = {
        .cluster = cluster,
        .view = view,
        .plan = plan,
        .primary = cluster_is_primary(cluster, view->node_id),
        .fenced = cluster_fenced(cluster),
        .lease = lease_valid(&view->lease, cluster, NOW) ||
                 (cluster->pause == PAUSE_ON && cluster_is_primary(cluster, view->node_id)),
        .armed = view->guard_alive &&
                 (cluster->pause == PAUSE_ON ? view->guard_mode == WISH_PAUSED
                                             : view->guard_mode == WISH_PRIMARY && view->guard_kill_at_us > NOW),
        .writable = view->pg.state == PG_PRIMARY,
        .processes = view->pg.state != PG_STOPPED && view->pg.state != PG_ABSENT,
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!rules[i].holds(&c)) {
            tell(&c, rules[i].what, state);
            return false;
        }
    }
    return true;
}

/* Every state before every view: of the primary of old, the elected one, and a third. */
static void no_plan_makes_a_second_writer(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    uint32_t wrong = 0;

    for (size_t state = 0; state < ARRAY_LEN(states); state++) {
        states[state](&cluster);
        for (int32_t node = A; node <= C; node++) {
            for (uint64_t choices = 0; choices < VIEWS; choices++) {
                choose_view(choices, &cluster, node, &view);
                node_decide(&cluster, &view, NOW, &plan);
                reached[plan.why]++;
                wrong += !check_plan(&cluster, &view, &plan, state);
            }
        }
    }
    CU_ASSERT(wrong == 0);
}

/* Else the test above would prove little: the plans that matter were made. */
static void the_walk_reaches_what_matters(void)
{
    static const enum why wanted[] = {

        WHY_FENCED_PRIMARY,   WHY_FENCED_STOPPED,
        WHY_FENCED_DETACH,    WHY_FENCED_END,
        WHY_FENCED_REPORTED,  WHY_SWITCHOVER_STOP,
        WHY_SWITCHOVER_WAIT,  WHY_ELECTED_POSITION,
        WHY_ELECTED_LEASE,    WHY_ELECTED_CONFIGURE,
        WHY_ELECTED_PROMOTE,  WHY_ELECTED_START,
        WHY_ELECTED_FAILED,   WHY_PROMOTED,
        WHY_PRIMARY,          WHY_PRIMARY_NO_LEASE,
        WHY_PRIMARY_NO_GUARD, WHY_PRIMARY_DOWN,
        WHY_PRIMARY_RESTART,  WHY_PRIMARY_CONFIGURE,
        WHY_PRIMARY_ADOPT,    WHY_ROGUE,
        WHY_STANDBY,          WHY_STANDBY_START,
        WHY_STANDBY_COMPARE,  WHY_LAGGING,
        WHY_DIRECTORY,        WHY_NO_DATA,
    };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (reached[wanted[i]] == 0)
            printf("never reached: %s\n", why_name(wanted[i]));
        CU_ASSERT(reached[wanted[i]] > 0);
    }
}

/* R10: a restarted daemon has forgotten what was committed: it does nothing and leaves the guard alone. */
static void nothing_is_done_before_hello(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    for (size_t state = 0; state < ARRAY_LEN(states); state++) {
        states[state](&cluster);
        for (int32_t node = A; node <= C; node++) {
            for (uint64_t choices = 0; choices < VIEWS; choices += 7) {
                choose_view(choices, &cluster, node, &view);
                view.hello = choices % 2;
                view.raft_id += choices % 2; /* or it was admitted under another raft id since */
                node_decide(&cluster, &view, NOW, &plan);
                CU_ASSERT_FATAL(plan.action.kind == ACT_NONE && !plan.cancel && !plan.lease && plan.command_count == 0);
                CU_ASSERT_FATAL(plan.guard == WISH_LEAVE && plan.fence.token.no == 0 && !plan.new_identity);
            }
        }
    }
}

/* A restarted daemon's primary: its guard's page vouches for it until the first round is granted, and not for ever. */
static void a_running_guard_vouches_for_a_restarted_daemon(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;

    for (int fresh = 0; fresh < 2; fresh++) {
        (fresh ? elected_a : active)(&cluster); /* or it has just promoted, and not said so yet */
        look_at(&cluster, &view, &plan);
        view.pg.timeline = cluster.primary.timeline;
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.action.kind == ACT_KILL && plan.why == WHY_PRIMARY_NO_LEASE);
        view.guard_alive = true;
        view.guard_mode = WISH_PRIMARY;
        view.guard_kill_at_us = NOW + 1;
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.action.kind != ACT_KILL && plan.guard == WISH_LEAVE && plan.lease);
        node_decide(&cluster, &view, NOW + 1, &plan);
        CU_ASSERT(plan.action.kind == ACT_KILL);
        view.lease.token = cluster.token; /* a lease that it had in this life, and lost */
        view.lease.end_us = NOW;
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.action.kind == ACT_KILL);
    }
}

/* All that may be done with a server and a directory of another system. */
static bool keeps_off(const struct case_of *c)
{
    const struct pg_action *action = &c->plan->action;
    const struct pg_seen *pg = &c->view->pg;

    if (action->kind == ACT_CLONE)
        return action->strange && c->view->rejoin == REJOIN_CLONE &&
               (pg->state == PG_STOPPED || pg->state == PG_ABSENT);
    return action->kind == ACT_NONE || action->kind == ACT_KILL || action->kind == ACT_STOP;
}

/* A file system that is not mounted, another cluster's volume, a fresh initdb: the member has no data, and no harm is
 * done to what lies there. */
static void another_systems_data_is_none(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    unsigned clones = 0, named = 0;

    for (size_t state = 0; state < ARRAY_LEN(states); state++) {
        states[state](&cluster);
        struct report primary = { .node_id = cluster.primary.node_id,
                                  .token = cluster.token,
                                  .pg_state = PG_PRIMARY,
                                  .timeline = cluster.primary.timeline };
        for (int32_t node = A; node <= C; node++) {
            for (uint64_t choices = 0; choices < VIEWS; choices += 3) {
                choose_view(choices, &cluster, node, &view);
                view.pg.system_identifier++;
                view.rejoin = choices % 2 ? REJOIN_CLONE : REJOIN_REWIND;
                view.primary = &primary;
                node_decide(&cluster, &view, NOW, &plan);
                struct case_of c = {
                    .cluster = &cluster, .view = &view, .plan = &plan, .primary = cluster_is_primary(&cluster, node)
                };
                bool runs = view.pg.state != PG_UNKNOWN && view.pg.state != PG_ABSENT && view.pg.state != PG_STOPPED;
                CU_ASSERT_FATAL(keeps_off(&c) && (!runs || stops(&c)));
                CU_ASSERT_FATAL(!plan.fence.data && !plan.new_identity && (!plan.lease || (c.primary && !runs)));
                CU_ASSERT_FATAL(!proposes(&c, COMMAND_DIRECTORY) && !proposes(&c, COMMAND_RESERVE) &&
                                !proposes(&c, COMMAND_PROMOTED));
                clones += plan.action.kind == ACT_CLONE;
                named += plan.why == WHY_OTHER_SYSTEM;
            }
        }
    }
    CU_ASSERT(clones > 0 && named > 0);
}

static const struct unit_test tests[] = {
    { "no plan of a member makes a second writer", no_plan_makes_a_second_writer },
    { "that walk reaches the plans that matter", the_walk_reaches_what_matters },
    { "nothing is done before HELLO is applied", nothing_is_done_before_hello },
    { "a running guard vouches for a restarted daemon", a_running_guard_vouches_for_a_restarted_daemon },
    { "another system's data is none", another_systems_data_is_none },
};
const struct unit_suite suite_decide_node = UNIT_SUITE("decide_node", tests);
