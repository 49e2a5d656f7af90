/* fsm.c - agreed bytes on their way from libraft to the daemon, and its state to snapshots and back. */
#include "consensus/envelope.h"
#include "consensus/private.h"

#define SNAPSHOT_BYTES_MAX (CONSENSUS_STATE_BYTES_MAX + CONSENSUS_STATE_BYTES_MAX / 64 + 4096)

/* Always 0: with anything else libraft would offer the same entry for ever. What we cannot read ends this node. */
static int apply(struct raft_fsm *fsm, const struct raft_buffer *entry, void **ret_result)
{
    struct consensus *consensus = fsm->data;
    const uint8_t *bytes = NULL;
    size_t length = 0;
    struct err err;

    *ret_result = NULL;
    if (consensus->down)
        return 0;
    if (entry_decode(entry->base, entry->len, &bytes, &length, &err))
        consensus_down(consensus, "could not apply the log: %s", err.text);
    else if (length > 0)
        consensus->callbacks.apply(consensus->callbacks.ctx, bytes, length);
    return 0;
}

/* One buffer, which libraft frees with raft_free. */
static int hand_over(const struct buf *snapshot, struct raft_buffer *ret_buffers[], unsigned *ret_count)
{
    struct raft_buffer *buffer = raft_malloc(sizeof *buffer);

    if (!buffer)
        return RAFT_NOMEM;
    buffer->base = raft_malloc(snapshot->length);
    buffer->len = snapshot->length;
    if (!buffer->base) {
        raft_free(buffer);
        return RAFT_NOMEM;
    }
    memcpy(buffer->base, snapshot->bytes, snapshot->length);
    *ret_buffers = buffer;
    *ret_count = 1;
    return 0;
}

/* On failure libraft asks again after the next entry. */
static int take_snapshot(struct raft_fsm *fsm, struct raft_buffer *ret_buffers[], unsigned *ret_count)
{
    struct consensus *consensus = fsm->data;
    AUTO(buf) state;
    AUTO(buf) snapshot;

    buf_init(&state, CONSENSUS_STATE_BYTES_MAX);
    buf_init(&snapshot, SNAPSHOT_BYTES_MAX);
    if (consensus->down || consensus->callbacks.snapshot(consensus->callbacks.ctx, &state) < 0 || state.failed)
        return RAFT_BUSY;
    if (snapshot_encode(&snapshot, state.bytes, state.length, NULL))
        return RAFT_BUSY;
    return hand_over(&snapshot, ret_buffers, ret_count);
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    struct consensus *consensus = fsm->data;
    struct err err;
    AUTO(buf) state;

    buf_init(&state, CONSENSUS_STATE_BYTES_MAX);
    int failed = snapshot_decode(&state, buffer->base, buffer->len, &err);
    if (!failed)
        failed = consensus->callbacks.restore(consensus->callbacks.ctx, state.bytes, state.length, &err);
    if (failed) {
        consensus_down(consensus, "could not restore a snapshot: %s", err.text);
        return RAFT_MALFORMED;
    }
    raft_free(buffer->base);
    return 0;
}

void fsm_init(struct consensus *consensus)
{
    consensus->fsm = (struct raft_fsm){
        .version = 1, .data = consensus, .apply = apply, .snapshot = take_snapshot, .restore = restore
    };
}
