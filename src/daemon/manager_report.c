/*
 * manager_report.c - what members tell each other: reports to all at intervals and on every change, lease rounds and
 * their answers, proposals forwarded to the leader.
 */
#include "daemon/manager_parts.h"

#define REPORTS_PER_TIMEOUT 4

/* -- taking in ---------------------------------------------------------------------------------------------------- */

static struct manager_heard *slot_of(struct manager *manager, uint64_t raft_id)
{
    struct manager_heard *free_slot = NULL;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        struct manager_heard *heard = &manager->heard[i];
        if (heard->at_us != 0 && heard->raft_id == raft_id)
            return heard;
        bool gone = heard->at_us == 0 || !cluster_member_by_raft(&manager->cluster, heard->raft_id);
        if (!free_slot && gone)
            free_slot = heard;
    }
    return free_slot;
}

static bool streams(const struct report *report)
{
    return report->following && report->receiver_streaming;
}

/* What this server's WAL sender shows next is waited for, by a switchover and by commits: no second goes by until the
 * next look is due. */
static void note_begun(struct manager *manager, const struct manager_heard *before, const struct report *report)
{
    bool known = before->at_us != 0 && before->raft_id == report->raft_id && streams(&before->report);

    if (manager->node.pg.state == PG_PRIMARY && streams(report) && !known)
        manager->ports.look(manager->ports.ctx);
}

static void take_report(struct manager *manager, uint64_t from_raft_id, const struct report *report, int64_t now_us)
{
    struct manager_heard *heard = slot_of(manager, from_raft_id);

    if (!heard || report->raft_id != from_raft_id)
        return;
    if (heard->at_us != 0 && heard->raft_id == from_raft_id && report->start_no < heard->report.start_no)
        return;
    note_begun(manager, heard, report);
    heard->raft_id = from_raft_id;
    heard->report = *report;
    heard->at_us = now_us;
    /* Its daemon is being restarted: the sign of life is as old as failure_timeout when its lease ends. */
    int64_t timeout_us = (int64_t)manager->cluster.policy.failure_timeout_ms * 1000;
    bool away = report->leaving && report->lease_valid && token_is(report->token, manager->cluster.token) &&
                cluster_is_primary(&manager->cluster, report->node_id);
    if (away && now_us + report->lease_left_us - timeout_us > manager->seen_lease_us)
        manager->seen_lease_us = now_us + report->lease_left_us - timeout_us;
}

void manager_answer_lease(struct manager *manager, uint64_t from_raft_id, const struct lease_ask *ask, int64_t now_us)
{
    struct message message = { .kind = MESSAGE_LEASE_REPLY };

    message.reply =
        lease_voter_answer(&manager->voter, &manager->cluster, manager->node.node_id, manager->node.hello, ask, now_us);
    if (message.reply.granted) {
        lag_granted(&manager->told, ask);
        if (ask->healthy)
            manager->seen_lease_us = now_us;
    }
    if (from_raft_id == manager->node.raft_id)
        lease_take(&manager->node.lease, &manager->cluster, manager->node.start_no, &message.reply);
    else
        manager->ports.send(manager->ports.ctx, from_raft_id, &message);
}

void manager_message(struct manager *manager, uint64_t from_raft_id, const struct message *message, int64_t now_us)
{
    switch (message->kind) {
    case MESSAGE_REPORT:
        take_report(manager, from_raft_id, &message->report, now_us);
        break;
    case MESSAGE_LEASE_ASK:
        manager_answer_lease(manager, from_raft_id, &message->ask, now_us);
        break;
    case MESSAGE_LEASE_REPLY:
        lease_take(&manager->node.lease, &manager->cluster, manager->node.start_no, &message->reply);
        break;
    case MESSAGE_FORWARD:
        if (manager->lead.raft.leader)
            manager->ports.propose(manager->ports.ctx, message->forward.bytes, message->forward.length, 0);
        break;
    }
}

/* -- linking ------------------------------------------------------------------------------------------------------ */

