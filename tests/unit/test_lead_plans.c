/*
 * test_lead_plans.c - plans of the leader for situations that only some failovers meet: who fetches before it leads,
 * who fails, who leads Raft, what is refused. Design 5.3, 5.6; R28, G6.
 */
#include "agreed_steps.h"
#include "lead_views.h"

static void active(struct cluster *cluster)
{
    agreed_four(cluster, 1);
}

static void fenced(struct cluster *cluster)
{
    active(cluster);
    agreed_do_fence(cluster);
}

/* The writer is over; B holds most and may not lead, C is behind on the same history. */
static void furthest_may_not(struct bench *bench)
{
    fenced(&bench->cluster);
    choose_view(0, bench);
    bench->cluster.members[index_of(bench, B)].priority = 0;
    report(bench, A)->fence = (struct fence_report){ .token = bench->cluster.token, .stopped = true };
    bench->reports[index_of(bench, A)].pg_state = PG_STOPPED;
    bench->reports[index_of(bench, A)].pg_was_primary = true;
    has_data(report(bench, B), &bench->cluster, HELD);
    has_data(report(bench, C), &bench->cluster, MISSED);
    (void)report(bench, W);
    bench->view.operation_since_us = NOW - SECOND;
}

/* The writer is silent; B and C have told their ends of WAL, and all others' grants are over. */
static void writer_silent(struct bench *bench)
{
    const int32_t voters[] = { B, C, W };

    fenced(&bench->cluster);
    choose_view(0, bench);
    bench->view.heard[index_of(bench, A)].report = NULL;
    bench->view.operation_since_us = NOW - SECOND;
    for (size_t i = 0; i < ARRAY_LEN(voters); i++) {
        struct report *voter = report(bench, voters[i]);
        if (voters[i] != W)
            has_data(voter, &bench->cluster, HELD);
        voter->fence.token = bench->cluster.token;
        voter->fence.grants_over = true;
    }
}

static bool elects(struct bench *bench)
{
    lead_decide(&bench->cluster, &bench->view, NOW, &bench->plan);
    return bench->plan.command_count == 1 && bench->plan.commands[0].kind == COMMAND_ELECT;
}

/* R12: only who says it of the state with the fence in it, and whose grants count, ends the old primary's lease. */
static void only_voters_that_applied_the_fence_end_the_lease(void)
{
    static struct bench bench;

    writer_silent(&bench);
    CU_ASSERT_TRUE(elects(&bench));
    struct report *witness = &bench.reports[index_of(&bench, W)], *c = &bench.reports[index_of(&bench, C)];
    witness->fence.grants_over = false;
    CU_ASSERT(!elects(&bench) && bench.plan.why == WHY_WRITER_LIVE);
    witness->fence.grants_over = true;
    witness->token.no--;
    CU_ASSERT(!elects(&bench) && bench.plan.why == WHY_WRITER_LIVE);
    witness->token = bench.cluster.token;
    witness->fence.token.no--;
    CU_ASSERT(!elects(&bench) && bench.plan.why == WHY_WRITER_LIVE);
    witness->fence.token = bench.cluster.token;
    bench.cluster.members[index_of(&bench, W)].voter = false;
    CU_ASSERT_TRUE(elects(&bench)); /* two of three */
    c->fence.grants_over = false;
    CU_ASSERT(!elects(&bench) && bench.plan.why == WHY_WRITER_LIVE);
}

/* The winner's commits wait for nobody who does not follow it: whose WAL is not on its history, who was written off. */
static void commits_wait_for_those_who_follow(void)
{
    static struct bench bench;

    writer_silent(&bench);
    CU_ASSERT(elects(&bench) && bench.plan.commands[0].node_id == B && bench.plan.commands[0].demand.k == 1);
    agreed_give(&bench.cluster, B, 0);
    struct report *b = &bench.reports[index_of(&bench, B)];
    b->timeline = b->fence.timeline = bench.cluster.timeline_max;
    CU_ASSERT(elects(&bench) && bench.plan.commands[0].node_id == B && bench.plan.commands[0].demand.k == 0);

    writer_silent(&bench);
    ACCEPTED(&bench.cluster, agreed_word(&bench.cluster, COMMAND_WRITE_OFF, C, HELD));
    CU_ASSERT(elects(&bench) && bench.plan.commands[0].node_id == B && bench.plan.commands[0].demand.k == 0);
}

