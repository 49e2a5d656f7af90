/*
 * test_cluster_operations.c - who is primary: FENCE, ELECT, PROMOTED, RESTART, SWITCHOVER, RESERVE.
 * Design 5.1, 5.3, 5.4; R9, R13, R21, R26, R27, R31, R36.
 *
 * Each test tries to get two primaries, a token or a timeline used twice, or a decision taken on what has changed
 * since.
 */
#include "agreed_steps.h"

static void fence_names_the_token_that_it_ends(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command early = agreed_fence(&cluster), late = agreed_fence(&cluster);
    early.token.no--;
    REFUSED(&cluster, early);
    early.token.no += 2;
    REFUSED(&cluster, early);
    ACCEPTED(&cluster, late);
    CU_ASSERT(cluster_fenced(&cluster) && !cluster_is_primary(&cluster, A));
    CU_ASSERT(cluster.token.no == cluster.primary.token.no + 1 && cluster.primary.node_id == A);
    CU_ASSERT(cluster.operation.kind == OPERATION_FAILOVER && cluster.operation.from == A);
    REFUSED(&cluster, late); /* the same one again: a second leader, or a repeated proposal */
    late.token = cluster.token;
    REFUSED(&cluster, late); /* fenced: there is no primary of this token to be fenced */
}

static void fence_is_refused_in_a_pause(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    REFUSED(&cluster, agreed_fence(&cluster));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    ACCEPTED(&cluster, agreed_fence(&cluster));
    CU_ASSERT(cluster.pause != PAUSE_OFF); /* R17: the lease without end is not forgotten */
}

/* The lease without end was the old primary's; its successor's ends as any, and so may it be replaced. */
static void an_election_ends_what_is_left_of_a_pause(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    ACCEPTED(&cluster, agreed_fence(&cluster));
    CU_ASSERT(cluster.pause == PAUSE_ENDING);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(cluster.pause == PAUSE_OFF);
}

static void nobody_is_elected_without_a_fence(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    REFUSED(&cluster, elect);
    elect.token.no++;
    REFUSED(&cluster, elect);
    ACCEPTED(&cluster, agreed_fence(&cluster));
    CU_ASSERT(token_is(elect.token, cluster.token));
    ACCEPTED(&cluster, elect);
    CU_ASSERT(cluster_is_primary(&cluster, B) && cluster.primary.phase == PRIMARY_ELECTED);
}

/* R13: B and C would both get a majority's grants for one token. */
static void a_token_is_given_out_once(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    struct token given = cluster.token;
    REFUSED(&cluster, agreed_elect(&cluster, C, DEMAND(1, A, B)));
    REFUSED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    struct command next = agreed_elect(&cluster, C, DEMAND(1, A, B));
    next.token.no++;
    REFUSED(&cluster, next);
    agreed_do_fence(&cluster);
    CU_ASSERT(token_is_newer(cluster.token, given));
    ACCEPTED(&cluster, agreed_elect(&cluster, C, DEMAND(1, A, B)));
}

static void the_winner_is_electable_with_that_directory(void)
{
    struct cluster cluster;
    struct command elect;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_join(&cluster, D));
    ACCEPTED(&cluster, agreed_hello(&cluster, D, 1));
    ACCEPTED(&cluster, agreed_directory_is(&cluster, D, agreed_directory(D)));
    agreed_do_fence(&cluster);
    elect = agreed_elect(&cluster, W, DEMAND(1, A, B, C));
    REFUSED(&cluster, elect);
    elect = agreed_elect(&cluster, D, DEMAND(1, A, B, C)); /* not registered */
    REFUSED(&cluster, elect);
    elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    elect.directory = agreed_directory(E);
    REFUSED(&cluster, elect);
    elect.directory.no = 0;
    REFUSED(&cluster, elect);
    elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    elect.node_id = 77;
    REFUSED(&cluster, elect);
    /* The directory changed between the leader's look and its proposal (R20). */
    elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    ACCEPTED(&cluster, agreed_directory_is(&cluster, B, agreed_directory(E)));
    REFUSED(&cluster, elect);
}

/* R31: an ADD that lands between the coverage check and the ELECT would be dropped unseen. */
static void elect_names_the_demand_it_was_checked_against(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, C)));
    agreed_do_fence(&cluster);
    elect.token = cluster.token;
    REFUSED(&cluster, elect);
    elect.expect = cluster.demand_version;
    ACCEPTED(&cluster, elect);
}

