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

static const struct unit_test tests[] = {
    { "nobody clones a primary of another major version", nobody_clones_another_major },
    { "settings that the server has not read are brought in force", settings_that_were_not_read_are_brought_in },
};

const struct unit_suite suite_node_standby = UNIT_SUITE("node_standby", tests);
