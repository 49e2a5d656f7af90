/*
 * node_primary.c - the elected winner until its promotion, and the active primary (design 5.2, 5.3 step 4; R8, R16).
 *
 * Nothing here writes without a valid lease and an armed guard under the current token; what may be started as primary
 * is permitted by an ELECT or RESTART that is newer than the last time the server was seen not running.
 */
#include "core/node.h"

static void arm_guard(struct node_turn *turn)
{
    if (turn->cluster->pause == PAUSE_ON) {
        turn->plan->guard = WISH_PAUSED;
    } else if (node_lease_valid(turn)) {
        turn->plan->guard = WISH_PRIMARY;
        turn->plan->guard_kill_at_us = lease_kill_at_us(&turn->view->lease);
    }
}

static bool on_position(const struct node_turn *turn)
{
    const struct primary *primary = &turn->cluster->primary;
    const struct pg_seen *pg = &turn->view->pg;

    return pg->end_final && pg->timeline.no == primary->from_timeline.no && pg->end.at >= primary->position.at &&
           directory_is(turn->view->directory, primary->directory);
}

/* A standby without upstream that holds the position: settings, lease, guard, promotion. */
static void elected_standby(struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    struct pg_conf conf;

    node_conf_detached(turn, &conf);
    if (pg->timeline.no > turn->cluster->primary.from_timeline.no) {
        /* It was promoted, here or by hand, and died before that was reported: it is not what was elected any more. */
        turn->plan->trouble = TROUBLE_FAILED;
        node_because(turn, WHY_ELECTED_FAILED, NULL);
    } else if (!pg->conf_present || pg->conf.upstream != 0 || pg->receiver) {
        (void)node_want(turn, ACT_DETACH, START_TIMEOUT_US, &conf);
        node_because(turn, WHY_ELECTED_CONFIGURE, NULL);
    } else if (pg->conf.demand_version != conf.demand_version || !token_is(pg->conf.token, conf.token) ||
               !pg->conf_loaded) {
        (void)node_want(turn, ACT_CONFIGURE, RELOAD_TIMEOUT_US, &conf);
        node_because(turn, WHY_ELECTED_CONFIGURE, NULL);
    } else if (!on_position(turn)) {
        turn->plan->look = true;
        node_because(turn, WHY_ELECTED_POSITION, NULL);
    } else if (!node_lease_valid(turn)) {
        node_because(turn, WHY_ELECTED_LEASE, NULL);
    } else if (!node_guard_armed(turn)) {
        node_because(turn, WHY_PRIMARY_NO_GUARD, NULL);
    } else {
        struct pg_action *promote = node_want(turn, ACT_PROMOTE, START_TIMEOUT_US, &conf);
        promote->timeline = turn->cluster->primary.timeline;
        node_because(turn, WHY_ELECTED_PROMOTE, NULL);
    }
}

static void elected_promoted(struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;

    if (pg->timeline.no != 0 && pg->timeline.no != turn->cluster->primary.timeline.no) {
        turn->plan->trouble = TROUBLE_FAILED;
        node_kill(turn, WHY_ELECTED_FAILED);
        return;
    }
    /* With the guard, or in its place where it has just died; a restarted daemon's guard goes by its page (R10). */
    bool valid = node_lease_valid(turn);
    bool vouched = valid || (!node_lease_missed(turn) && node_guard_armed(turn));
    int64_t kill_at_us = valid ? lease_kill_at_us(&turn->view->lease) : turn->view->guard_kill_at_us;
    if (!vouched || turn->now_us >= kill_at_us) {
        node_kill(turn, WHY_PRIMARY_NO_LEASE);
        return;
    }
    if (kill_at_us < turn->plan->wake_at_us)
        turn->plan->wake_at_us = kill_at_us;
    node_because(turn, WHY_PROMOTED, NULL);
    if (pg->history.count == 0) {
        /* Where it begins stands in its history, which every copy of it is held against. Not known either as long as a
         * restarted daemon has had no answer. */
        turn->plan->look = true;
        return;
    }
    struct command *command = node_propose(turn, COMMAND_PROMOTED);
    command->timeline = pg->timeline;
    command->lsn = pg->history.rows[pg->history.count - 1].end;
}

