/*
 * raft_group.h - Raft groups in one process for the tests of consensus/: real logs in this run's directory, real TLS on
 * loopback. Each member's state machine is the list of the commands it has applied, as text.
 */
#ifndef RAFTMGR_RAFT_GROUP_H
#define RAFTMGR_RAFT_GROUP_H

#include "loop_test.h"

#include "base/secret.h"
#include "consensus/consensus.h"
#include "net/net.h"

#include <sys/stat.h>
#include <unistd.h>

#define ELECTION_MS 150
#define HEARTBEAT_MS 20
#define LOG_MAX 400000

struct member {
    uint64_t id;
    char directory[512];
    char address[NET_ADDRESS_MAX];
    struct net *net;
    struct consensus *consensus;
    char log[LOG_MAX]; /* what was applied, each command and a blank */
    size_t log_length;
    unsigned applied, restored, changed;
    bool net_closed, consensus_closed;
};

static struct member members[4]; /* index 0 is member 1 */

/* --- the state machine, and the network around a member --- */

static inline void apply(void *ctx, const uint8_t *bytes, size_t length)
{
    struct member *member = ctx;

    CU_ASSERT_FATAL(member->log_length + length + 1 <= LOG_MAX);
    memcpy(member->log + member->log_length, bytes, length);
    member->log_length += length;
    member->log[member->log_length++] = ' ';
    member->applied++;
}

static inline int snapshot(void *ctx, struct buf *ret_state)
{
    struct member *member = ctx;

    buf_put(ret_state, &member->applied, sizeof member->applied);
    buf_put(ret_state, member->log, member->log_length);
    return 0;
}

static inline int restore(void *ctx, const uint8_t *bytes, size_t length, struct err *err)
{
    struct member *member = ctx;

    if (length < sizeof member->applied)
        return err_set(err, ERR_CORRUPT, "too short");
    memcpy(&member->applied, bytes, sizeof member->applied);
    member->log_length = length - sizeof member->applied;
    memcpy(member->log, bytes + sizeof member->applied, member->log_length);
    member->restored++;
    return 0;
}

static inline void changed(void *ctx)
{
    ((struct member *)ctx)->changed++;
}

static inline void dial(void *ctx, uint64_t id, const char *address, void (*done)(void *dial_ctx, int fd),
                        void *dial_ctx)
{
    net_dial_raft(((struct member *)ctx)->net, id, address, done, dial_ctx);
}

static inline bool admit(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size)
{
    (void)hello, (void)ret_reason, (void)size;
    return ((struct member *)ctx)->consensus != NULL;
}

static inline void stream_came(void *ctx, const struct net_hello *from, int fd)
{
    struct member *member = ctx;

    if (member->consensus)
        consensus_accept(member->consensus, from->raft_id, from->address, fd);
    else
        (void)close(fd);
}

static inline void net_closed(void *ctx)
{
    ((struct member *)ctx)->net_closed = true;
}

static inline void consensus_closed(void *ctx)
{
    ((struct member *)ctx)->consensus_closed = true;
}

/* --- members --- */

static struct consensus_status status_of(const struct member *member)
{
    struct consensus_status status = { 0 };

    if (member->consensus)
        consensus_status(member->consensus, &status);
    return status;
}

static inline bool leads(const struct member *member)
{
    return status_of(member).role == CONSENSUS_LEADER;
}

static inline int open_consensus(struct member *member, struct err *err)
{
    struct consensus_config config = {
        .directory = member->directory,
        .id = member->id,
        .address = member->address,
        .election_timeout_ms = ELECTION_MS,
        .heartbeat_ms = HEARTBEAT_MS,
    };
    struct consensus_callbacks callbacks = {
        .ctx = member, .apply = apply, .snapshot = snapshot, .restore = restore, .changed = changed, .dial = dial
    };

    member->log_length = member->applied = member->restored = 0;
    return consensus_open(&member->consensus, &loop, &config, &callbacks, err);
}

/* Makes the network and an empty directory; member 1 founds the group. */
static inline void open_member(struct member *member, uint64_t id)
{
    struct net_callbacks callbacks = { .ctx = member, .admit = admit, .raft_stream = stream_came };
    char secret[512], name[64];
    struct net_config config = { .listen = "127.0.0.1:0", .secret_file = unit_path(secret, sizeof secret, "secret") };
    struct err err = { 0 };
    static unsigned groups;

    memset(member, 0, sizeof *member);
    member->id = id;
    groups += id == 1;
    const char *file = strrchr(__BASE_FILE__, '/'); /* several test files share this run's directory */
    (void)snprintf(name, sizeof name, "raft-%.30s-%u-%u", file ? file + 1 : __BASE_FILE__, groups, (unsigned)id);
    (void)unit_path(member->directory, sizeof member->directory, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(member->directory, 0700), 0);
    if (access(secret, F_OK))
        CU_ASSERT_EQUAL(secret_create(secret, &err), 0);
    CU_ASSERT_EQUAL_FATAL(net_open(&member->net, &loop, &config, &callbacks, &err), 0);
    net_listen_address(member->net, member->address, sizeof member->address);
    net_identify(member->net, 1, 1, id, 1, member->address);
    CU_ASSERT_FALSE(consensus_exists(member->directory));
    if (id == 1)
        CU_ASSERT_EQUAL_FATAL(consensus_bootstrap(member->directory, id, member->address, &err), 0);
    CU_ASSERT_EQUAL_FATAL(open_consensus(member, &err), 0);
}

static inline void close_consensus(struct member *member)
{
    if (!member->consensus)
        return;
    member->consensus_closed = false;
    consensus_close(member->consensus, consensus_closed, member);
    RUN_UNTIL(member->consensus_closed);
    member->consensus = NULL;
}

static inline void close_member(struct member *member)
{
    close_consensus(member);
    if (!member->net)
        return;
    net_close(member->net, net_closed, member);
    RUN_UNTIL(member->net_closed);
    member->net = NULL;
}

static inline void end_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        close_member(&members[i]);
    loop_end();
}

#endif
