/* peer.c - one outgoing connection a peer, kept up; messages out, best effort, and in. See net.h. */
#include "net/private.h"

#include <stdlib.h>

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 1000
#define STABLE_MS 1000 /* up for so long: the next trouble is a new one */

struct peer {
    struct net *net;
    struct peer *next;
    uint64_t raft_id;
    char address[NET_ADDRESS_MAX];
    struct conn *conn; /* NULL: waiting for the timer */
    uv_timer_t timer;
    unsigned retry_ms;
    uint64_t up_at; /* uv_now(); 0: it never came up */
    bool told_up;
    char told_reason[ERR_TEXT_MAX];
};

static void dial_peer(struct peer *peer);

static struct peer *find(const struct net *net, uint64_t raft_id)
{
    struct peer *peer = net->peers;

    while (peer && peer->raft_id != raft_id)
        peer = peer->next;
    return peer;
}

static void retry(uv_timer_t *timer)
{
    dial_peer(timer->data);
}

static void peer_up(struct conn *conn)
{
    struct peer *peer = conn->owner;
    const struct net_callbacks *callbacks = &conn->net->callbacks;

    if (!peer)
        return;
    peer->up_at = uv_now(conn->net->loop);
    peer->told_up = true;
    peer->told_reason[0] = '\0';
    callbacks->peer_state(callbacks->ctx, peer->raft_id, true, "");
}

static void peer_down(struct conn *conn)
{
    struct peer *peer = conn->owner;
    const struct net_callbacks *callbacks = &conn->net->callbacks;
    uint64_t now = uv_now(conn->net->loop);

    if (!peer)
        return;
    peer->conn = NULL;
    if (peer->up_at && now - peer->up_at >= STABLE_MS)
        peer->retry_ms = RETRY_MIN_MS;
    peer->up_at = 0;
    (void)uv_timer_start(&peer->timer, retry, peer->retry_ms, 0);
    peer->retry_ms = 2 * peer->retry_ms < RETRY_MAX_MS ? 2 * peer->retry_ms : RETRY_MAX_MS;
    if (!peer->told_up && strcmp(peer->told_reason, conn->why.text) == 0)
        return;
    peer->told_up = false;
    (void)text_copy(peer->told_reason, sizeof peer->told_reason, conn->why.text);
    callbacks->peer_state(callbacks->ctx, peer->raft_id, false, peer->told_reason);
}

static void nothing_expected(struct conn *conn, const uint8_t *bytes, size_t length)
{
    (void)conn, (void)bytes, (void)length; /* The length is 0: more would have closed the connection. */
}

static const struct conn_ops outgoing_ops = { .frame_bytes_max = 0, .frame = nothing_expected, .down = peer_down };

static void dial_peer(struct peer *peer)
{
    peer->conn = dial(peer->net, NET_PEER, peer->raft_id, peer->address, &outgoing_ops, peer_up, peer);
}

void net_peer_set(struct net *net, uint64_t raft_id, const char *address)
{
    struct peer *peer = find(net, raft_id);

    if (net->closing || (peer && strcmp(peer->address, address) == 0))
        return;
    if (!peer) {
        peer = net_alloc(sizeof *peer);
        peer->net = net;
        peer->raft_id = raft_id;
        peer->next = net->peers;
        net->peers = peer;
        (void)uv_timer_init(net->loop, &peer->timer);
        peer->timer.data = peer;
        net_handle_opened(net);
    }
    (void)text_copy(peer->address, sizeof peer->address, address);
    peer->retry_ms = RETRY_MIN_MS;
    if (peer->conn)
        conn_close(peer->conn, ERR_STALE, "the address has changed");
    else
        (void)uv_timer_start(&peer->timer, retry, 0, 0);
}

static void freed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct net *net = peer->net;

    free(peer);
    net_handle_closed(net);
}

void net_peer_drop(struct net *net, uint64_t raft_id)
{
    struct peer **link = &net->peers;

    while (*link && (*link)->raft_id != raft_id)
        link = &(*link)->next;
    struct peer *peer = *link;
    if (!peer)
        return;
    *link = peer->next;
    if (peer->conn) {
        peer->conn->owner = NULL;
        conn_close(peer->conn, ERR_CANCELED, "not a peer any more");
    }
    uv_close((uv_handle_t *)&peer->timer, freed);
}

void peer_drop_all(struct net *net)
{
    while (net->peers)
        net_peer_drop(net, net->peers->raft_id);
}

void peer_redial_all(struct net *net)
{
    for (struct peer *peer = net->peers; peer; peer = peer->next) {
        peer->retry_ms = RETRY_MIN_MS;
        if (peer->conn)
            conn_close(peer->conn, ERR_STALE, "our own identity has changed");
    }
}

void net_send(struct net *net, uint64_t raft_id, const uint8_t *bytes, size_t length)
{
    const struct peer *peer = find(net, raft_id);

    assert(length <= NET_MESSAGE_BYTES_MAX);
    if (peer && conn_is_up(peer->conn) && conn_unsent(peer->conn) + length <= NET_QUEUE_BYTES_MAX)
        conn_send_frame(peer->conn, bytes, length);
}

static void message_came(struct conn *conn, const uint8_t *bytes, size_t length)
{
    const struct net_callbacks *callbacks = &conn->net->callbacks;

    callbacks->peer_message(callbacks->ctx, &conn->hello, bytes, length);
}

static const struct conn_ops incoming_ops = { .frame_bytes_max = NET_MESSAGE_BYTES_MAX, .frame = message_came };

void peer_accepted(struct conn *conn)
{
    conn_displace(conn);
    conn->ops = &incoming_ops;
    conn_set_up(conn);
}
