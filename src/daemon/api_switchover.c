/*
 * api_switchover.c - switchover: checks everything, prints each check, proposes, and follows it to its end
 * (design 5.4).
 *
 * Nothing is changed before every check is met. From the commit on the leader and the two nodes carry the switchover
 * out by themselves; this request only watches, and may end early without harm.
 */
#include "daemon/api.h"

#include <errno.h>
#include <stdlib.h>

#define LAG_BYTES_MAX (16u << 20) /* one WAL segment: received within moments */
#define REPLAY_BYTES_MAX (64u << 20)
#define RETURN_MS 10000 /* of the timeout is kept for the way back to the old primary */

enum step { STEP_CHECK, STEP_PROPOSE, STEP_RUN, STEP_FOLLOW };
enum shown { SHOWN_NOTHING, SHOWN_OPEN, SHOWN_STOPPED, SHOWN_ELECTED };

/* -- checks ------------------------------------------------------------------------------------------------------- */

struct checks {
    struct api_client *client;
    const struct daemon *daemon;
    const struct cluster *cluster;
    const struct member *from, *to;
    const struct report *primary, *target;
    int64_t now_us;
    uint32_t failed;
};

static bool check(struct checks *checks, bool met, const char *yes, const char *no)
{
    api_progress(checks->client, met ? "INFO" : "ERROR", "%s", met ? yes : no);
    checks->failed += !met;
    return met;
}

static const char *node_text(const struct member *member, char *text, size_t size)
{
    (void)snprintf(text, size, "node \"%s\" (ID: %d)", member->name, member->node_id);
    return text;
}

static void check_cluster(struct checks *checks)
{
    const struct cluster *cluster = checks->cluster;
    uint32_t heard = 0;
    char text[TEXT_SIZE];

    check(checks, checks->daemon->manager.lead.raft.leader_id != 0, "the Raft group has a leader",
          "no Raft leader is known");
    for (uint32_t i = 0; i < cluster->member_count; i++)
        heard += cluster->members[i].voter &&
                 api_report(checks->daemon, cluster->members[i].node_id, checks->now_us) != NULL;
    (void)snprintf(text, sizeof text, "%" PRIu32 " of %" PRIu32 " voters are reachable, %" PRIu32 " needed", heard,
                   cluster_voters(cluster), cluster_majority(cluster));
    check(checks, heard >= cluster_majority(cluster), text, text);
    check(checks, cluster->operation.kind == OPERATION_NONE, "no other operation is in progress",
          "another operation is in progress: look at \"rmctl status\"");
    check(checks, cluster->pause == PAUSE_OFF, "failover is not paused", "failover is paused: run \"rmctl unpause\"");
}

static void check_primary(struct checks *checks)
{
    const struct report *report = checks->primary;
    const struct manager *manager = &checks->daemon->manager;
    char name[TEXT_SIZE];
    char yes[2 * TEXT_SIZE];
    char no[2 * TEXT_SIZE];

    node_text(checks->from, name, sizeof name);
    (void)snprintf(yes, sizeof yes, "%s is the active primary", name);
    (void)snprintf(no, sizeof no, "there is no active primary");
    check(checks, checks->cluster->primary.phase == PRIMARY_ACTIVE && !cluster_fenced(checks->cluster), yes, no);
    (void)snprintf(yes, sizeof yes, "the daemon of %s is reachable", name);
    (void)snprintf(no, sizeof no, "the daemon of %s is not reachable", name);
    if (!check(checks, report != NULL, yes, no))
        return;
    (void)snprintf(yes, sizeof yes, "its server accepts connections and writes");
    (void)snprintf(no, sizeof no, "its server is not well: %s", report->problem[0] ? report->problem : report->waiting);
    check(checks, report->pg_state == PG_PRIMARY && report->pg_answering && report->trouble == TROUBLE_NONE, yes, no);
    bool own = checks->from->raft_id == manager->node.raft_id;
    bool leased = own ? lease_valid(&manager->node.lease, checks->cluster, checks->now_us) : report->lease_valid;
    check(checks, leased, "its lease is valid", "it holds no valid lease");
    check(checks, report->guard_armed, "its guard is armed", "its guard is not armed");
}

