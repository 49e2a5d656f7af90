/*
 * test_node_fence.c - what a member says of itself under a fence or in a switchover is of that fence, and true for as
 * long as it is said. Design 5.3 step 2, 5.4; R4, R5, R13, R27.
 */
#include "node_views.h"

/* A, replaced and fenced, as far as one look sees it; it said under this token that it had stopped. */
static void look_fenced(const struct cluster *cluster, enum pg_state state, struct token said, struct node_plan *plan)
{
    static struct node_view view;

    choose_view(0, cluster, A, &view);
    view.pg.state = state;
    view.directory = agreed_directory(A);
    view.fence = (struct fence_report){ .token = said, .stopped = true, .clean = true };
    node_decide(cluster, &view, NOW, plan);
}

/* The old primary's stop of an earlier failover says nothing of this one: it may have been elected in between. */
static void a_stop_is_said_of_one_fence(void)
{
    static struct cluster cluster;
    static struct node_plan plan;

    fenced(&cluster);
    look_fenced(&cluster, PG_PRIMARY, (struct token){ cluster.token.no - 1 }, &plan);
    CU_ASSERT(token_is(plan.fence.token, cluster.token) && !plan.fence.stopped && !plan.fence.clean);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_KILL);
    look_fenced(&cluster, PG_STANDBY, (struct token){ cluster.token.no - 1 }, &plan);
    CU_ASSERT(!plan.fence.stopped && plan.action.kind == ACT_KILL);
    look_fenced(&cluster, PG_STOPPED, (struct token){ cluster.token.no - 1 }, &plan);
    CU_ASSERT(plan.fence.stopped && !plan.fence.clean && plan.action.kind == ACT_NONE);
    look_fenced(&cluster, PG_STOPPED, cluster.token, &plan);
    CU_ASSERT(plan.fence.stopped && plan.fence.clean);
}

/* It has stopped, and something makes a primary of it all the same. */
static void who_has_stopped_stays_stopped(void)
{
    static struct cluster cluster;
    static struct node_plan plan;

    fenced(&cluster);
    look_fenced(&cluster, PG_PRIMARY, cluster.token, &plan);
    CU_ASSERT(plan.action.kind == ACT_KILL && plan.why == WHY_ROGUE);
}

/* Cut off under a former token: who is fenced again cuts itself off again before it reports. */
static void the_end_is_reported_under_its_own_fences_settings(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    fenced(&cluster);
    choose_view(0, &cluster, B, &view);
    view.pg.state = PG_STANDBY;
    view.pg.end_final = true;
    view.pg.timeline.no = AGREED_TIMELINE;
    view.directory = agreed_directory(B);
    view.pg.conf_present = view.pg.conf_loaded = true;
    view.pg.conf.upstream = 0;
    view.pg.conf.token.no = cluster.token.no - 1;
    view.fetch_from = 0;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_DETACH && !plan.fence.data);
    CU_ASSERT(token_is(plan.action.conf.token, cluster.token) && plan.action.conf.upstream == 0);
    view.pg.conf.token = cluster.token;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.fence.data && plan.fence.end.at == view.pg.end.at);
    view.directory.no = 0; /* of which directory it would be is not known */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(!plan.fence.data);
}

/* The winner that received until now cuts itself off before it promotes, whatever its settings name. */
static void no_winner_promotes_with_a_receiver(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    elected_b(&cluster);
    choose_view(0, &cluster, B, &view);
    view.pg.state = PG_STANDBY;
    view.pg.end_final = true;
    view.pg.end = cluster.primary.position;
    view.pg.timeline = cluster.primary.from_timeline;
    view.directory = agreed_directory(B);
    view.pg.conf_present = view.pg.conf_loaded = true;
    view.pg.conf.token = cluster.token;
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 4 * SECOND;
    view.guard_alive = true;
    view.guard_mode = WISH_PRIMARY;
    view.guard_kill_at_us = NOW + 3 * SECOND;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_PROMOTE);
    view.pg.receiver = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_DETACH);
}

/* A daemon that was restarted knows of its stop by nothing but what it said. */
static void what_was_said_in_a_switchover_is_kept_true(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    static const enum pg_state runs[] = { PG_STANDBY, PG_STARTING, PG_ORPHANS, PG_PRIMARY };

    switching(&cluster);
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        choose_view(0, &cluster, A, &view);
        view.pg.state = runs[i];
        view.pg.timeline = cluster.primary.timeline;
        view.directory = agreed_directory(A);
        view.fence = (struct fence_report){ .token = { cluster.token.no + 1 }, .stopped = true };
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(!plan.fence.stopped && !plan.lease);
        CU_ASSERT_EQUAL(plan.action.kind, runs[i] == PG_PRIMARY || runs[i] == PG_ORPHANS ? ACT_KILL : ACT_STOP);
    }
}

/* What it said of its WAL is true of the directory that it said it of. */
static void a_switchovers_end_is_of_one_directory(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    switching(&cluster);
    for (int same = 0; same < 2; same++) {
        choose_view(0, &cluster, A, &view);
        view.pg.state = PG_STOPPED;
        view.pg.end.at = 900;
        view.pg.timeline = cluster.primary.timeline;
        view.directory = agreed_directory(same ? A : E);
        view.fence = (struct fence_report){ .token = { cluster.token.no + 1 },
                                            .stopped = true,
                                            .clean = true,
                                            .data = true,
                                            .directory = agreed_directory(A),
                                            .timeline = cluster.primary.timeline,
                                            .end = { 1000 } };
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.fence.stopped && plan.fence.clean == same && plan.fence.data == same);
        CU_ASSERT(directory_is(plan.fence.directory, view.directory));
    }
}

/* A server that was stopped and started again before the switchover began is the one that it is about. */
static void an_earlier_stop_is_none_of_the_switchovers(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    switching(&cluster);
    choose_view(0, &cluster, A, &view);
    view.pg.state = PG_PRIMARY;
    view.pg.timeline = cluster.primary.timeline;
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 4 * SECOND;
    view.stop_watched = true;
    view.stopped_at = cluster.operation.at - 1;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_CHECKPOINT && plan.lease);
    view.stopped_at = cluster.operation.at;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_KILL && !plan.lease);
}

static const struct unit_test tests[] = {
    { "a stop is said of one fence", a_stop_is_said_of_one_fence },
    { "who has stopped stays stopped", who_has_stopped_stays_stopped },
    { "an end is reported under its own fence's settings", the_end_is_reported_under_its_own_fences_settings },
    { "no winner promotes with a receiver", no_winner_promotes_with_a_receiver },
    { "a switchover's end of WAL is of one directory", a_switchovers_end_is_of_one_directory },
    { "an earlier stop is none of the switchover's", an_earlier_stop_is_none_of_the_switchovers },
    { "what was said in a switchover is kept true", what_was_said_in_a_switchover_is_kept_true },
};
const struct unit_suite suite_node_fence = UNIT_SUITE("node_fence", tests);