static const struct manager_heard *heard_of(const struct manager *manager, uint64_t raft_id)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (manager->heard[i].at_us != 0 && manager->heard[i].raft_id == raft_id)
            return &manager->heard[i];
    return NULL;
}

void manager_link_reports(struct manager *manager, int64_t now_us)
{
    const struct cluster *cluster = &manager->cluster;
    const struct member *primary = cluster_member(cluster, cluster->primary.node_id);
    int64_t fresh_us = (int64_t)cluster->policy.failure_timeout_ms * 1000;

    manager->node.primary = NULL;
    if (primary) {
        const struct manager_heard *heard = heard_of(manager, primary->raft_id);
        if (heard && heard->report.start_no == primary->start_no && now_us - heard->at_us <= fresh_us)
            manager->node.primary = &heard->report;
    }
    manager->node.want_primary_data = manager->lead.raft.leader && manager->lead_plan.want_primary_data;
    manager->node.fetch_from = 0;
    if (manager->lead.raft.leader && manager->lead.fetch.node_id == manager->node.node_id &&
        token_is(manager->lead.fetch.token, cluster->token))
        manager->node.fetch_from = manager->lead.fetch.from;
    const struct manager_heard *leader = heard_of(manager, manager->lead.raft.leader_id);
    if (leader && leader->report.leads && leader->report.want_primary_data && now_us - leader->at_us <= fresh_us &&
        token_is(leader->report.token, cluster->token))
        manager->node.want_primary_data = true;
    if (leader && leader->report.leads && leader->report.fetch_node == manager->node.node_id &&
        now_us - leader->at_us <= fresh_us && token_is(leader->report.token, cluster->token))
        manager->node.fetch_from = leader->report.fetch_from;
}

static void link_heard(struct manager *manager, int64_t now_us)
{
    const struct cluster *cluster = &manager->cluster;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        struct heard *entry = &manager->lead.heard[i];
        *entry = (struct heard){ 0 };
        if (i >= cluster->member_count)
            continue;
        if (cluster->members[i].raft_id == manager->node.raft_id) {
            entry->report = &manager->report;
            continue;
        }
        const struct manager_heard *heard = heard_of(manager, cluster->members[i].raft_id);
        if (heard) {
            entry->report = &heard->report;
            entry->age_us = now_us - heard->at_us;
        }
    }
}

/*
 * A start that is permitted is no trouble, and may fail, or the server may end again: the trouble is over when the
 * server has served for failure_timeout, or with the token.
 */
static void note_trouble(struct manager *manager, const struct heard *heard, int64_t now_us)
{
    struct lead_view *lead = &manager->lead;
    const struct report *report = heard->report;
    int64_t failure_us = (int64_t)manager->cluster.policy.failure_timeout_ms * 1000;
    bool serves = report && heard->age_us <= failure_us && report->trouble == TROUBLE_NONE &&
                  report->pg_state == PG_PRIMARY && report->pg_answering;

    if (!token_is(lead->trouble_token, manager->cluster.token))
        lead->trouble_since_us = 0;
    lead->trouble_token = manager->cluster.token;
    if (!serves)
        lead->serves_since_us = 0;
    else if (lead->serves_since_us == 0)
        lead->serves_since_us = now_us;
    if (serves && now_us - lead->serves_since_us >= failure_us)
        lead->trouble_since_us = 0;
    else if (report && report->trouble != TROUBLE_NONE && lead->trouble_since_us == 0)
        lead->trouble_since_us = now_us;
}

/* What the leader remembers of the primary from turn to turn. */
static void note_primary(struct manager *manager, const struct heard *heard, int64_t now_us)
{
    struct lead_view *lead = &manager->lead;
    const struct report *report = heard->report;

    note_trouble(manager, heard, now_us);
    /* What was said before the settings were applied is about rounds by others, of which one may still be out (R12). */
    bool shorter = report && report->lease_valid && report->applied >= manager->cluster.policy_version &&
                   report->lease_length_us <= (int64_t)manager->cluster.policy.lease_ttl_ms * 1000;
    if (!shorter)
        lead->shorter_since_us = 0;
    else if (lead->shorter_since_us == 0)
        lead->shorter_since_us = now_us;
    if (!report || report->applied > lead->primary_applied) {
        lead->primary_applied = report ? report->applied : 0;
        lead->behind_since_us = 0;
    }
    if (report && report->applied >= manager->cluster.version)
        lead->behind_since_us = 0;
    else if (lead->behind_since_us == 0)
        lead->behind_since_us = now_us;
}

