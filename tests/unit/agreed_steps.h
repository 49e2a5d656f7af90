/* agreed_steps.h - the steps of a cluster's life as commands that fit: demands, failover, switchover, pause. See
 * agreed.h. */
#ifndef RAFTMGR_TEST_AGREED_STEPS_H
#define RAFTMGR_TEST_AGREED_STEPS_H

#include "agreed.h"

/* The set whose k directories are named by their nodes, ended by 0. */
static inline struct demand agreed_demand(uint32_t k, const int32_t *nodes)
{
    struct demand demand = { .k = k };

    while (*nodes)
        demand.directories[demand.count++] = agreed_directory(*nodes++);
    return demand;
}
#define DEMAND(k, ...) agreed_demand(k, (const int32_t[]){ __VA_ARGS__, 0 })

static inline struct command agreed_add(const struct cluster *cluster, struct demand demand)
{
    struct command command = agreed_by(cluster, A, COMMAND_ADD);

    command.demand = demand;
    return command;
}

static inline struct command agreed_end(const struct cluster *cluster)
{
    struct command command = agreed_by(cluster, A, COMMAND_END);

    command.expect = cluster->demand_version;
    return command;
}

/* A, the primary, with B, C and the witness, under {B, C; k} standing alone. */
static inline void agreed_four(struct cluster *cluster, uint32_t k)
{
    struct command command;

    agreed_found(cluster);
    agreed_grow(cluster, B);
    agreed_grow(cluster, C);
    agreed_grow(cluster, W);
    if (k == 0)
        return;
    command = agreed_add(cluster, DEMAND(k, B, C));
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
    command = agreed_end(cluster);
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
}

static inline struct command agreed_fence(const struct cluster *cluster)
{
    struct command command = agreed_by(cluster, W, COMMAND_FENCE);

    command.token = cluster->primary.token;
    (void)text_copy(command.text, sizeof command.text, "test");
    return command;
}

static inline void agreed_do_fence(struct cluster *cluster)
{
    struct command command = agreed_fence(cluster);

    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
}

/* Elects under the present fence, with this demand. */
static inline struct command agreed_elect(const struct cluster *cluster, int32_t node_id, struct demand demand)
{
    struct command command = agreed_by(cluster, W, COMMAND_ELECT);

    command.node_id = node_id;
    command.directory = cluster_member(cluster, node_id)->directory;
    command.expect = cluster->demand_version;
    command.timeline = cluster->primary.timeline;
    command.lsn = (struct lsn){ 1000 };
    command.demand = demand;
    return command;
}

/* An operator's word about this node's data, who was shown that `kept` is the end of WAL of who reports. */
static inline struct command agreed_word(const struct cluster *cluster, enum command_kind kind, int32_t node_id,
                                         uint64_t kept)
{
    struct command command = agreed_by(cluster, W, kind);

    command.node_id = node_id;
    command.directory = cluster_member(cluster, node_id)->directory;
    command.expect = cluster->demand_version;
    command.timeline.no = AGREED_TIMELINE;
    command.lsn.at = kept;
    (void)text_copy(command.text, sizeof command.text, "loss");
    return command;
}

static inline struct command agreed_host_off(const struct cluster *cluster, int32_t node_id)
{
    struct command command = agreed_by(cluster, W, COMMAND_HOST_OFF);

    command.node_id = node_id;
    command.stopped_start_no = cluster_member(cluster, node_id)->start_no;
    return command;
}

static inline struct command agreed_promoted(const struct cluster *cluster)
{
    struct command command = agreed_by(cluster, cluster->primary.node_id, COMMAND_PROMOTED);

    command.timeline = cluster->primary.timeline;
    command.lsn = (struct lsn){ 1000 };
    return command;
}

static inline struct command agreed_switchover(const struct cluster *cluster, int32_t to)
{
    struct command command = agreed_by(cluster, W, COMMAND_SWITCHOVER);

    command.node_id = to;
    command.number = 30000;
    return command;
}

/* Elects under the open switchover, whose old primary has stopped in its present life. */
static inline struct command agreed_elect_over(const struct cluster *cluster, int32_t node_id, struct demand demand)
{
    struct command command = agreed_elect(cluster, node_id, demand);

    command.token.no = cluster->token.no + 1;
    command.stopped_start_no = cluster_member(cluster, cluster->operation.from)->start_no;
    return command;
}

static inline struct command agreed_pause(const struct cluster *cluster, int32_t by, enum pause_state state)
{
    struct command command = agreed_by(cluster, by, COMMAND_PAUSE);

    command.number = state;
    command.expect = cluster->pause_version;
    return command;
}

#endif