/* R9: every election has a number of its own, above all that were reserved or seen. */
static void timelines_are_given_out_once(void)
{
    struct cluster cluster;
    uint32_t last;

    agreed_four(&cluster, 1);
    last = cluster.timeline_max.no;
    for (int i = 0; i < 4; i++) {
        int32_t winner = i % 2 ? C : B;
        agreed_do_fence(&cluster);
        struct command elect = agreed_elect(&cluster, winner, winner == B ? DEMAND(1, A, C) : DEMAND(1, A, B));
        elect.timeline.no = AGREED_TIMELINE;
        ACCEPTED(&cluster, elect);
        CU_ASSERT(cluster.primary.timeline.no > last + 1); /* which somebody promoted by hand may have */
        CU_ASSERT(cluster.timeline_max.no == cluster.primary.timeline.no);
        last = cluster.timeline_max.no;
        if (i == 1)
            ACCEPTED(&cluster, agreed_promoted(&cluster));
        struct command reserve = agreed_by(&cluster, B, COMMAND_RESERVE);
        reserve.timeline.no = last + 1;
        if (i == 2)
            ACCEPTED(&cluster, reserve);
    }
    CU_ASSERT(!cluster_gave_out(&cluster, (struct timeline){ last - 1 }));
    CU_ASSERT(cluster_gave_out(&cluster, (struct timeline){ last }));
}

/* R36: a number that nobody gave out was made by hand, those below the one seen as well: they rank nowhere. */
static void hand_made_timelines_are_foreign(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command reserve = agreed_by(&cluster, C, COMMAND_RESERVE);
    reserve.timeline.no = AGREED_TIMELINE;
    NOTHING(&cluster, reserve);
    reserve.timeline.no = AGREED_TIMELINE + 3;
    ACCEPTED(&cluster, reserve);
    NOTHING(&cluster, reserve);
    CU_ASSERT(cluster_gave_out(&cluster, (struct timeline){ AGREED_TIMELINE }));
    for (uint32_t i = 1; i <= 3; i++) {
        CU_ASSERT(!cluster_gave_out(&cluster, (struct timeline){ AGREED_TIMELINE + i }));
        reserve.timeline.no = AGREED_TIMELINE + i;
        NOTHING(&cluster, reserve);
    }
    agreed_do_fence(&cluster);
    for (uint32_t i = 1; i <= 4; i++) { /* three foreign ones, and one that nobody has seen */
        struct command elect = agreed_elect(&cluster, B, DEMAND(1, A, C));
        elect.timeline.no = AGREED_TIMELINE + i;
        REFUSED(&cluster, elect);
        elect.timeline.no = 0;
        REFUSED(&cluster, elect);
    }
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    CU_ASSERT(cluster.primary.timeline.no == AGREED_TIMELINE + 5);
}

static void there_is_an_end_to_foreign_timelines(void)
{
    struct cluster cluster;
    struct command reserve;

    agreed_four(&cluster, 1);
    reserve = agreed_by(&cluster, C, COMMAND_RESERVE);
    /* One strange server does not put the numbers out of every later winner's reach. */
    reserve.timeline.no = cluster.timeline_max.no + 1001;
    REFUSED(&cluster, reserve);
    reserve.timeline.no = UINT32_MAX;
    REFUSED(&cluster, reserve);
    for (reserve.timeline.no = AGREED_TIMELINE + 1000; reserve.timeline.no < 5000; reserve.timeline.no += 7)
        ACCEPTED(&cluster, reserve);
}

static void only_the_winner_reports_its_promotion(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    REFUSED(&cluster, agreed_promoted(&cluster)); /* active already */
    agreed_do_fence(&cluster);
    REFUSED(&cluster, agreed_promoted(&cluster));
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    struct command promoted = agreed_promoted(&cluster), other = agreed_by(&cluster, C, COMMAND_PROMOTED);
    other.timeline = promoted.timeline;
    REFUSED(&cluster, other);
    promoted.timeline.no++;
    REFUSED(&cluster, promoted);
    promoted = agreed_promoted(&cluster);
    promoted.token.no--;
    REFUSED(&cluster, promoted);
    promoted = agreed_promoted(&cluster);
    promoted.lsn.at = 1500; /* the lag rule goes by where its own WAL begins */
    struct command late = promoted;
    ACCEPTED(&cluster, promoted);
    CU_ASSERT_EQUAL(cluster.primary.position.at, 1500);
    CU_ASSERT(cluster.primary.phase == PRIMARY_ACTIVE && cluster.operation.kind == OPERATION_NONE);
    REFUSED(&cluster, late);
}

/* The winner promoted, but was fenced before that was known: it is too late. */
static void a_fenced_winner_reports_in_vain(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    agreed_do_fence(&cluster);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    struct command promoted = agreed_promoted(&cluster);
    agreed_do_fence(&cluster);
    REFUSED(&cluster, promoted);
    CU_ASSERT(cluster.primary.phase == PRIMARY_ELECTED && cluster_fenced(&cluster));
}

