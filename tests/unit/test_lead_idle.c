/*
 * test_lead_idle.c - the leader while no operation is open: whom it suspects, what it believes of whom, and what it
 * changes only when it has been seen through. Design 5.2, 5.3 step 1, 5.6; R11, R12, R34.
 */
#include "core/lead.h"
#include "lead_views.h"

static struct bench bench;

/* All is well: A is primary, B and C stream from it, everybody is heard. */
static void healthy(void)
{
    agreed_four(&bench.cluster, 1);
    choose_view(0, &bench);
    for (uint32_t i = 0; i < bench.cluster.member_count; i++)
        report(&bench, bench.cluster.members[i].node_id)->receiver_streaming = true;
    struct report *primary = &bench.reports[index_of(&bench, A)];
    primary->pg_state = PG_PRIMARY;
    primary->receiver_streaming = primary->following = false;
    primary->lease_valid = true;
    primary->lease_config = bench.cluster.config_version;
    primary->demand_settled = bench.cluster.demand_version;
    bench.view.primary_seen_us = NOW - 100;
}

static struct report *of(int32_t node_id)
{
    return &bench.reports[index_of(&bench, node_id)];
}

static bool proposes(enum command_kind kind)
{
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    return bench.plan.command_count == 1 && bench.plan.commands[0].kind == kind;
}

static bool proposes_nothing(void)
{
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    return bench.plan.command_count == 0;
}

/* Rounds go to all voters: one voter's sign is enough, as old as it is by now; others are sent none. */
static void one_voters_sign_is_enough(void)
{
    healthy();
    CU_ASSERT_TRUE(proposes_nothing());
    bench.view.primary_seen_us = NOW - 100 * SECOND;
    of(A)->lease_valid = false;
    for (uint32_t i = 0; i < bench.cluster.member_count; i++)
        bench.reports[i].primary_seen_us = -1;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
    of(B)->primary_seen_us = SECOND + SECOND / 2;
    CU_ASSERT_TRUE(proposes_nothing());
    bench.view.heard[index_of(&bench, B)].age_us = SECOND / 2;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
    bench.view.heard[index_of(&bench, B)].age_us = 1000;
    bench.cluster.members[index_of(&bench, B)].voter = false;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
}

/* A FENCE costs an outage: one that could be elected is there, follows, and has the directory that counts. */
static void who_could_take_over_is_looked_at_first(void)
{
    for (int how = 0; how < 4; how++) {
        healthy();
        of(A)->pg_state = PG_STOPPED;
        of(A)->pg_was_primary = true;
        of(A)->trouble = TROUBLE_STOPPED;
        for (int32_t node = B; node <= C; node++) {
            of(node)->following = how != 1;
            of(node)->directory = how == 2 ? agreed_directory(E) : of(node)->directory;
            bench.cluster.members[index_of(&bench, node)].manual = how == 3;
        }
        CU_ASSERT_TRUE(proposes(how == 0 ? COMMAND_FENCE : COMMAND_RESTART));
    }
}

/* Whoever started it made a standby of it: in a pause too, it was not the primary that stopped. */
static void what_last_ran_as_a_standby_is_not_restarted(void)
{
    for (int paused = 0; paused < 2; paused++) {
        healthy();
        of(A)->pg_state = PG_STOPPED;
        of(A)->pg_was_primary = true;
        of(A)->trouble = TROUBLE_DOWN;
        bench.cluster.pause = paused ? PAUSE_ON : PAUSE_OFF;
        CU_ASSERT_TRUE(proposes(COMMAND_RESTART));
        of(A)->pg_was_primary = false;
        CU_ASSERT_FALSE(proposes(COMMAND_RESTART));
    }
}

static void a_full_disk_is_not_exchanged_for_another(void)
{
    healthy();
    of(A)->trouble = TROUBLE_NO_SPACE;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
    of(B)->trouble = of(C)->trouble = TROUBLE_NO_SPACE;
    CU_ASSERT_TRUE(proposes_nothing());
    of(C)->trouble = TROUBLE_NONE;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
}

/* R34: its lease is renewed and no entry reaches it. Where another voter reaches both, that one leads. */
static void who_cannot_be_reached_is_replaced_by_who_can(void)
{
    healthy();
    bench.view.heard[index_of(&bench, A)].age_us = 3 * SECOND;
    CU_ASSERT(proposes_nothing() && bench.plan.transfer_to != 0 && bench.plan.why == WHY_UNCUT_LINK);
    for (int32_t node = B; node <= C; node++)
        of(node)->primary_seen_us = -1;
    CU_ASSERT_TRUE(proposes(COMMAND_FENCE));
    of(B)->following = of(C)->following = false;
    CU_ASSERT(!proposes(COMMAND_FENCE) && bench.plan.transfer_to == 0); /* nobody could take over */
    of(B)->following = of(C)->following = true;
    bench.view.primary_seen_us = NOW + SECOND; /* it said goodbye, and its lease runs */
    CU_ASSERT(!proposes(COMMAND_FENCE) && bench.plan.transfer_to == 0);
}

