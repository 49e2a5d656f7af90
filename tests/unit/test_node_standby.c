/* test_node_standby.c - what a member that is not the primary does about its data. */
#include "unit.h"

#include "agreed_steps.h"
#include "core/decide.h"

#define NOW INT64_C(1000000000)

/* A copy of another major version would not start here. */
static void nobody_clones_another_major(void)
{
    static const struct {
        uint32_t primary, programs;
        bool clones;
    } cases[] = { { 150018, 15, true }, { 150018, 17, false }, { 0, 17, true }, { 150018, 0, true } };
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    struct report report;

    agreed_four(&cluster, 1);
    report = (struct report){
        .node_id = A, .token = cluster.primary.token, .pg_state = PG_PRIMARY, .timeline = cluster.primary.timeline
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct member *self = cluster_member(&cluster, B);
        view = (struct node_view){ .node_id = B,
                                   .raft_id = self->raft_id,
                                   .start_no = self->start_no,
                                   .hello = true,
                                   .rejoin = REJOIN_CLONE,
                                   .primary = &report,
                                   .guard_alive = true,
                                   .guard_mode = WISH_STANDBY,
                                   .pg = { .state = PG_ABSENT, .at_us = NOW, .programs_major = cases[i].programs } };
        report.version_number = cases[i].primary;
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT_EQUAL(plan.action.kind, cases[i].clones ? ACT_CLONE : ACT_NONE);
        CU_ASSERT_EQUAL(plan.why, cases[i].clones ? WHY_STANDBY_CLONE : WHY_STANDBY_MAJOR);
    }
}

/* G6: a server that somebody else started may not have read what was written last: nothing is compared until it has. */
static void settings_that_were_not_read_are_brought_in(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    agreed_four(&cluster, 1);
    const struct member *self = cluster_member(&cluster, B);
    view = (struct node_view){ .node_id = B,
                               .raft_id = self->raft_id,
                               .start_no = self->start_no,
                               .hello = true,
                               .guard_alive = true,
                               .guard_mode = WISH_STANDBY,
                               .pg = { .state = PG_STANDBY,
                                       .at_us = NOW,
                                       .answering = true,
                                       .answered_at_us = NOW,
                                       .timeline = cluster.primary.timeline,
                                       .conf_present = true } };
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_DETACH);
    view.pg.conf_loaded = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_NONE);
    CU_ASSERT_EQUAL(plan.why, WHY_STANDBY_COMPARE);
}

/* An election compared what was reported under its fence, up to what it elected: nothing that came since, or beyond. */
static void an_election_compared_what_was_reported(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;
    static const struct {
        uint64_t reported, has;
        bool follows;
    } cases[] = { { 900, 900, true }, { 1000, 1000, true }, { 900, 901, false }, { 1001, 1001, false } };

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    const struct member *self = cluster_member(&cluster, C);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        view = (struct node_view){ .node_id = C,
                                   .raft_id = self->raft_id,
                                   .start_no = self->start_no,
                                   .hello = true,
                                   .guard_alive = true,
                                   .guard_mode = WISH_STANDBY,
                                   .directory = agreed_directory(C),
                                   .pg = { .state = PG_STANDBY,
                                           .at_us = NOW,
                                           .answering = true,
                                           .answered_at_us = NOW,
                                           .timeline = cluster.primary.from_timeline,
                                           .end = { cases[i].has },
                                           .end_final = true,
                                           .conf_present = true,
                                           .conf_loaded = true } };
        view.fence = (struct fence_report){ .token = cluster.primary.token,
                                            .data = true,
                                            .directory = view.directory,
                                            .timeline = cluster.primary.from_timeline,
                                            .end = { cases[i].reported } };
        node_decide(&cluster, &view, NOW, &plan);
        CU_ASSERT_EQUAL(plan.action.kind == ACT_CONFIGURE && plan.action.conf.upstream == B, cases[i].follows);
        CU_ASSERT_EQUAL(plan.why, cases[i].follows ? WHY_STANDBY_FOLLOW : WHY_STANDBY_COMPARE);
    }
}

/* R6: a standby's end of WAL is compared where it is final, and with an end of the primary's that is as new. */
static void the_end_is_final_before_it_is_compared(void)
{
    static struct cluster cluster;
    static struct node_view view;
    static struct node_plan plan;

    agreed_four(&cluster, 1);
    const struct member *self = cluster_member(&cluster, B);
    struct report primary = { .node_id = A,
                              .token = cluster.primary.token,
                              .pg_state = PG_PRIMARY,
                              .timeline = cluster.primary.timeline,
                              .checkpointed = true,
                              .end = { 1000 } };
    view = (struct node_view){ .node_id = B,
                               .raft_id = self->raft_id,
                               .start_no = self->start_no,
                               .hello = true,
                               .rejoin = REJOIN_REWIND,
                               .primary = &primary,
                               .guard_alive = true,
                               .guard_mode = WISH_STANDBY,
                               .directory = agreed_directory(B),
                               .pg = { .state = PG_STANDBY,
                                       .at_us = NOW,
                                       .answering = true,
                                       .answered_at_us = NOW,
                                       .timeline = cluster.primary.timeline,
                                       .end = { 1000 },
                                       .end_final = true,
                                       .can_rewind = true,
                                       .conf_present = true,
                                       .conf_loaded = true } };
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_CONFIGURE && plan.action.conf.upstream == A);
    view.pg.end.at = 1001; /* the primary's next report will show it */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_STANDBY_COMPARE && plan.diverged_under.no == 0);
    view.pg.end.at = 1000;
    view.rejoin = REJOIN_FOLLOW;
    view.diverged_under = cluster.primary.token; /* known to have diverged: with that setting nothing is touched */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_NONE && plan.why == WHY_STANDBY_DIVERGED && !plan.forget_directory);
    view.rejoin = REJOIN_REWIND;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_STOP);
    view.diverged_under.no = 0;
    view.pg.conf.upstream = C; /* a receiver may come at any moment */
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT_EQUAL(plan.action.kind, ACT_DETACH);
    view.pg.conf.upstream = A; /* it was pointed there, and has been a primary since: its WAL has to be looked at */
    view.pg.conf.token = cluster.primary.token;
    view.pg.state = PG_STOPPED;
    view.pg.end_final = false;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_START_STANDBY && plan.action.conf.upstream == A);
    view.pg.was_primary = true;
    node_decide(&cluster, &view, NOW, &plan);
    CU_ASSERT(plan.action.kind == ACT_START_STANDBY && plan.action.conf.upstream == 0);
}

static const struct unit_test tests[] = {
    { "nobody clones a primary of another major version", nobody_clones_another_major },
    { "the end is final before it is compared", the_end_is_final_before_it_is_compared },
    { "an election compared what was reported", an_election_compared_what_was_reported },
    { "settings that the server has not read are brought in force", settings_that_were_not_read_are_brought_in },
};

const struct unit_suite suite_node_standby = UNIT_SUITE("node_standby", tests);