void node_elected(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    struct pg_conf conf;

    turn->plan->lease = true;
    /* Its report under the fence stays: those who compared themselves with it may still ask. */
    turn->plan->fence = view->fence;
    arm_guard(turn);
    node_conf_detached(turn, &conf);
    if (token_is(view->promote_failed, turn->cluster->token)) {
        turn->plan->trouble = TROUBLE_FAILED;
        turn->plan->lease = false;
        /* What was ordered cannot be called back: a server that is a standby still may open at any moment. */
        if (node_pg_runs(&view->pg))
            node_kill(turn, WHY_ELECTED_FAILED);
        else
            node_because(turn, WHY_ELECTED_FAILED, NULL);
        return;
    }
    switch (view->pg.state) {
    case PG_PRIMARY:
        elected_promoted(turn);
        break;
    case PG_STANDBY:
        elected_standby(turn);
        break;
    case PG_STOPPED:
        if (view->pg.timeline.no == turn->cluster->primary.timeline.no) {
            /* Promoted, and then it died: it cannot be started under this election again. */
            turn->plan->trouble = TROUBLE_FAILED;
            node_because(turn, WHY_ELECTED_FAILED, NULL);
            break;
        }
        (void)node_want(turn, ACT_START_STANDBY, REPLAY_TIMEOUT_US, &conf);
        node_because(turn, WHY_ELECTED_START, NULL);
        break;
    case PG_ORPHANS:
        node_kill(turn, WHY_ELECTED_START);
        break;
    case PG_ABSENT:
        turn->plan->trouble = TROUBLE_FAILED;
        node_because_no_data(turn);
        break;
    case PG_STARTING:
    case PG_UNKNOWN:
        node_because(turn, WHY_ELECTED_START, NULL);
        break;
    }
}

bool node_lease_missed(const struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    int64_t grace_us = (int64_t)turn->cluster->policy.lease_ttl_ms * 1000 / 2;

    if (node_lease_valid(turn))
        return false;
    if (view->lease.end_us != 0 || view->lease.refused)
        return true;
    /* A restarted daemon: the running guard goes by its page until the first round has been granted. */
    if (node_guard_armed(turn))
        return false;
    return view->primary_since_us != 0 && turn->now_us - view->primary_since_us > grace_us;
}

static bool conf_current(const struct pg_seen *pg, const struct pg_conf *conf)
{
    return pg->conf_present && pg->conf.upstream == conf->upstream && token_is(pg->conf.token, conf->token) &&
           pg->conf.demand_version == conf->demand_version && pg->conf.agent_only == conf->agent_only &&
           pg->conf.sync_count == conf->sync_count && pg->conf.sync_name_count == conf->sync_name_count &&
           memcmp(pg->conf.sync_names, conf->sync_names, sizeof conf->sync_names) == 0;
}

static enum trouble trouble_of(const struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    int64_t patience_us = (int64_t)turn->cluster->policy.failure_timeout_ms * 1000;
    int64_t since_us =
        pg->answered_at_us > turn->view->primary_since_us ? pg->answered_at_us : turn->view->primary_since_us;

    if (pg->write_failed)
        return TROUBLE_READ_ONLY;
    if (!pg->answering && turn->now_us - since_us > patience_us)
        return TROUBLE_HUNG;
    /* A query's temporary files may fill the disk for a moment; then they are gone. */
    if (pg->full_since_us != 0 && turn->now_us - pg->full_since_us > patience_us)
        return TROUBLE_NO_SPACE;
    return TROUBLE_NONE;
}

/* The housekeeping of a healthy primary, most urgent first. */
static void keep_primary(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    struct pg_conf conf;

    node_conf_detached(turn, &conf);
    conf.agent_only = view->in_place && conf.sync_count > 0;
    if (!view->pg.conf_present) {
        (void)node_want(turn, ACT_ADOPT, START_TIMEOUT_US, &conf);
        node_because(turn, WHY_PRIMARY_ADOPT, NULL);
    } else if (!conf_current(&view->pg, &conf) || !view->pg.conf_loaded) {
        (void)node_want(turn, ACT_CONFIGURE, RELOAD_TIMEOUT_US, &conf);
        node_because(turn, WHY_PRIMARY_CONFIGURE, NULL);
    } else if (view->sync.version == conf.demand_version && view->sync.checkpoint_needed &&
               !view->sync.checkpoint_done) {
        (void)node_want(turn, ACT_CHECKPOINT, CHECKPOINT_TIMEOUT_US, &conf);
        node_because(turn, WHY_PRIMARY_CHECKPOINT, NULL);
    } else if (node_keep_slots(turn, WHY_PRIMARY_SLOTS)) {
        return;
    } else if (!token_is(view->checkpointed_under, turn->cluster->token)) {
        /* Until a checkpoint of the new timeline is in pg_control, pg_rewind takes this server to be on the old one. */
        (void)node_want(turn, ACT_CHECKPOINT, CHECKPOINT_TIMEOUT_US, &conf);
        node_because(turn, WHY_PRIMARY_CHECKPOINT, NULL);
    } else {
        turn->plan->look = view->sync.settled != conf.demand_version || view->stray.pid != 0;
        node_because(turn, WHY_PRIMARY, NULL);
    }
}

