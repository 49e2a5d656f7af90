/*
 * manager_walsenders.c - who receives from this node's server: for the others, and for the decision to end a
 * connection that goes by a member's name without being its own (R7).
 */
#include "daemon/manager_parts.h"

#define REPLY_PATIENCE_US 2500000 /* standbys reply every second (wal_receiver_status_interval) */

static void note_replies(struct manager *manager, const struct pg_seen *seen, int64_t now_us)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        const struct walsender_seen *walsender = &seen->walsenders[i];
        if (i >= seen->walsender_count) {
            manager->replies[i].pid = 0;
        } else if (manager->replies[i].pid != walsender->pid ||
                   manager->replies[i].replied_us != walsender->replied_us) {
            manager->replies[i].pid = walsender->pid;
            manager->replies[i].replied_us = walsender->replied_us;
            manager->replies[i].at_us = now_us;
        }
    }
}

/* One look may catch a standby between its connection and its slot: only what the next one shows too is a stray. */
static void note_stray(struct manager *manager, const struct pg_seen *seen)
{
    struct node_view *node = &manager->node;
    const struct walsender_seen *stray = sync_stray(&manager->cluster, seen);

    if (!stray) {
        node->stray = (struct connection_id){ 0 };
        node->stray_again = false;
        return;
    }
    bool same = stray->pid == node->stray.pid && stray->started_us == node->stray.started_us;
    if (same && !node->stray_again) {
        const struct member *member = cluster_member_by_name(&manager->cluster, stray->name);
        manager_event(manager, EVENT_WALSENDER_STRAY, "node=%d name=%s pid=%" PRId32, member->node_id, member->name,
                      stray->pid);
    }
    node->stray_again = same;
    node->stray = (struct connection_id){ stray->pid, stray->started_us };
}

void manager_note_walsenders(struct manager *manager, const struct pg_seen *seen, int64_t now_us)
{
    note_replies(manager, seen, now_us);
    if (seen->at_us != manager->node.pg.at_us)
        note_stray(manager, seen);
}

/* A walsender whose standby is gone says "streaming" until wal_sender_timeout; its replies tell sooner. */
static bool replies(const struct manager *manager, int32_t pid, int64_t now_us)
{
    int64_t patience_us = (int64_t)manager->cluster.policy.failure_timeout_ms * 1000;

    if (patience_us < REPLY_PATIENCE_US)
        patience_us = REPLY_PATIENCE_US;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (manager->replies[i].pid == pid)
            return now_us - manager->replies[i].at_us <= patience_us;
    return true;
}

void manager_report_walsenders(const struct manager *manager, struct report *report, int64_t now_us)
{
    const struct pg_seen *pg = &manager->node.pg;

    for (uint32_t i = 0; pg->state == PG_PRIMARY && i < pg->walsender_count; i++) {
        const struct walsender_seen *walsender = &pg->walsenders[i];
        const struct member *member = cluster_member_by_name(&manager->cluster, walsender->name);
        if (!member || !sync_is_own(member, walsender) || report->walsender_count >= MEMBERS_MAX)
            continue;
        report->walsenders[report->walsender_count].node_id = member->node_id;
        report->walsenders[report->walsender_count].streaming =
            walsender->streaming && replies(manager, walsender->pid, now_us);
        report->walsenders[report->walsender_count].synchronous = walsender->synchronous;
        report->walsenders[report->walsender_count].flushed = walsender->flushed;
        report->walsender_count++;
    }
}
