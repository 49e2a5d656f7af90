/*
 * test_node_primary.c - the primary, and the winner that has promoted: what each may still do when one thing about it
 * is not as it was. Design 5.1 to 5.3, 5.6; R8, R10, R16.
 */
#include "node_views.h"

static struct cluster cluster;
static struct node_view view;
static struct node_plan plan;

/* A's server runs as a primary on the log's timeline, with lease and guard, by the settings that the log asks for. */
static void in_order(void)
{
    active(&cluster);
    choose_view(0, &cluster, A, &view);
    view.pg.state = PG_PRIMARY;
    view.pg.timeline = cluster.primary.timeline;
    view.directory = agreed_directory(A);
    view.lease.token = cluster.token;
    view.lease.end_us = NOW + 4 * SECOND;
    view.guard_alive = true;
    view.guard_mode = WISH_PRIMARY;
    view.guard_kill_at_us = NOW + 3 * SECOND;
    view.pg.conf_present = view.pg.conf_loaded = true;
    sync_conf(&cluster, A, &view.pg.conf);
    view.pg.conf.token = cluster.token;
    view.sync.settled = view.sync.version = cluster.demand_version;
}

static enum act_kind decide_at(int64_t now_us)
{
    node_decide(&cluster, &view, now_us, &plan);
    return plan.action.kind;
}

/* Somebody promoted it anew, or another directory lies there: it is not the primary that the log speaks of. */
static void another_timeline_is_stopped(void)
{
    in_order();
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_NONE);
    CU_ASSERT_EQUAL(plan.why, WHY_PRIMARY);
    view.pg.timeline.no++;
    CU_ASSERT(decide_at(NOW) == ACT_KILL && plan.why == WHY_ROGUE);
}

/* What was permitted before its server was last seen down was permitted to the start that ended there. */
static void a_start_is_permitted_after_the_stop(void)
{
    in_order();
    view.pg.state = PG_STOPPED;
    view.stopped_at = cluster.primary.permitted_at - 1;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_START_PRIMARY);
    view.stopped_at = cluster.primary.permitted_at;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_NONE);
    CU_ASSERT_EQUAL(plan.why, WHY_PRIMARY_DOWN);
}

/* 5.5: until standbys have flushed what it recovered, nobody but the agent and replication may see it. */
static void a_start_in_place_shows_nobody_what_may_be_gone(void)
{
    in_order();
    view.pg.state = PG_STOPPED;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_START_PRIMARY);
    CU_ASSERT_TRUE(plan.action.conf.agent_only);
    view.pg.state = PG_PRIMARY;
    view.in_place = true;
    view.pg.conf.agent_only = true;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_NONE);
    view.in_place = false;
    CU_ASSERT(decide_at(NOW) == ACT_CONFIGURE && !plan.action.conf.agent_only);
    agreed_four(&cluster, 0); /* with {none; 0} there is nobody to wait for */
    view.pg.state = PG_STOPPED;
    CU_ASSERT(decide_at(NOW) == ACT_START_PRIMARY && !plan.action.conf.agent_only);
}

/* R8: sessions wait only once the checkpointer has raised its flag; rewinds need one of the new timeline. */
static void checkpoints_are_written_where_somebody_waits_for_them(void)
{
    in_order();
    view.sync.checkpoint_needed = true;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_CHECKPOINT);
    view.sync.checkpoint_done = true;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_NONE);
    view.checkpointed_under.no--;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_CHECKPOINT);
}

/* Commits may be waiting for them: a checkpoint that runs for minutes is ended for them, another action is not. */
static void new_settings_wait_for_no_checkpoint(void)
{
    in_order();
    view.pg.conf.demand_version--;
    CU_ASSERT_EQUAL(decide_at(NOW), ACT_CONFIGURE);
    view.acting = ACT_CHECKPOINT;
    CU_ASSERT(decide_at(NOW) == ACT_NONE && plan.cancel);
    view.acting = ACT_SLOTS;
    CU_ASSERT(decide_at(NOW) == ACT_NONE && !plan.cancel);
}

/* A server that takes no new connections is as good as none. */
static void a_server_that_hangs_is_told(void)
{
    in_order();
    view.pg.answering = false;
    view.pg.answered_at_us = NOW - 2 * SECOND;
    (void)decide_at(NOW);
    CU_ASSERT_EQUAL(plan.trouble, TROUBLE_NONE);
    (void)decide_at(NOW + 1);
    CU_ASSERT_EQUAL(plan.trouble, TROUBLE_HUNG);
}

/* The winner has promoted: the guard's moment is the daemon's too, by the lease or by the page of a restarted one. */
static void a_promoted_winner_stops_at_the_guards_moment(void)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        in_order();
        elected_a(&cluster);
        view.pg.timeline = cluster.primary.timeline;
        view.pg.history = (struct history){ 1, { { cluster.primary.from_timeline, { 1000 } } } };
        view.lease.token = restarted ? (struct token){ 0 } : cluster.token;
        view.lease.end_us = restarted ? 0 : NOW + 4 * SECOND;
        view.lease.held_kill_time_us = SECOND;
        CU_ASSERT(decide_at(NOW) == ACT_NONE && plan.wake_at_us <= NOW + 3 * SECOND);
        CU_ASSERT(plan.command_count == 1 && plan.commands[0].kind == COMMAND_PROMOTED);
        CU_ASSERT_EQUAL(decide_at(NOW + 3 * SECOND - 1), ACT_NONE);
        CU_ASSERT(decide_at(NOW + 3 * SECOND) == ACT_KILL && plan.command_count == 0);
    }
}

/* A restarted daemon is told of a newer token before its first lease: no page vouches for it any more. */
static void a_newer_token_is_waited_for_by_nobody(void)
{
    in_order();
    view.lease.end_us = 0;
    CU_ASSERT_NOT_EQUAL(decide_at(NOW), ACT_KILL);
    view.lease.refused = true;
    CU_ASSERT(decide_at(NOW) == ACT_KILL && plan.trouble == TROUBLE_GIVING_UP);
}

static const struct unit_test tests[] = {
    { "a primary on another timeline is stopped", another_timeline_is_stopped },
    { "a start is permitted after the stop", a_start_is_permitted_after_the_stop },
    { "a start in place shows nobody what may be gone", a_start_in_place_shows_nobody_what_may_be_gone },
    { "checkpoints are written where somebody waits for them", checkpoints_are_written_where_somebody_waits_for_them },
    { "a newer token is waited for by nobody", a_newer_token_is_waited_for_by_nobody },
    { "new settings wait for no checkpoint", new_settings_wait_for_no_checkpoint },
    { "a server that hangs is told", a_server_that_hangs_is_told },
    { "a promoted winner stops at the guard's moment", a_promoted_winner_stops_at_the_guards_moment },
};
const struct unit_suite suite_node_primary = UNIT_SUITE("node_primary", tests);
