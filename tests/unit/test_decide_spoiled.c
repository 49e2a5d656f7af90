/*
 * test_decide_spoiled.c - a server that was seen as a primary without the right counts nowhere until it is rewound or
 * cloned, whatever its history says. Design 5.6 (R20, R36, R37), decision 0013.
 */
#include "agreed_steps.h"
#include "core/decide.h"

#define NOW INT64_C(1000000000)

static struct cluster cluster;
static struct node_view view;
static struct node_plan plan;
static struct report primary;

/* B is primary on a timeline that begins at 1000; this is C's view. */
static void begin(enum rejoin rejoin)
{
    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    const struct member *self = cluster_member(&cluster, C);
    primary = (struct report){ .node_id = B,
                               .token = cluster.token,
                               .pg_state = PG_PRIMARY,
                               .timeline = cluster.primary.timeline,
                               .end = { 5000 },
                               .checkpointed = true };
    primary.history = (struct history){ 1, { { { AGREED_TIMELINE }, { 1000 } } } };
    view = (struct node_view){ .node_id = C,
                               .raft_id = self->raft_id,
                               .start_no = self->start_no,
                               .hello = true,
                               .rejoin = rejoin,
                               .guard_alive = true,
                               .guard_mode = WISH_STANDBY,
                               .directory = agreed_directory(C),
                               .primary = &primary };
    view.pg = (struct pg_seen){ .state = PG_PRIMARY,
                                .timeline = cluster.primary.timeline,
                                .history = primary.history,
                                .end = { 2000 },
                                .can_rewind = true };
}

static enum act_kind decide(void)
{
    node_decide(&cluster, &view, NOW, &plan);
    return plan.action.kind;
}

/* As it was left by the kill: a standby without upstream, with nothing in its history that is not the primary's. */
static void becomes_a_standby(void)
{
    view.directory.no = DIRECTORY_SPOILED;
    view.pg.state = PG_STANDBY;
    view.pg.end_final = view.pg.conf_present = view.pg.conf_loaded = true;
    view.pg.conf.token = cluster.token;
}

static void stops(void)
{
    CU_ASSERT_EQUAL(decide(), ACT_STOP);
    CU_ASSERT(token_is(plan.diverged_under, cluster.primary.token));
    view.foreign_shown = view.foreign_shown || plan.foreign_shown;
    view.diverged_under = plan.diverged_under;
    view.pg.state = PG_STOPPED;
}

static void who_usurps_is_spoiled(void)
{
    begin(REJOIN_CLONE);
    CU_ASSERT(decide() == ACT_KILL && plan.spoil_directory); /* the very timeline that B was given */
    view.pg.timeline.no++;                                   /* one that nobody was given */
    CU_ASSERT(decide() == ACT_KILL && plan.spoil_directory);
    view.pg.timeline.no = AGREED_TIMELINE; /* A's, before */
    CU_ASSERT(decide() == ACT_KILL && plan.spoil_directory);
    view.directory.no = 0;
    CU_ASSERT(decide() == ACT_KILL && plan.spoil_directory && !plan.new_identity);
    view.pg.state = PG_STANDBY;
    (void)decide();
    CU_ASSERT(!plan.spoil_directory);
}

/* A winner whose token is over, and an old primary, are stopped; what they hold is still counted on. */
static void whose_timeline_it_is_keeps_its_identity(void)
{
    begin(REJOIN_CLONE);
    view.node_id = A;
    view.raft_id = cluster_member(&cluster, A)->raft_id;
    view.pg.timeline.no = AGREED_TIMELINE;
    CU_ASSERT(decide() == ACT_KILL && !plan.spoil_directory);
    view.node_id = B;
    view.raft_id = cluster_member(&cluster, B)->raft_id;
    view.pg.timeline = cluster.primary.timeline;
    (void)decide();
    CU_ASSERT(!plan.spoil_directory);
    agreed_do_fence(&cluster);
    CU_ASSERT(decide() == ACT_KILL && !plan.spoil_directory);
}

static void the_log_never_knows_it(void)
{
    begin(REJOIN_CLONE);
    REFUSED(&cluster, agreed_directory_is(&cluster, C, (struct directory_id){ DIRECTORY_SPOILED }));
    becomes_a_standby();
    (void)decide();
    CU_ASSERT_EQUAL(plan.command_count, 0);
    CU_ASSERT(!plan.new_identity);
}

/* After a daemon's restart: it is started to see how far it got, and waits for nobody who should know of it. */
static void one_that_is_down_is_started_alone(void)
{
    begin(REJOIN_CLONE);
    becomes_a_standby();
    view.pg.state = PG_STOPPED;
    view.pg.end_final = false;
    CU_ASSERT(decide() == ACT_START_STANDBY && plan.action.conf.upstream == 0);
}

/* pg_rewind would take the same numbers and positions for the same WAL. */
static void what_looks_like_the_primarys_is_cloned(void)
{
    begin(REJOIN_CLONE);
    becomes_a_standby();
    stops();
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
    begin(REJOIN_REWIND);
    becomes_a_standby();
    stops();
    CU_ASSERT_EQUAL(decide(), ACT_NONE);
    CU_ASSERT_PTR_NOT_NULL(strstr(plan.waiting, "cloned"));
    view.directory = agreed_directory(C); /* the control: it is the mark that keeps it from following */
    view.diverged_under.no = 0;
    view.pg.state = PG_STANDBY;
    CU_ASSERT(decide() == ACT_CONFIGURE && plan.action.conf.upstream == B);
}

static void what_shows_where_it_parted_is_rewound(void)
{
    begin(REJOIN_REWIND);
    becomes_a_standby();
    view.pg.timeline.no--; /* the number between */
    stops();
    view.pg.timeline.no = AGREED_TIMELINE; /* of its last checkpoint */
    view.pg.history.count = 0;
    primary.checkpointed = false;
    CU_ASSERT_EQUAL(decide(), ACT_NONE);
    primary.checkpointed = true;
    CU_ASSERT_EQUAL(decide(), ACT_REWIND);
}

static const struct unit_test tests[] = {
    { "who usurps is spoiled", who_usurps_is_spoiled },
    { "whose timeline it is keeps its identity", whose_timeline_it_is_keeps_its_identity },
    { "the log never knows it", the_log_never_knows_it },
    { "one that is down is started alone", one_that_is_down_is_started_alone },
    { "what looks like the primary's is cloned", what_looks_like_the_primarys_is_cloned },
    { "what shows where it parted is rewound, from a checkpoint on", what_shows_where_it_parted_is_rewound },
};

const struct unit_suite suite_decide_spoiled = UNIT_SUITE("decide_spoiled", tests);
