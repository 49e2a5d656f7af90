/* test_decide_lag.c - whom the leader elects by the lag rule of durability = async. Design 5.3 step 3. */
#include "agreed_steps.h"
#include "core/decide.h"

#define NOW 1000000000LL
#define LIMIT 500

struct bench {
    struct cluster cluster;
    struct report reports[MEMBERS_MAX];
    struct lead_view view;
    struct lead_plan plan;
};

/* B was elected with position 1000, and is fenced; A and C have reported, as far as these positions. */
static void lost_winner(struct bench *bench, uint64_t a_end, uint64_t c_end)
{
    struct cluster *cluster = &bench->cluster;

    memset(bench, 0, sizeof *bench);
    agreed_four(cluster, 0);
    cluster->policy.durability = DURABILITY_ASYNC;
    cluster->policy.maximum_lag_on_failover_bytes = LIMIT;
    agreed_do_fence(cluster);
    ACCEPTED(cluster, agreed_elect(cluster, B, (struct demand){ 0 }));
    agreed_do_fence(cluster);
    bench->view = (struct lead_view){
        .node_id = W, .raft_id = cluster_member(cluster, W)->raft_id, .start_no = 1, .hello = true, .leader_since_us = 1
    };
    bench->view.raft.leader = true;
    bench->view.operation_since_us = 1;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        struct report *report = &bench->reports[i];
        *report = (struct report){
            .node_id = member->node_id,
            .raft_id = member->raft_id,
            .start_no = member->start_no,
            .applied = cluster->version,
            .token = cluster->token,
            .hello = true,
            .directory = member->directory,
            .system_identifier = AGREED_SYSTEM,
            .told = { .token = cluster->primary.token, .known = true },
            .fence = { .token = cluster->token, .grants_over = true, .directory = member->directory },
        };
        report->fence.data = member->kind == NODE_DATA;
        report->fence.timeline = cluster->primary.from_timeline;
        report->fence.end.at = member->node_id == A ? a_end : c_end;
        if (member->node_id != B)
            bench->view.heard[i].report = report;
    }
}

static int32_t elected(struct bench *bench)
{
    lead_decide(&bench->cluster, &bench->view, NOW, &bench->plan);
    return bench->plan.command_count == 1 && bench->plan.commands[0].kind == COMMAND_ELECT
               ? bench->plan.commands[0].node_id
               : 0;
}

static void told(struct bench *bench, uint64_t lsn)
{
    for (uint32_t i = 0; i < bench->cluster.member_count; i++) {
        bench->reports[i].told.round = 1;
        bench->reports[i].told.lsn.at = lsn;
    }
}

static void within_the_limit_of_what_it_told(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    told(&bench, 1000 + LIMIT);
    CU_ASSERT(elected(&bench) == C);
    told(&bench, 1001 + LIMIT);
    CU_ASSERT(elected(&bench) == 0 && bench.plan.want_primary_data);
}

/* It had not promoted: who holds what it was elected with loses nothing that was not lost before. */
static void a_winner_that_never_promoted_is_replaced(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    CU_ASSERT(elected(&bench) == C);
    lost_winner(&bench, 900, 999); /* once more the limit would be twice the limit */
    CU_ASSERT(elected(&bench) == 0);
}

/* C went on to another timeline after what B was elected with, while nobody heard of it. */
static void on_a_newer_timeline(struct bench *bench, uint64_t left_at)
{
    struct report *c = &bench->reports[2];

    c->timeline = c->fence.timeline = bench->cluster.primary.timeline;
    c->fence.end.at = 2000;
    c->history.count = 1;
    c->history.rows[0].timeline = bench->cluster.primary.from_timeline;
    c->history.rows[0].end.at = left_at;
    agreed_give(&bench->cluster, B, 0);
    bench->cluster.primary.timeline = bench->cluster.timeline_max;
}

static void a_newer_timeline_holds_what_it_began_after(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    on_a_newer_timeline(&bench, 1000);
    CU_ASSERT(elected(&bench) == C);
    bench.reports[2].timeline.no++; /* its history is of a later look, at something else */
    CU_ASSERT(elected(&bench) == 0);
    lost_winner(&bench, 900, 1000);
    on_a_newer_timeline(&bench, 999);
    CU_ASSERT(elected(&bench) == 0);
}

