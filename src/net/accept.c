/*
 * accept.c - the listening socket, and inbound connections until they have found their owner.
 *
 * Strangers cost us little: NET_UNPROVEN_MAX handshakes at a time, of which a newcomer displaces the oldest, so that
 * a flood of idle connections does not keep members out for long; and none lasts longer than NET_ESTABLISH_MS.
 */
#include "net/address.h"
#include "net/hello.h"
#include "net/private.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#define BACKLOG 128
#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_MS 100

/* The hello is not for us, or not wanted: the reason why, or NULL. */
static const char *objection(struct conn *conn, uint64_t wanted_id, char *reason, size_t size)
{
    const struct net *net = conn->net;

    if (wanted_id && wanted_id != net->self.raft_id) {
        (void)snprintf(reason, size, "this is raft member %" PRIu64 ", not %" PRIu64, net->self.raft_id, wanted_id);
        return reason;
    }
    reason[0] = '\0';
    if (net->callbacks.admit(net->callbacks.ctx, &conn->hello, reason, size))
        return NULL;
    return reason[0] ? reason : "refused";
}

static void answer(struct conn *conn, const char *reason)
{
    AUTO(buf) frame;

    buf_init(&frame, HELLO_BYTES_MAX);
    hello_answer_encode(&frame, reason == NULL, reason ? reason : "");
    assert(!frame.failed);
    conn_send_frame(conn, frame.bytes, frame.length);
    if (reason)
        conn_close_when_drained(conn);
}

static void hello_came(struct conn *conn, const uint8_t *bytes, size_t length)
{
    char reason[NET_REASON_MAX];
    uint64_t wanted_id = 0;
    struct err why;

    if (conn->close_when_drained)
        return;
    if (hello_decode(&conn->hello, &wanted_id, bytes, length, &why)) {
        answer(conn, why.text);
        return;
    }
    conn->kind = conn->hello.kind;
    conn->peer_id = conn->hello.raft_id;
    const char *no = objection(conn, wanted_id, reason, sizeof reason);
    if (conn->phase == CONN_DOWN)
        return;
    answer(conn, no);
    if (no || conn->phase == CONN_DOWN)
        return;
    if (conn->kind == NET_RAFT)
        stream_accepted(conn);
    else if (conn->kind == NET_PEER)
        peer_accepted(conn);
    else
        request_accepted(conn);
}

static void secured(struct conn *conn)
{
    (void)conn; /* The dialler speaks first. */
}

static const struct conn_ops establish_ops = {
    .frame_bytes_max = HELLO_BYTES_MAX,
    .secured = secured,
    .frame = hello_came,
};

/* Makes room for one more stranger. False: there is none, because too many members are connected. */
static bool make_room(struct net *net)
{
    unsigned unproven = 0, proven = 0;
    struct conn *oldest = NULL;

    for (struct conn *conn = net->conns; conn; conn = conn->next) {
        if (!conn->inbound)
            continue;
        if (conn->phase <= CONN_HANDSHAKE) {
            unproven++;
            oldest = conn; /* newest first */
        } else {
            proven++;
        }
    }
    if (unproven >= NET_UNPROVEN_MAX)
        conn_close(oldest, ERR_REFUSED, "too many strangers");
    return proven < NET_INBOUND_MAX;
}

static void listen_again(uv_timer_t *timer)
{
    struct net *net = timer->data;

    watch_set(net->listener, UV_READABLE);
}

static void listener_ready(void *owner, int events)
{
    struct net *net = owner;

    (void)events; /* An error of the listening socket shows in accept4. */
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(net->listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
            return;
        if (fd < 0) {
            /* Out of descriptors or memory: without a pause the loop would spin. */
            watch_set(net->listener, 0);
            (void)uv_timer_start(&net->accept_pause, listen_again, ACCEPT_PAUSE_MS, 0);
            return;
        }
        if (!make_room(net)) {
            (void)close(fd);
            continue;
        }
        socket_options(fd);
        struct conn *conn = conn_new(net, &establish_ops, true);
        conn_start(conn, fd, false);
        conn_deadline(conn, NET_ESTABLISH_MS);
    }
}

/* A bound, listening socket for one address, or -errno. */
static int listen_on(const struct addrinfo *at)
{
    const int on = 1;
    const int off = 0;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) /* [::] is to mean every address of the host */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int number = errno;
        (void)close(fd);
        return -number;
    }
    return fd;
}

int accept_open(struct net *net, const char *listen, struct err *err)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    struct address address;
    int fd = -EADDRNOTAVAIL;
    int failed = address_parse(&address, listen, err);

    if (failed)
        return failed;
    int looked_up = getaddrinfo(address.host, address.port, &hints, &found);
    if (looked_up)
        return err_set(err, ERR_CONFIG, "could not look '%s' up to listen on: %s", address.host,
                       gai_strerror(looked_up));
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = listen_on(at);
    freeaddrinfo(found);
    if (fd < 0)
        return err_set_errno(err, -fd, "could not listen on '%s'", listen);
    if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
        address_text((struct sockaddr *)&bound, length, net->listen_address, sizeof net->listen_address);
    net->listener = watch_new(net, fd, listener_ready, net);
    if (!net->listener)
        return err_set(err, ERR_SYSTEM, "could not watch the socket that listens on '%s'", listen);
    (void)uv_timer_init(net->loop, &net->accept_pause);
    net->accept_pause.data = net;
    net_handle_opened(net);
    watch_set(net->listener, UV_READABLE);
    return 0;
}

static void pause_closed(uv_handle_t *handle)
{
    net_handle_closed(handle->data);
}

void accept_close(struct net *net)
{
    if (!net->listener)
        return;
    watch_close(net->listener);
    net->listener = NULL;
    uv_close((uv_handle_t *)&net->accept_pause, pause_closed);
}
