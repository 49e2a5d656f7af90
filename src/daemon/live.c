/*
 * live.c - the manager's ports over the real world: messages by net, proposals by consensus, actions by pg, the guard.
 *
 * Callbacks note what happened and wake the crank; they decide nothing.
 */
#include "daemon/daemon.h"

#include "base/clock.h"
#include "base/rand.h"
#include "core/codec.h"
#include "daemon/publish.h"

#include <stdlib.h>

/* -- ports -------------------------------------------------------------------------------------------------------- */

static void port_send(void *ctx, uint64_t raft_id, const struct message *message)
{
    struct daemon *daemon = ctx;
    AUTO(buf) bytes;

    buf_init(&bytes, MESSAGE_BYTES_MAX);
    message_encode(message, &bytes);
    if (!bytes.failed && daemon->net)
        net_send(daemon->net, raft_id, bytes.bytes, bytes.length);
}

struct proposal {
    struct daemon *daemon;
    uint64_t ticket;
};

static void proposal_done(void *ctx, enum consensus_outcome outcome)
{
    struct proposal *proposal = ctx;

    if (!proposal->daemon->closing) {
        manager_proposed(&proposal->daemon->manager, proposal->ticket, outcome == CONSENSUS_COMMITTED, clock_boot_us());
        daemon_wake(proposal->daemon);
    }
    free(proposal);
}

static void port_propose(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    struct daemon *daemon = ctx;
    struct proposal *proposal = calloc(1, sizeof *proposal);

    if (!proposal || !daemon->consensus) {
        free(proposal);
        return;
    }
    *proposal = (struct proposal){ .daemon = daemon, .ticket = ticket };
    consensus_propose(daemon->consensus, bytes, length, proposal_done, proposal);
}

static void port_flush(void *ctx)
{
    struct daemon *daemon = ctx;

    daemon->flush_wanted = true;
}

static void port_transfer(void *ctx, uint64_t raft_id)
{
    struct daemon *daemon = ctx;

    (void)consensus_transfer(daemon->consensus, raft_id, NULL);
}

static void raft_changed(void *ctx, int status, const struct err *err)
{
    struct daemon *daemon = ctx;

    if (status != 0)
        daemon_event(daemon, EVENT_RAFT_MEMBER, "error=\"%s\"", err ? err->text : err_text((enum err_code) - status));
    daemon_wake(daemon);
}

static void port_raft_change(void *ctx, uint64_t raft_id, const char *address, enum raft_role role)
{
    struct daemon *daemon = ctx;
    struct err err = { 0 };
    int failed;

    if (role == RAFT_ROLE_NONE)
        failed = consensus_remove(daemon->consensus, raft_id, raft_changed, daemon, &err);
    else
        failed = consensus_member(daemon->consensus, raft_id, address,
                                  role == RAFT_ROLE_VOTER     ? CONSENSUS_VOTER
                                  : role == RAFT_ROLE_LEARNER ? CONSENSUS_LEARNER
                                                              : CONSENSUS_SPARE,
                                  raft_changed, daemon, &err);
    if (failed)
        daemon_event(daemon, EVENT_RAFT_MEMBER, "error=\"%s\"", err.text);
}

static void port_act(void *ctx, const struct pg_action *action)
{
    struct daemon *daemon = ctx;

    pg_act(daemon->pg, action);
}

static void port_act_cancel(void *ctx)
{
    struct daemon *daemon = ctx;

    pg_act_cancel(daemon->pg);
}

static void port_look(void *ctx)
{
    struct daemon *daemon = ctx;

    if (daemon->pg)
        pg_look(daemon->pg);
}

static void port_guard(void *ctx, enum guard_wish wish, int64_t kill_at_us, struct token token)
{
    guardian_order(ctx, wish, kill_at_us, token);
}

static int port_save_directory(void *ctx, struct directory_id directory)
{
    struct daemon *daemon = ctx;
    struct err err = { 0 };
    int failed = identity_save_directory(daemon, directory, &err);

    if (failed)
        daemon_event(daemon, EVENT_PG_FAILED, "action=\"identity\" error=\"%s\"", err.text);
    return failed;
}

static uint64_t port_identity(void *ctx)
{
    (void)ctx;
    return rand_identity();
}

