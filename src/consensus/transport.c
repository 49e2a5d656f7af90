/*
 * transport.c - libraft's streams: file descriptors that somebody else has connected and secured.
 *
 * libraft takes each stream over: it sets its data, closes it and frees it with raft_free, so the handle must be the
 * start of a block of raft_malloc.
 */
#include "consensus/private.h"

#include <stdlib.h>
#include <unistd.h>

/* Takes fd. NULL when the loop does not want it. */
static struct uv_stream_s *stream_of(struct consensus *consensus, int fd)
{
    uv_pipe_t *pipe = raft_malloc(sizeof *pipe);

    if (!pipe)
        abort();
    (void)uv_pipe_init(consensus->loop, pipe, 0);
    if (uv_pipe_open(pipe, fd)) {
        (void)close(fd);
        uv_close((uv_handle_t *)pipe, (uv_close_cb)raft_free);
        return NULL;
    }
    return (struct uv_stream_s *)pipe;
}

static int transport_start(struct raft_uv_transport *transport, raft_id id, const char *address)
{
    (void)transport, (void)id, (void)address; /* known already */
    return 0;
}

static int transport_listen(struct raft_uv_transport *transport, raft_uv_accept_cb accept_stream)
{
    struct consensus *consensus = transport->impl;

    consensus->accept_stream = accept_stream;
    return 0;
}

static void forget_dial(struct consensus *consensus, struct dial *dial)
{
    struct dial **link = &consensus->dials;

    while (*link != dial)
        link = &(*link)->next;
    *link = dial->next;
    dial->consensus = NULL;
}

static void dialled(void *ctx, int fd)
{
    struct dial *dial = ctx;
    struct consensus *consensus = dial->consensus;
    struct raft_uv_connect *request = dial->request;

    if (consensus)
        forget_dial(consensus, dial);
    free(dial);
    if (!consensus) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    struct uv_stream_s *stream = fd >= 0 ? stream_of(consensus, fd) : NULL;
    request->cb(request, stream, stream ? 0 : RAFT_NOCONNECTION);
}

static int transport_connect(struct raft_uv_transport *transport, struct raft_uv_connect *request, raft_id id,
                             const char *address, raft_uv_connect_cb done)
{
    struct consensus *consensus = transport->impl;

    if (consensus->down)
        return RAFT_NOCONNECTION;
    struct dial *dial = consensus_alloc(sizeof *dial);
    request->cb = done;
    dial->consensus = consensus;
    dial->request = request;
    dial->next = consensus->dials;
    consensus->dials = dial;
    consensus->callbacks.dial(consensus->callbacks.ctx, id, address, dialled, dial);
    return 0;
}

static void transport_stop(struct raft_uv_transport *transport, raft_uv_transport_close_cb done)
{
    struct consensus *consensus = transport->impl;

    consensus->accept_stream = NULL;
    while (consensus->dials) {
        struct raft_uv_connect *request = consensus->dials->request;
        forget_dial(consensus, consensus->dials);
        request->cb(request, NULL, RAFT_CANCELED);
    }
    done(transport);
}

void transport_init(struct consensus *consensus)
{
    consensus->transport = (struct raft_uv_transport){
        .version = 1,
        .impl = consensus, /* never data: libraft overwrites it */
        .init = transport_start,
        .listen = transport_listen,
        .connect = transport_connect,
        .close = transport_stop,
    };
}

void consensus_accept(struct consensus *consensus, uint64_t id, const char *address, int fd)
{
    if (!consensus->accept_stream || consensus->down || id == consensus->id || id == 0) {
        (void)close(fd);
        return;
    }
    struct uv_stream_s *stream = stream_of(consensus, fd);
    if (stream)
        consensus->accept_stream(&consensus->transport, id, address, stream);
}