void manager_link_leader(struct manager *manager, int64_t now_us)
{
    struct lead_view *lead = &manager->lead;
    const struct cluster *cluster = &manager->cluster;

    manager_build_report(manager, now_us);
    link_heard(manager, now_us);
    lead->primary_seen_us = manager->seen_lease_us;
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].node_id == cluster->primary.node_id)
            note_primary(manager, &lead->heard[i], now_us);
    if (cluster->operation.kind == OPERATION_NONE) {
        lead->operation_since_us = 0;
        lead->failures = (struct failures){ 0 };
    } else if (lead->operation_since_us == 0 || manager->operation_token.no != cluster->token.no ||
               manager->operation_phase != cluster->primary.phase) {
        lead->operation_since_us = now_us;
        manager->operation_token = cluster->token;
        manager->operation_phase = cluster->primary.phase;
    }
}

/* -- telling ------------------------------------------------------------------------------------------------------ */

static void report_postgres(struct manager *manager, struct report *report, int64_t now_us)
{
    const struct pg_seen *pg = &manager->node.pg;
    const struct cluster *cluster = &manager->cluster;

    report->system_identifier = pg->system_identifier;
    if (node_other_system(cluster, pg)) {
        report->pg_state = PG_ABSENT;
        return;
    }
    report->pg_state = pg->state;
    report->pg_answering = pg->answering;
    report->pg_was_primary = pg->was_primary;
    report->directory = manager->node.directory;
    report->version_number = pg->version_number;
    report->timeline = pg->timeline;
    report->history = pg->history;
    report->end = pg->end;
    report->replayed = pg->replayed;
    report->receiver_streaming = pg->receiver && pg->receiver_streaming;
    report->upstream = pg->conf_present ? pg->conf.upstream : 0;
    report->replay_lag_us = pg->replay_lag_us;
    report->lagging = node_lags(cluster, pg);
    report->following = pg->conf_present && pg->conf.upstream == cluster->primary.node_id &&
                        token_is(pg->conf.token, cluster->primary.token);
    report->checkpointed = token_is(manager->node.checkpointed_under, cluster->token);
    manager_report_walsenders(manager, report, now_us);
}

/* What a person should mend; a failed action first. */
static void report_problem(const struct manager *manager, struct report *report)
{
    const struct node_view *node = &manager->node;
    const struct member *self = cluster_member_by_raft(&manager->cluster, node->raft_id);
    const char *failed = manager->problem[0] ? manager->problem : node->pg.problem;
    /* With data checksums a rewind needs no wal_log_hints: that it waits for a restart troubles nobody. */
    bool waits =
        node->pg.pending_restart[0] && !(node->pg.can_rewind && strcmp(node->pg.pending_restart, "wal_log_hints") == 0);

    if (node->pg.dry[0])
        (void)snprintf(report->problem, sizeof report->problem, "receives no WAL: %.230s", node->pg.dry);
    else if (failed[0])
        (void)text_copy(report->problem, sizeof report->problem, failed);
    else if (node->stray_again)
        (void)snprintf(report->problem, sizeof report->problem,
                       "process %" PRId32 " streams under a member's name and not through its slot: it is ended",
                       node->stray.pid);
    else if (node_other_system(&manager->cluster, &node->pg))
        (void)snprintf(report->problem, sizeof report->problem,
                       "its data directory belongs to another PostgreSQL system (%" PRIu64 ", here %" PRIu64
                       "): it is not used",
                       node->pg.system_identifier, manager->cluster.system_identifier);
    else if (self && strcmp(self->name, manager->config.self.name) != 0)
        (void)snprintf(report->problem, sizeof report->problem,
                       "its file says node_name '%s', the cluster knows it by another name, which holds",
                       manager->config.self.name);
    else if (waits)
        (void)snprintf(report->problem, sizeof report->problem, "needs a restart of PostgreSQL: %.200s",
                       node->pg.pending_restart);
}

