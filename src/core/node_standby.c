/*
 * node_standby.c - a member that is not the primary: start, compare, follow, rewind, clone (design 5.5, 5.6).
 *
 * A standby is pointed at a primary only once its own end of WAL lies on that primary's history: PostgreSQL compares
 * bare LSNs, and a diverged standby acknowledges what it lacks (R6). The settings file says under which token it was
 * pointed at whom; under the present token nothing needs to be compared again, since streaming only extends it.
 */
#include "core/node.h"

#include "core/history.h"

#define VERSION_NUMBERS_A_MAJOR 10000 /* server_version_num 150018 is PostgreSQL 15 */

enum comparison { COMPARE_UNKNOWN, COMPARE_FOLLOW, COMPARE_DIVERGED };

/* An operator wrote this directory off: it counts only once a rewind or clone has given it another identity. */
static bool written_off(const struct node_turn *turn)
{
    return turn->self->written_off && directory_is(turn->view->directory, turn->self->directory);
}

static bool attached(const struct node_turn *turn)
{
    const struct pg_conf *conf = &turn->view->pg.conf;

    const struct pg_seen *pg = &turn->view->pg;
    /* A server that was promoted by hand since has WAL of its own, whatever its settings say. */
    bool own_way = !cluster_owns_wal(turn->cluster, &pg->history, pg->timeline) ||
                   pg->timeline.no > turn->cluster->primary.timeline.no || (pg->state == PG_STOPPED && pg->was_primary);

    return !own_way && !written_off(turn) && !directory_spoiled(turn->view->directory) && pg->conf_present &&
           conf->upstream == turn->cluster->primary.node_id && token_is(conf->token, turn->cluster->primary.token);
}

/* Those who reported under this fence were compared by the election itself. */
static bool compared_by_election(const struct node_turn *turn)
{
    const struct fence_report *report = &turn->view->fence;
    const struct primary *primary = &turn->cluster->primary;

    return token_is(report->token, primary->token) && report->data &&
           directory_is(report->directory, turn->view->directory) && report->timeline.no == primary->from_timeline.no &&
           lsn_cmp(report->end, primary->position) <= 0 && lsn_cmp(report->end, turn->view->pg.end) == 0;
}

/* The primary's own report, of the life and timeline that the log speaks of. */
static const struct report *primary_report(const struct node_turn *turn)
{
    const struct report *report = turn->view->primary;
    const struct primary *primary = &turn->cluster->primary;

    if (!report || primary->phase != PRIMARY_ACTIVE || report->node_id != primary->node_id ||
        !token_is(report->token, primary->token) || report->pg_state != PG_PRIMARY ||
        report->timeline.no != primary->timeline.no)
        return NULL;
    return report;
}

static enum comparison compare(const struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    const struct report *primary = primary_report(turn);
    /* While its settings name anybody, a receiver may come at any moment and move the end that was looked at. */
    bool held = pg->state != PG_STANDBY || (pg->conf_present && pg->conf.upstream == 0 && pg->conf_loaded);
    bool final = pg->end_final && !pg->receiver && held;

    if (token_is(turn->view->diverged_under, turn->cluster->primary.token) || written_off(turn))
        return COMPARE_DIVERGED;
    /* Made by hand. Its history may agree with everybody's, and the election that it reported under left it out. */
    if (!cluster_owns_wal(turn->cluster, &pg->history, pg->timeline) || directory_spoiled(turn->view->directory))
        return final && primary ? COMPARE_DIVERGED : COMPARE_UNKNOWN;
    if (final && compared_by_election(turn))
        return COMPARE_FOLLOW;
    if (!final || !primary)
        return COMPARE_UNKNOWN;
    if (pg->timeline.no == primary->timeline.no && lsn_cmp(pg->end, primary->end) > 0)
        return COMPARE_UNKNOWN;
    struct fork fork = history_fork((struct lineage){ &pg->history, pg->timeline, pg->end },
                                    (struct lineage){ &primary->history, primary->timeline, primary->end });
    return fork.diverged || fork.timeline.no == 0 ? COMPARE_DIVERGED : COMPARE_FOLLOW;
}

/* A copy of the primary would not start with the programs of this host. */
static bool other_major(const struct node_turn *turn, const struct report *primary)
{
    uint32_t major = primary->version_number / VERSION_NUMBERS_A_MAJOR;

    return major != 0 && turn->view->pg.programs_major != 0 && major != turn->view->pg.programs_major;
}

/* pg_rewind would see nothing, or too little: what this server wrote goes by numbers and positions of the cluster's. */
static bool hidden(const struct node_view *view)
{
    return directory_spoiled(view->directory) && !view->foreign_shown;
}

