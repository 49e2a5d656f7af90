/* codec_message.c - what members tell each other, as bytes. */
#include "core/codec_walk.h"

static void walk_history(struct walk *walk, struct history *history)
{
    walk_small(walk, &history->count, HISTORY_MAX);
    for (uint32_t i = 0; i < history->count; i++) {
        walk_timeline(walk, &history->rows[i].timeline);
        walk_lsn(walk, &history->rows[i].end);
    }
}

static void walk_instance(struct walk *walk, struct report *report)
{
    WALK_ENUM(walk, &report->pg_state, PG_PRIMARY);
    walk_bool(walk, &report->pg_answering);
    walk_bool(walk, &report->pg_was_primary);
    walk_directory(walk, &report->directory);
    walk_u64(walk, &report->system_identifier);
    walk_u32(walk, &report->version_number);
    walk_timeline(walk, &report->timeline);
    walk_history(walk, &report->history);
    walk_lsn(walk, &report->end);
    walk_lsn(walk, &report->replayed);
    walk_bool(walk, &report->receiver_streaming);
    walk_i32(walk, &report->upstream);
    walk_i64(walk, &report->replay_lag_us);
    walk_bool(walk, &report->lagging);
    walk_bool(walk, &report->following);
    walk_bool(walk, &report->checkpointed);
}

static void walk_as_primary(struct walk *walk, struct report *report)
{
    WALK_ENUM(walk, &report->trouble, TROUBLE_NO_SPACE);
    walk_bool(walk, &report->leaving);
    walk_bool(walk, &report->lease_valid);
    walk_i64(walk, &report->lease_left_us);
    walk_bool(walk, &report->guard_armed);
    walk_i64(walk, &report->lease_length_us);
    walk_u64(walk, &report->lease_config);
    walk_u64(walk, &report->demand_settled);
    walk_small(walk, &report->walsender_count, MEMBERS_MAX);
    for (uint32_t i = 0; i < report->walsender_count; i++) {
        walk_i32(walk, &report->walsenders[i].node_id);
        walk_bool(walk, &report->walsenders[i].streaming);
        walk_bool(walk, &report->walsenders[i].synchronous);
        walk_lsn(walk, &report->walsenders[i].flushed);
    }
}

static void walk_fence(struct walk *walk, struct fence_report *fence)
{
    walk_token(walk, &fence->token);
    walk_bool(walk, &fence->stopped);
    walk_bool(walk, &fence->clean);
    walk_bool(walk, &fence->data);
    walk_directory(walk, &fence->directory);
    walk_timeline(walk, &fence->timeline);
    walk_lsn(walk, &fence->end);
    walk_bool(walk, &fence->grants_over);
}

static void walk_report(struct walk *walk, struct report *report)
{
    walk_i32(walk, &report->node_id);
    walk_u64(walk, &report->raft_id);
    walk_u64(walk, &report->start_no);
    walk_u64(walk, &report->applied);
    walk_token(walk, &report->token);
    walk_bool(walk, &report->hello);
    walk_bool(walk, &report->leads);
    walk_i32(walk, &report->fetch_node);
    walk_i32(walk, &report->fetch_from);
    walk_bool(walk, &report->want_primary_data);
    walk_instance(walk, report);
    walk_as_primary(walk, report);
    walk_token(walk, &report->told.token);
    walk_bool(walk, &report->told.known);
    walk_u64(walk, &report->told.incarnation);
    walk_u64(walk, &report->told.round);
    walk_lsn(walk, &report->told.lsn);
    walk_i64(walk, &report->primary_seen_us);
    walk_fence(walk, &report->fence);
    WALK_ENUM(walk, &report->acting, ACT_CHECKPOINT);
    walk_text(walk, report->waiting, sizeof report->waiting);
    walk_text(walk, report->problem, sizeof report->problem);
}

static void walk_lease_ask(struct walk *walk, struct lease_ask *ask)
{
    walk_token(walk, &ask->token);
    walk_i32(walk, &ask->node_id);
    walk_u64(walk, &ask->incarnation);
    walk_u64(walk, &ask->round);
    walk_i64(walk, &ask->length_us);
    walk_lsn(walk, &ask->lsn);
    walk_bool(walk, &ask->healthy);
}

static void walk_lease_reply(struct walk *walk, struct lease_reply *reply)
{
    walk_i32(walk, &reply->node_id);
    walk_u64(walk, &reply->incarnation);
    walk_u64(walk, &reply->round);
    walk_bool(walk, &reply->granted);
    walk_token(walk, &reply->token);
}

static void walk_message(struct walk *walk, struct message *message)
{
    WALK_ENUM(walk, &message->kind, MESSAGE_FORWARD);
    switch (message->kind) {
    case MESSAGE_REPORT:
        walk_report(walk, &message->report);
        break;
    case MESSAGE_LEASE_ASK:
        walk_lease_ask(walk, &message->ask);
        break;
    case MESSAGE_LEASE_REPLY:
        walk_lease_reply(walk, &message->reply);
        break;
    case MESSAGE_FORWARD:
        walk_bytes(walk, &message->forward.length, message->forward.bytes, sizeof message->forward.bytes);
        break;
    }
}

void message_encode(const struct message *message, struct buf *to)
{
    struct walk walk = walk_writer(to);

    assert(message->kind >= MESSAGE_REPORT);
    walk_message(&walk, (struct message *)message); /* a writer changes nothing */
}

int message_decode(const uint8_t *bytes, size_t length, struct message *ret_message, struct err *err)
{
    struct walk walk = walk_reader(bytes, length);
    struct message message;

    memset(&message, 0, sizeof message);
    walk_message(&walk, &message);
    if (walk_end(&walk, "message", err) < 0)
        return -(int)ERR_CORRUPT;
    if (message.kind < MESSAGE_REPORT)
        return err_set(err, ERR_CORRUPT, "could not decode a message of %zu bytes: it has no kind", length);
    *ret_message = message;
    return 0;
}
