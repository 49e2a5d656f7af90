/*
 * node_fence.c - a member under a FENCE that it has applied (design 5.3 step 2; R4, R5, R13).
 *
 * The old primary gives up its lease and everything pending and stops at once; only then it reports, and only while the
 * leader asks for it, it comes up without an upstream to learn its end of WAL. A standby cuts itself off for good and
 * reports its end of WAL on disk. What is reported is derived from the newest look each time, so a receiver that is
 * seen later takes the report back by itself.
 */
#include "core/node.h"

static void report_data(struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    struct fence_report *report = &turn->plan->fence;

    report->data = true;
    report->directory = turn->view->directory;
    report->timeline = pg->timeline;
    report->end = pg->end;
}

static void carry_report(struct node_turn *turn)
{
    struct fence_report *report = &turn->plan->fence;

    report->token = turn->cluster->token;
    if (token_is(turn->view->fence.token, report->token)) {
        report->stopped = turn->view->fence.stopped;
        report->clean = turn->view->fence.clean;
    }
}

/* Brings the server up without an upstream and finds its end of WAL. */
static void reveal_end(struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    struct pg_conf conf;

    node_conf_detached(turn, &conf);
    if (pg->state == PG_ABSENT) {
        node_because_no_data(turn);
    } else if (pg->state == PG_STOPPED) {
        (void)node_want(turn, ACT_START_STANDBY, REPLAY_TIMEOUT_US, &conf);
        node_because(turn, WHY_FENCED_DETACH, "starts without an upstream");
    } else if (pg->state == PG_ORPHANS) {
        (void)node_want(turn, ACT_KILL, STOP_TIMEOUT_US, NULL);
        node_because(turn, WHY_FENCED_DETACH, "ends what is left of the old server");
    } else if (pg->state == PG_STARTING && pg->conf_present && pg->conf.upstream == 0 &&
               token_is(pg->conf.token, turn->cluster->token)) {
        turn->plan->look = true;
        node_because(turn, WHY_FENCED_END, "it does not accept connections yet");
    } else if (!node_detached(turn)) {
        (void)node_want(turn, ACT_DETACH, START_TIMEOUT_US, &conf);
        node_because(turn, WHY_FENCED_DETACH, NULL);
    } else if (pg->state == PG_STANDBY && pg->end_final && pg->system_identifier != 0 &&
               turn->view->directory.no != 0) {
        report_data(turn);
        node_because(turn, WHY_FENCED_REPORTED, NULL);
    } else {
        turn->plan->look = true;
        node_because(turn, WHY_FENCED_END, NULL);
    }
}

void node_fenced_primary(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    carry_report(turn);
    if (!turn->plan->fence.stopped && node_pg_runs(&view->pg)) {
        node_kill(turn, WHY_FENCED_PRIMARY);
        return;
    }
    if (!turn->plan->fence.stopped && view->acting != ACT_NONE) {
        /* Something pending might still start a server: it is given up before anything is said. */
        node_kill(turn, WHY_FENCED_PRIMARY);
        return;
    }
    turn->plan->fence.stopped = true;
    turn->plan->guard = WISH_STANDBY;
    if (view->pg.state == PG_PRIMARY)
        node_kill(turn, WHY_ROGUE);
    else if (view->want_primary_data)
        reveal_end(turn);
    else
        node_because(turn, WHY_FENCED_STOPPED, NULL);
}

/* Receives what the furthest holds, from it alone: it is fenced like this one, so nothing is acknowledged by this. */
static void fetch(struct node_turn *turn, const struct member *from)
{
    const struct pg_seen *pg = &turn->view->pg;
    struct pg_conf conf;

    node_conf_detached(turn, &conf);
    node_conf_from(turn, from, &conf);
    if (pg->conf.source != conf.source || pg->conf.upstream != conf.upstream || !token_is(pg->conf.token, conf.token))
        (void)node_want(turn, ACT_CONFIGURE, RELOAD_TIMEOUT_US, &conf);
    turn->plan->look = true;
    node_because(turn, WHY_FENCED_FETCH, from->name);
}

void node_fenced_standby(struct node_turn *turn)
{
    const struct member *from = cluster_member(turn->cluster, turn->view->fetch_from);

    carry_report(turn);
    turn->plan->fence.stopped = false;
    if (node_may_become_primary(turn->view)) {
        node_kill(turn, WHY_ROGUE);
        return;
    }
    turn->plan->guard = WISH_STANDBY;
    if (from && turn->view->pg.state == PG_STANDBY && turn->view->pg.conf_present)
        fetch(turn, from);
    else
        reveal_end(turn);
}