static struct command restart_of(const struct cluster *cluster)
{
    struct command command = agreed_by(cluster, W, COMMAND_RESTART);
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);

    command.node_id = primary->node_id;
    command.directory = cluster->primary.directory;
    command.expect = cluster->primary.permitted_at;
    command.stopped_start_no = primary->start_no;
    return command;
}

static void a_restart_is_permitted_once_per_stop(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command restart = restart_of(&cluster), twice = restart;
    uint64_t before = cluster.primary.permitted_at;
    ACCEPTED(&cluster, restart);
    CU_ASSERT(cluster.primary.permitted_at == cluster.version && cluster.version > before);
    REFUSED(&cluster, twice); /* a second leader's, or the same again after another stop */
    restart = restart_of(&cluster);
    restart.node_id = B;
    REFUSED(&cluster, restart);
    restart = restart_of(&cluster);
    restart.directory = agreed_directory(B);
    REFUSED(&cluster, restart);
    restart = restart_of(&cluster);
    restart.token.no--;
    REFUSED(&cluster, restart);
    restart = restart_of(&cluster);
    ACCEPTED(&cluster, agreed_hello(&cluster, A, 2)); /* the stop was reported by a former life */
    REFUSED(&cluster, restart);
    ACCEPTED(&cluster, restart_of(&cluster));
}

/* R13: a restart in place and a failover cannot race. */
static void a_restart_and_a_failover_exclude_each_other(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct command restart = restart_of(&cluster);
    agreed_do_fence(&cluster);
    REFUSED(&cluster, restart);
    restart.token = cluster.token;
    REFUSED(&cluster, restart);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
    REFUSED(&cluster, restart);
    REFUSED(&cluster, restart_of(&cluster)); /* B is elected, not active: it starts by ELECT */
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    ACCEPTED(&cluster, restart_of(&cluster));
    ACCEPTED(&cluster, agreed_switchover(&cluster, C));
    REFUSED(&cluster, restart_of(&cluster));
}

/* R21: the old token stays current; standbys go on receiving, the lease goes on. */
static void switchover_only_reserves(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    struct cluster before = cluster;
    struct command twice = agreed_switchover(&cluster, B);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    CU_ASSERT(token_is(cluster.token, before.token) && token_is(cluster.primary.token, before.token));
    CU_ASSERT(cluster_is_primary(&cluster, A) && cluster.timeline_max.no == before.timeline_max.no);
    CU_ASSERT(cluster.demand_count == before.demand_count && cluster.demand_version == before.demand_version);
    CU_ASSERT(cluster.operation.from == A && cluster.operation.to == B && cluster.operation.timeout_ms == 30000);
    REFUSED(&cluster, twice);
    REFUSED(&cluster, agreed_switchover(&cluster, C));
    ACCEPTED(&cluster, agreed_add(&cluster, DEMAND(1, B, C))); /* 5.6: never refused for another reason */
}

static void switchover_needs_a_target_and_a_primary(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    REFUSED(&cluster, agreed_switchover(&cluster, A));
    REFUSED(&cluster, agreed_switchover(&cluster, W));
    REFUSED(&cluster, agreed_switchover(&cluster, E));
    struct command stale = agreed_switchover(&cluster, B);
    stale.token.no--;
    REFUSED(&cluster, stale);
    stale = agreed_switchover(&cluster, B);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ON));
    REFUSED(&cluster, stale);
    ACCEPTED(&cluster, agreed_pause(&cluster, W, PAUSE_ENDING));
    REFUSED(&cluster, stale);
    ACCEPTED(&cluster, agreed_pause(&cluster, A, PAUSE_OFF));
    agreed_do_fence(&cluster);
    REFUSED(&cluster, stale);
    REFUSED(&cluster, agreed_switchover(&cluster, B));
    ACCEPTED(&cluster, agreed_elect(&cluster, C, DEMAND(1, A, B)));
    REFUSED(&cluster, agreed_switchover(&cluster, B)); /* elected, not active yet */
}

/* R27: the stop was reported by a daemon that has started since, and may have started PostgreSQL again. */
static void switchover_elects_on_the_present_life_alone(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    struct command elect = agreed_elect_over(&cluster, B, DEMAND(1, A, C));
    struct command wrong = elect;
    wrong.token = cluster.token;
    REFUSED(&cluster, wrong);
    wrong.token.no += 2;
    REFUSED(&cluster, wrong);
    wrong = elect;
    wrong.stopped_start_no = 0;
    REFUSED(&cluster, wrong);
    wrong = agreed_elect_over(&cluster, C, DEMAND(1, A, B)); /* takes no part */
    REFUSED(&cluster, wrong);
    ACCEPTED(&cluster, agreed_hello(&cluster, A, 2));
    REFUSED(&cluster, elect);
    elect = agreed_elect_over(&cluster, B, DEMAND(1, A, C));
    ACCEPTED(&cluster, agreed_hello(&cluster, B, 2)); /* the target's start does not matter */
    ACCEPTED(&cluster, elect);
    CU_ASSERT(cluster_is_primary(&cluster, B) && cluster.primary.phase == PRIMARY_ELECTED);
}