/* A winner has time to promote while it holds its lease, and less where it gets none. */
static void a_winner_gets_its_time(void)
{
    static struct bench bench;

    fenced(&bench.cluster);
    ACCEPTED(&bench.cluster, agreed_elect(&bench.cluster, B, DEMAND(1, A, C)));
    for (int leased = 0; leased < 2; leased++) {
        int64_t patience_us = (leased ? 70 : 20) * SECOND;
        for (int late = 0; late < 2; late++) {
            choose_view(0, &bench);
            report(&bench, B)->lease_valid = leased;
            bench.view.operation_since_us = NOW - patience_us - late;
            lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
            CU_ASSERT_EQUAL(bench.plan.why, late ? WHY_WINNER_FAILED : WHY_WINNER_WORKS);
            CU_ASSERT_EQUAL(bench.plan.command_count, (uint32_t)late);
        }
    }
}

/* R28: fetch first, then report again, then ELECT; never the other way round. */
static void the_winner_fetches_before_it_is_elected(void)
{
    static struct bench bench;

    furthest_may_not(&bench);
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.command_count == 0 && bench.plan.fetch.node_id == C && bench.plan.fetch.from == B);
    CU_ASSERT(bench.plan.fetch.position.at == HELD && token_is(bench.plan.fetch.token, bench.cluster.token));
    bench.view.fetch = bench.plan.fetch;
    struct report *fetching = report(&bench, C);
    fetching->end.at = HELD - 1; /* it receives, and has taken its report back */
    lead_decide(&bench.cluster, &bench.view, NOW + SECOND, &bench.plan);
    CU_ASSERT(bench.plan.command_count == 0 && bench.plan.fetch.node_id == C);
    fetching->end.at = HELD;
    lead_decide(&bench.cluster, &bench.view, NOW + SECOND, &bench.plan);
    CU_ASSERT(bench.plan.command_count == 0 && bench.plan.fetch.node_id == 0); /* it has to cut itself off and report */
    has_data(fetching, &bench.cluster, HELD);
    lead_decide(&bench.cluster, &bench.view, NOW + SECOND, &bench.plan);
    CU_ASSERT(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_ELECT);
    CU_ASSERT(bench.plan.commands[0].node_id == C && bench.plan.commands[0].lsn.at == HELD);
}

/* A fetch of a former fence is none, and one that never ends is given up. */
static void a_fetch_ends(void)
{
    static struct bench bench;

    furthest_may_not(&bench);
    bench.view.fetch = (struct fetch){ .token = bench.cluster.token, .node_id = C, .from = B, .since_us = NOW - 1 };
    bench.view.fetch.timeline.no = AGREED_TIMELINE;
    bench.view.fetch.position.at = HELD;
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.fetch.since_us == NOW - 1);
    bench.view.fetch.since_us = NOW - 3600 * SECOND;
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.fetch.since_us != NOW - 3600 * SECOND);
    bench.view.fetch.since_us = NOW - 1;
    bench.view.fetch.token.no--;
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.fetch.node_id == 0 || token_is(bench.plan.fetch.token, bench.cluster.token));
}

/* B holds most and fails each time it is elected; C is behind on the same history. */
static void winner_fails(struct bench *bench, uint32_t count)
{
    furthest_may_not(bench);
    bench->cluster.members[index_of(bench, B)].priority = 100;
    uint32_t mask = 1u << index_of(bench, B);
    bench->view.failures = (struct failures){ .mask = mask, .avoid = mask, .count = count, .at_us = NOW };
}

/* How long after the failure somebody is elected again, in tenths of a second; 0: not within two minutes. */
static int64_t elected_after(struct bench *bench, int32_t *ret_winner)
{
    for (int64_t tenths = 1; tenths <= 1200; tenths++) {
        for (uint32_t i = 0; i < bench->cluster.member_count; i++)
            bench->view.heard[i].age_us = 1000;
        lead_decide(&bench->cluster, &bench->view, NOW + tenths * SECOND / 10, &bench->plan);
        bench->view.fetch = bench->plan.fetch;
        *ret_winner = bench->plan.command_count ? bench->plan.commands[0].node_id : 0;
        if (bench->plan.command_count)
            return tenths;
        CU_ASSERT_EQUAL(bench->plan.why, WHY_ELECT_AGAIN);
    }
    return 0;
}

