/*
 * test_node_plans.c - plans of a member for situations of their own: a lease that is not renewed, a server that
 * something else started, strays, new slots and addresses. Design 5.2, 5.4, 5.6; R7.
 */
#include "node_views.h"

/* 5.2: no majority in time: in good order while it still can, by force when it cannot. */
static void the_holder_gives_up_before_the_guard_strikes(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;
    bool gave_up = false;

    active(&cluster);
    look_at(&cluster, &view, &plan);
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 10 * SECOND;
    view.lease.held_length_us = 10 * SECOND;
    view.lease.held_kill_time_us = SECOND;
    view.guard_alive = true;
    view.guard_mode = WISH_PRIMARY;
    view.guard_kill_at_us = lease_kill_at_us(&view.lease);
    for (int64_t now_us = NOW; now_us < NOW + 11 * SECOND; now_us += 10000) {
        node_decide(&cluster, &view, now_us, &plan);
        if (plan.action.kind == ACT_STOP) {
            CU_ASSERT(plan.trouble == TROUBLE_GIVING_UP);
            CU_ASSERT(now_us + plan.action.stop_fast_us <= lease_kill_at_us(&view.lease) ||
                      plan.action.stop_fast_us == 0);
            gave_up = gave_up || now_us < lease_kill_at_us(&view.lease);
        } else {
            CU_ASSERT(now_us < lease_give_up_at_us(&view.lease) || plan.action.kind == ACT_KILL);
        }
        CU_ASSERT(now_us < view.lease.end_us || plan.action.kind == ACT_KILL);
    }
    CU_ASSERT(gave_up);
}

/* What a daemon remembers after a turn, and what its server is then seen to be. */
static void next_look(const struct cluster *cluster, struct node_view *view, enum pg_state state, bool primary,
                      struct node_plan *plan)
{
    view->fence = plan->fence;
    view->pg.state = state;
    view->pg.clean = state == PG_STOPPED;
    view->pg.was_primary = view->pg.end_final = state == PG_STOPPED && primary;
    view->pg.end.at = view->pg.end_final ? 1000 : 900; /* of a former standby only a lower bound is known */
    node_decide(cluster, view, NOW, plan);
}

/* R27, G6: something else starts the server that has stopped for a switchover. It stops again, and says what is true.
 */
static void what_is_started_in_a_switchover_stops(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;

    for (int writable = 0; writable < 2; writable++) {
        switching(&cluster);
        look_at(&cluster, &view, &plan);
        view.stop_watched = true;
        view.stopped_at = cluster.version;
        view.pg.timeline = cluster.primary.timeline;
        view.directory = agreed_directory(A);
        next_look(&cluster, &view, PG_STOPPED, true, &plan);
        CU_ASSERT(plan.fence.stopped && plan.fence.clean && plan.fence.data && plan.fence.end.at == 1000);
        for (int turns = 0; turns < 2; turns++) {
            next_look(&cluster, &view, writable ? PG_PRIMARY : PG_STANDBY, writable, &plan);
            CU_ASSERT_EQUAL(plan.action.kind, writable ? ACT_KILL : ACT_STOP);
            CU_ASSERT(!plan.fence.stopped && !plan.lease);
            CU_ASSERT(plan.guard != WISH_PRIMARY || plan.guard_kill_at_us <= NOW);
        }
        view.acting = ACT_STOP;
        next_look(&cluster, &view, PG_STOPPED, false, &plan);
        CU_ASSERT_FALSE(plan.fence.stopped);
        view.acting = ACT_NONE;
        next_look(&cluster, &view, PG_STOPPED, false, &plan);
        CU_ASSERT(plan.fence.stopped && plan.fence.data == !writable && plan.fence.clean == !writable);
        CU_ASSERT_EQUAL(plan.fence.end.at, writable ? 900 : 1000);
        CU_ASSERT_EQUAL(plan.fence.timeline.no, cluster.primary.timeline.no);
        next_look(&cluster, &view, PG_ABSENT, false, &plan);
        CU_ASSERT(plan.fence.stopped && !plan.fence.data && !plan.fence.clean && plan.fence.timeline.no == 0);
    }
}

/* R7: a connection under a member's name is ended once two looks have shown it. */
static void a_stray_is_ended(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;

    active(&cluster);
    look_at(&cluster, &view, &plan);
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 10 * SECOND;
    view.pg.timeline = cluster.primary.timeline;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_FATAL(plan.action.kind == ACT_ADOPT || plan.action.kind == ACT_CONFIGURE);
    view.pg.conf = plan.action.conf;
    view.pg.conf_present = view.pg.conf_loaded = true;
    view.sync.settled = cluster.demand_version;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_PRIMARY && !plan.look);
    view.stray = (struct connection_id){ .pid = 7, .started_us = 8 };
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.look);
    view.stray_again = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_SLOTS && plan.action.slot_count > 0);
    CU_ASSERT(plan.action.stray.pid == 7 && plan.action.stray.started_us == 8);
}