/* The lost winner is back and has reported: who holds more than it holds everything. */
static void its_own_data_counts_whatever_the_lag(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    on_a_newer_timeline(&bench, 999);
    bench.view.heard[1].report = &bench.reports[1];
    CU_ASSERT(elected(&bench) == C);
}

/* C is there and has not told its end of WAL: it may hold more. It gets a failure_timeout. */
static void who_can_be_reached_is_waited_for(void)
{
    static struct bench bench;

    lost_winner(&bench, 1000, 1000);
    bench.reports[2].fence.data = false;
    bench.view.operation_since_us = NOW - 1000000;
    CU_ASSERT(elected(&bench) == 0 && bench.plan.why == WHY_DEMANDS_UNMET);
    bench.view.operation_since_us = NOW - 2000000;
    CU_ASSERT(elected(&bench) == A);
}

/* Where the winner's timeline began the others' WAL of the old one ends to be its: positions beyond say nothing. */
static void a_tail_of_the_old_timeline_is_no_nearness(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 2000);
    told(&bench, 1000 + LIMIT);
    CU_ASSERT(elected(&bench) == C);
    told(&bench, 1001 + LIMIT);
    CU_ASSERT(elected(&bench) == 0);
}

static void too_few_who_know_are_nobody(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    bench.reports[0].told.known = false; /* two of four are left */
    CU_ASSERT(elected(&bench) == 0 && bench.plan.why == WHY_DEMANDS_UNMET && bench.plan.waiting[0]);
}

/* G6: whoever holds most is too far behind, and the primary is gone: a person may say that the loss is accepted. */
static void beyond_the_limit_a_person_decides(void)
{
    static struct bench bench;

    lost_winner(&bench, 900, 1000);
    told(&bench, 1001 + LIMIT);
    CU_ASSERT(elected(&bench) == 0 && !bench.plan.ranking.covered && bench.plan.fetch.node_id == 0);
    CU_ASSERT(bench.plan.why == WHY_DEMANDS_UNMET && strstr(bench.plan.waiting, "node2"));
    ACCEPTED(&bench.cluster, agreed_word(&bench.cluster, COMMAND_ACCEPT_LOSS, C, 1000));
    CU_ASSERT(elected(&bench) == C);
}

/* A switchover's old primary did not stop in order: where its WAL ends nobody knows before it has promoted again. */
static void an_unclean_stop_tells_no_position(void)
{
    static struct bench bench;
    struct cluster *cluster = &bench.cluster;
    struct report *old = &bench.reports[0];

    for (int clean = 0; clean < 2; clean++) {
        lost_winner(&bench, 900, 1000);
        agreed_four(cluster, 0);
        cluster->policy.durability = DURABILITY_ASYNC;
        ACCEPTED(cluster, agreed_switchover(cluster, B));
        for (uint32_t i = 0; i < cluster->member_count; i++)
            bench.reports[i].token = cluster->token;
        old->fence = (struct fence_report){ .token = { cluster->token.no + 1 }, .stopped = true };
        old->fence.clean = old->fence.data = clean;
        old->fence.directory = old->directory;
        old->fence.timeline.no = AGREED_TIMELINE;
        old->fence.end.at = 900;
        bench.view.operation_since_us = NOW - 1000000 * INT64_C(30);
        CU_ASSERT(elected(&bench) == A && bench.plan.commands[0].lsn.at == (clean ? 900 : 0));
    }
    lost_winner(&bench, 900, 1000);
    cluster->primary.position.at = 0;
    CU_ASSERT(elected(&bench) == 0 && bench.plan.why == WHY_DEMANDS_UNMET);
}

static const struct unit_test tests[] = {
    { "within the limit of what it told", within_the_limit_of_what_it_told },
    { "a winner that never promoted is replaced", a_winner_that_never_promoted_is_replaced },
    { "a newer timeline holds what it began after", a_newer_timeline_holds_what_it_began_after },
    { "its own data counts whatever the lag", its_own_data_counts_whatever_the_lag },
    { "who can be reached is waited for", who_can_be_reached_is_waited_for },
    { "a tail of the old timeline is no nearness", a_tail_of_the_old_timeline_is_no_nearness },
    { "too few who know are nobody", too_few_who_know_are_nobody },
    { "beyond the limit a person decides", beyond_the_limit_a_person_decides },
    { "an unclean stop tells no position", an_unclean_stop_tells_no_position },
};
const struct unit_suite suite_decide_lag = UNIT_SUITE("decide_lag", tests);
