/* sync.c - which synchronous set there should be, and how far the newest one has come. See sync.h. */
#include "core/sync.h"

/* A standby enters when it is no further behind than this; while it is named it may lag as it will. */
#define CAUGHT_UP_BYTES (1024u * 1024u)

static const struct report *primary_report(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX])
{
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].node_id == cluster->primary.node_id)
            return heard[i].report;
    return NULL;
}

/* How the primary sees this member's walsender. */
static bool streams(const struct report *primary, int32_t node_id, bool *ret_caught_up)
{
    for (uint32_t i = 0; i < primary->walsender_count; i++) {
        if (primary->walsenders[i].node_id != node_id)
            continue;
        struct lsn flushed = primary->walsenders[i].flushed;
        *ret_caught_up = flushed.at != 0 && flushed.at + CAUGHT_UP_BYTES >= primary->end.at;
        return primary->walsenders[i].streaming;
    }
    *ret_caught_up = false;
    return false;
}

/* Does this member belong into S now? */
static bool belongs(const struct cluster *cluster, const struct member *member, const struct heard *heard,
                    const struct report *primary, int64_t lost_us)
{
    const struct demand *newest = cluster_demand(cluster);
    bool caught_up;
    bool streaming = streams(primary, member->node_id, &caught_up);
    const struct report *report = heard->report;
    bool current = report && report->raft_id == member->raft_id && report->start_no == member->start_no;

    if (current && (report->pg_state == PG_STOPPED || report->pg_state == PG_ABSENT || report->pg_state == PG_ORPHANS))
        return false;
    if (newest && demand_names(newest, member->directory))
        return streaming || (current && heard->age_us <= lost_us && report->receiver_streaming);
    return streaming && caught_up && current && heard->age_us <= lost_us && report->following &&
           report->receiver_streaming && !report->lagging && directory_is(report->directory, member->directory);
}

bool sync_wanted(const struct cluster *cluster, const struct heard heard[MEMBERS_MAX], int64_t lost_us,
                 struct demand *ret_demand)
{
    const struct report *primary = primary_report(cluster, heard);
    const struct demand *newest = cluster_demand(cluster);
    const struct policy *policy = &cluster->policy;
    struct demand demand = { 0 };

    if (!primary || !newest)
        return false;
    for (uint32_t i = 0; policy->durability != DURABILITY_ASYNC && i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        if (member->kind != NODE_DATA || member->node_id == cluster->primary.node_id || !member->registered ||
            member->written_off || member->directory.no == 0)
            continue;
        /* Strict names everybody always: it waits for them anyway, and a directory's new identity must come in first.
         */
        if (policy->durability == DURABILITY_STRICT || belongs(cluster, member, &heard[i], primary, lost_us))
            demand.directories[demand.count++] = member->directory;
    }
    demand.k = policy->synchronous_count;
    if (policy->durability == DURABILITY_STRICT && demand.count < demand.k)
        return false;
    if (demand.k > demand.count)
        demand.k = demand.count;
    if (policy->durability == DURABILITY_ASYNC || demand.k == 0)
        demand = (struct demand){ 0 };
    if (demand_same(&demand, newest))
        return false;
    *ret_demand = demand;
    return true;
}

static const struct member *walsender_member(const struct cluster *cluster, const struct walsender_seen *walsender)
{
    return cluster_member_by_name(cluster, walsender->name);
}

bool sync_is_own(const struct member *member, const struct walsender_seen *walsender)
{
    return walsender->slot_node == 0 ||
           (walsender->slot_node == member->node_id && walsender->slot_no == member->slot_no);
}

const struct walsender_seen *sync_stray(const struct cluster *cluster, const struct pg_seen *seen)
{
    for (uint32_t i = 0; seen->state == PG_PRIMARY && i < seen->walsender_count; i++) {
        const struct walsender_seen *walsender = &seen->walsenders[i];
        const struct member *member = walsender_member(cluster, walsender);
        if (member && walsender->synchronous && walsender->streaming && !sync_is_own(member, walsender))
            return walsender;
    }
    return NULL;
}

/* How many new replies this walsender has sent since a new connection saw the settings; counts this look in. */
static uint32_t replies_of(struct sync_progress *progress, const struct walsender_seen *walsender)
{
    uint32_t i = 0;

    while (i < progress->replied_count &&
           (progress->replied[i].pid != walsender->pid || progress->replied[i].started_us != walsender->started_us))
        i++;
    if (i == MEMBERS_MAX)
        return 0;
    if (i == progress->replied_count) {
        progress->replied_count++;
        progress->replied[i].pid = walsender->pid;
        progress->replied[i].started_us = walsender->started_us;
        progress->replied[i].changes = 0;
    } else if (progress->replied[i].replied_us != walsender->replied_us) {
        progress->replied[i].changes++;
    }
    progress->replied[i].replied_us = walsender->replied_us;
    return progress->replied[i].changes;
}