/* B streams from A, and all is as it should be. */
static void streams(struct cluster *cluster, struct node_view *view, struct node_plan *plan)
{
    active(cluster);
    view->node_id = B;
    choose_view(0, cluster, B, view);
    view->pg.state = PG_STANDBY;
    view->pg.timeline = cluster->primary.timeline;
    view->directory = agreed_directory(B);
    view->pg.conf_present = view->pg.conf_loaded = true;
    sync_conf(cluster, B, &view->pg.conf);
    view->pg.conf.token = cluster->token;
    point_at(cluster, B, A, &view->pg.conf);
    node_decide(cluster, view, NOW, plan);
    CU_ASSERT(plan->action.kind == ACT_NONE && plan->why == WHY_STANDBY);
}

/* What a rewind or clone is making has no identity yet: it gets one when it is whole. */
static void what_is_being_made_has_no_identity(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    static const enum act_kind makes[] = { ACT_NONE, ACT_REWIND, ACT_CLONE };

    active(&cluster);
    for (size_t i = 0; i < ARRAY_LEN(makes); i++) {
        choose_view(0, &cluster, B, &view);
        view.pg.state = PG_STOPPED;
        view.pg.timeline = cluster.primary.timeline;
        view.directory.no = 0;
        view.acting = makes[i];
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT_EQUAL(plan.new_identity, makes[i] == ACT_NONE);
    }
}

/* A rewind that has just failed is left alone for a while; until then the directory keeps the identity that it has. */
static void a_rewind_that_waits_forgets_nothing(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    active(&cluster);
    struct report primary = { .node_id = A,
                              .token = cluster.token,
                              .pg_state = PG_PRIMARY,
                              .timeline = cluster.primary.timeline,
                              .checkpointed = true };
    choose_view(0, &cluster, B, &view);
    view.primary = &primary;
    view.pg.state = PG_STOPPED;
    view.pg.timeline = cluster.primary.timeline;
    view.pg.can_rewind = true;
    view.directory = agreed_directory(B);
    view.diverged_under = cluster.token;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_REWIND && plan.forget_directory);
    view.failed_kind = ACT_REWIND;
    view.failed_count = 1;
    view.failed_at_us = NOW;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && !plan.forget_directory && plan.wake_at_us == NOW + 100000);
    node_decide(&cluster, &view, NOW + 100000, &plan);
    CU_ASSERT(plan.action.kind == ACT_REWIND && plan.forget_directory);
}

/* A kill that is under way is no less than a stop: it is not ended for one. */
static void a_stop_does_not_end_a_kill(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    fenced(&cluster);
    for (int32_t node = A; node <= B; node++) {
        choose_view(0, &cluster, node, &view);
        view.pg.state = PG_STANDBY;
        view.acting = ACT_KILL;
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.action.kind == ACT_NONE && !plan.cancel);
    }
    view.acting = ACT_CONFIGURE;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.cancel);
}

/* A node that was admitted anew takes its running server along: it streams through the new slot. */
static void a_readmitted_standby_changes_its_slot(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    streams(&cluster, &view, &plan);
    struct command join = agreed_join(&cluster, B);
    join.flag = true;
    ACCEPTED(&cluster, join);
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 1));
    ACCEPTED(&cluster, agreed_directory_is(&cluster, B, agreed_directory(B)));
    view.raft_id = cluster_member(&cluster, B)->raft_id;
    view.slots_for = node_slots(&cluster, B);
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_CONFIGURE);
    CU_ASSERT_STRING_NOT_EQUAL(plan.action.conf.slot, view.pg.conf.slot);
    view.pg.conf = plan.action.conf;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_STANDBY);
}

/* The primary's daemon was restarted with another host or port: its standbys learn it, once. */
static void a_primarys_new_address_reaches_its_standbys(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    struct command hello;

    streams(&cluster, &view, &plan);
    hello = agreed_hello(&cluster, A, 2);
    ACCEPTED(&cluster, hello); /* restarted, with the address that it had */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE);
    hello = agreed_hello(&cluster, A, 3);
    (void)text_copy(hello.member.conninfo, sizeof hello.member.conninfo, "host=10.0.0.77");
    ACCEPTED(&cluster, hello);
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_CONFIGURE);
    CU_ASSERT_STRING_EQUAL(plan.action.conf.upstream_conninfo, "host=10.0.0.77");
    CU_ASSERT_STRING_EQUAL(plan.action.conf.name, "node2");
    view.pg.conf = plan.action.conf;
    view.pg.conf.upstream_conninfo[0] = view.pg.conf.name[0] = '\0'; /* not read back */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_STANDBY);
}

