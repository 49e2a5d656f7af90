/* net_nodes.h - nodes on loopback for the tests of net/: each notes what it was told. */
#ifndef RAFTMGR_NET_NODES_H
#define RAFTMGR_NET_NODES_H

#include "loop_test.h"

#include "base/secret.h"
#include "net/net.h"

#include <unistd.h>

struct node {
    struct net *net;
    char address[NET_ADDRESS_MAX];
    bool refuse_all;
    unsigned admitted;
    unsigned messages;
    size_t message_bytes;
    uint8_t last_message[16];
    struct net_hello last_from;
    int stream_fd; /* -1: none came */
    unsigned ups, downs;
    char reason[1024];
    struct net_reply *kept; /* a request not answered yet */
    bool keep_requests;
    bool closed;
};

static inline bool admit(void *ctx, const struct net_hello *hello, char *ret_reason, size_t size)
{
    struct node *node = ctx;

    node->last_from = *hello;
    if (node->refuse_all) {
        (void)text_copy(ret_reason, size, "cluster 7 is not for you");
        return false;
    }
    node->admitted++;
    return true;
}

static inline void message_came(void *ctx, const struct net_hello *from, const uint8_t *bytes, size_t length)
{
    struct node *node = ctx;

    node->last_from = *from;
    node->messages++;
    node->message_bytes += length;
    memcpy(node->last_message, bytes, length < sizeof node->last_message ? length : sizeof node->last_message);
}

static inline void stream_came(void *ctx, const struct net_hello *from, int fd)
{
    struct node *node = ctx;

    node->last_from = *from;
    node->stream_fd = fd;
}

static inline void request_came(void *ctx, struct net_reply *reply, const uint8_t *bytes, size_t length)
{
    struct node *node = ctx;

    if (node->keep_requests)
        node->kept = reply;
    else
        net_reply_send(reply, bytes, length); /* an echo */
}

static inline void state_came(void *ctx, uint64_t raft_id, bool up, const char *reason)
{
    struct node *node = ctx;

    (void)raft_id;
    node->ups += up;
    node->downs += !up;
    (void)text_copy(node->reason, sizeof node->reason, reason);
}

static const char *make_secret(char *path, size_t size, const char *name)
{
    struct err err;

    (void)unit_path(path, size, name);
    if (access(path, F_OK))
        CU_ASSERT_EQUAL(secret_create(path, &err), 0);
    return path;
}

static inline void open_with(struct node *node, const struct net_config *config)
{
    struct net_callbacks callbacks = {
        .ctx = node,
        .admit = admit,
        .peer_message = message_came,
        .raft_stream = stream_came,
        .request = request_came,
        .peer_state = state_came,
    };
    struct err err = { 0 };

    *node = (struct node){ .stream_fd = -1 };
    CU_ASSERT_EQUAL_FATAL(net_open(&node->net, &loop, config, &callbacks, &err), 0);
    net_listen_address(node->net, node->address, sizeof node->address);
}

static inline void open_node(struct node *node, uint64_t raft_id, const char *secret_name)
{
    char path[512];
    struct net_config config = { .listen = "127.0.0.1:0", .secret_file = make_secret(path, sizeof path, secret_name) };

    open_with(node, &config);
    net_identify(node->net, 7, 1, raft_id, 1000 + raft_id, node->address);
}

static inline void closed(void *ctx)
{
    ((struct node *)ctx)->closed = true;
}

static inline void close_node(struct node *node)
{
    net_close(node->net, closed, node);
    RUN_UNTIL(node->closed);
    if (node->stream_fd >= 0)
        (void)close(node->stream_fd);
}

static inline void two_nodes(struct node *first, struct node *second)
{
    loop_start();
    open_node(first, 1, "secret");
    open_node(second, 2, "secret");
}

static inline void end_two_nodes(struct node *first, struct node *second)
{
    close_node(first);
    close_node(second);
    loop_end();
}

struct answer {
    unsigned calls;
    int status;
    size_t length;
    struct err err;
};

static inline void answered(void *ctx, int status, const uint8_t *bytes, size_t length, const struct err *err)
{
    struct answer *answer = ctx;

    (void)bytes;
    answer->calls++;
    answer->status = status;
    answer->length = length;
    if (err)
        answer->err = *err;
}

#endif