void manager_build_report(struct manager *manager, int64_t now_us)
{
    const struct node_view *node = &manager->node;
    struct report *report = &manager->report;

    memset(report, 0, sizeof *report);
    report->node_id = node->node_id;
    report->raft_id = node->raft_id;
    report->start_no = node->start_no;
    report->applied = manager->cluster.version;
    report->token = manager->cluster.token;
    report->hello = node->hello;
    report->leads = manager->lead.raft.leader;
    if (report->leads && token_is(manager->lead.fetch.token, manager->cluster.token)) {
        report->fetch_node = manager->lead.fetch.node_id;
        report->fetch_from = manager->lead.fetch.from;
    }
    report->want_primary_data = report->leads && manager->lead_plan.want_primary_data;
    report_postgres(manager, report, now_us);
    report->trouble = manager->node_plan.trouble;
    report->lease_valid = lease_valid(&node->lease, &manager->cluster, now_us);
    report->lease_left_us = report->lease_valid ? node->lease.end_us - now_us : 0;
    report->guard_armed = node->guard_alive && node->guard_mode == WISH_PRIMARY && node->guard_kill_at_us > now_us;
    report->lease_length_us = node->lease.held_length_us;
    report->lease_config = node->lease.held_config;
    report->demand_settled = node->sync.settled;
    report->leaving = manager->leaving;
    report->told = manager->told;
    report->primary_seen_us = -1;
    if (manager->seen_lease_us != 0)
        report->primary_seen_us = now_us > manager->seen_lease_us ? now_us - manager->seen_lease_us : 0;
    report->fence = node->fence;
    report->acting = node->acting;
    (void)text_copy(report->waiting, sizeof report->waiting,
                    manager->node_plan.waiting[0] ? manager->node_plan.waiting : why_text(manager->node_plan.why));
    report_problem(manager, report);
}

/* The parts of a report whose change somebody may be waiting for. */
static void essence(const struct report *report, struct report *ret_essence)
{
    *ret_essence = *report;
    ret_essence->lease_left_us = 0;
    ret_essence->told.round = 0;
    ret_essence->told.lsn = (struct lsn){ 0 };
    ret_essence->primary_seen_us = 0;
    ret_essence->replay_lag_us = 0;
    if (report->pg_state == PG_PRIMARY || report->receiver_streaming) {
        ret_essence->end = (struct lsn){ 0 };
        ret_essence->replayed = (struct lsn){ 0 };
    }
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        ret_essence->walsenders[i].flushed = (struct lsn){ 0 };
}

int64_t manager_send_report(struct manager *manager, int64_t now_us)
{
    const struct cluster *cluster = &manager->cluster;
    int64_t every_us = (int64_t)cluster->policy.failure_timeout_ms * 1000 / REPORTS_PER_TIMEOUT;
    struct message message = { .kind = MESSAGE_REPORT };
    AUTO(buf) now = { 0 };

    if (cluster->cluster_id == 0)
        return now_us + 1000000;
    manager_build_report(manager, now_us);
    essence(&manager->report, &message.report);
    /* During a switchover the target's end of WAL is what everybody waits for. */
    if (cluster->operation.kind == OPERATION_SWITCHOVER)
        message.report.end = manager->report.end;
    buf_init(&now, sizeof manager->reported);
    message_encode(&message, &now);
    assert(!now.failed);
    bool changed = now.length != manager->reported_length || memcmp(now.bytes, manager->reported, now.length) != 0;
    if (!changed && now_us < manager->reported_at_us + every_us)
        return manager->reported_at_us + every_us;
    memcpy(manager->reported, now.bytes, now.length);
    manager->reported_length = now.length;
    manager->reported_at_us = now_us;
    message.report = manager->report;
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].raft_id != manager->node.raft_id)
            manager->ports.send(manager->ports.ctx, cluster->members[i].raft_id, &message);
    return now_us + every_us;
}
