/*
 * test_decide_lead.c - the leader elects nobody before the writer is over and the data is there, and proposes nothing
 * that does not fit. Design 5.2, 5.3, 5.4; G1, G2, G3; R11, R13, R17, R27.
 *
 * Agreed states are put before all combinations of what the members may have reported; whether a plan is right is
 * judged anew from the facts, not by the functions that made it.
 */
#include "agreed_steps.h"
#include "lead_views.h"

static unsigned reached[WHY_COUNT];

#define AFTER(name, before, ...)                                                                                       \
    static void name(struct cluster *cluster)                                                                          \
    {                                                                                                                  \
        before(cluster);                                                                                               \
        ACCEPTED(cluster, __VA_ARGS__);                                                                                \
    }

/* --- agreed states ------------------------------------------------------------------------------------------------ */

static void active(struct cluster *cluster)
{
    agreed_four(cluster, 1);
}

static void down(struct cluster *cluster)
{
    active(cluster);
    cluster->policy.primary_start_timeout_ms = 5000;
}

static void fenced(struct cluster *cluster)
{
    active(cluster);
    agreed_do_fence(cluster);
}

static void fenced_alone(struct cluster *cluster)
{
    agreed_four(cluster, 0);
    agreed_do_fence(cluster);
}

static void fenced_async(struct cluster *cluster)
{
    fenced_alone(cluster);
    cluster->policy.durability = DURABILITY_ASYNC;
}

AFTER(elected, fenced, agreed_elect(cluster, B, DEMAND(1, A, C)))

static void fenced_again(struct cluster *cluster)
{
    elected(cluster);
    agreed_do_fence(cluster);
}

AFTER(switching, active, agreed_switchover(cluster, B))
AFTER(switched, switching, agreed_elect_over(cluster, B, DEMAND(1, A, C)))
AFTER(paused, active, agreed_pause(cluster, W, PAUSE_ON))

static void fenced_unpausing(struct cluster *cluster)
{
    paused(cluster);
    ACCEPTED(cluster, agreed_pause(cluster, W, PAUSE_ENDING));
    agreed_do_fence(cluster);
}

/* Operators have spoken: design 5.2, 5.3 step 6. */
AFTER(fenced_host_off, fenced_unpausing, agreed_host_off(cluster, A))
AFTER(fenced_accepted, fenced, agreed_word(cluster, COMMAND_ACCEPT_LOSS, B, MISSED))
AFTER(fenced_accepted_most, fenced_alone, agreed_word(cluster, COMMAND_ACCEPT_LOSS, B, HELD))
AFTER(fenced_written_off, fenced, agreed_word(cluster, COMMAND_WRITE_OFF, C, HELD))
AFTER(fenced_alone_written_off, fenced_alone, agreed_word(cluster, COMMAND_WRITE_OFF, A, MISSED))

/* clang-format off */
static void (*const states[])(struct cluster *cluster) = {
    active, down, fenced, fenced_alone, fenced_async, elected, fenced_again, switching, switched, paused,
    fenced_unpausing, fenced_host_off, fenced_accepted, fenced_accepted_most, fenced_written_off,
    fenced_alone_written_off,
};
/* clang-format on */

/* --- what must hold ----------------------------------------------------------------------------------------------- */

/* Its newest report, if it is of its present life and fresh. */
static const struct report *word_of(const struct bench *bench, int32_t node_id)
{
    uint32_t i = index_of(bench, node_id);
    const struct heard *heard = &bench->view.heard[i];

    return heard->report && heard->age_us <= 2 * SECOND && heard->report->start_no == bench->cluster.members[i].start_no
               ? heard->report
               : NULL;
}

static bool writer_is_over(const struct bench *bench)
{
    const struct cluster *cluster = &bench->cluster;
    const struct report *writer = word_of(bench, cluster->primary.node_id);
    const int32_t voters[] = { A, B, C, W };
    uint32_t over = 0;

    if (writer && writer->fence.stopped && token_is(writer->fence.token, cluster->token))
        return true;
    if (cluster->operation.words.host_off && !writer)
        return true;
    if (cluster->pause != PAUSE_OFF)
        return false;
    bool spoken = cluster->operation.words.accepted || cluster->operation.words.written_off;
    if (cluster->policy.fence_wait == FENCE_WAIT_NONE && cluster->policy.durability != DURABILITY_ASYNC && !spoken)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(voters); i++) {
        const struct report *voter = word_of(bench, voters[i]);
        over += voter && voter->fence.grants_over && token_is(voter->fence.token, cluster->token);
    }
    return over >= 3;
}