/* The older demand ends when the primary, of this token, has seen the newest one through, and none before it. */
static void a_demand_ends_when_the_newest_is_seen_through(void)
{
    healthy();
    ACCEPTED(&bench.cluster, agreed_add(&bench.cluster, DEMAND(2, B, C)));
    bench.cluster.policy.synchronous_count = 2;
    CU_ASSERT(proposes_nothing() && bench.plan.why == WHY_DEMAND_SETTLING);
    of(A)->demand_settled = bench.cluster.demand_version;
    CU_ASSERT_TRUE(proposes(COMMAND_END));
    of(A)->token.no--;
    CU_ASSERT_TRUE(proposes_nothing());
}

/* R11: the next change of the voters waits for a renewal by those of the last one. */
static void voters_are_settled_by_a_renewal(void)
{
    healthy();
    CU_ASSERT_TRUE(lead_voters_settled(&bench.cluster, &bench.view));
    of(A)->lease_valid = false;
    CU_ASSERT_FALSE(lead_voters_settled(&bench.cluster, &bench.view));
    of(A)->lease_valid = true;
    of(A)->lease_config--;
    CU_ASSERT_FALSE(lead_voters_settled(&bench.cluster, &bench.view));
    of(A)->lease_config++;
    bench.cluster.lease_max_ms++;
    CU_ASSERT_FALSE(lead_voters_settled(&bench.cluster, &bench.view));
}

/* A learner that is not heard makes a majority harder to reach, and nobody safer. */
static void who_is_silent_does_not_become_a_voter(void)
{
    healthy();
    ACCEPTED(&bench.cluster, agreed_join(&bench.cluster, D));
    ACCEPTED(&bench.cluster, agreed_hello(&bench.cluster, D, 1));
    struct command command = agreed_by(&bench.cluster, A, COMMAND_REGISTER);
    command.node_id = D;
    ACCEPTED(&bench.cluster, command);
    uint64_t raft_id = cluster_member(&bench.cluster, D)->raft_id;
    bench.view.raft.servers[bench.view.raft.server_count++] =
        (struct raft_server_seen){ .raft_id = raft_id, .role = RAFT_ROLE_LEARNER };
    bench.view.heard[index_of(&bench, D)].report = NULL;
    CU_ASSERT(proposes_nothing() && bench.plan.raft_change == 0);
    (void)report(&bench, D);
    (void)proposes_nothing();
    CU_ASSERT(bench.plan.raft_change == raft_id && bench.plan.raft_role == RAFT_ROLE_VOTER);
}

/* R12: by a renewal of the shorter length, and not before the longer has run out. */
static void lease_max_comes_down_late(void)
{
    healthy();
    bench.cluster.lease_max_ms = 9000;
    of(A)->lease_length_us = 5 * SECOND;
    bench.view.shorter_since_us = NOW - 9 * SECOND;
    CU_ASSERT_TRUE(proposes(COMMAND_LEASE_MAX));
    bench.view.shorter_since_us++;
    CU_ASSERT_TRUE(proposes_nothing());
    bench.view.shorter_since_us = NOW - 9 * SECOND;
    of(A)->lease_length_us++;
    CU_ASSERT_TRUE(proposes_nothing());
    of(A)->lease_length_us--;
    of(A)->lease_valid = false;
    CU_ASSERT_TRUE(proposes_nothing());
}

static void a_proposal_is_waited_for(void)
{
    healthy();
    bench.cluster.lease_max_ms = 9000;
    of(A)->lease_length_us = 5 * SECOND;
    bench.view.shorter_since_us = NOW - 9 * SECOND;
    bench.view.proposed_at_us = NOW - SECOND / 2;
    bench.view.proposed_version = bench.cluster.version;
    CU_ASSERT(proposes_nothing() && bench.plan.wake_at_us == NOW + SECOND / 2);
    bench.view.proposed_version--; /* it shows */
    CU_ASSERT_TRUE(proposes(COMMAND_LEASE_MAX));
    bench.view.proposed_version++;
    bench.view.proposed_at_us = NOW - SECOND; /* it has had its time */
    CU_ASSERT_TRUE(proposes(COMMAND_LEASE_MAX));
}

static const struct unit_test tests[] = {
    { "one voter's sign is enough", one_voters_sign_is_enough },
    { "who could take over is looked at first", who_could_take_over_is_looked_at_first },
    { "what last ran as a standby is not restarted", what_last_ran_as_a_standby_is_not_restarted },
    { "a full disk is not exchanged for another", a_full_disk_is_not_exchanged_for_another },
    { "who cannot be reached is replaced by who can", who_cannot_be_reached_is_replaced_by_who_can },
    { "a demand ends when the newest is seen through", a_demand_ends_when_the_newest_is_seen_through },
    { "voters are settled by a renewal", voters_are_settled_by_a_renewal },
    { "who is silent does not become a voter", who_is_silent_does_not_become_a_voter },
    { "lease_max comes down late", lease_max_comes_down_late },
    { "a proposal is waited for", a_proposal_is_waited_for },
};
const struct unit_suite suite_lead_idle = UNIT_SUITE("lead_idle", tests);
