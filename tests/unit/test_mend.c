/*
 * test_mend.c - a standby whose server ends in its recovery is mended, a step at a time, as far as `rejoin` allows;
 * each step once under one token; nothing is mended that another start may still bring up. Design 5.5; G6.
 *
 * A standby B is played against node_decide(): what it asks for is "done" with a given result, and the next plan is
 * looked at.
 */
#include "agreed_steps.h"
#include "core/decide.h"
#include "core/mend.h"

#define SECOND 1000000LL

struct play {
    struct cluster cluster;
    struct node_view view;
    struct report primary;
    struct node_plan plan;
    int64_t now_us;
};

static struct play play;

/* B, stopped, was pointed at A under the present token and cannot be started. */
static void begin(enum rejoin rejoin)
{
    struct node_view *view = &play.view;

    play = (struct play){ .now_us = 1000 * SECOND };
    agreed_four(&play.cluster, 1);
    const struct member *self = cluster_member(&play.cluster, B);
    play.primary = (struct report){ .node_id = A,
                                    .token = play.cluster.token,
                                    .pg_state = PG_PRIMARY,
                                    .timeline = play.cluster.primary.timeline,
                                    .end = { 2000 },
                                    .checkpointed = true };
    *view = (struct node_view){ .node_id = B,
                                .raft_id = self->raft_id,
                                .start_no = self->start_no,
                                .hello = true,
                                .rejoin = rejoin,
                                .guard_alive = true,
                                .guard_mode = WISH_STANDBY,
                                .directory = agreed_directory(B),
                                .primary = &play.primary };
    view->pg = (struct pg_seen){ .state = PG_STOPPED,
                                 .timeline = play.cluster.primary.timeline,
                                 .end = { 1000 },
                                 .conf_present = true,
                                 .can_rewind = true };
    view->pg.conf.upstream = A;
    view->pg.conf.token = play.cluster.token;
}

static enum act_kind decide(void)
{
    play.now_us += 60 * SECOND; /* past every backoff */
    node_decide(&play.cluster, &play.view, play.now_us, &play.plan);
    return play.plan.action.kind;
}

/* What is asked for ends so; what the manager notes is noted. */
static void end_with(int code, bool in_recovery)
{
    struct pg_result result = { .kind = play.plan.action.kind, .code = code, .ended_in_recovery = in_recovery };
    struct node_view *view = &play.view;

    mend_note(&view->mend, &result, play.plan.action.token);
    view->failed_count = code == 0 ? 0 : view->failed_kind == result.kind ? view->failed_count + 1 : 1;
    view->failed_kind = result.kind;
    view->failed_at_us = code == 0 ? 0 : play.now_us;
}

static void fails_to_start(int times)
{
    for (int i = 0; i < times; i++) {
        CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
        end_with(-(int)ERR_COMMAND, true);
    }
}

static void rewinds_then_clones_then_waits(void)
{
    begin(REJOIN_CLONE);
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(decide(), ACT_REWIND);
    CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_MEND);
    CU_ASSERT_TRUE(play.plan.forget_directory);
    end_with(0, false);
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
    CU_ASSERT_TRUE(play.plan.action.once);
    end_with(0, false);
    fails_to_start(3 * MEND_TRIES);
    CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_BROKEN);
    CU_ASSERT_PTR_NOT_NULL(strstr(play.plan.waiting, "log"));
    /* It is tried on, and goes well as soon as somebody has mended it. */
    CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
    end_with(0, false);
    CU_ASSERT_FALSE(mend_due(&play.view.mend));
}

/* Two in a row: a primary that could not be asked once is no reason to copy all of it. */
static void a_rewind_that_fails_has_been_tried(void)
{
    begin(REJOIN_CLONE);
    fails_to_start(MEND_TRIES);
    for (int i = 0; i < MEND_REWINDS; i++) {
        CU_ASSERT_EQUAL(decide(), ACT_REWIND);
        end_with(-(int)ERR_REJOIN, false);
    }
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
    /* Told to wait meanwhile: that is no try. */
    end_with(-(int)ERR_CANCELED, false);
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
    end_with(-(int)ERR_BACKUP, false);
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
}