static bool told_its_end(const struct bench *bench, int32_t node_id)
{
    const struct report *member = word_of(bench, node_id);

    return member && member->fence.data && token_is(member->fence.token, bench->cluster.token) &&
           !cluster_member(&bench->cluster, node_id)->written_off;
}

/* Under {the two others; 1}, which agreed_four() and ELECT leave, or {none; 0}: who has to have told its end of WAL. */
static bool data_is_there(const struct bench *bench)
{
    const struct cluster *cluster = &bench->cluster;
    const struct words *words = &cluster->operation.words;
    int32_t writer = cluster->primary.node_id;
    bool kept = false; /* what operators were told is kept is there */

    for (int32_t node = A; node <= C; node++)
        kept = kept || (told_its_end(bench, node) && word_of(bench, node)->fence.end.at >= words->lsn.at);
    if (words->accepted || words->written_off)
        return kept && (words->accepted || told_its_end(bench, writer) || cluster_demand(cluster)->count == 0 ||
                        told_its_end(bench, B));
    if (told_its_end(bench, writer) || cluster->policy.durability == DURABILITY_ASYNC)
        return true;
    return cluster_demand(cluster)->k > 0 && told_its_end(bench, C) && told_its_end(bench, writer == A ? B : A);
}

static bool elects_rightly(const struct bench *bench, const struct command *elect)
{
    const struct cluster *cluster = &bench->cluster;
    const struct report *winner = word_of(bench, elect->node_id), *old = word_of(bench, cluster->primary.node_id);

    if (!winner)
        return false;
    if (cluster->operation.kind == OPERATION_FAILOVER) {
        bool most = true;
        for (int32_t node = A; node <= C; node++)
            if (node != cluster->primary.node_id && told_its_end(bench, node))
                most = most && word_of(bench, node)->fence.end.at <= elect->lsn.at;
        return cluster_fenced(cluster) && writer_is_over(bench) && data_is_there(bench) && most &&
               told_its_end(bench, elect->node_id) && winner->fence.end.at == elect->lsn.at;
    }
    if (!old || !old->fence.stopped || old->fence.token.no != cluster->token.no + 1 ||
        elect->stopped_start_no != old->start_no)
        return false;
    return elect->node_id == A || (old->fence.clean && winner->end.at >= old->fence.end.at);
}

/* Whoever could be reached and is up meets the demand, so that a FENCE would not stop a primary that nobody can
 * replace. */
static bool somebody_could(const struct bench *bench)
{
    const struct report *b = word_of(bench, B), *c = word_of(bench, C);

    return b && c && b->pg_state == PG_STANDBY && c->pg_state == PG_STANDBY;
}

static bool fences_rightly(const struct bench *bench)
{
    const struct cluster *cluster = &bench->cluster;
    const struct report *writer = word_of(bench, cluster->primary.node_id);

    if (cluster_fenced(cluster) || cluster->pause == PAUSE_ON)
        return false;
    if (cluster->operation.kind != OPERATION_NONE)
        return bench->view.operation_since_us < NOW - 2 * SECOND || (writer && writer->trouble == TROUBLE_FAILED);
    return !writer || !writer->lease_valid || somebody_could(bench);
}

static bool restarts_rightly(const struct bench *bench, const struct command *restart)
{
    const struct report *writer = word_of(bench, bench->cluster.primary.node_id);

    return bench->cluster.operation.kind == OPERATION_NONE && writer && writer->pg_state == PG_STOPPED &&
           writer->applied >= bench->cluster.primary.permitted_at && restart->stopped_start_no == writer->start_no &&
           restart->node_id == bench->cluster.primary.node_id;
}

/* Everything proposed fits the state that it was decided on. */
static bool fits(const struct bench *bench, const struct command *command)
{
    static struct cluster after;
    struct command proposed = *command;

    after = bench->cluster;
    proposed.raft_id = bench->view.raft_id;
    proposed.start_no = bench->view.start_no;
    return cluster_apply(&after, &proposed, NULL) == APPLY_OK;
}

static bool right(const struct bench *bench, uint32_t *decisions)
{
    const struct lead_plan *plan = &bench->plan;

    for (uint32_t i = 0; i < plan->command_count; i++) {
        const struct command *command = &plan->commands[i];
        ++*decisions;
        if (!fits(bench, command))
            return false;
        if (command->kind == COMMAND_ELECT && !elects_rightly(bench, command))
            return false;
        if (command->kind == COMMAND_FENCE && !fences_rightly(bench))
            return false;
        if (command->kind == COMMAND_RESTART && !restarts_rightly(bench, command))
            return false;
    }
    return plan->command_count <= 1 && why_text(plan->why)[0] != '\0' && plan->wake_at_us > NOW;
}

