/* lead_views.h - what a Raft leader may have heard, by number: all combinations that matter, for test_decide_lead.c. */
#ifndef RAFTMGR_TEST_LEAD_VIEWS_H
#define RAFTMGR_TEST_LEAD_VIEWS_H

#include "agreed_steps.h"
#include "core/decide.h"

#define SECOND 1000000LL
#define NOW (1000 * SECOND)
#define HELD 2000
#define MISSED 1000

struct bench {
    struct cluster cluster;
    struct report reports[MEMBERS_MAX];
    struct lead_view view;
    struct lead_plan plan;
};

static inline uint32_t choose(uint64_t *choices, uint32_t count)
{
    uint32_t choice = (uint32_t)(*choices % count);

    *choices /= count;
    return choice;
}

static inline uint32_t index_of(const struct bench *bench, int32_t node_id)
{
    uint32_t i = 0;

    while (bench->cluster.members[i].node_id != node_id)
        i++;
    return i;
}

/* A healthy member's report, without anything about a fence. */
static inline struct report *report(struct bench *bench, int32_t node_id)
{
    uint32_t i = index_of(bench, node_id);
    const struct member *member = &bench->cluster.members[i];
    struct report *made = &bench->reports[i];

    *made = (struct report){
        .node_id = node_id,
        .raft_id = member->raft_id,
        .start_no = member->start_no,
        .applied = bench->cluster.version,
        .token = bench->cluster.token,
        .hello = true,
        .pg_state = member->kind == NODE_WITNESS ? PG_UNKNOWN : PG_STANDBY,
        .pg_answering = true,
        .directory = member->directory,
        .system_identifier = AGREED_SYSTEM,
        .timeline = bench->cluster.primary.from_timeline,
        .end = { HELD },
        .following = true,
        .primary_seen_us = 100,
        .told = { bench->cluster.primary.token, true, 1, 1, { HELD } },
    };
    bench->view.heard[i] = (struct heard){ .report = made, .age_us = 1000 };
    return made;
}

static inline void has_data(struct report *made, const struct cluster *cluster, uint64_t end)
{
    made->fence.data = true;
    made->fence.token = cluster->token;
    made->fence.directory = made->directory;
    made->fence.timeline = cluster->primary.from_timeline;
    made->fence.end = made->end = (struct lsn){ end };
}

/* The writer's own report: whether it stopped, and how much that is worth. */
static inline void choose_writer(uint64_t *choices, struct bench *bench)
{
    const struct cluster *cluster = &bench->cluster;
    struct report *writer = report(bench, cluster->primary.node_id);
    bool over = cluster->operation.kind == OPERATION_SWITCHOVER;
    uint32_t choice = choose(choices, 11);
    struct heard *heard = &bench->view.heard[index_of(bench, cluster->primary.node_id)];

    writer->pg_state = PG_PRIMARY;
    writer->lease_valid = choice == 1;
    writer->trouble = choice == 2 ? TROUBLE_GIVING_UP : TROUBLE_NONE;
    if (choice == 0)
        heard->report = NULL;
    if (choice < 3)
        return;
    writer->pg_state = PG_STOPPED;
    writer->pg_was_primary = true;
    writer->trouble = choice == 8 ? TROUBLE_DOWN : TROUBLE_STOPPED;
    writer->fence = (struct fence_report){ .stopped = true, .clean = choice == 3, .directory = writer->directory };
    writer->fence.timeline = cluster->primary.from_timeline;
    writer->fence.end.at = HELD;
    writer->fence.token.no = cluster->token.no + over;
    writer->fence.data = choice == 3;
    if (choice == 5)
        writer->fence.token.no--;
    if (choice == 6)
        writer->start_no--; /* of a former life */
    if (choice == 9)
        writer->pg_state = PG_ORPHANS; /* and says that it died: some of it is left */
    if (choice == 9)
        writer->fence.stopped = false;
    if (choice == 10)
        writer->applied = 0; /* from before it was permitted to start */
    if (choice == 7)
        heard->age_us = 3 * SECOND; /* longer ago than failure_timeout */
}

#define VIEWS (11ull * 4 * 4 * 3 * 3 * 2 * 3)

/* A voter's word that its grants are over: not given, for an older fence, or good. */
static inline void choose_grants(uint64_t *choices, struct bench *bench, int32_t node_id)
{
    struct report *voter = &bench->reports[index_of(bench, node_id)];
    uint32_t choice = choose(choices, 3);

    voter->fence.grants_over = choice != 0;
    if (voter->fence.token.no == 0)
        voter->fence.token.no = bench->cluster.token.no - (choice == 1);
}

static inline void choose_view(uint64_t choices, struct bench *bench)
{
    struct lead_view *view = &bench->view;
    const int32_t standbys[] = { bench->cluster.primary.node_id == B ? A : B, C };

    *view = (struct lead_view){
        .node_id = W,
        .raft_id = cluster_member(&bench->cluster, W)->raft_id,
        .start_no = 1,
        .hello = true,
        .raft = { .leader = true },
        .leader_since_us = NOW - 500 * SECOND,
    };
    for (uint32_t i = 0; i < bench->cluster.member_count; i++)
        view->raft.servers[view->raft.server_count++].raft_id = bench->cluster.members[i].raft_id;
    for (uint32_t i = 0; i < view->raft.server_count; i++)
        view->raft.servers[i].role = RAFT_ROLE_VOTER;
    choose_writer(&choices, bench);
    (void)report(bench, W);
    for (size_t i = 0; i < ARRAY_LEN(standbys); i++) {
        struct report *made = report(bench, standbys[i]);
        uint32_t choice = choose(&choices, 4);
        if (choice == 0)
            bench->view.heard[index_of(bench, standbys[i])].report = NULL;
        else if (choice == 1)
            made->end.at = MISSED;
        else
            has_data(made, &bench->cluster, choice == 2 ? HELD : MISSED);
    }
    choose_grants(&choices, bench, standbys[0]);
    choose_grants(&choices, bench, W);
    bench->reports[index_of(bench, C)].fence.grants_over = true;
    bench->reports[index_of(bench, bench->cluster.primary.node_id)].fence.grants_over = true;
    view->primary_seen_us = choose(&choices, 2) ? NOW - 1000 : NOW - 100 * SECOND;
    uint32_t choice = choose(&choices, 3);
    view->operation_since_us = choice == 0 ? NOW : NOW - 500 * SECOND;
    bench->cluster.policy.fence_wait = choice == 2 ? FENCE_WAIT_NONE : FENCE_WAIT_LEASE;
    if (view->primary_seen_us < NOW - SECOND)
        for (uint32_t i = 0; i < bench->cluster.member_count; i++)
            bench->reports[i].primary_seen_us = -1;
}

#endif
