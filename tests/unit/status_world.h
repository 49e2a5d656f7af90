/*
 * status_world.h - one member's manager as it would be in a cluster of A (primary), B, C and the witness W, for tests
 * of what the daemon says to the outside. Reports are set by hand; what the manager itself makes of them, it makes.
 */
#ifndef RAFTMGR_TEST_STATUS_WORLD_H
#define RAFTMGR_TEST_STATUS_WORLD_H

#include "agreed_steps.h"
#include "daemon/manager_parts.h"
#include "daemon/status.h"

#define WORLD_NOW_US INT64_C(1000000000)
#define WORLD_WALL_US INT64_C(1769862896789000) /* 2026-01-31 12:34:56.789 */

struct world {
    struct manager manager;
    struct settings settings;
    struct identity identity;
    struct status_facts facts;
};

static inline struct report world_report(const struct cluster *cluster, int32_t node_id)
{
    const struct member *member = cluster_member(cluster, node_id);
    struct report report = {
        .node_id = node_id,
        .raft_id = member->raft_id,
        .start_no = member->start_no,
        .applied = cluster->version,
        .token = cluster->token,
        .hello = true,
        .primary_seen_us = 1000,
    };

    if (member->kind == NODE_WITNESS)
        return report;
    report.directory = member->directory;
    report.system_identifier = AGREED_SYSTEM;
    report.timeline = cluster->primary.timeline;
    report.end = (struct lsn){ 0x5000148 };
    report.replayed = report.end;
    report.pg_answering = true;
    report.pg_state = node_id == cluster->primary.node_id ? PG_PRIMARY : PG_STANDBY;
    if (report.pg_state == PG_STANDBY) {
        report.following = true;
        report.receiver_streaming = true;
        report.upstream = cluster->primary.node_id;
        return report;
    }
    report.lease_valid = true;
    report.lease_left_us = 3500000;
    report.guard_armed = true;
    report.demand_settled = cluster->demand_version;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (cluster->members[i].kind != NODE_DATA || cluster->members[i].node_id == node_id)
            continue;
        report.walsenders[report.walsender_count].node_id = cluster->members[i].node_id;
        report.walsenders[report.walsender_count].streaming = true;
        report.walsenders[report.walsender_count].flushed = report.end;
        report.walsender_count++;
    }
    return report;
}

/* The newest report of this member as heard by the world's own; age in microseconds. */
static inline struct report *world_hear(struct world *world, int32_t node_id, int64_t age_us)
{
    const struct member *member = cluster_member(&world->manager.cluster, node_id);
    struct manager_heard *heard = &world->manager.heard[member - world->manager.cluster.members];

    heard->raft_id = member->raft_id;
    heard->at_us = WORLD_NOW_US - age_us;
    heard->report = world_report(&world->manager.cluster, node_id);
    return &heard->report;
}

/* Lets the manager take in what was heard. */
static inline void world_link(struct world *world)
{
    manager_link_leader(&world->manager, WORLD_NOW_US);
}

/* The witness' view of a healthy cluster whose commits wait for one of B and C. */
static inline void world_make(struct world *world)
{
    struct manager *manager = &world->manager;
    struct cluster *cluster = &manager->cluster;

    memset(world, 0, sizeof *world);
    settings_init(&world->settings);
    world->settings.node_id = W;
    world->settings.node_kind = NODE_WITNESS;
    (void)text_copy(world->settings.node_name, sizeof world->settings.node_name, "node9");
    agreed_four(cluster, 1);
    const struct member *self = cluster_member(cluster, W);
    manager->node.node_id = manager->lead.node_id = W;
    manager->node.raft_id = manager->lead.raft_id = self->raft_id;
    manager->node.start_no = manager->lead.start_no = self->start_no;
    manager->node.kind = NODE_WITNESS;
    manager->node.hello = manager->lead.hello = true;
    manager->started_us = WORLD_NOW_US - 60000000;
    manager->seen_lease_us = WORLD_NOW_US - 1000;
    lease_voter_init(&manager->voter, manager->started_us);
    manager->lead.raft.leader_id = cluster_member(cluster, B)->raft_id;
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        manager->lead.raft.servers[manager->lead.raft.server_count].raft_id = cluster->members[i].raft_id;
        manager->lead.raft.servers[manager->lead.raft.server_count++].role = RAFT_ROLE_VOTER;
        if (cluster->members[i].node_id != W)
            (void)world_hear(world, cluster->members[i].node_id, 40000);
    }
    world_link(world);
    world->facts = (struct status_facts){
        .settings = &world->settings,
        .identity = &world->identity,
        .manager = manager,
        .member = true,
        .term = 7,
        .commit_index = 1041,
        .applied_index = 1041,
        .raft_problem = "",
        .join_problem = "",
        .now_us = WORLD_NOW_US,
        .wall_us = WORLD_WALL_US,
    };
}

#endif
