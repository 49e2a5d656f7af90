/* conn.c - sockets, TLS sessions and frames. See conn.h. */
#include "net/conn.h"

#include "net/private.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#define FRAME_HEADER_BYTES 4
#define OUT_KEEP_BYTES 4096 /* of an idle connection's queue */

static const struct conn_ops *current_ops(const struct conn *conn)
{
    return conn->phase == CONN_UP ? conn->ops : conn->establish;
}

static void update_events(struct conn *conn)
{
    bool write = conn->phase == CONN_CONNECTING || conn->out_end > conn->out_start;
    bool read = conn->phase != CONN_CONNECTING && !conn->held_up;

    if (conn->phase != CONN_DOWN)
        watch_set(conn->watch, (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0));
}

static void freed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct net *net = conn->net;

    if (conn->establish && conn->establish->down)
        conn->establish->down(conn);
    if (conn->ops && conn->ops->down)
        conn->ops->down(conn);
    SSL_free(conn->ssl);
    buf_release(&conn->in);
    free(conn->out);
    free(conn);
    net_handle_closed(net);
}

struct conn *conn_new(struct net *net, const struct conn_ops *establish, bool inbound)
{
    struct conn *conn = net_alloc(sizeof *conn);

    conn->net = net;
    conn->establish = establish;
    conn->inbound = inbound;
    conn->phase = CONN_CONNECTING;
    conn->establish_by = uv_now(net->loop) + NET_ESTABLISH_MS;
    (void)uv_timer_init(net->loop, &conn->timer);
    conn->timer.data = conn;
    net_handle_opened(net);
    buf_init(&conn->in, FRAME_HEADER_BYTES + NET_REQUEST_BYTES_MAX);
    conn->next = net->conns;
    if (conn->next)
        conn->next->prev = conn;
    net->conns = conn;
    return conn;
}

void conn_fail(struct conn *conn, const struct err *why)
{
    if (conn->phase == CONN_DOWN)
        return;
    if (why)
        conn->why = *why;
    /* Tells the other side in passing that the end is meant; whether it arrives does not matter. */
    if (conn->phase == CONN_UP && conn->ssl)
        (void)SSL_shutdown(conn->ssl);
    ERR_clear_error();
    conn->phase = CONN_DOWN;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conn->net->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    watch_close(conn->watch);
    conn->watch = NULL;
    uv_close((uv_handle_t *)&conn->timer, freed);
}

void conn_close(struct conn *conn, enum err_code code, const char *reason)
{
    struct err why;

    (void)err_set(&why, code, "%s", reason);
    conn_fail(conn, &why);
}

void conn_displace(struct conn *conn)
{
    struct conn *next;

    for (struct conn *old = conn->net->conns; old; old = next) {
        next = old->next;
        if (old != conn && old->inbound && old->phase == CONN_UP && old->kind == conn->kind &&
            old->peer_id == conn->peer_id)
            conn_close(old, ERR_STALE, "the member has made a new connection");
    }
}

/* TLS or the socket said no with result; fails the connection unless that is passing. True: go on later. */
static bool passing(struct conn *conn, int result)
{
    struct err why;
    int error = SSL_get_error(conn->ssl, result);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return true;
    if (error == SSL_ERROR_ZERO_RETURN)
        (void)err_set(&why, ERR_SYSTEM, "the other side closed the connection");
    else
        (void)tls_failure(&conn->net->tls, conn->ssl, result, &why);
    conn_fail(conn, &why);
    return false;
}

static void flush(struct conn *conn)
{
    const struct conn_ops *ops = current_ops(conn);

    while (conn->out_start < conn->out_end) {
        size_t length = conn->out_end - conn->out_start;
        ERR_clear_error();
        int sent = SSL_write(conn->ssl, conn->out + conn->out_start,
                             (int)(length < CONN_CHUNK_BYTES ? length : CONN_CHUNK_BYTES));
        if (sent <= 0) {
            if (passing(conn, sent))
                update_events(conn);
            return;
        }
        conn->out_start += (size_t)sent;
    }
    conn->out_start = conn->out_end = 0;
    if (conn->out_size > OUT_KEEP_BYTES) {
        free(conn->out);
        conn->out = NULL;
        conn->out_size = 0;
    }
    if (conn->close_when_drained) {
        conn_fail(conn, NULL);
        return;
    }
    update_events(conn);
    if (ops->drained)
        ops->drained(conn);
}