/* Each try takes a token, a timeline and records: who fails is tried again, but not at once for ever. */
static void who_fails_is_tried_after_a_pause(void)
{
    static struct bench bench;
    static const int64_t seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    int32_t winner;

    for (uint32_t i = 0; i < ARRAY_LEN(seconds); i++) {
        winner_fails(&bench, i + 1);
        CU_ASSERT_EQUAL(elected_after(&bench, &winner), 10 * seconds[i]);
        CU_ASSERT_EQUAL(winner, B);
    }
    winner_fails(&bench, 1000000);
    CU_ASSERT_EQUAL(elected_after(&bench, &winner), 600);
    winner_fails(&bench, 9);
    has_data(report(&bench, C), &bench.cluster, HELD); /* holds the same and has not failed */
    CU_ASSERT_EQUAL(elected_after(&bench, &winner), 1);
    CU_ASSERT_EQUAL(winner, C);
}

/* Who holds most may fail for ever: another fetches that meanwhile, and the fetch is one and the same each turn. */
static void who_fails_is_fetched_from(void)
{
    static struct bench bench;

    winner_fails(&bench, 1);
    lead_decide(&bench.cluster, &bench.view, NOW + 1, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.fetch.node_id, 0); /* the first failure may be an accident */
    winner_fails(&bench, 3);
    lead_decide(&bench.cluster, &bench.view, NOW + 1, &bench.plan);
    CU_ASSERT(bench.plan.fetch.node_id == C && bench.plan.fetch.from == B && bench.plan.fetch.position.at == HELD);
    bench.view.fetch = bench.plan.fetch;
    struct report *fetching = report(&bench, C);
    fetching->end.at = HELD - 1;
    lead_decide(&bench.cluster, &bench.view, NOW + 2, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.fetch.since_us, NOW + 1);
    has_data(fetching, &bench.cluster, HELD);
    lead_decide(&bench.cluster, &bench.view, NOW + 3, &bench.plan);
    CU_ASSERT_FATAL(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_ELECT);
    CU_ASSERT_EQUAL(bench.plan.commands[0].node_id, C);
}

/* A diverged standby cannot receive from the furthest: it is not asked to, for it would never come to an end (G6). */
static void a_diverged_standby_does_not_fetch(void)
{
    static struct bench bench;

    furthest_may_not(&bench);
    agreed_give(&bench.cluster, A, 0);
    struct report *furthest = &bench.reports[index_of(&bench, B)];
    furthest->timeline = furthest->fence.timeline = bench.cluster.timeline_max;
    furthest->history = (struct history){ 1, { { { AGREED_TIMELINE }, { MISSED } } } };
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.fetch.node_id == C); /* it ends where the furthest's timeline began */
    furthest->history.rows[0].end.at = MISSED - 1;
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT(bench.plan.fetch.node_id == 0 && bench.plan.command_count == 0);
}

/* 5.6: off the primary's host, and off every other that may become one where a witness can lead. */
static void leadership_goes_to_a_witness(void)
{
    static struct bench bench;
    const int32_t hosts[] = { A, B };

    agreed_four(&bench.cluster, 0);
    bench.cluster.policy.durability = DURABILITY_ASYNC;
    const struct member *witness = cluster_member(&bench.cluster, W);
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        for (int deaf = 0; deaf < 2; deaf++) {
            choose_view(0, &bench);
            struct report *primary = report(&bench, A);
            primary->pg_state = PG_PRIMARY;
            primary->lease_valid = true;
            report(&bench, B);
            report(&bench, C);
            report(&bench, W)->primary_seen_us = deaf ? 3 * SECOND : 100;
            bench.view.node_id = hosts[i];
            bench.view.raft_id = cluster_member(&bench.cluster, hosts[i])->raft_id;
            bench.view.primary_seen_us = NOW - 100;
            lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
            bool other = bench.plan.transfer_to != 0 && bench.plan.transfer_to != witness->raft_id;
            CU_ASSERT_EQUAL(bench.plan.transfer_to == witness->raft_id, !deaf);
            CU_ASSERT_EQUAL(other, deaf && hosts[i] == A);
            if (bench.plan.transfer_to != 0) { /* who gives it back is asked again after twice the time */
                bench.view.transfer_at_us = NOW - 3 * bench.cluster.policy.failure_timeout_ms * 1000LL;
                bench.view.transfers = 1;
                lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
                CU_ASSERT_EQUAL(bench.plan.transfer_to, 0);
                bench.view.transfers = 0;
                lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
                CU_ASSERT(bench.plan.transfer_to != 0);
            }
        }
    }
    choose_view(0, &bench);
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.transfer_to, 0);
}

