/*
 * dial.c - outgoing connections: name, socket, handshake, hello, and the acceptor's word.
 *
 * All of it within NET_ESTABLISH_MS. Where a name has several addresses they are tried one after the other, each but
 * the last for TRY_MS at most.
 */
#include "net/hello.h"
#include "net/private.h"
#include "net/resolve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define TRY_MS 600
#define USER_TIMEOUT_MS 3000 /* sent and not acknowledged for so long: the connection is dead (tcp(7)) */
#define KEEPALIVE_IDLE_S 5

struct dial {
    struct address address;
    uint64_t wanted_id;
    struct resolved resolved;
    unsigned next; /* of resolved to try */
    struct lookup *lookup;
    void (*up)(struct conn *conn);
};

void socket_options(int fd)
{
    const int on = 1;
    const int idle_s = KEEPALIVE_IDLE_S;
    const int each_s = 1;
    const int times = 3;
    const unsigned user_timeout_ms = USER_TIMEOUT_MS;

    /* A socket without one of them still works, only less promptly. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &each_s, sizeof each_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

/* Starts connecting to the next address that takes it. False, with conn->why set, when there is none left. */
static bool try_next(struct conn *conn)
{
    struct dial *dial = conn->establish_state;

    while (dial->next < dial->resolved.count) {
        const struct sockaddr *to = (const struct sockaddr *)&dial->resolved.entries[dial->next].socket;
        socklen_t length = dial->resolved.entries[dial->next++].length;
        int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            (void)err_set_errno(&conn->why, errno, "could not make a socket");
            continue;
        }
        socket_options(fd);
        if (connect(fd, to, length) < 0 && errno != EINPROGRESS) {
            (void)err_set_errno(&conn->why, errno, "could not connect");
            (void)close(fd);
            continue;
        }
        unsigned left_ms = conn_time_left(conn);
        conn_start(conn, fd, true);
        conn_deadline(conn, dial->next < dial->resolved.count && left_ms > TRY_MS ? TRY_MS : left_ms);
        return true;
    }
    resolver_doubt(conn->net->resolver, &dial->address);
    return false;
}

/* Tries what there is; fails the connection when there is nothing. */
static void try_first(struct conn *conn)
{
    if (!try_next(conn))
        conn_fail(conn, NULL);
}

static void resolved(void *ctx, const struct resolved *resolved, const char *reason)
{
    struct conn *conn = ctx;
    struct dial *dial = conn->establish_state;

    dial->lookup = NULL;
    if (conn->phase == CONN_DOWN) /* ended in this same turn of the loop; its memory goes at the end of it */
        return;
    if (resolved)
        dial->resolved = *resolved;
    else if (!resolver_known(conn->net->resolver, &dial->address, false, &dial->resolved))
        (void)err_set(&conn->why, ERR_SYSTEM, "could not look '%s' up: %s", dial->address.host, reason);
    try_first(conn);
}

/* The socket failed or took too long, or the lookup did. */
static bool unreachable(struct conn *conn)
{
    struct dial *dial = conn->establish_state;

    if (dial->lookup) {
        lookup_forget(dial->lookup);
        dial->lookup = NULL;
        (void)resolver_known(conn->net->resolver, &dial->address, false, &dial->resolved);
    }
    return try_next(conn);
}

static void secured(struct conn *conn)
{
    const struct dial *dial = conn->establish_state;
    struct net_hello hello = conn->net->self;
    AUTO(buf) frame;

    hello.kind = conn->kind;
    buf_init(&frame, HELLO_BYTES_MAX);
    hello_encode(&frame, &hello, dial->wanted_id);
    assert(!frame.failed);
    conn_send_frame(conn, frame.bytes, frame.length);
}

static void answered(struct conn *conn, const uint8_t *bytes, size_t length)
{
    struct dial *dial = conn->establish_state;
    struct err why;

    if (hello_answer_decode(bytes, length, &why)) {
        conn_fail(conn, &why);
        return;
    }
    conn_set_up(conn);
    dial->up(conn);
}

static void down(struct conn *conn)
{
    struct dial *dial = conn->establish_state;

    lookup_forget(dial->lookup);
    free(dial);
}

static const struct conn_ops establish_ops = {
    .frame_bytes_max = HELLO_BYTES_MAX,
    .unreachable = unreachable,
    .secured = secured,
    .frame = answered,
    .down = down,
};

struct conn *dial(struct net *net, enum net_kind kind, uint64_t wanted_id, const char *address,
                  const struct conn_ops *ops, void (*up)(struct conn *conn), void *owner)
{
    struct conn *conn = conn_new(net, &establish_ops, false);
    struct dial *dial = net_alloc(sizeof *dial);
    struct err why;

    dial->wanted_id = wanted_id;
    dial->up = up;
    conn->establish_state = dial;
    conn->ops = ops;
    conn->owner = owner;
    conn->kind = kind;
    conn->peer_id = wanted_id;
    if (net->closing) {
        conn_close(conn, ERR_CANCELED, "the network is being closed");
    } else if (address_parse(&dial->address, address, &why)) {
        conn_fail(conn, &why);
    } else if (resolver_known(net->resolver, &dial->address, true, &dial->resolved)) {
        try_first(conn);
    } else if ((dial->lookup = lookup_start(net->resolver, &dial->address, resolved, conn))) {
        conn_deadline(conn, RESOLVE_PATIENCE_MS);
    } else {
        (void)err_set(&conn->why, ERR_SYSTEM, "could not look '%s' up: too many lookups under way", dial->address.host);
        (void)resolver_known(net->resolver, &dial->address, false, &dial->resolved);
        try_first(conn);
    }
    return conn;
}