static void goes_no_further_than_allowed(void)
{
    begin(REJOIN_FOLLOW);
    fails_to_start(4 * MEND_TRIES);
    CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_BROKEN);
    CU_ASSERT_PTR_NOT_NULL(strstr(play.plan.waiting, "rejoin=follow"));

    begin(REJOIN_REWIND);
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(decide(), ACT_REWIND);
    end_with(0, false);
    fails_to_start(4 * MEND_TRIES);
    CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_BROKEN);
    CU_ASSERT_PTR_NOT_NULL(strstr(play.plan.waiting, "clone"));

    /* Without hints and checksums there is nothing to rewind by. */
    begin(REJOIN_CLONE);
    play.view.pg.can_rewind = false;
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
}

/* A server that was not shut down is recovered before the rewind, which may take as long as it likes. */
static void a_rewind_may_recover_first(void)
{
    static const enum pg_state states[] = { PG_STARTING, PG_STANDBY, PG_ORPHANS };

    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        begin(REJOIN_REWIND);
        play.view.diverged_under = play.cluster.token;
        play.view.pg.conf.token.no--;
        CU_ASSERT_EQUAL(decide(), ACT_REWIND);
        play.view.acting = ACT_REWIND;
        play.view.pg.state = states[i];
        CU_ASSERT_EQUAL(decide(), ACT_NONE);
        CU_ASSERT_FALSE(play.plan.cancel);
        CU_ASSERT_EQUAL(play.plan.guard, WISH_STANDBY);
        /* But nobody rewinds a writable server, or under a fence. */
        play.view.pg.state = PG_PRIMARY;
        (void)decide();
        CU_ASSERT_TRUE(play.plan.cancel);
        play.view.pg.state = states[i];
        agreed_do_fence(&play.cluster);
        (void)decide();
        CU_ASSERT_TRUE(play.plan.cancel);
    }
}

/* A daemon that was started again has forgotten the clone; the directory that it set aside has not. */
static void a_second_clone_under_a_token_is_refused_once(void)
{
    begin(REJOIN_CLONE);
    play.view.pg.can_rewind = false;
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
    end_with(-(int)ERR_REJOIN, false);
    fails_to_start(MEND_TRIES);
    CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_BROKEN);
    /* Another primary: what was tried under the last is not held against it. */
    play.cluster.token.no++;
    play.cluster.primary.token = play.cluster.token;
    play.primary.token = play.cluster.token;
    play.view.pg.conf.token = play.cluster.token;
    CU_ASSERT_EQUAL(decide(), ACT_CLONE);
}

/* A port that is taken, a setting, a full disk, a stop by hand: another directory would change nothing. */
static void other_failures_mend_nothing(void)
{
    begin(REJOIN_CLONE);
    for (int i = 0; i < 10 * MEND_TRIES; i++) {
        CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
        CU_ASSERT_EQUAL(play.plan.why, WHY_STANDBY_START);
        end_with(-(int)ERR_COMMAND, false);
    }
    fails_to_start(MEND_TRIES - 1);
    CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
    end_with(0, false);
    fails_to_start(MEND_TRIES - 1);
    CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
}

/* G3: the copy is given up for a primary that has promoted and reports, and never under a fence. */
static void nothing_is_given_up_without_a_primary(void)
{
    begin(REJOIN_CLONE);
    fails_to_start(MEND_TRIES);
    play.view.primary = NULL;
    CU_ASSERT_EQUAL(decide(), ACT_NONE);
    CU_ASSERT_FALSE(play.plan.forget_directory);
    play.view.primary = &play.primary;
    play.cluster.primary.phase = PRIMARY_ELECTED;
    CU_ASSERT_EQUAL(decide(), ACT_NONE);
    play.cluster.primary.phase = PRIMARY_ACTIVE;
    agreed_do_fence(&play.cluster);
    CU_ASSERT_EQUAL(decide(), ACT_START_STANDBY);
    CU_ASSERT_EQUAL(play.plan.action.conf.upstream, 0);
}

static const struct unit_test tests[] = {
    { "rewinds, then clones, then waits for a person and tries on", rewinds_then_clones_then_waits },
    { "a rewind that fails twice has been tried", a_rewind_that_fails_has_been_tried },
    { "goes no further than rejoin allows, and says so", goes_no_further_than_allowed },
    { "a rewind may recover the server first", a_rewind_may_recover_first },
    { "a clone is made once under a token, also over restarts", a_second_clone_under_a_token_is_refused_once },
    { "other failures of a start mend nothing", other_failures_mend_nothing },
    { "nothing is given up without a primary, or under a fence", nothing_is_given_up_without_a_primary },
};
const struct unit_suite suite_mend = UNIT_SUITE("mend", tests);