/* How the primary sees the target's WAL sender. */
static bool attached(const struct checks *checks, struct lsn *ret_flushed)
{
    const struct report *primary = checks->primary;

    *ret_flushed = checks->target->end;
    for (uint32_t i = 0; primary && i < primary->walsender_count; i++) {
        if (primary->walsenders[i].node_id != checks->to->node_id)
            continue;
        *ret_flushed = primary->walsenders[i].flushed;
        return primary->walsenders[i].streaming;
    }
    return false;
}

static void check_data(struct checks *checks)
{
    const struct report *report = checks->target;
    const struct report *primary = checks->primary;
    struct lsn flushed;
    char text[2 * TEXT_SIZE];

    bool streams = attached(checks, &flushed);
    check(checks, report->following && report->receiver_streaming && streams,
          "it streams from the primary, through its slot", "it does not stream from the primary");
    (void)snprintf(text, sizeof text, "it is on timeline %" PRIu32 ", the primary on timeline %" PRIu32,
                   report->timeline.no, checks->cluster->primary.timeline.no);
    check(checks, report->timeline.no == checks->cluster->primary.timeline.no && !report->lagging, text, text);
    uint64_t end = primary ? primary->end.at : 0;
    uint64_t behind = end > flushed.at ? end - flushed.at : 0;
    (void)snprintf(text, sizeof text, "it is %" PRIu64 " bytes behind in receiving (at most %u)", behind,
                   LAG_BYTES_MAX);
    check(checks, end != 0 && behind <= LAG_BYTES_MAX, text, text);
    behind = end > report->replayed.at ? end - report->replayed.at : 0;
    (void)snprintf(text, sizeof text, "it is %" PRIu64 " bytes behind in replaying (at most %u)", behind,
                   REPLAY_BYTES_MAX);
    check(checks, end != 0 && behind <= REPLAY_BYTES_MAX, text, text);
    bool own = checks->to->raft_id == checks->daemon->manager.node.raft_id;
    if (own && checks->daemon->manager.node.pg.replay_paused)
        check(checks, false, "", "its replay is paused: run SELECT pg_wal_replay_resume() on it");
    check(checks, directory_is(report->directory, checks->to->directory) && checks->to->directory.no != 0,
          "its data directory is the one that the cluster knows", verdict_text(VERDICT_DIRECTORY));
}

static void check_target(struct checks *checks)
{
    const struct member *to = checks->to;
    char name[TEXT_SIZE];
    char yes[2 * TEXT_SIZE];
    char no[2 * TEXT_SIZE];

    node_text(to, name, sizeof name);
    (void)snprintf(yes, sizeof yes, "%s is a registered standby", name);
    (void)snprintf(no, sizeof no, "%s cannot become primary: it is %s", name,
                   to->kind == NODE_WITNESS ? "a witness"
                   : !to->registered        ? "not registered"
                                            : "the primary already");
    if (!check(checks, to->kind == NODE_DATA && to->registered && to != checks->from, yes, no))
        return;
    (void)snprintf(yes, sizeof yes, "the daemon of %s is reachable", name);
    (void)snprintf(no, sizeof no, "the daemon of %s is not reachable", name);
    if (!check(checks, checks->target && checks->target->start_no == to->start_no && checks->target->hello, yes, no))
        return;
    (void)snprintf(no, sizeof no, "its server is not well: %s",
                   checks->target->problem[0] ? checks->target->problem : checks->target->waiting);
    if (check(checks, checks->target->pg_state == PG_STANDBY && checks->target->pg_answering,
              "its server is a standby and accepts connections", no))
        check_data(checks);
}