static int64_t port_wall(void *ctx)
{
    (void)ctx;
    return clock_wall_us();
}

static void port_event(void *ctx, enum event event, const char *text)
{
    daemon_event(ctx, event, "%s", text);
}

struct ports live_ports(struct daemon *daemon)
{
    return (struct ports){
        .ctx = daemon,
        .send = port_send,
        .propose = port_propose,
        .flush = port_flush,
        .transfer = port_transfer,
        .raft_change = port_raft_change,
        .act = port_act,
        .act_cancel = port_act_cancel,
        .look = port_look,
        .guard = port_guard,
        .save_directory = port_save_directory,
        .identity = port_identity,
        .wall_us = port_wall,
        .event = port_event,
    };
}

/* -- net ---------------------------------------------------------------------------------------------------------- */

/* Who is no member any more, of another cluster, or of another epoch stays out (R18, R19). */
static bool admit(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size)
{
    struct daemon *daemon = ctx;
    const struct cluster *cluster = &daemon->manager.cluster;

    if (hello->kind == NET_REQUEST)
        return true;
    if (daemon->identity.cluster_id == 0 || !daemon->consensus) {
        (void)snprintf(ret_reason, size, "node %d is no member of a cluster yet", daemon->settings.node_id);
        return false;
    }
    if (hello->cluster_id != daemon->identity.cluster_id || hello->epoch != daemon->identity.epoch) {
        (void)snprintf(ret_reason, size, "node %d belongs to another cluster or epoch", daemon->settings.node_id);
        return false;
    }
    if (cluster->cluster_id != 0 && hello->raft_id <= cluster->raft_id_last &&
        !cluster_member_by_raft(cluster, hello->raft_id)) {
        (void)snprintf(ret_reason, size,
                       "raft id %" PRIu64 " is no member any more: if its node is to come back, empty its state "
                       "directory and run 'rmctl standby register --force' on it",
                       hello->raft_id);
        return false;
    }
    return true;
}

static void peer_message(void *ctx, const struct net_hello *from, const uint8_t *bytes, size_t length)
{
    struct daemon *daemon = ctx;
    struct message message;

    if (daemon->closing || !daemon->consensus || message_decode(bytes, length, &message, NULL) < 0)
        return;
    manager_message(&daemon->manager, from->raft_id, &message, clock_boot_us());
    daemon_wake(daemon);
}

static void raft_stream(void *ctx, const struct net_hello *from, int fd)
{
    struct daemon *daemon = ctx;

    consensus_accept(daemon->consensus, from->raft_id, from->address, fd);
}

static void request(void *ctx, struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    join_request(ctx, reply, bytes, length);
}

static void peer_state(void *ctx, uint64_t raft_id, bool up, const char *reason)
{
    struct daemon *daemon = ctx;
    const struct member *member = cluster_member_by_raft(&daemon->manager.cluster, raft_id);
    char text[TEXT_SIZE * 2];

    daemon_event(daemon, up ? EVENT_PEER_UP : EVENT_PEER_DOWN, "node=%d raft_id=%" PRIu64 " reason=%s",
                 member ? member->node_id : 0, raft_id, log_quoted(text, sizeof text, reason));
    if (up)
        daemon->manager.reported_at_us = 0; /* it hears this member's report at once */
    daemon_wake(daemon);
}

struct net_callbacks live_net_callbacks(struct daemon *daemon)
{
    return (struct net_callbacks){
        .ctx = daemon,
        .admit = admit,
        .peer_message = peer_message,
        .raft_stream = raft_stream,
        .request = request,
        .peer_state = peer_state,
    };
}

void live_keep_peers(struct daemon *daemon)
{
    const struct cluster *cluster = &daemon->manager.cluster;

    if (daemon->peers_version == cluster->version || cluster->cluster_id == 0)
        return;
    daemon->peers_version = cluster->version;
    for (uint32_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].raft_id != daemon->identity.raft_id)
            net_peer_set(daemon->net, cluster->members[i].raft_id, cluster->members[i].address);
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        if (daemon->peers[i] != 0 && !cluster_member_by_raft(cluster, daemon->peers[i]))
            net_peer_drop(daemon->net, daemon->peers[i]);
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        daemon->peers[i] = i < cluster->member_count ? cluster->members[i].raft_id : 0;
}

