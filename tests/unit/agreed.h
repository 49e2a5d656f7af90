/*
 * agreed.h - agreed states for tests of the core: a cluster is founded and grows by commands alone, as it does in life.
 *
 * Data nodes are A to E with node ids 1 to 5, the witness is W with 9. Node n's data directory has the identity 0xD0 +
 * n unless it is changed. agreed_apply() also checks what holds for every command whatever it says.
 */
#ifndef RAFTMGR_TEST_AGREED_H
#define RAFTMGR_TEST_AGREED_H

#include "core/codec.h"
#include "unit.h"

enum { A = 1, B, C, D, E, W = 9 };

#define AGREED_SYSTEM 0x5151
#define AGREED_TIMELINE 3

static inline struct directory_id agreed_directory(int32_t node_id)
{
    return (struct directory_id){ 0xD0 + (uint64_t)node_id };
}

/* The state is the same but for the version that every command counts. */
static inline bool agreed_same(const struct cluster *left, const struct cluster *right)
{
    struct cluster same = *right;
    AUTO(buf) one = { .max = SNAPSHOT_BYTES_MAX };
    AUTO(buf) two = { .max = SNAPSHOT_BYTES_MAX };

    same.version = left->version;
    cluster_encode(left, &one);
    cluster_encode(&same, &two);
    return !one.failed && one.length == two.length && memcmp(one.bytes, two.bytes, one.length) == 0;
}

static inline enum apply_result agreed_apply(struct cluster *cluster, const struct command *command)
{
    struct cluster before = *cluster;
    char reason[TEXT_SIZE] = "?";
    enum apply_result result = cluster_apply(cluster, command, reason);

    CU_ASSERT_EQUAL_FATAL(cluster->version, before.version + 1);
    CU_ASSERT_FATAL(result == APPLY_OK || agreed_same(&before, cluster));
    CU_ASSERT_FATAL((result == APPLY_REFUSED) == (reason[0] != '\0'));
    CU_ASSERT_FATAL(!token_is_newer(before.token, cluster->token));
    CU_ASSERT_FATAL(cluster->timeline_max.no >= before.timeline_max.no);
    CU_ASSERT_FATAL(cluster->lease_max_ms >= cluster->policy.lease_ttl_ms);
    return result;
}

/* A command as this member's present daemon would propose it. */
static inline struct command agreed_by(const struct cluster *cluster, int32_t node_id, enum command_kind kind)
{
    const struct member *member = cluster_member(cluster, node_id);

    assert(member);
    return (struct command){
        .kind = kind, .raft_id = member->raft_id, .start_no = member->start_no, .wall_us = 1000, .token = cluster->token
    };
}

static inline struct member agreed_member(int32_t node_id)
{
    struct member member = { .node_id = node_id, .kind = node_id == W ? NODE_WITNESS : NODE_DATA, .priority = 100 };

    (void)snprintf(member.name, sizeof member.name, "node%d", node_id);
    (void)snprintf(member.address, sizeof member.address, "10.0.0.%d:7654", node_id);
    (void)snprintf(member.conninfo, sizeof member.conninfo, "host=10.0.0.%d", node_id);
    return member;
}

static inline struct command agreed_founding(void)
{
    struct command command = {
        .kind = COMMAND_FOUND,
        .raft_id = 1,
        .start_no = 1,
        .cluster_id = 77,
        .system_identifier = AGREED_SYSTEM,
        .timeline = { AGREED_TIMELINE },
        .member = agreed_member(A),
        .policy = {
            .failure_timeout_ms = 2000,
            .lease_ttl_ms = 5000,
            .guard_kill_time_ms = 1000,
            .raft_election_timeout_ms = 500,
            .raft_heartbeat_ms = 50,
            .durability = DURABILITY_QUORUM,
            .synchronous_count = 1,
        },
    };

    command.member.raft_id = 1;
    command.member.directory = agreed_directory(A);
    return command;
}

static inline void agreed_found(struct cluster *cluster)
{
    struct command command = agreed_founding();

    *cluster = (struct cluster){ 0 };
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
}

static inline struct command agreed_join(const struct cluster *cluster, int32_t node_id)
{
    struct command command = agreed_by(cluster, A, COMMAND_JOIN);

    command.member = agreed_member(node_id);
    command.system_identifier = AGREED_SYSTEM;
    command.expect = cluster->config_version;
    return command;
}

static inline struct command agreed_hello(const struct cluster *cluster, int32_t node_id, uint64_t start_no)
{
    struct command command = agreed_by(cluster, node_id, COMMAND_HELLO);

    command.start_no = start_no;
    command.member = agreed_member(node_id);
    return command;
}

static inline struct command agreed_voter(const struct cluster *cluster, int32_t node_id, bool votes)
{
    struct command command = agreed_by(cluster, A, COMMAND_VOTER);

    command.node_id = node_id;
    command.flag = votes;
    command.expect = cluster->config_version;
    return command;
}

static inline struct command agreed_directory_is(const struct cluster *cluster, int32_t node_id,
                                                 struct directory_id directory)
{
    struct command command = agreed_by(cluster, node_id, COMMAND_DIRECTORY);

    command.node_id = node_id;
    command.directory = directory;
    return command;
}

/* Joins, says hello, is registered and votes. */
static inline void agreed_grow(struct cluster *cluster, int32_t node_id)
{
    struct command command = agreed_join(cluster, node_id);

    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
    command = agreed_hello(cluster, node_id, 1);
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
    if (node_id != W) {
        command = agreed_directory_is(cluster, node_id, agreed_directory(node_id));
        CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
    }
    command = agreed_by(cluster, A, COMMAND_REGISTER);
    command.node_id = node_id;
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
    command = agreed_voter(cluster, node_id, true);
    CU_ASSERT_FATAL(agreed_apply(cluster, &command) == APPLY_OK);
}

/* One more timeline, given to this node; begin 0: it has not reported. */
static inline void agreed_give(struct cluster *cluster, int32_t node_id, uint64_t begin)
{
    cluster->timeline_max.no += 2;
    cluster->given[cluster->given_count++] = (struct given){
        .timeline = cluster->timeline_max, .node_id = node_id, .parent = { AGREED_TIMELINE }, .begin = { begin }
    };
}

#define ACCEPTED(cluster, ...)                                                                                         \
    do {                                                                                                               \
        struct command command_ = __VA_ARGS__;                                                                         \
        CU_ASSERT(agreed_apply(cluster, &command_) == APPLY_OK);                                                       \
    } while (0)
#define NOTHING(cluster, ...)                                                                                          \
    do {                                                                                                               \
        struct command command_ = __VA_ARGS__;                                                                         \
        CU_ASSERT(agreed_apply(cluster, &command_) == APPLY_NOTHING);                                                  \
    } while (0)
#define REFUSED(cluster, ...)                                                                                          \
    do {                                                                                                               \
        struct command command_ = __VA_ARGS__;                                                                         \
        CU_ASSERT(agreed_apply(cluster, &command_) == APPLY_REFUSED);                                                  \
    } while (0)

#endif
