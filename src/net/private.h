/* private.h - struct net, and what the files of net/ need from each other beyond their headers. */
#ifndef RAFTMGR_NET_PRIVATE_H
#define RAFTMGR_NET_PRIVATE_H

#include "net/conn.h"
#include "net/net.h"

#define NET_ESTABLISH_MS 2000 /* connect, handshake and hello together, either side */
#define NET_UNPROVEN_MAX 64   /* inbound connections in the handshake; the oldest gives way */
#define NET_INBOUND_MAX 256   /* proven inbound connections */

struct peer;
struct resolver;

struct net {
    uv_loop_t *loop;
    struct net_callbacks callbacks;
    struct tls tls;
    struct net_hello self; /* kind unused */
    struct watch *listener;
    uv_timer_t accept_pause; /* out of file descriptors: look again later */
    char listen_address[NET_ADDRESS_MAX];
    struct conn *conns;
    struct peer *peers;
    struct resolver *resolver;
    unsigned handles; /* of ours that the loop still has */
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    uint8_t chunk[CONN_CHUNK_BYTES]; /* where reads go first; used within one callback only */
};

/* Every uv handle of ours: counted when it is made, uncounted in its close callback. */
void net_handle_opened(struct net *net);
void net_handle_closed(struct net *net);

/* Zeroed memory, or the end of the process: nothing here can go on without. */
void *net_alloc(size_t size);

/*
 * Opens a connection for ops and owner to a member (wanted_id 0: to whoever answers). ops->up of dial_ops is called
 * when the acceptor has said yes; ops then get frames or bytes. Failures come as ops->down. Never NULL.
 */
struct conn *dial(struct net *net, enum net_kind kind, uint64_t wanted_id, const char *address,
                  const struct conn_ops *ops, void (*up)(struct conn *conn), void *owner);

/* Starts listening at config->listen. ERR_CONFIG, ERR_SYSTEM. */
int accept_open(struct net *net, const char *listen, struct err *err);
void accept_close(struct net *net);

/* Options of every connected socket of ours. */
void socket_options(int fd);

/* A proven, admitted, inbound connection finds its owner. */
void peer_accepted(struct conn *conn);
void request_accepted(struct conn *conn);
void stream_accepted(struct conn *conn);

/* Outgoing peer connections are made anew: our hello has changed. */
void peer_redial_all(struct net *net);
void peer_drop_all(struct net *net);

#endif