static void queue(struct conn *conn, const void *bytes, size_t length)
{
    if (conn->out_size - conn->out_end < length && conn->out_start > 0) {
        memmove(conn->out, conn->out + conn->out_start, conn->out_end - conn->out_start);
        conn->out_end -= conn->out_start;
        conn->out_start = 0;
    }
    if (conn->out_size - conn->out_end < length) {
        size_t size = 2 * conn->out_size > conn->out_end + length ? 2 * conn->out_size : conn->out_end + length;
        uint8_t *out = realloc(conn->out, size);
        if (!out)
            abort();
        conn->out = out;
        conn->out_size = size;
    }
    memcpy(conn->out + conn->out_end, bytes, length);
    conn->out_end += length;
}

void conn_send_frame(struct conn *conn, const uint8_t *bytes, size_t length)
{
    uint8_t header[FRAME_HEADER_BYTES] = { (uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16),
                                           (uint8_t)(length >> 24) };
    bool idle = conn->out_start == conn->out_end;

    if (conn->phase != CONN_HELLO && conn->phase != CONN_UP)
        return;
    queue(conn, header, sizeof header);
    queue(conn, bytes, length);
    if (idle)
        flush(conn);
}

void conn_send_bytes(struct conn *conn, const uint8_t *bytes, size_t length)
{
    bool idle = conn->out_start == conn->out_end;

    if (conn->phase != CONN_UP)
        return;
    queue(conn, bytes, length);
    if (idle)
        flush(conn);
}

size_t conn_unsent(const struct conn *conn)
{
    return conn->out_end - conn->out_start;
}

void conn_close_when_drained(struct conn *conn)
{
    if (conn->phase == CONN_DOWN)
        return;
    conn->close_when_drained = true;
    if (conn_unsent(conn) == 0)
        conn_fail(conn, NULL);
}

