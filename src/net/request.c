/* request.c - one request and its reply a connection, either side of it. See net.h. */
#include "net/private.h"

#include <stdlib.h>

#define REQUEST_ARRIVES_MS 10000 /* from the welcome to the end of the request */
#define REPLY_LEAVES_MS 10000

struct call { /* ours, under way */
    uint8_t *bytes;
    size_t length;
    bool sent;
    uint64_t deadline_at; /* uv_now() */
    void (*done)(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err);
    void *ctx;
};

struct net_reply {
    struct conn *conn; /* NULL once it is gone */
};

static void call_up(struct conn *conn)
{
    struct call *call = conn->owner;
    uint64_t now = uv_now(conn->net->loop);

    conn_deadline(conn, call->deadline_at > now ? (unsigned)(call->deadline_at - now) : 1);
    call->sent = true;
    conn_send_frame(conn, call->bytes, call->length);
}

static void reply_came(struct conn *conn, const uint8_t *bytes, size_t length)
{
    struct call *call = conn->owner;
    void (*done)(void *, int, const uint8_t *, size_t, const struct err *) = call->done;

    call->done = NULL;
    conn_close(conn, ERR_STALE, "the request is answered");
    if (done)
        done(call->ctx, 0, bytes, length, NULL);
}

static void call_down(struct conn *conn)
{
    struct call *call = conn->owner;
    struct err why = conn->why;

    if (call->sent && why.code == ERR_SYSTEM) {
        why.code = ERR_UNKNOWN;
        (void)err_wrap(&why, "the request was sent, but no reply came");
    }
    if (call->done)
        call->done(call->ctx, -(int)why.code, NULL, 0, &why);
    free(call->bytes);
    free(call);
}

static const struct conn_ops call_ops = {
    .frame_bytes_max = NET_REQUEST_BYTES_MAX,
    .frame = reply_came,
    .down = call_down,
};

void net_request(struct net *net, const char *address, const uint8_t *bytes, size_t length, unsigned timeout_ms,
                 void (*done)(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err),
                 void *ctx)
{
    struct call *call = net_alloc(sizeof *call);

    call->bytes = net_alloc(length + 1);
    memcpy(call->bytes, bytes, length);
    call->length = length;
    call->done = done;
    call->ctx = ctx;
    call->deadline_at = uv_now(net->loop) + timeout_ms;
    struct conn *conn = dial(net, NET_REQUEST, 0, address, &call_ops, call_up, call);
    if (length > NET_REQUEST_BYTES_MAX)
        conn_close(conn, ERR_TOO_BIG, "the request is too big");
    if (conn->phase != CONN_DOWN && call->deadline_at < conn->establish_by) {
        conn->establish_by = call->deadline_at;
        conn_deadline(conn, conn_time_left(conn));
    }
}

static void request_came(struct conn *conn, const uint8_t *bytes, size_t length)
{
    const struct net_callbacks *callbacks = &conn->net->callbacks;

    if (conn->owner || conn->close_when_drained) {
        conn_close(conn, ERR_REFUSED, "a second request came on one connection");
        return;
    }
    struct net_reply *reply = net_alloc(sizeof *reply);
    reply->conn = conn;
    conn->owner = reply;
    conn_deadline(conn, 0);
    callbacks->request(callbacks->ctx, reply, bytes, length);
}

static void request_down(struct conn *conn)
{
    struct net_reply *reply = conn->owner;

    if (reply)
        reply->conn = NULL;
}

static const struct conn_ops request_ops = {
    .frame_bytes_max = NET_REQUEST_BYTES_MAX,
    .frame = request_came,
    .down = request_down,
};

void request_accepted(struct conn *conn)
{
    conn->ops = &request_ops;
    conn_set_up(conn);
    conn_deadline(conn, REQUEST_ARRIVES_MS);
}

void net_reply_send(struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    struct conn *conn = reply->conn;

    assert(length <= NET_REQUEST_BYTES_MAX);
    free(reply);
    if (!conn)
        return;
    conn->owner = NULL;
    if (!conn_is_up(conn))
        return;
    conn_send_frame(conn, bytes, length);
    conn_deadline(conn, REPLY_LEAVES_MS);
    conn_close_when_drained(conn);
}
