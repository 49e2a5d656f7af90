/* net.c - opening, closing and naming a node's end of the network. See net.h. */
#include "net/net.h"

#include "net/private.h"
#include "net/resolve.h"

#include <signal.h>
#include <stdlib.h>

void *net_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        abort();
    return memory;
}

void net_handle_opened(struct net *net)
{
    net->handles++;
}

void net_handle_closed(struct net *net)
{
    if (--net->handles > 0 || !net->closing)
        return;
    void (*done)(void *ctx) = net->done;
    void *ctx = net->done_ctx;
    resolver_free(net->resolver);
    tls_release(&net->tls);
    free(net);
    if (done)
        done(ctx);
}

int net_open(struct net **ret_net, uv_loop_t *loop, const struct net_config *config,
             const struct net_callbacks *callbacks, struct err *err)
{
    struct net *net = net_alloc(sizeof *net);

    net->loop = loop;
    net->callbacks = *callbacks;
    int failed = tls_init(&net->tls, config, err);
    if (failed) {
        free(net);
        return failed;
    }
    failed = accept_open(net, config->listen, err);
    if (failed) {
        tls_release(&net->tls);
        free(net);
        return failed;
    }
    net->resolver = resolver_new(loop);
    /* OpenSSL writes with write(2): a peer that has gone is to be an error, not our end. */
    (void)signal(SIGPIPE, SIG_IGN);
    *ret_net = net;
    return 0;
}

void net_close(struct net *net, void (*done)(void *ctx), void *ctx)
{
    assert(!net->closing);
    net->closing = true;
    net->done = done;
    net->done_ctx = ctx;
    accept_close(net);
    peer_drop_all(net);
    while (net->conns)
        conn_close(net->conns, ERR_CANCELED, "the network is being closed");
}

/* Another member, or the same one anew, must introduce itself again to whom we are now. */
static void end_introduced(struct net *net)
{
    struct conn *next;

    for (struct conn *conn = net->conns; conn; conn = next) {
        next = conn->next;
        if (conn->phase == CONN_UP && (conn->kind == NET_RAFT || (conn->kind == NET_PEER && conn->inbound)))
            conn_close(conn, ERR_STALE, "the identity of this node has changed");
    }
}

void net_identify(struct net *net, uint64_t cluster_id, uint32_t epoch, uint64_t raft_id, uint64_t incarnation,
                  const char *advertise)
{
    struct net_hello self = {
        .cluster_id = cluster_id, .epoch = epoch, .raft_id = raft_id, .incarnation = incarnation
    };
    const struct net_hello *was = &net->self;

    (void)text_copy(self.address, sizeof self.address, advertise);
    bool other = was->cluster_id != cluster_id || was->epoch != epoch || was->raft_id != raft_id;
    bool same = !other && was->incarnation == incarnation && strcmp(was->address, self.address) == 0;
    net->self = self;
    if (other)
        end_introduced(net);
    if (!same)
        peer_redial_all(net);
}

void net_listen_address(const struct net *net, char *ret_address, size_t size)
{
    (void)text_copy(ret_address, size, net->listen_address);
}