static size_t frame_length(const uint8_t *header)
{
    return (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 | (size_t)header[3] << 24;
}

/* Hands out the first frame of the bytes given, if it is whole. Returns how many bytes it took. */
static size_t take_frame(struct conn *conn, const uint8_t *bytes, size_t length)
{
    const struct conn_ops *ops = current_ops(conn);

    if (length < FRAME_HEADER_BYTES)
        return 0;
    size_t body = frame_length(bytes);
    if (body > ops->frame_bytes_max) {
        conn_close(conn, ERR_TOO_BIG, "the other side sent a frame that is too big");
        return 0;
    }
    if (length < FRAME_HEADER_BYTES + body)
        return 0;
    ops->frame(conn, bytes + FRAME_HEADER_BYTES, body);
    return FRAME_HEADER_BYTES + body;
}

/* What the frame begun in conn->in still lacks, as far as that is known. */
static size_t frame_lacks(const struct conn *conn)
{
    size_t have = conn->in.length;

    if (have < FRAME_HEADER_BYTES)
        return FRAME_HEADER_BYTES - have;
    return FRAME_HEADER_BYTES + frame_length(conn->in.bytes) - have;
}

/* Hands out what has come, and keeps the beginning of a frame. The phase, and with it the ops, may change inside. */
static void take(struct conn *conn, const uint8_t *bytes, size_t length)
{
    while (length > 0 && conn->phase != CONN_DOWN) {
        size_t taken;
        if (conn->in.length > 0) {
            taken = frame_lacks(conn) < length ? frame_lacks(conn) : length;
            buf_put(&conn->in, bytes, taken);
            if (conn->in.failed)
                abort();
            if (take_frame(conn, conn->in.bytes, conn->in.length) > 0)
                buf_release(&conn->in);
        } else if (current_ops(conn)->bytes) {
            current_ops(conn)->bytes(conn, bytes, length);
            return;
        } else if ((taken = take_frame(conn, bytes, length)) == 0 && conn->phase != CONN_DOWN) {
            taken = length;
            buf_put(&conn->in, bytes, length);
        }
        bytes += taken;
        length -= taken;
    }
}

static void read_all(struct conn *conn)
{
    do {
        ERR_clear_error();
        int got = SSL_read(conn->ssl, conn->net->chunk, sizeof conn->net->chunk);
        if (got <= 0) {
            (void)passing(conn, got);
            return;
        }
        take(conn, conn->net->chunk, (size_t)got);
        /* What the kernel still has, the loop will tell; what TLS has read ahead, it cannot know. */
    } while (conn->phase != CONN_DOWN && !conn->held_up && SSL_has_pending(conn->ssl));
}

void conn_hold(struct conn *conn, bool held_up)
{
    if (conn->phase == CONN_DOWN || conn->held_up == held_up)
        return;
    conn->held_up = held_up;
    update_events(conn);
    if (!held_up && SSL_has_pending(conn->ssl))
        read_all(conn);
}

unsigned conn_time_left(const struct conn *conn)
{
    uint64_t now = uv_now(conn->net->loop);

    return conn->establish_by > now ? (unsigned)(conn->establish_by - now) : 1;
}

static void shake_hands(struct conn *conn)
{
    struct err why;

    ERR_clear_error();
    int result = SSL_do_handshake(conn->ssl);
    if (result != 1) {
        if (SSL_get_error(conn->ssl, result) == SSL_ERROR_WANT_WRITE)
            watch_set(conn->watch, UV_WRITABLE);
        else if (passing(conn, result))
            watch_set(conn->watch, UV_READABLE);
        return;
    }
    if (!tls_proven(&conn->net->tls, conn->ssl)) {
        (void)err_set(&why, ERR_REFUSED, "the other side did not prove that it belongs to the cluster");
        conn_fail(conn, &why);
        return;
    }
    conn->phase = CONN_HELLO;
    update_events(conn);
    conn->establish->secured(conn);
    if (conn->phase != CONN_DOWN && SSL_has_pending(conn->ssl))
        read_all(conn);
}

static void socket_ready(void *owner, int events)
{
    struct conn *conn = owner;
    int number = events && conn->phase != CONN_CONNECTING ? 0 : watch_error(conn->watch);

    if (!events || number) {
        struct err why;
        (void)err_set_errno(&why, number ? number : ECONNRESET,
                            conn->phase == CONN_CONNECTING ? "could not connect" : "connection broke");
        if (conn->phase == CONN_CONNECTING && conn->establish->unreachable) {
            conn->why = why;
            if (conn->establish->unreachable(conn))
                return;
        }
        conn_fail(conn, &why);
        return;
    }
    if (conn->phase == CONN_CONNECTING) {
        conn->phase = CONN_HANDSHAKE;
        conn_deadline(conn, conn_time_left(conn));
    }
    if (conn->phase == CONN_HANDSHAKE) {
        shake_hands(conn);
        return;
    }
    if (events & UV_WRITABLE)
        flush(conn);
    if (conn->phase != CONN_DOWN && events & UV_READABLE)
        read_all(conn);
}

void conn_start(struct conn *conn, int fd, bool pending)
{
    watch_close(conn->watch);
    SSL_free(conn->ssl);
    conn->watch = watch_new(conn->net, fd, socket_ready, conn);
    conn->ssl = conn->watch ? tls_session(&conn->net->tls, fd, !conn->inbound) : NULL;
    if (!conn->ssl) {
        conn_close(conn, ERR_MEMORY, "could not set a TLS session up");
        return;
    }
    conn->phase = pending ? CONN_CONNECTING : CONN_HANDSHAKE;
    watch_set(conn->watch, conn->inbound ? UV_READABLE : UV_WRITABLE);
}

void conn_set_up(struct conn *conn)
{
    assert(conn->phase == CONN_HELLO && conn->ops);
    conn->phase = CONN_UP;
    conn_deadline(conn, 0);
}

static void too_late(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    static const char *const texts[] = {
        [CONN_CONNECTING] = "no connection in time",
        [CONN_HANDSHAKE] = "no TLS handshake in time",
        [CONN_HELLO] = "no answer to the hello in time",
        [CONN_UP] = "no answer in time",
    };

    if (conn->phase == CONN_CONNECTING && conn->establish->unreachable && conn->establish->unreachable(conn))
        return;
    conn_close(conn, ERR_TIMEOUT, texts[conn->phase]);
}

void conn_deadline(struct conn *conn, unsigned ms)
{
    if (conn->phase == CONN_DOWN)
        return;
    if (ms)
        (void)uv_timer_start(&conn->timer, too_late, ms, 0);
    else
        (void)uv_timer_stop(&conn->timer);
}