/* The others will follow the new primary as soon as they can; whether they do is no condition. */
static void look_at_others(struct checks *checks)
{
    const struct cluster *cluster = checks->cluster;

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        if (member != checks->from && member != checks->to && member->kind == NODE_DATA &&
            !api_report(checks->daemon, member->node_id, checks->now_us))
            api_progress(checks->client, "WARNING",
                         "node \"%s\" (ID: %d) is not reachable: it follows the new primary when it is back",
                         member->name, member->node_id);
    }
}

/* -- the target --------------------------------------------------------------------------------------------------- */

const struct member *api_member(const struct cluster *cluster, const char *text)
{
    const struct member *member = cluster_member_by_name(cluster, text);
    char *end;

    if (member)
        return member;
    errno = 0;
    long number = strtol(text, &end, 10);
    return errno || *end || end == text || number <= 0 || number > INT32_MAX ? NULL
                                                                             : cluster_member(cluster, (int32_t)number);
}

/* Among the registered standbys that stream: the greater priority, then who has received most, then the lower id. */
static const struct member *best(const struct checks *checks)
{
    const struct cluster *cluster = checks->cluster;
    const struct member *best = NULL;
    struct lsn best_end = { 0 };

    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        const struct report *report = api_report(checks->daemon, member->node_id, checks->now_us);
        if (member->kind != NODE_DATA || !member->registered || member == checks->from || member->priority == 0 ||
            !report || report->pg_state != PG_STANDBY || !report->following || !report->receiver_streaming)
            continue;
        bool wins = !best || member->priority > best->priority ||
                    (member->priority == best->priority &&
                     (lsn_cmp(report->end, best_end) > 0 ||
                      (lsn_cmp(report->end, best_end) == 0 && member->node_id < best->node_id)));
        if (wins) {
            best = member;
            best_end = report->end;
        }
    }
    return best;
}

/* -- steps -------------------------------------------------------------------------------------------------------- */

static void run_checks(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    struct checks checks = { .client = client, .daemon = client->daemon, .cluster = cluster, .now_us = now_us };

    checks.from = cluster_member(cluster, cluster->primary.node_id);
    if (!checks.from) {
        api_refuse(client, ERR_REFUSED, NULL, "the cluster has no primary to switch over from");
        return;
    }
    checks.to = task->request.to[0] ? api_member(cluster, task->request.to) : best(&checks);
    if (!checks.to && task->request.to[0]) {
        api_refuse(client, ERR_NOT_FOUND, "\"rmctl cluster show\" lists the nodes", "there is no node '%s'",
                   task->request.to);
        return;
    }
    check_cluster(&checks);
    checks.primary = api_report(client->daemon, checks.from->node_id, now_us);
    check_primary(&checks);
    if (checks.to) {
        checks.target = api_report(client->daemon, checks.to->node_id, now_us);
        check_target(&checks);
        look_at_others(&checks);
    } else {
        check(&checks, false, "", "no registered standby streams from the primary");
    }
    if (checks.failed) {
        api_refuse(client, ERR_REFUSED, "mend what is named above, then try again",
                   "%" PRIu32 " of the conditions of a switchover are not met; nothing was changed", checks.failed);
        return;
    }
    task->from = checks.from->node_id;
    task->to = checks.to->node_id;
    task->token = cluster->token;
    if (task->request.dry_run)
        api_answer(client,
                   json_pack("{s:o, s:o}", "from", api_node(cluster, task->from), "to", api_node(cluster, task->to)));
    else
        task->step = STEP_PROPOSE;
}

static void propose(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    bool open = cluster->operation.kind == OPERATION_SWITCHOVER && cluster->operation.to == task->to;
    int64_t kept_ms = task->request.timeout_ms / 4 < RETURN_MS ? task->request.timeout_ms / 4 : RETURN_MS;

    if (task->submitted_us != 0 && (open || !token_is(cluster->token, task->token))) {
        task->step = STEP_RUN;
        return;
    }
    struct command command = { .kind = COMMAND_SWITCHOVER,
                               .node_id = task->to,
                               .token = task->token,
                               .number = (uint32_t)(task->request.timeout_ms - kept_ms) };
    api_waits(client, "the switchover to be committed");
    (void)api_propose(client, &command, now_us);
}

