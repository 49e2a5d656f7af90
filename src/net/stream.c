/*
 * stream.c - raft streams: bytes pumped between TLS and one end of a socketpair, whose other end raft has.
 *
 * Back-pressure both ways: what one side does not take, the other is not asked for. So nothing piles up here, and TLS
 * with its key stays on our side of the pair.
 */
#include "net/private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNSENT_MAX (64u << 10) /* towards TLS: read no more from the pair */

struct stream {
    struct conn *conn;
    struct watch *inner; /* our end of the pair; NULL until it is up */
    struct buf stash;    /* what the pair did not take: at most one chunk */
    size_t stash_start;
    void (*done)(void *ctx, int fd); /* of net_dial_raft, until called */
    void *ctx;
};

static void update_inner(struct stream *stream)
{
    bool read = conn_unsent(stream->conn) <= UNSENT_MAX;
    bool write = stream->stash.length > 0;

    watch_set(stream->inner, (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0));
}

/* Sends what the pair takes. Returns how much that was, or -1 when raft has closed its end. */
static ssize_t push(struct stream *stream, const uint8_t *bytes, size_t length)
{
    ssize_t sent = send(stream->inner->fd, bytes, length, MSG_NOSIGNAL);

    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    conn_close(stream->conn, ERR_SYSTEM, "raft has closed the stream");
    return -1;
}

/* From TLS towards raft. */
static void bytes_came(struct conn *conn, const uint8_t *bytes, size_t length)
{
    struct stream *stream = conn->owner;
    ssize_t sent = stream->stash.length ? 0 : push(stream, bytes, length);

    if (sent < 0 || (size_t)sent == length)
        return;
    buf_put(&stream->stash, bytes + sent, length - (size_t)sent);
    if (stream->stash.failed)
        abort();
    conn_hold(conn, true);
    update_inner(stream);
}

static void push_stash(struct stream *stream)
{
    struct buf *stash = &stream->stash;
    ssize_t sent = push(stream, stash->bytes + stream->stash_start, stash->length - stream->stash_start);

    if (sent < 0)
        return;
    stream->stash_start += (size_t)sent;
    if (stream->stash_start < stash->length)
        return;
    buf_release(stash);
    stream->stash_start = 0;
    update_inner(stream);
    conn_hold(stream->conn, false);
}

/* From raft towards TLS. */
static void pull(struct stream *stream)
{
    struct net *net = stream->conn->net;
    ssize_t got = recv(stream->inner->fd, net->chunk, sizeof net->chunk, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        conn_close(stream->conn, ERR_SYSTEM, "raft has closed the stream");
        return;
    }
    conn_send_bytes(stream->conn, net->chunk, (size_t)got);
    if (conn_is_up(stream->conn))
        update_inner(stream);
}

static void inner_ready(void *owner, int events)
{
    struct stream *stream = owner;

    if (!events) {
        conn_close(stream->conn, ERR_SYSTEM, "raft has closed the stream");
        return;
    }
    if (events & UV_WRITABLE && stream->stash.length > 0)
        push_stash(stream);
    if (events & UV_READABLE && conn_is_up(stream->conn))
        pull(stream);
}

static void drained(struct conn *conn)
{
    struct stream *stream = conn->owner;

    if (stream->inner)
        update_inner(stream);
}

static void down(struct conn *conn)
{
    struct stream *stream = conn->owner;

    if (stream->done)
        stream->done(stream->ctx, -1);
    watch_close(stream->inner);
    buf_release(&stream->stash);
    free(stream);
}

static const struct conn_ops ops = { .bytes = bytes_came, .drained = drained, .down = down };

static struct stream *stream_new(void)
{
    struct stream *stream = net_alloc(sizeof *stream);

    buf_init(&stream->stash, 2 * CONN_CHUNK_BYTES);
    return stream;
}

/* Makes the pair for a connection that is up; returns raft's end, or -1 with the connection failed. */
static int open_pair(struct stream *stream)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        (void)err_set_errno(&stream->conn->why, errno, "could not make a socketpair");
        conn_fail(stream->conn, NULL);
        return -1;
    }
    stream->inner = watch_new(stream->conn->net, fds[1], inner_ready, stream);
    if (!stream->inner) {
        (void)close(fds[0]);
        conn_close(stream->conn, ERR_SYSTEM, "could not watch a socketpair");
        return -1;
    }
    update_inner(stream);
    return fds[0];
}

static void dialled(struct conn *conn)
{
    struct stream *stream = conn->owner;
    void (*done)(void *ctx, int fd) = stream->done;
    int fd = open_pair(stream);

    if (fd < 0)
        return; /* down() tells. */
    stream->done = NULL;
    done(stream->ctx, fd);
}

void net_dial_raft(struct net *net, uint64_t raft_id, const char *address, void (*done)(void *ctx, int fd), void *ctx)
{
    struct stream *stream = stream_new();

    stream->done = done;
    stream->ctx = ctx;
    stream->conn = dial(net, NET_RAFT, raft_id, address, &ops, dialled, stream);
}

void stream_accepted(struct conn *conn)
{
    const struct net_callbacks *callbacks = &conn->net->callbacks;
    struct stream *stream = stream_new();

    conn_displace(conn);
    stream->conn = conn;
    conn->owner = stream;
    conn->ops = &ops;
    conn_set_up(conn);
    int fd = open_pair(stream);
    if (fd >= 0)
        callbacks->raft_stream(callbacks->ctx, &conn->hello, fd);
}