/* Rounds come a quarter of failure_timeout apart: one of the old settings is not late by the new. */
static void silence_counts_from_the_settings(void)
{
    static struct bench bench;

    for (int new_settings = 0; new_settings < 2; new_settings++) {
        agreed_four(&bench.cluster, 0);
        bench.cluster.policy.durability = DURABILITY_ASYNC;
        bench.cluster.policy.failure_timeout_ms = 300;
        choose_view(0, &bench);
        report(&bench, A)->pg_state = PG_PRIMARY;
        for (uint32_t i = 0; i < bench.cluster.member_count; i++)
            bench.reports[i].primary_seen_us = SECOND / 2;
        bench.view.primary_seen_us = NOW - SECOND / 2;
        bench.view.policy_since_us = new_settings ? NOW - SECOND / 10 : 0;
        lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
        bool fences = bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_FENCE;
        CU_ASSERT_EQUAL(fences, !new_settings);
    }
}

/* A change of the Raft group that was asked for, and what became of it. */
static void ask_raft(struct bench *bench, bool done)
{
    struct lead_view *view = &bench->view;

    view->asked = (struct asked_change){ bench->plan.raft_change, bench->plan.raft_role, NOW };
    if (done)
        view->raft.servers[view->raft.server_count++] =
            (struct raft_server_seen){ bench->plan.raft_change, bench->plan.raft_role };
}

/* G6: D's admission is refused by Raft, at every try. C's synchronous standing and E's admission do not wait for it. */
static void who_is_refused_keeps_nobody_waiting(void)
{
    static struct bench bench;
    uint64_t raft_ids[2];

    active(&bench.cluster);
    ACCEPTED(&bench.cluster, agreed_join(&bench.cluster, D));
    raft_ids[0] = bench.cluster.raft_id_last;
    ACCEPTED(&bench.cluster, agreed_join(&bench.cluster, E));
    raft_ids[1] = bench.cluster.raft_id_last;
    choose_view(0, &bench);
    bench.view.raft.server_count = 4;
    bench.view.primary_seen_us = NOW;
    struct report *primary = report(&bench, A);
    primary->pg_state = PG_PRIMARY;
    primary->demand_settled = bench.cluster.demand_version;
    ACCEPTED(&bench.cluster, agreed_add(&bench.cluster, DEMAND(1, B)));
    primary->demand_settled = bench.cluster.demand_version;
    for (int32_t node = B; node <= W; node = node == C ? W : node + 1)
        (void)report(&bench, node);

    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.raft_change, raft_ids[0]);
    ask_raft(&bench, false);
    lead_decide(&bench.cluster, &bench.view, NOW + 1, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.raft_change, 0);
    CU_ASSERT_FATAL(bench.plan.command_count == 1);
    CU_ASSERT(bench.plan.commands[0].kind == COMMAND_END || bench.plan.commands[0].kind == COMMAND_ADD);
    lead_decide(&bench.cluster, &bench.view, NOW + 2 * SECOND, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.raft_change, raft_ids[1]);
    ask_raft(&bench, true);
    lead_decide(&bench.cluster, &bench.view, NOW + 1, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.raft_change, raft_ids[0]); /* at once, since the last one came about */
}

/* A says that its server is down; nobody can replace it. */
static struct report *down_alone(struct bench *bench, uint32_t k)
{
    agreed_four(&bench->cluster, k);
    choose_view(0, bench);
    struct report *primary = report(bench, A);
    primary->pg_state = PG_STOPPED;
    primary->pg_was_primary = true;
    primary->trouble = TROUBLE_STOPPED;
    primary->lease_valid = true;
    report(bench, B)->pg_state = PG_STOPPED;
    report(bench, C)->pg_state = PG_STOPPED;
    bench->view.primary_seen_us = NOW - 1000;
    return primary;
}

static enum command_kind proposed(struct bench *bench)
{
    lead_decide(&bench->cluster, &bench->view, NOW, &bench->plan);
    return bench->plan.command_count == 1 ? bench->plan.commands[0].kind : COMMAND_COUNT;
}