/* -- consensus ---------------------------------------------------------------------------------------------------- */

static void applied(void *ctx, const uint8_t *bytes, size_t length)
{
    struct daemon *daemon = ctx;
    uint64_t raft_id_last = daemon->manager.cluster.raft_id_last;

    manager_apply(&daemon->manager, bytes, length, clock_boot_us());
    join_applied(daemon, bytes, length, daemon->manager.cluster.raft_id_last != raft_id_last);
    daemon_wake(daemon);
}

static int snapshot(void *ctx, struct buf *ret_state)
{
    struct daemon *daemon = ctx;

    cluster_encode(&daemon->manager.cluster, ret_state);
    return ret_state->failed ? -ERR_TOO_BIG : 0;
}

static int restored(void *ctx, const uint8_t *bytes, size_t length, struct err *err)
{
    struct daemon *daemon = ctx;
    struct cluster *cluster = calloc(1, sizeof *cluster);

    if (!cluster)
        return err_set(err, ERR_MEMORY, "out of memory");
    int failed = cluster_decode(bytes, length, cluster, err);
    if (!failed)
        manager_restore(&daemon->manager, cluster, clock_boot_us());
    free(cluster);
    daemon_wake(daemon);
    return failed;
}

static enum raft_role role_of(enum consensus_member_role role)
{
    switch (role) {
    case CONSENSUS_VOTER:
        return RAFT_ROLE_VOTER;
    case CONSENSUS_LEARNER:
        return RAFT_ROLE_LEARNER;
    case CONSENSUS_SPARE:
        break;
    }
    return RAFT_ROLE_SPARE;
}

void live_note_raft(struct daemon *daemon)
{
    struct consensus_status status;
    struct raft_seen seen = { 0 };

    if (!daemon->consensus)
        return;
    consensus_status(daemon->consensus, &status);
    seen.leader = status.role == CONSENSUS_LEADER;
    seen.leader_id = status.leader_id;
    seen.term = status.term;
    seen.changing = status.changing;
    for (unsigned i = 0; i < status.member_count && i < MEMBERS_MAX; i++) {
        seen.servers[i].raft_id = status.members[i].id;
        seen.servers[i].role = role_of(status.members[i].role);
        seen.server_count++;
    }
    manager_raft(&daemon->manager, &seen, clock_boot_us());
    if (status.role == CONSENSUS_DOWN) {
        daemon_fail_log(daemon, status.problem);
    }
}

static void raft_moved(void *ctx)
{
    struct daemon *daemon = ctx;

    live_note_raft(daemon);
    daemon_wake(daemon);
}

static void dial(void *ctx, uint64_t id, const char *address, void (*done)(void *dial_ctx, int fd), void *dial_ctx)
{
    struct daemon *daemon = ctx;
    /* Raft's configuration keeps the address of the admission; the members table knows the present one. */
    const struct member *member = cluster_member_by_raft(&daemon->manager.cluster, id);

    net_dial_raft(daemon->net, id, member ? member->address : address, done, dial_ctx);
}

struct consensus_callbacks live_consensus_callbacks(struct daemon *daemon)
{
    return (struct consensus_callbacks){
        .ctx = daemon,
        .apply = applied,
        .snapshot = snapshot,
        .restore = restored,
        .changed = raft_moved,
        .dial = dial,
    };
}

/* -- PostgreSQL --------------------------------------------------------------------------------------------------- */

static void pg_was_seen(void *ctx, const struct pg_seen *seen)
{
    struct daemon *daemon = ctx;

    daemon->seen = *seen;
    if (daemon->consensus)
        manager_seen(&daemon->manager, seen, clock_boot_us());
    daemon_wake(daemon);
}

static void pg_has_done(void *ctx, const struct pg_result *result)
{
    struct daemon *daemon = ctx;

    manager_acted(&daemon->manager, result, clock_boot_us());
    daemon_wake(daemon);
}

static void schema_done(void *ctx, int code, const char *text)
{
    publish_done(ctx, code, text);
}

struct pg_callbacks live_pg_callbacks(struct daemon *daemon)
{
    return (struct pg_callbacks){ .ctx = daemon, .seen = pg_was_seen, .done = pg_has_done, .schema_done = schema_done };
}