/* G6: the postmaster was killed, and a query that goes on does not notice: nothing is told of the WAL until it ends. */
static void orphans_under_a_fence_are_ended(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    fenced(&cluster);
    for (int32_t node = A; node <= B; node++) {
        choose_view(0, &cluster, node, &view);
        view.fence = (struct fence_report){ .token = cluster.token, .stopped = node == A };
        view.want_primary_data = true;
        view.pg.state = PG_ORPHANS;
        for (int written = 0; written < 2; written++) { /* its settings name nobody yet, or do already */
            view.pg.conf_present = written;
            view.pg.conf.token = cluster.token;
            view.pg.conf.upstream = 0;
            node_decide(&cluster, &view, NOW, &plan);
            CU_ASSERT(plan.action.kind == ACT_KILL && plan.guard == WISH_STANDBY && !plan.fence.data);
        }
    }
}

/* A daemon that was restarted right after the promotion, whose first connection is refused, knows no timeline yet. */
static void a_winner_of_unknown_timeline_is_not_stopped(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;

    elected_a(&cluster);
    look_at(&cluster, &view, &plan);
    view.pg.timeline.no = 0;
    view.pg.history.count = 0;
    view.guard_alive = true;
    view.guard_mode = WISH_PRIMARY;
    view.guard_kill_at_us = NOW + SECOND;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.trouble == TROUBLE_NONE && plan.lease && plan.look);
    CU_ASSERT_EQUAL(plan.command_count, 0);
    node_decide(&cluster, &view, NOW + SECOND, &plan); /* nobody vouches for it any more */
    CU_ASSERT(plan.action.kind == ACT_KILL);
}

/* A checkpoint that fails again and again keeps no other care of the primary waiting. */
static void slots_do_not_wait_for_a_checkpoint(void)
{
    static struct cluster cluster;
    static struct node_view view = { .node_id = A };
    static struct node_plan plan;

    active(&cluster);
    look_at(&cluster, &view, &plan);
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 10 * SECOND;
    view.pg.timeline = cluster.primary.timeline;
    node_decide(&cluster, &view, NOW, &plan);
    view.pg.conf = plan.action.conf;
    view.pg.conf_present = view.pg.conf_loaded = true;
    view.checkpointed_under.no = 0;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_CHECKPOINT);
    view.failed_kind = ACT_CHECKPOINT;
    view.failed_count = 9;
    view.failed_at_us = NOW;
    view.slots_for = 0;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_SLOTS);
}

/* G1: a promotion that was ordered and given up comes about yet, and nobody may be there then to see it. */
static void a_promotion_that_was_given_up_is_ended(void)
{
    static const enum pg_state running[] = { PG_STARTING, PG_STANDBY, PG_PRIMARY, PG_ORPHANS };
    static struct cluster cluster;
    static struct node_view view = { .node_id = B };
    static struct node_plan plan;

    elected_b(&cluster);
    look_at(&cluster, &view, &plan);
    view.promote_failed = cluster.token;
    for (uint32_t i = 0; i < ARRAY_LEN(running); i++) {
        view.pg.state = running[i];
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT(plan.action.kind == ACT_KILL && plan.trouble == TROUBLE_FAILED && !plan.lease);
    }
    view.pg.state = PG_STOPPED;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.trouble == TROUBLE_FAILED);
}

static const struct unit_test tests[] = {
    { "the holder gives up before its guard strikes", the_holder_gives_up_before_the_guard_strikes },
    { "what is being made has no identity", what_is_being_made_has_no_identity },
    { "a rewind that waits forgets nothing", a_rewind_that_waits_forgets_nothing },
    { "a stop does not end a kill", a_stop_does_not_end_a_kill },
    { "a stray is ended", a_stray_is_ended },
    { "what is started in a switchover's stop is stopped", what_is_started_in_a_switchover_stops },
    { "a primary's new address reaches its standbys", a_primarys_new_address_reaches_its_standbys },
    { "a readmitted standby changes its slot", a_readmitted_standby_changes_its_slot },
    { "orphans under a fence are ended", orphans_under_a_fence_are_ended },
    { "a winner whose timeline is not known yet is not stopped", a_winner_of_unknown_timeline_is_not_stopped },
    { "a promotion that was given up is ended", a_promotion_that_was_given_up_is_ended },
    { "slots do not wait for a checkpoint that fails", slots_do_not_wait_for_a_checkpoint },
};
const struct unit_suite suite_node_plans = UNIT_SUITE("node_plans", tests);
