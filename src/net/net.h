/*
 * net.h - one TCP port a node, for raft streams, peer messages and one-shot requests; TLS 1.3 with both sides known.
 *
 * Who may talk to us is decided before a byte of the protocol is read: TLS authenticates by the cluster's secret or by
 * certificates (docs/decisions/0002-transport.md). Who it says to be is then in the dialler's hello, and admit() may
 * still refuse it with a reason that the dialler gets to see. Everything runs on the caller's loop; no function here
 * calls back from inside, except where it says so.
 */
#ifndef RAFTMGR_NET_H
#define RAFTMGR_NET_H

#include "base/err.h"

#include <uv.h>

#define NET_ADDRESS_MAX 128                 /* host:port, [v6]:port or name:port, with its terminator */
#define NET_REASON_MAX 512                  /* text of a refusal, with its terminator */
#define NET_MESSAGE_BYTES_MAX (256u << 10)  /* one peer message */
#define NET_REQUEST_BYTES_MAX (1024u << 10) /* one request or one reply */
#define NET_QUEUE_BYTES_MAX (1024u << 10)   /* unsent peer messages of one connection; more are dropped */

enum net_kind { NET_RAFT = 1, NET_PEER, NET_REQUEST }; /* what a connection is for */

struct net_hello { /* what a dialler says about itself */
    enum net_kind kind;
    uint64_t cluster_id;
    uint32_t epoch;
    uint64_t raft_id;
    uint64_t incarnation;
    char address[NET_ADDRESS_MAX];
};

/* Either secret_file or all three of cert_file, key_file and ca_file; never both. Borrowed during net_open. */
struct net_config {
    const char *listen;
    const char *secret_file;
    const char *cert_file, *key_file, *ca_file;
};

struct net;
struct net_reply; /* the right and duty to answer one request */

struct net_callbacks { /* bytes and hello are borrowed until return */
    void *ctx;
    /* An authenticated dialler wants in. False refuses it and sends ret_reason to it. Required. */
    bool (*admit)(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size);
    /* One message of a peer, in the order sent, possibly with gaps. */
    void (*peer_message)(void *ctx, const struct net_hello *from, const uint8_t *bytes, size_t length);
    /* A peer's raft stream: fd, now the callee's, is one end of a socketpair that carries plain bytes. */
    void (*raft_stream)(void *ctx, const struct net_hello *from, int fd);
    /* One request. Call net_reply_send(reply) exactly once, now or later, also when its connection is long gone. */
    void (*request)(void *ctx, struct net_reply *reply, const uint8_t *bytes, size_t length);
    /* Our outgoing peer connection came up, or went down or was refused for reason (empty when up). A failure that
     * repeats with the same reason is told once. */
    void (*peer_state)(void *ctx, uint64_t raft_id, bool up, const char *reason);
};

/*
 * Loads the secret or the certificates, binds and listens. Nothing is answered before the loop runs. On failure
 * *ret_net stays untouched: ERR_CONFIG (wrong or mixed settings, unreadable or unsafe secret, bad certificate),
 * ERR_SYSTEM (address in use or not ours). A name to listen on is looked up now, and may block.
 */
int net_open(struct net **ret_net, uv_loop_t *loop, const struct net_config *config,
             const struct net_callbacks *callbacks, struct err *err);

/* Closes every connection and frees net, then calls done (may be NULL), later. Dials and requests under way end first,
 * with -1 or ERR_CANCELED. Replies still owed are to be sent all the same, before or after. A name lookup under way
 * keeps the loop busy until it ends, but calls nobody. */
void net_close(struct net *net, void (*done)(void *ctx), void *ctx);

/* What our hellos say from now on. Where anything changed, outgoing peer connections are made anew. */
void net_identify(struct net *net, uint64_t cluster_id, uint32_t epoch, uint64_t raft_id, uint64_t incarnation,
                  const char *advertise);

/* Keeps an outgoing peer connection to it, with tries 100 ms to 1 s apart. Another address for a known id: anew. */
void net_peer_set(struct net *net, uint64_t raft_id, const char *address);
/* Ends it; peer_state is not called for it. Unknown ids are ignored. */
void net_peer_drop(struct net *net, uint64_t raft_id);

/* Best effort: dropped when the peer is not connected or its queue would exceed NET_QUEUE_BYTES_MAX. Length at most
 * NET_MESSAGE_BYTES_MAX. */
void net_send(struct net *net, uint64_t raft_id, const uint8_t *bytes, size_t length);

/*
 * Opens a raft stream. done is called exactly once, later, within 2 s: with fd >= 0, now the callee's, once the
 * acceptor has said yes; else with -1. raft_id is whom we mean, and the acceptor refuses if it is somebody else.
 */
void net_dial_raft(struct net *net, uint64_t raft_id, const char *address, void (*done)(void *ctx, int fd), void *ctx);

/*
 * Sends one request and waits for its reply. done is called exactly once, later, within timeout_ms: status 0 and the
 * reply's bytes (borrowed until return), or a negative code and err: ERR_REFUSED with the acceptor's reason (or that
 * it does not accept our secret or certificate), ERR_SYSTEM (not reachable), ERR_TIMEOUT (the request may have been
 * carried out), ERR_UNKNOWN (connection lost after the request was sent), ERR_TOO_BIG, ERR_CONFIG (address),
 * ERR_CANCELED (net_close).
 */
void net_request(struct net *net, const char *address, const uint8_t *bytes, size_t length, unsigned timeout_ms,
                 void (*done)(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err),
                 void *ctx);

/* Answers a request and frees reply; at most NET_REQUEST_BYTES_MAX bytes, which are copied. */
void net_reply_send(struct net_reply *reply, const uint8_t *bytes, size_t length);

/* The address that net listens on, as host:port; of use where the configured port is 0. */
void net_listen_address(const struct net *net, char *ret_address, size_t size);

#endif