/* Tells each stage once, and takes the times for the outage. */
static void watch(struct api_client *client, const struct report *old, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    const struct member *from = cluster_member(cluster, task->from);
    const struct member *to = cluster_member(cluster, cluster->primary.node_id);
    bool elected = cluster->primary.phase == PRIMARY_ELECTED && !token_is(cluster->primary.token, task->token);

    if (task->shown_phase < SHOWN_OPEN) {
        task->shown_phase = SHOWN_OPEN;
        api_progress(client, "NOTICE", "node \"%s\" writes a checkpoint and stops", from ? from->name : "");
        api_waits(client, "the old primary to stop and the target to receive its last record");
    }
    if (task->shown_phase < SHOWN_STOPPED && old && (old->acting == ACT_STOP || old->pg_state != PG_PRIMARY)) {
        task->shown_phase = SHOWN_STOPPED;
        task->stopped_us = now_us;
    }
    if (task->shown_phase < SHOWN_ELECTED && elected) {
        task->shown_phase = SHOWN_ELECTED;
        api_progress(client, "NOTICE", "node \"%s\" is elected under token %" PRIu64 " and promotes",
                     to ? to->name : "", cluster->primary.token.no);
        api_waits(client, "the promotion");
    }
    task->changed = task->changed || cluster->operation.kind == OPERATION_FAILOVER;
}

static void run(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    const struct primary *primary = &cluster->primary;
    const struct member *now = cluster_member(cluster, primary->node_id);
    const char *name = now ? now->name : "";

    watch(client, api_report(client->daemon, task->from, now_us), now_us);
    if (cluster->operation.kind != OPERATION_NONE || primary->phase != PRIMARY_ACTIVE)
        return;
    if (task->changed) {
        api_refuse(client, ERR_SWITCHOVER, "look at \"rmctl status\" and \"rmctl cluster event\"",
                   "a failover has taken over: node \"%s\" is primary under token %" PRIu64, name, primary->token.no);
    } else if (primary->node_id != task->to) {
        api_refuse(client, ERR_SWITCHOVER, "look at \"rmctl cluster event\" and at the daemons' logs",
                   "the target did not take over in time: node \"%s\" goes on as primary under token %" PRIu64, name,
                   primary->token.no);
    } else {
        task->promoted_us = now_us;
        task->step = STEP_FOLLOW;
        api_waits(client, "the old primary to come back as a standby");
    }
}

static void follow(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;
    const struct cluster *cluster = &client->daemon->manager.cluster;
    const struct report *old = api_report(client->daemon, task->from, now_us);

    if (!old || old->pg_state != PG_STANDBY || !old->following || !old->receiver_streaming) {
        if (old)
            api_waits(client, "the old primary to stream from the new one; %.180s", old->waiting);
        return;
    }
    json_t *result =
        json_pack("{s:o, s:o, s:I, s:I}", "from", api_node(cluster, task->from), "to", api_node(cluster, task->to),
                  "token", (json_int_t)cluster->primary.token.no, "timeline", (json_int_t)cluster->primary.timeline.no);
    if (task->stopped_us != 0)
        (void)json_object_set_new(result, "outage_ms", json_integer((task->promoted_us - task->stopped_us) / 1000));
    api_answer(client, result);
}

void api_turn_switchover(struct api_client *client, int64_t now_us)
{
    struct api_task *task = &client->task;

    if (!api_ready(client))
        return;
    if (task->step == STEP_CHECK)
        run_checks(client, now_us);
    if (task->open && task->step == STEP_PROPOSE)
        propose(client, now_us);
    if (task->open && task->step == STEP_RUN)
        run(client, now_us);
    if (task->open && task->step == STEP_FOLLOW)
        follow(client, now_us);
    if (task->open && task->step == STEP_FOLLOW && now_us >= task->deadline_us)
        api_refuse(client, ERR_INCOMPLETE, "look at \"rmctl status\": it goes on trying by itself",
                   "the target is primary, and the old primary is no streaming standby yet; waits for %s", task->waits);
}