/* G6: where the writer is over, the data there and somebody electable, it elects. */
static bool prompt(const struct bench *bench)
{
    const struct cluster *cluster = &bench->cluster;

    if (!cluster_fenced(cluster) || !writer_is_over(bench) || !data_is_there(bench) ||
        cluster->policy.durability == DURABILITY_ASYNC)
        return true;
    return bench->plan.command_count == 1 && bench->plan.commands[0].kind == COMMAND_ELECT;
}

static void no_proposal_is_early_or_unfit(void)
{
    static struct bench bench;
    uint32_t wrong = 0, decisions = 0;

    for (size_t state = 0; state < ARRAY_LEN(states); state++) {
        states[state](&bench.cluster);
        for (uint64_t choices = 0; choices < VIEWS && wrong < 10; choices++) {
            choose_view(choices, &bench);
            lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
            reached[bench.plan.why]++;
            if (right(&bench, &decisions) && prompt(&bench))
                continue;
            wrong++;
            printf("state %zu choices %u why %s commands %u: %s\n", state, (unsigned)choices, why_name(bench.plan.why),
                   bench.plan.command_count,
                   bench.plan.command_count ? command_name(bench.plan.commands[0].kind) : "none");
        }
    }
    CU_ASSERT(wrong == 0 && decisions > 1000);
}

static void the_walk_reaches_what_matters(void)
{
    static const enum why wanted[] = {
        WHY_WRITER_LIVE,         WHY_DEMANDS_UNMET,     WHY_ELECT,           WHY_WINNER_WORKS,   WHY_WINNER_FAILED,
        WHY_SWITCHOVER_STOPPING, WHY_SWITCHOVER_SILENT, WHY_SWITCHOVER_BACK, WHY_SUSPECT_SILENT, WHY_SUSPECT_REPORT,
        WHY_NOBODY_CAN,          WHY_RESTART_IN_PLACE,  WHY_PAUSED,
    };

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (reached[wanted[i]] == 0)
            printf("never reached: %s\n", why_name(wanted[i]));
        CU_ASSERT(reached[wanted[i]] > 0);
    }
}

static void only_a_leader_that_has_said_hello_proposes(void)
{
    static struct bench bench;

    for (size_t state = 0; state < ARRAY_LEN(states); state++) {
        states[state](&bench.cluster);
        for (uint64_t choices = 0; choices < VIEWS; choices++) {
            choose_view(choices, &bench);
            bench.view.hello = choices % 2;
            bench.view.raft.leader = !(choices % 2);
            lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
            CU_ASSERT_FATAL(bench.plan.command_count == 0 && bench.plan.raft_change == 0);
            CU_ASSERT_FATAL(bench.view.raft.leader || bench.plan.transfer_to == 0);
        }
    }
}

/* G6: a leader that may decide nothing keeps everybody else from deciding. It gives the leadership to any other voter.
 */
static void a_leader_that_may_not_decide_gives_way(void)
{
    static struct bench bench;
    bool tried[MEMBERS_MAX] = { false };

    active(&bench.cluster);
    choose_view(0, &bench);
    const uint64_t own = bench.view.raft_id;
    bench.view.hello = false;
    bench.view.leader_since_us = NOW;
    lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
    CU_ASSERT_EQUAL(bench.plan.transfer_to, 0); /* it has just started */
    lead_decide(&bench.cluster, &bench.view, NOW + 3 * SECOND, &bench.plan);
    CU_ASSERT(bench.plan.transfer_to != 0 && bench.plan.transfer_to != own);

    /* Admitted anew from another host: at once, and though nobody reports to it any more. */
    struct command join = agreed_join(&bench.cluster, W);
    join.flag = true;
    CU_ASSERT_FATAL(agreed_apply(&bench.cluster, &join) == APPLY_OK);
    for (uint32_t i = 0; i < bench.cluster.member_count; i++)
        bench.view.heard[i].report = NULL;
    for (int64_t at_us = NOW; at_us < NOW + 20 * SECOND; at_us += SECOND) {
        lead_decide(&bench.cluster, &bench.view, at_us, &bench.plan);
        CU_ASSERT_EQUAL(bench.plan.why, WHY_NO_MEMBER_LEADS);
        CU_ASSERT_FATAL(bench.plan.transfer_to != 0);
        for (uint32_t i = 0; i < bench.cluster.member_count; i++)
            tried[i] = tried[i] || bench.plan.transfer_to == bench.cluster.members[i].raft_id;
        bench.view.transfer_at_us = at_us;
        lead_decide(&bench.cluster, &bench.view, at_us + SECOND, &bench.plan);
        CU_ASSERT_EQUAL(bench.plan.transfer_to, 0); /* that one gets its time */
        bench.view.transfer_at_us = 0;
    }
    for (int32_t node = A; node <= C; node++)
        CU_ASSERT(tried[index_of(&bench, node)]);
    CU_ASSERT_FALSE(tried[index_of(&bench, W)]);
}

