/*
 * conn.h - one authenticated connection: a socket, its TLS session, frames in and out, a deadline.
 *
 * A connection is made by dial.c or accept.c, whose establish ops see it through the handshake and the hello; once it
 * is up, the ops of its owner (peer.c, request.c, stream.c) get what comes. Whatever ends it, down is called exactly
 * once (of establish if there is any, then of ops), from a later turn of the loop, and the connection is freed after
 * that; until then conn_is_up() is false and conn_fail() does nothing. Reading and writing happen directly on the
 * socket when the loop says so: nothing is queued but what the socket or TLS would not take.
 */
#ifndef RAFTMGR_NET_CONN_H
#define RAFTMGR_NET_CONN_H

#include "base/buf.h"
#include "net/tls.h"
#include "net/watch.h"

#define CONN_CHUNK_BYTES 16384 /* one TLS record */

enum conn_phase { CONN_CONNECTING, CONN_HANDSHAKE, CONN_HELLO, CONN_UP, CONN_DOWN };

struct conn;

struct conn_ops {
    size_t frame_bytes_max;
    /* The socket broke before TLS was up; true: another one has been found, go on. Only of establish; may be NULL. */
    bool (*unreachable)(struct conn *conn);
    /* The handshake has proven the other side. Only of establish. */
    void (*secured)(struct conn *conn);
    /* A whole frame; bytes are borrowed until return. */
    void (*frame)(struct conn *conn, const uint8_t *bytes, size_t length);
    /* Instead of frames: plain bytes as they come. */
    void (*bytes)(struct conn *conn, const uint8_t *bytes, size_t length);
    /* Everything queued has gone out. May be NULL. */
    void (*drained)(struct conn *conn);
    /* It is over, for conn->why; may be NULL. */
    void (*down)(struct conn *conn);
};

struct conn {
    struct net *net;
    struct conn *next, *prev;         /* net->conns, newest first */
    const struct conn_ops *establish; /* until it is up */
    void *establish_state;
    const struct conn_ops *ops; /* of the owner; NULL until an inbound connection has found one */
    void *owner;
    enum conn_phase phase;
    bool inbound;
    bool held_up; /* the owner takes no bytes now: do not read */
    bool close_when_drained;
    enum net_kind kind;
    uint64_t peer_id;       /* whom we dialled, or who it said it is */
    struct net_hello hello; /* inbound: what it said */
    struct watch *watch;    /* the socket; NULL while there is none */
    SSL *ssl;
    uv_timer_t timer;
    uint64_t establish_by; /* uv_now() by which it must be up */
    struct buf in;         /* the beginning of a frame */
    uint8_t *out;          /* what was not sent yet: out_start to out_end of out_size bytes */
    size_t out_start, out_end, out_size;
    struct err why; /* ERR_OK: none yet */
};

/* A connection without a socket, in net->conns. It lives until conn_fail or conn_close. */
struct conn *conn_new(struct net *net, const struct conn_ops *establish, bool inbound);

/* Gives it a socket (taken in any case), connected or, with pending set, about to be; then the handshake starts. */
void conn_start(struct conn *conn, int fd, bool pending);

/* The other side has agreed: from now on ops get what comes. */
void conn_set_up(struct conn *conn);

/* The deadline for what it is doing now: ERR_TIMEOUT when it passes. 0 ms: none. */
void conn_deadline(struct conn *conn, unsigned ms);

/* Milliseconds, at least 1, until it must be up. */
unsigned conn_time_left(const struct conn *conn);

/* Queues a frame and sends what goes out at once. */
void conn_send_frame(struct conn *conn, const uint8_t *bytes, size_t length);
/* The same for plain bytes. */
void conn_send_bytes(struct conn *conn, const uint8_t *bytes, size_t length);
size_t conn_unsent(const struct conn *conn);

/* Stops and goes on reading; going on also delivers what TLS has read ahead. */
void conn_hold(struct conn *conn, bool held_up);

static inline bool conn_is_up(const struct conn *conn)
{
    return conn && conn->phase == CONN_UP;
}

/* Ends it now; why is copied (NULL: keeps conn->why as it is). */
void conn_fail(struct conn *conn, const struct err *why);
/* Ends it, for a reason in words. */
void conn_close(struct conn *conn, enum err_code code, const char *reason);
/* Ends every older inbound connection of the same kind from the same member: it has made a new one. */
void conn_displace(struct conn *conn);
/* Ends it once everything queued has gone out, or at the deadline. */
void conn_close_when_drained(struct conn *conn);

#endif