/* What was said under the reserved token, while the data directory is the one it was said of. */
static bool said(const struct node_turn *turn, struct token reserved)
{
    const struct fence_report *report = &turn->view->fence;

    return token_is(report->token, reserved) && (report->stopped || report->data);
}

/* It has stopped for this switchover, and something else has started it since: while one is open nobody may (R27). */
static bool started_again(const struct node_turn *turn, struct token reserved)
{
    const struct node_view *view = turn->view;
    bool server = view->pg.state == PG_STARTING || view->pg.state == PG_STANDBY || view->pg.state == PG_PRIMARY;
    bool stopped = view->stop_watched && view->stopped_at >= turn->cluster->operation.at;

    return said(turn, reserved) ? node_pg_runs(&view->pg) : server && stopped;
}

/* A standby adds nothing of its own, so that what was said of the WAL stays true; anything else may have. */
static void stop_again(struct node_turn *turn, struct token reserved)
{
    const struct node_view *view = turn->view;

    if (view->pg.state == PG_STANDBY && said(turn, reserved))
        turn->plan->fence = view->fence;
    turn->plan->fence.token = reserved;
    turn->plan->fence.stopped = false;
    if (node_may_become_primary(view) || view->pg.state == PG_ORPHANS) {
        node_kill(turn, WHY_ROGUE);
        return;
    }
    node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL)->stop_fast_us = 5000000;
    node_because(turn, WHY_SWITCHOVER_STOP, "something else started it again");
}

/* The old primary is down: what its WAL is good for. */
static void report_stop(struct node_turn *turn, struct token reserved)
{
    const struct node_view *view = turn->view;
    const struct fence_report *before = &view->fence;
    struct fence_report *report = &turn->plan->fence;
    bool whole = view->pg.state == PG_STOPPED;

    report->token = reserved;
    if (whole && view->pg.clean && view->pg.end_final) {
        report->clean = true;
        report_data(turn);
    } else if (whole && token_is(before->token, reserved) && before->clean && before->data &&
               directory_is(before->directory, view->directory)) {
        *report = *before; /* it has been a standby since */
    } else if (whole) {
        /* A lower bound; it meets the demands as the directory it is, and only it can be elected from it. */
        report->directory = view->directory;
        report->timeline = view->pg.timeline;
        report->end = view->pg.end;
    }
    report->stopped = true;
    turn->plan->guard = WISH_STANDBY;
    node_because(turn, WHY_SWITCHOVER_WAIT, NULL);
}

/*
 * The reserved token's report of a switchover: the old primary keeps its lease while it checkpoints and stops in good
 * order. A stop that was not clean is said to be so; the leader then elects it again (design 5.4; R21, R27).
 */
void node_switchover_primary(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    const struct operation *operation = &turn->cluster->operation;
    struct token reserved = { turn->cluster->token.no + 1 };

    turn->plan->fence.token = reserved;
    if (started_again(turn, reserved)) {
        stop_again(turn, reserved);
        return;
    }
    if (node_pg_runs(&view->pg)) {
        turn->plan->lease = true;
        if (lease_valid(&view->lease, turn->cluster, turn->now_us)) {
            turn->plan->guard = WISH_PRIMARY;
            turn->plan->guard_kill_at_us = lease_kill_at_us(&view->lease);
        } else if (view->pg.state == PG_PRIMARY && node_lease_missed(turn)) {
            turn->plan->trouble = TROUBLE_GIVING_UP;
            node_kill(turn, WHY_PRIMARY_NO_LEASE);
            return;
        }
        if (view->pg.state == PG_PRIMARY && view->checkpointed_for != operation->at) {
            (void)node_want(turn, ACT_CHECKPOINT, (int64_t)operation->timeout_ms * 500, NULL);
            node_because(turn, WHY_SWITCHOVER_STOP, "checkpoint, still open");
            return;
        }
        struct pg_action *stop = node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL);
        stop->stop_fast_us = (int64_t)operation->timeout_ms * 500;
        node_because(turn, WHY_SWITCHOVER_STOP, NULL);
        return;
    }
    if (view->acting == ACT_NONE) {
        report_stop(turn, reserved);
        return;
    }
    if (token_is(view->fence.token, reserved))
        turn->plan->fence = view->fence;
    turn->plan->fence.stopped = false;
    node_because(turn, WHY_SWITCHOVER_STOP, NULL);
}