/* A pause is a lease without end, also while it ends: until the guard is armed again (R17). */
static bool lease_without_end(const struct node_turn *turn)
{
    enum pause_state pause = turn->cluster->pause;

    return pause == PAUSE_ON ||
           (pause == PAUSE_ENDING && turn->view->guard_alive && turn->view->guard_mode == WISH_PAUSED);
}

static void primary_running(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    if (view->pg.timeline.no != 0 && view->pg.timeline.no != turn->cluster->primary.timeline.no) {
        node_kill(turn, WHY_ROGUE);
        return;
    }
    if (lease_without_end(turn)) {
        keep_primary(turn);
        return;
    }
    if (node_lease_missed(turn)) {
        turn->plan->trouble = TROUBLE_GIVING_UP;
        node_kill(turn, WHY_PRIMARY_NO_LEASE);
        return;
    }
    int64_t give_up_us = lease_give_up_at_us(&view->lease);
    if (view->lease.end_us != 0 && turn->now_us >= give_up_us) {
        int64_t left_us = lease_kill_at_us(&view->lease) - turn->now_us;
        turn->plan->trouble = TROUBLE_GIVING_UP;
        node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL)->stop_fast_us = left_us > 0 ? left_us : 0;
        node_because(turn, WHY_PRIMARY_GIVE_UP, NULL);
        return;
    }
    if (view->lease.end_us != 0 && give_up_us < turn->plan->wake_at_us)
        turn->plan->wake_at_us = give_up_us;
    turn->plan->trouble = trouble_of(turn);
    if (turn->cluster->pause == PAUSE_ENDING && node_guard_armed(turn)) {
        struct command *command = node_propose(turn, COMMAND_PAUSE);
        command->number = PAUSE_OFF;
        command->expect = turn->cluster->pause_version;
    }
    keep_primary(turn);
}

static void primary_down(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    struct pg_conf conf;

    if (view->acting == ACT_START_PRIMARY) {
        /* Under way, or ended and not looked at since: what came of it is not known yet, and is no trouble. */
        node_because(turn, WHY_PRIMARY_RESTART, NULL);
        return;
    }
    turn->plan->trouble = view->stop_watched ? TROUBLE_STOPPED : TROUBLE_DOWN;
    if (turn->cluster->primary.permitted_at <= view->stopped_at) {
        if (view->acting == ACT_NONE)
            turn->plan->guard = WISH_STANDBY;
        node_because(turn, WHY_PRIMARY_DOWN, NULL);
        return;
    }
    turn->plan->trouble = TROUBLE_NONE;
    node_conf_detached(turn, &conf);
    conf.agent_only = conf.sync_count > 0;
    if (!directory_is(view->directory, turn->cluster->primary.directory))
        node_because(turn, WHY_DIRECTORY, "it is not the one that the log permits to start");
    else if (!node_lease_valid(turn))
        node_because(turn, WHY_ELECTED_LEASE, NULL);
    else if (!node_guard_armed(turn))
        node_because(turn, WHY_PRIMARY_NO_GUARD, NULL);
    else {
        (void)node_want(turn, ACT_START_PRIMARY, REPLAY_TIMEOUT_US, &conf);
        node_because(turn, WHY_PRIMARY_RESTART, NULL);
    }
}

void node_primary(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    turn->plan->lease = true;
    arm_guard(turn);
    switch (view->pg.state) {
    case PG_PRIMARY:
        primary_running(turn);
        break;
    case PG_ORPHANS:
        turn->plan->trouble = TROUBLE_STOPPED;
        node_kill(turn, WHY_PRIMARY_DOWN);
        break;
    case PG_STOPPED:
        primary_down(turn);
        break;
    case PG_STANDBY:
        /* Somebody started it, and standby.signal made a standby of it: it has to be permitted anew. */
        if (view->acting == ACT_NONE) {
            turn->plan->trouble = TROUBLE_STOPPED;
            node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL)->stop_fast_us = 5000000;
        }
        node_because(turn, WHY_PRIMARY_DOWN, "it runs as a standby");
        break;
    case PG_ABSENT:
        turn->plan->trouble = TROUBLE_STOPPED;
        node_because_no_data(turn);
        break;
    case PG_STARTING:
    case PG_UNKNOWN:
        node_because(turn, WHY_PRIMARY_RESTART, NULL);
        break;
    }
}