/* Rewind or clone from the active primary; both give the directory a new identity. */
static void rework(struct node_turn *turn, enum act_kind kind, enum why why)
{
    const struct member *primary = cluster_member(turn->cluster, turn->cluster->primary.node_id);
    const struct report *report = primary_report(turn);
    struct pg_conf conf;

    if (kind == ACT_REWIND && hidden(turn->view)) {
        if (turn->view->rejoin != REJOIN_CLONE) {
            node_because(turn, WHY_STANDBY_DIVERGED, "no rewind finds what it wrote as a primary: it has to be cloned");
            return;
        }
        kind = ACT_CLONE;
    }
    if (!report || !primary) {
        node_because(turn, WHY_STANDBY_COMPARE, "the primary has not reported yet");
        return;
    }
    if (kind == ACT_CLONE && other_major(turn, report)) {
        node_because(turn, WHY_STANDBY_MAJOR, NULL);
        return;
    }
    if (kind == ACT_REWIND && !report->checkpointed) {
        node_because(turn, why, "the primary has no checkpoint on its timeline yet");
        return;
    }
    node_conf_follow(turn, &conf);
    struct pg_action *action = node_want(turn, kind, REPLAY_TIMEOUT_US, &conf);
    (void)text_copy(action->source_conninfo, sizeof action->source_conninfo, primary->conninfo);
    turn->plan->forget_directory = turn->view->acting == ACT_NONE;
    node_because(turn, why, NULL);
}

static void clone_absent(struct node_turn *turn)
{
    rework(turn, ACT_CLONE, WHY_STANDBY_CLONE);
    turn->plan->action.strange = turn->other_system;
    if (turn->plan->why == WHY_STANDBY_CLONE)
        node_because(turn, WHY_STANDBY_CLONE,
                     turn->other_system ? "another PostgreSQL system's data lies there: sets it aside and clones"
                                        : "there is no data: clones");
}

static void diverged(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    bool rewind_fails = view->failed_kind == ACT_REWIND && view->failed_count >= 2;
    /* pg_rewind sees no difference between two timelines of one number, says so, and leaves it as it is (R9). */
    bool in_vain = token_is(view->rewound_under, turn->cluster->primary.token);

    turn->plan->diverged_under = turn->cluster->primary.token;
    if (view->rejoin == REJOIN_FOLLOW) {
        node_because(turn, WHY_STANDBY_DIVERGED, "rejoin=follow");
        return;
    }
    if (view->rejoin == REJOIN_REWIND && in_vain) {
        node_because(turn, WHY_STANDBY_DIVERGED, "was rewound in vain: clone it");
        return;
    }
    if (node_pg_runs(&view->pg)) {
        turn->plan->foreign_shown = !cluster_owns_wal(turn->cluster, &view->pg.history, view->pg.timeline);
        node_want(turn, ACT_STOP, STOP_TIMEOUT_US, NULL)->stop_fast_us = 10000000;
        node_because(turn, WHY_STANDBY_REWIND, "stops first");
        return;
    }
    if (view->rejoin == REJOIN_CLONE &&
        (rewind_fails || in_vain || view->failed_kind == ACT_CLONE || !view->pg.can_rewind))
        rework(turn, ACT_CLONE, WHY_STANDBY_CLONE);
    else
        rework(turn, ACT_REWIND, WHY_STANDBY_REWIND);
}

/* What a person can do about a server that ends in recovery, by how far this node may go alone. */
static const char *way_out(const struct node_view *view)
{
    if (view->mend.tried == ACT_CLONE)
        return "its server ends in recovery, after a clone too: see its log";
    if (view->rejoin == REJOIN_FOLLOW)
        return "its server ends in recovery: see its log, or clone it (rejoin=follow allows nothing by itself)";
    return "its server ends in recovery: see its log, or clone it (rejoin=rewind does not allow that by itself)";
}

static void because_start(struct node_turn *turn)
{
    bool broken = mend_due(&turn->view->mend);

    node_because(turn, broken ? WHY_STANDBY_BROKEN : WHY_STANDBY_START, broken ? way_out(turn->view) : NULL);
}

/* The server ends in its recovery: another start is tried only when there is nothing better. */
static bool mends(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    enum act_kind kind = mend_next(&view->mend, turn->cluster->primary.token, view->rejoin, view->pg.can_rewind);

    if (!mend_due(&view->mend) || kind == ACT_NONE)
        return false;
    rework(turn, kind, WHY_STANDBY_MEND);
    turn->plan->action.once = true;
    return true;
}

/*
 * Rewound, cloned or restored, and the log or the primary does not know of it yet: under its name the primary would
 * take it for the directory that it was, to which acknowledgements were promised and which is no more (R37).
 */
static bool unannounced(struct node_turn *turn)
{
    const struct report *primary = primary_report(turn);
    uint64_t known_at = turn->view->directory_at;

    /* A spoiled one is never announced, and never attached. */
    if (directory_spoiled(turn->view->directory))
        return false;
    if (directory_is(turn->view->directory, turn->self->directory) &&
        (known_at <= turn->cluster->primary.permitted_at || (primary && primary->applied >= known_at)))
        return false;
    node_because(turn, WHY_STANDBY_COMPARE, "its data directory is new, and the primary does not know of it yet");
    return true;
}