/* G6: nothing is left that a start in place could bring back. In a failover it is named, and operators can speak. */
static void a_primary_without_its_data_is_fenced(void)
{
    static struct bench bench;

    for (uint32_t k = 0; k < 2; k++) {
        struct report *primary = down_alone(&bench, k);
        CU_ASSERT_EQUAL(proposed(&bench), COMMAND_RESTART);
        primary->directory = agreed_directory(E); /* restored from somewhere else */
        CU_ASSERT_EQUAL(proposed(&bench), COMMAND_FENCE);
        primary->directory.no = 0;
        primary->pg_state = PG_ABSENT;
        primary->pg_was_primary = false;
        CU_ASSERT_EQUAL(proposed(&bench), COMMAND_FENCE);
        primary->pg_state = PG_ORPHANS; /* they are being ended */
        CU_ASSERT_EQUAL(proposed(&bench), COMMAND_COUNT);
        CU_ASSERT_EQUAL(bench.plan.why, WHY_NOBODY_CAN);
    }
}

/* R12: a change that a standby keeps from ending does not keep the longer lease, with which no voter can change. */
static void a_longer_lease_ends_while_a_demand_settles(void)
{
    static struct bench bench;

    agreed_four(&bench.cluster, 1);
    ACCEPTED(&bench.cluster, agreed_add(&bench.cluster, DEMAND(2, B, C)));
    bench.cluster.policy.durability = DURABILITY_STRICT;
    bench.cluster.policy.synchronous_count = 2;
    bench.cluster.lease_max_ms = 2 * bench.cluster.policy.lease_ttl_ms;
    choose_view(0, &bench);
    struct report *primary = report(&bench, A);
    primary->pg_state = PG_PRIMARY;
    primary->lease_valid = true;
    (void)report(&bench, B);
    bench.view.primary_seen_us = NOW - 1000;
    bench.view.shorter_since_us = NOW - 60 * SECOND;
    CU_ASSERT_EQUAL(proposed(&bench), COMMAND_LEASE_MAX);
    bench.cluster.lease_max_ms = bench.cluster.policy.lease_ttl_ms;
    CU_ASSERT_EQUAL(proposed(&bench), COMMAND_COUNT);
    CU_ASSERT_EQUAL(bench.plan.why, WHY_DEMAND_SETTLING);
}

/* R20: what the target holds is good for nothing in another directory than the log knows; it could never promote. */
static void a_switchover_elects_the_directory_that_is_known(void)
{
    static struct bench bench;

    active(&bench.cluster);
    ACCEPTED(&bench.cluster, agreed_switchover(&bench.cluster, B));
    choose_view(3, &bench); /* A has stopped in good order */
    struct report *target = report(&bench, B);
    bench.view.operation_since_us = NOW - SECOND;
    target->directory.no = DIRECTORY_SPOILED;
    CU_ASSERT_EQUAL(proposed(&bench), COMMAND_COUNT);
    target->directory = agreed_directory(B);
    CU_ASSERT_EQUAL(proposed(&bench), COMMAND_ELECT);
    CU_ASSERT_EQUAL(bench.plan.commands[0].node_id, B);
}

static const struct unit_test tests[] = {
    { "silence counts from the settings that say how long it may be", silence_counts_from_the_settings },
    { "who is refused by Raft keeps nobody waiting", who_is_refused_keeps_nobody_waiting },
    { "leadership goes to a witness that hears the primary, and stays there", leadership_goes_to_a_witness },
    { "only voters that applied the fence end the lease", only_voters_that_applied_the_fence_end_the_lease },
    { "commits wait for those who follow", commits_wait_for_those_who_follow },
    { "a winner gets its time", a_winner_gets_its_time },
    { "the winner fetches before it is elected", the_winner_fetches_before_it_is_elected },
    { "a fetch ends", a_fetch_ends },
    { "who fails is tried again after a pause", who_fails_is_tried_after_a_pause },
    { "who fails is fetched from", who_fails_is_fetched_from },
    { "a diverged standby does not fetch", a_diverged_standby_does_not_fetch },
    { "a primary without its data is fenced", a_primary_without_its_data_is_fenced },
    { "a longer lease ends while a demand settles", a_longer_lease_ends_while_a_demand_settles },
    { "a switchover elects the directory that is known", a_switchover_elects_the_directory_that_is_known },
};
const struct unit_suite suite_lead_plans = UNIT_SUITE("lead_plans", tests);
