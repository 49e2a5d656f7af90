/*
 * test_room.c - a primary without room for its tables is replaced by somebody who has it, and by nobody else: two full
 * disks must not take turns. A disk that is full for a moment is no reason. Design 5.3 step 1.
 */
#include "agreed_steps.h"
#include "core/decide.h"

#define SECOND 1000000LL
#define NOW (1000 * SECOND)

struct bench {
    struct cluster cluster;
    struct lead_view view;
    struct report reports[MEMBERS_MAX];
    struct lead_plan plan;
};

static struct bench bench;

static struct report *report_of(int32_t node_id)
{
    for (uint32_t i = 0; i < bench.cluster.member_count; i++)
        if (bench.cluster.members[i].node_id == node_id)
            return &bench.reports[i];
    return NULL;
}

/* A is a primary that writes, B and C stream, W leads. */
static void begin(void)
{
    bench = (struct bench){ 0 };
    agreed_four(&bench.cluster, 1);
    const struct member *leader = cluster_member(&bench.cluster, W);
    bench.view = (struct lead_view){
        .node_id = W,
        .raft_id = leader->raft_id,
        .start_no = leader->start_no,
        .hello = true,
        .raft = { .leader = true, .leader_id = leader->raft_id, .term = 1 },
        .leader_since_us = NOW - 100 * SECOND,
        .primary_seen_us = NOW - 1000,
        .primary_applied = bench.cluster.version,
    };
    for (uint32_t i = 0; i < bench.cluster.member_count; i++) {
        const struct member *member = &bench.cluster.members[i];
        bool primary = member->node_id == A;
        bench.reports[i] = (struct report){
            .node_id = member->node_id,
            .raft_id = member->raft_id,
            .start_no = member->start_no,
            .applied = bench.cluster.version,
            .token = bench.cluster.token,
            .hello = true,
            .pg_state = member->kind == NODE_WITNESS ? PG_UNKNOWN
                        : primary                    ? PG_PRIMARY
                                                     : PG_STANDBY,
            .pg_answering = true,
            .directory = member->directory,
            .timeline = bench.cluster.primary.timeline,
            .end = { 1000 },
            .following = !primary,
            .lease_valid = primary,
            .primary_seen_us = 1000,
        };
        bench.view.heard[i] = (struct heard){ .report = &bench.reports[i], .age_us = 1000 };
    }
}

static bool fences(void)
{
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    for (uint32_t i = 0; i < bench.plan.command_count; i++)
        if (bench.plan.commands[i].kind == COMMAND_FENCE)
            return true;
    return false;
}

static void who_has_room_takes_over(void)
{
    begin();
    CU_ASSERT_FALSE(fences());
    report_of(A)->trouble = TROUBLE_NO_SPACE;
    CU_ASSERT_TRUE(fences());
    CU_ASSERT_EQUAL(bench.plan.why, WHY_SUSPECT_REPORT);
    report_of(B)->trouble = TROUBLE_NO_SPACE;
    CU_ASSERT_TRUE(fences()); /* C has room */
}

static void full_disks_do_not_take_turns(void)
{
    begin();
    for (int32_t node = A; node <= C; node++)
        report_of(node)->trouble = TROUBLE_NO_SPACE;
    CU_ASSERT_FALSE(fences());
    CU_ASSERT_NOT_EQUAL(bench.plan.why, WHY_NOBODY_CAN); /* and the leader goes about its business */
    /* But a dead primary is replaced by whoever there is. */
    report_of(A)->trouble = TROUBLE_STOPPED;
    report_of(A)->pg_state = PG_STOPPED;
    report_of(A)->pg_was_primary = true;
    CU_ASSERT_TRUE(fences());
}

static enum trouble told(int64_t full_since_us)
{
    static struct node_view view;
    static struct node_plan plan;
    const struct member *self = cluster_member(&bench.cluster, A);

    view = (struct node_view){ .node_id = A,
                               .raft_id = self->raft_id,
                               .start_no = self->start_no,
                               .hello = true,
                               .guard_alive = true,
                               .guard_mode = WISH_PRIMARY,
                               .guard_kill_at_us = NOW + 3 * SECOND,
                               .directory = self->directory,
                               .lease = { .token = bench.cluster.token, .end_us = NOW + 4 * SECOND },
                               .primary_since_us = NOW - 100 * SECOND };
    view.pg = (struct pg_seen){ .state = PG_PRIMARY,
                                .timeline = bench.cluster.primary.timeline,
                                .answering = true,
                                .answered_at_us = NOW,
                                .full_since_us = full_since_us };
    node_decide(&bench.cluster, &view, NOW, &plan);
    return plan.trouble;
}

static void a_moment_without_room_is_none(void)
{
    begin();
    int64_t patience_us = (int64_t)bench.cluster.policy.failure_timeout_ms * 1000;
    CU_ASSERT_EQUAL(told(0), TROUBLE_NONE);
    CU_ASSERT_EQUAL(told(NOW), TROUBLE_NONE);
    CU_ASSERT_EQUAL(told(NOW - patience_us), TROUBLE_NONE);
    CU_ASSERT_EQUAL(told(NOW - patience_us - 1), TROUBLE_NO_SPACE);
}

static const struct unit_test tests[] = {
    { "who has room takes over from who has none", who_has_room_takes_over },
    { "full disks do not take turns", full_disks_do_not_take_turns },
    { "a moment without room is no trouble", a_moment_without_room_is_none },
};
const struct unit_suite suite_room = UNIT_SUITE("room", tests);