/* 5.4: a switchover does not weaken what the next commits are promised, forward or back: those who follow do answer. */
static void a_switchover_keeps_the_promise(void)
{
    static struct bench bench;

    for (int back = 0; back < 2; back++) {
        switching(&bench.cluster);
        choose_view(0, &bench);
        struct report *old = report(&bench, A), *target = report(&bench, B), *other = report(&bench, C);
        old->pg_state = PG_STOPPED;
        old->pg_was_primary = true;
        has_data(old, &bench.cluster, HELD);
        old->fence.token.no++;
        old->fence.stopped = true;
        old->fence.clean = !back;
        target->end.at = other->end.at = HELD;
        lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
        CU_ASSERT_FATAL(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_ELECT);
        CU_ASSERT(bench.plan.commands[0].node_id == (back ? A : B));
        CU_ASSERT(bench.plan.commands[0].demand.k == 1);
        CU_ASSERT(demand_names(&bench.plan.commands[0].demand, agreed_directory(C)));
        CU_ASSERT(demand_names(&bench.plan.commands[0].demand, agreed_directory(back ? B : A)));
    }
}

/* G5, G6: a stop report from which nobody can be elected is no reason to wait for ever, or to propose in vain. */
static void a_switchover_ends(void)
{
    static struct bench bench;

    for (int late = 0; late < 2; late++) {
        switching(&bench.cluster);
        choose_view(0, &bench);
        struct report *old = report(&bench, A), *target = report(&bench, B);
        old->pg_state = PG_STOPPED;
        old->fence = (struct fence_report){ .token = { bench.cluster.token.no + 1 }, .stopped = true };
        old->fence.timeline.no = late ? AGREED_TIMELINE : 0;
        bench.view.operation_since_us = NOW;
        lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
        CU_ASSERT_FATAL(bench.plan.command_count == 1);
        CU_ASSERT_EQUAL(bench.plan.commands[0].kind, late ? COMMAND_ELECT : COMMAND_FENCE);
        old->fence.clean = old->fence.data = true;
        target->end.at = HELD;
        target->pg_state = PG_STOPPED; /* what it holds is there, but nobody who could promote it */
        old->fence.end.at = HELD;
        old->fence.timeline.no = AGREED_TIMELINE;
        lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
        CU_ASSERT(bench.plan.command_count == 0 && bench.plan.why == WHY_SWITCHOVER_RECEIVING);
        target->pg_state = PG_STANDBY;
        target->timeline.no--; /* another timeline's position says nothing */
        lead_decide(&bench.cluster, &bench.view, NOW, &bench.plan);
        CU_ASSERT(bench.plan.command_count == 0 && bench.plan.why == WHY_SWITCHOVER_RECEIVING);
        target->timeline.no++;
        target->end.at = MISSED;
        old->fence.end.at = HELD;
        old->fence.timeline.no = AGREED_TIMELINE;
        for (int64_t seconds = 0; seconds < 41; seconds++) {
            lead_decide(&bench.cluster, &bench.view, NOW + seconds * SECOND, &bench.plan);
            CU_ASSERT_EQUAL(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_FENCE,
                            seconds > 40);
        }
        lead_decide(&bench.cluster, &bench.view, NOW + 41 * SECOND, &bench.plan);
        CU_ASSERT(bench.plan.command_count == 1 && bench.plan.commands[0].kind == COMMAND_FENCE);
    }
}

static const struct unit_test tests[] = {
    { "no proposal is early or unfit, and none is late", no_proposal_is_early_or_unfit },
    { "that walk reaches the plans that matter", the_walk_reaches_what_matters },
    { "only a leader that has said HELLO proposes", only_a_leader_that_has_said_hello_proposes },
    { "a leader that may not decide gives way", a_leader_that_may_not_decide_gives_way },
    { "a switchover keeps the promise, forward and back", a_switchover_keeps_the_promise },
    { "a switchover ends", a_switchover_ends },
};
const struct unit_suite suite_decide_lead = UNIT_SUITE("decide_lead", tests);