static void start(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    struct pg_conf conf;
    enum comparison comparison = attached(turn) ? COMPARE_FOLLOW : compare(turn);

    if (comparison == COMPARE_DIVERGED) {
        diverged(turn);
        return;
    }
    if (mends(turn) || unannounced(turn))
        return;
    if (comparison == COMPARE_FOLLOW || token_is(view->rewound_under, turn->cluster->primary.token))
        node_conf_follow(turn, &conf);
    else
        node_conf_detached(turn, &conf);
    (void)node_want(turn, ACT_START_STANDBY, REPLAY_TIMEOUT_US, &conf);
    because_start(turn);
}

static void follow_or_rework(struct node_turn *turn)
{
    const struct pg_seen *pg = &turn->view->pg;
    struct pg_conf conf;

    switch (compare(turn)) {
    case COMPARE_FOLLOW:
        if (unannounced(turn))
            break;
        node_conf_follow(turn, &conf);
        (void)node_want(turn, ACT_CONFIGURE, RELOAD_TIMEOUT_US, &conf);
        node_because(turn, WHY_STANDBY_FOLLOW, NULL);
        break;
    case COMPARE_DIVERGED:
        diverged(turn);
        break;
    case COMPARE_UNKNOWN:
        node_conf_detached(turn, &conf);
        /* Not loaded: whoever started the server, it read the file before the last writing of it. */
        if (!pg->conf_present || pg->conf.upstream != 0 || !pg->conf_loaded || pg->receiver)
            (void)node_want(turn, ACT_DETACH, START_TIMEOUT_US, &conf);
        turn->plan->look = true;
        node_because(turn, WHY_STANDBY_COMPARE, NULL);
        break;
    }
}

static void keep_standby(struct node_turn *turn)
{
    const struct node_view *view = turn->view;
    const struct pg_seen *pg = &turn->view->pg;
    struct pg_conf conf;

    node_conf_follow(turn, &conf);
    bool level = pg->conf.demand_version == conf.demand_version && pg->conf.sync_count == conf.sync_count &&
                 pg->conf.sync_name_count == conf.sync_name_count && strcmp(pg->conf.slot, conf.slot) == 0 &&
                 pg->conf.source == conf.source;
    if (!level || !pg->conf_loaded) {
        (void)node_want(turn, ACT_CONFIGURE, RELOAD_TIMEOUT_US, &conf);
        node_because(turn, WHY_STANDBY_FOLLOW, "brings its settings in line");
    } else if (!node_keep_slots(turn, WHY_STANDBY_SLOTS)) {
        /* The switchover's target: everybody waits for the shutdown checkpoint to arrive here. */
        turn->plan->look =
            turn->cluster->operation.kind == OPERATION_SWITCHOVER && turn->cluster->operation.to == view->node_id;
        node_because(turn, WHY_STANDBY, NULL);
    }
}

void node_standby(struct node_turn *turn)
{
    const struct node_view *view = turn->view;

    /* Reported under this election's fence: the comparison still needs it. */
    if (token_is(view->fence.token, turn->cluster->primary.token))
        turn->plan->fence = view->fence;
    if (node_may_become_primary(view)) {
        node_kill(turn, WHY_ROGUE);
        return;
    }
    bool rewinding = view->acting == ACT_REWIND;
    bool unknown =
        view->pg.state == PG_STARTING && view->acting != ACT_START_STANDBY && !rewinding && !view->pg_started_standby;
    if (unknown) {
        node_kill(turn, WHY_ROGUE);
        return;
    }
    turn->plan->guard = WISH_STANDBY;
    if (view->pg.full_since_us != 0)
        turn->plan->trouble = TROUBLE_NO_SPACE;
    if (rewinding && node_pg_runs(&view->pg)) {
        /* Its own doing: a server that was not shut down is recovered first, alone, as a standby or in single-user
         * mode. */
        node_because(turn, WHY_STANDBY_REWIND, "recovers first");
        return;
    }
    if (node_lags(turn->cluster, &view->pg)) {
        node_because(
            turn, WHY_LAGGING,
            cluster_may_reserve(turn->cluster, view->pg.timeline)
                ? NULL
                : "its timeline is far beyond the cluster's: stop raftmgrd and run 'rmctl standby clone --force'");
        return;
    }
    switch (view->pg.state) {
    case PG_ABSENT:
        if (view->rejoin == REJOIN_CLONE)
            clone_absent(turn);
        else
            node_because_no_data(turn);
        break;
    case PG_STOPPED:
        start(turn);
        break;
    case PG_ORPHANS:
        (void)node_want(turn, ACT_KILL, STOP_TIMEOUT_US, NULL);
        node_because(turn, WHY_STANDBY_START, "ends what is left of the old server");
        break;
    case PG_STANDBY:
        if (attached(turn))
            keep_standby(turn);
        else
            follow_or_rework(turn);
        break;
    case PG_STARTING:
    case PG_PRIMARY:
    case PG_UNKNOWN:
        because_start(turn);
        break;
    }
}