/* R13 again: the next token needs a FENCE and the end of the first winner's lease. */
static void switchover_elects_once(void)
{
    struct cluster cluster;

    for (int32_t first = A; first <= B; first++) {
        agreed_four(&cluster, 1);
        ACCEPTED(&cluster, agreed_switchover(&cluster, B));
        ACCEPTED(&cluster, agreed_elect_over(&cluster, first, first == A ? DEMAND(1, B, C) : DEMAND(1, A, C)));
        REFUSED(&cluster, agreed_elect_over(&cluster, A, DEMAND(1, B, C)));
        REFUSED(&cluster, agreed_elect_over(&cluster, B, DEMAND(1, A, C)));
        agreed_do_fence(&cluster);
        CU_ASSERT(cluster.operation.kind == OPERATION_FAILOVER);
        ACCEPTED(&cluster, agreed_elect(&cluster, first, first == A ? DEMAND(1, B, C) : DEMAND(1, A, C)));
    }
}

/* R21: the old primary fell silent: FENCE follows, and what was proposed for the switchover is refused. */
static void a_fence_takes_the_switchover_over(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    struct command late = agreed_elect_over(&cluster, B, DEMAND(1, A, C));
    struct token reserved = late.token;
    ACCEPTED(&cluster, agreed_hello(&cluster, A, 2));
    agreed_do_fence(&cluster);
    CU_ASSERT(token_is(cluster.token, reserved) && cluster.operation.kind == OPERATION_FAILOVER);
    REFUSED(&cluster, late);
    ACCEPTED(&cluster, agreed_elect(&cluster, B, DEMAND(1, A, C)));
}

static void switchover_ends_with_the_promotion(void)
{
    struct cluster cluster;

    agreed_four(&cluster, 1);
    ACCEPTED(&cluster, agreed_switchover(&cluster, B));
    ACCEPTED(&cluster, agreed_elect_over(&cluster, B, DEMAND(1, A, C)));
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    CU_ASSERT(cluster.operation.kind == OPERATION_NONE && cluster.primary.node_id == B);
    ACCEPTED(&cluster, agreed_switchover(&cluster, A));
    ACCEPTED(&cluster, agreed_elect_over(&cluster, B, DEMAND(1, A, C))); /* back to B under a fresh token */
    ACCEPTED(&cluster, agreed_promoted(&cluster));
    CU_ASSERT(cluster.operation.kind == OPERATION_NONE && cluster.primary.node_id == B);
}

static const struct unit_test tests[] = {
    { "an election ends what is left of a pause", an_election_ends_what_is_left_of_a_pause },
    { "FENCE names the token that it ends", fence_names_the_token_that_it_ends },
    { "FENCE is refused in a pause, which is not forgotten after it", fence_is_refused_in_a_pause },
    { "nobody is elected without a fence", nobody_is_elected_without_a_fence },
    { "a token is given out once", a_token_is_given_out_once },
    { "the winner is electable, with the directory that reported", the_winner_is_electable_with_that_directory },
    { "ELECT names the demand it was checked against", elect_names_the_demand_it_was_checked_against },
    { "timelines are given out once", timelines_are_given_out_once },
    { "hand-made timelines are foreign, and those they skip", hand_made_timelines_are_foreign },
    { "there is an end to foreign timelines", there_is_an_end_to_foreign_timelines },
    { "only the winner reports its promotion", only_the_winner_reports_its_promotion },
    { "a winner that is fenced reports in vain", a_fenced_winner_reports_in_vain },
    { "a restart in place is permitted once per stop", a_restart_is_permitted_once_per_stop },
    { "a restart in place and a failover exclude each other", a_restart_and_a_failover_exclude_each_other },
    { "SWITCHOVER only reserves", switchover_only_reserves },
    { "SWITCHOVER needs a target and a primary", switchover_needs_a_target_and_a_primary },
    { "a switchover elects on a stop of the present life alone", switchover_elects_on_the_present_life_alone },
    { "a switchover elects once", switchover_elects_once },
    { "a FENCE takes the switchover over", a_fence_takes_the_switchover_over },
    { "a switchover ends with the promotion", switchover_ends_with_the_promotion },
};
const struct unit_suite suite_cluster_operations = UNIT_SUITE("cluster_operations", tests);