/* Rows of connections that are gone make room for new ones. */
static void forget_gone(struct sync_progress *progress, const struct pg_seen *seen)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < progress->replied_count; i++) {
        bool there = false;
        for (uint32_t j = 0; j < seen->walsender_count; j++)
            there = there || (progress->replied[i].pid == seen->walsenders[j].pid &&
                              progress->replied[i].started_us == seen->walsenders[j].started_us);
        if (there)
            progress->replied[kept++] = progress->replied[i];
    }
    progress->replied_count = kept;
}

/*
 * Every walsender goes by its own copy of the settings. Its sync_priority shows which S it has; where it was named
 * before and still is, k may be the old one until it has sent two new replies. One that neither demand names never
 * releases a commit, whatever its copy says.
 */
static bool shown_by_all(struct sync_progress *progress, const struct cluster *cluster, const struct demand *newest,
                         const struct pg_seen *seen)
{
    const struct demand *older = cluster->demand_count == DEMANDS_MAX ? &cluster->demands[0] : NULL;
    bool all = true;

    forget_gone(progress, seen);
    for (uint32_t i = 0; i < seen->walsender_count; i++) {
        const struct walsender_seen *walsender = &seen->walsenders[i];
        const struct member *member = walsender_member(cluster, walsender);
        bool named = member && newest->k > 0 && demand_names(newest, member->directory);
        bool before = member && older && demand_names(older, member->directory);
        uint32_t replies = replies_of(progress, walsender);
        all = all && walsender->synchronous == named && (!named || !before || replies >= 2);
    }
    return all;
}

static uint32_t flushed_by(const struct cluster *cluster, const struct demand *demand, const struct pg_seen *seen,
                           struct lsn position)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < seen->walsender_count; i++) {
        const struct walsender_seen *walsender = &seen->walsenders[i];
        const struct member *member = walsender_member(cluster, walsender);
        if (!member || !sync_is_own(member, walsender))
            continue;
        bool first = true;
        for (uint32_t j = 0; j < i; j++)
            first = first && (walsender_member(cluster, &seen->walsenders[j]) != member ||
                              !sync_is_own(member, &seen->walsenders[j]));
        count += first && demand_names(demand, member->directory) && lsn_cmp(walsender->flushed, position) >= 0;
    }
    return count;
}

static void begin(struct sync_progress *progress, const struct cluster *cluster, const struct demand *newest)
{
    uint64_t settled = progress->settled;
    bool from_zero = newest->k > 0 && cluster->demand_count == DEMANDS_MAX && cluster->demands[0].k == 0;

    *progress =
        (struct sync_progress){ .version = newest->version, .settled = settled, .checkpoint_needed = from_zero };
}

void sync_observe(struct sync_progress *progress, const struct cluster *cluster, const struct pg_seen *seen)
{
    const struct demand *newest = cluster_demand(cluster);

    if (!newest || seen->state != PG_PRIMARY)
        return;
    if (progress->version != newest->version)
        begin(progress, cluster, newest);
    if (progress->settled == newest->version || seen->conf.demand_version != newest->version || !seen->conf_loaded)
        return;
    if (!progress->effective) {
        if (!shown_by_all(progress, cluster, newest, seen) ||
            (progress->checkpoint_needed && !progress->checkpoint_done))
            return;
        progress->effective = true;
        return;
    }
    /* A position from a later look than the one that showed the effect: nothing released before lies above it. */
    if (progress->position.at == 0) {
        progress->position = seen->end;
        return;
    }
    if (newest->k == 0 || flushed_by(cluster, newest, seen, progress->position) >= newest->k)
        progress->settled = newest->version;
}

void sync_conf(const struct cluster *cluster, int32_t self_node_id, struct pg_conf *conf)
{
    const struct demand *newest = cluster_demand(cluster);
    bool primary = cluster->primary.node_id == self_node_id;

    conf->sync_count = 0;
    conf->sync_name_count = 0;
    conf->demand_version = newest ? newest->version : 0;
    if (!newest || newest->k == 0)
        return;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        const struct member *member = &cluster->members[i];
        bool named = demand_names(newest, member->directory) && member->directory.no != 0;
        /* A standby holds what it would need if it were elected: the others of S, and the present primary. */
        bool wanted = primary ? named : named || member->node_id == cluster->primary.node_id;
        if (wanted && member->node_id != self_node_id)
            (void)text_copy(conf->sync_names[conf->sync_name_count++], NAME_SIZE, member->name);
    }
    conf->sync_count = newest->k;
    /* A promise to directories that no member has any more is kept by waiting, not by forgetting it. */
    while (conf->sync_name_count < conf->sync_count) {
        (void)snprintf(conf->sync_names[conf->sync_name_count], NAME_SIZE, "raftmgr nobody %u", conf->sync_name_count);
        conf->sync_name_count++;
    }
}
