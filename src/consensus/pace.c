/*
 * pace.c - when libraft looks at the clock, and which answers need not be sent: a member at rest sleeps.
 *
 * libraft's own timer ticks each heartbeat on every member. A follower has nothing to do then: the leader's heartbeats
 * put off its election. Here it is woken at the very moment at which its election timeout ends, which also spares it to
 * be late by up to a heartbeat, and to be late together with another.
 */
#include "consensus/private.h"

#include <limits.h>

#define ANSWERS_PER_ELECTION_TIMEOUT 4

#define OF_IO(pointer) ((struct consensus *)(void *)((char *)(pointer)-offsetof(struct consensus, io)))

static void tick(uv_timer_t *timer)
{
    struct consensus *consensus = timer->data;

    consensus->ticked_at = uv_now(consensus->loop);
    consensus->tick_due_at = 0;
    if (consensus->tick && consensus->raft_phase == RAFT_OPEN)
        consensus->tick(&consensus->io);
}

static int start(struct raft_io *io, unsigned period_ms, raft_io_tick_cb tick_libraft, raft_io_recv_cb receive)
{
    struct consensus *consensus = OF_IO(io);

    (void)period_ms; /* of libraft's own timer, which sleeps */
    consensus->tick = tick_libraft;
    return consensus->io_of_uv.start(io, UINT_MAX, tick_libraft, receive);
}

/* Of uv_now(). A leader has heartbeats to send, to some of its followers at any time. */
static uint64_t due_at(const struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;

    if (raft->state == RAFT_LEADER)
        return consensus->ticked_at + raft->heartbeat_timeout;
    return raft_timeout(raft);
}

void pace_arm(struct consensus *consensus)
{
    uint64_t due = due_at(consensus);
    uint64_t now = uv_now(consensus->loop);

    if (!consensus->tick || due == consensus->tick_due_at)
        return;
    consensus->tick_due_at = due;
    (void)uv_timer_start(&consensus->timer, tick, due > now ? due - now : 0, 0);
}

bool pace_says_nothing_new(struct consensus *consensus, const struct raft_message *message)
{
    const struct raft_append_entries_result *answer = &message->append_entries_result;
    const struct raft_append_entries_result *told = &consensus->answer;
    uint64_t now = uv_now(consensus->loop);

    if (message->type != RAFT_APPEND_ENTRIES_RESULT)
        return false;
    if (!answer->rejected && answer->term == told->term && answer->last_log_index == told->last_log_index &&
        answer->version == told->version && answer->features == told->features && answer->capacity == told->capacity &&
        message->server_id == consensus->answered_to &&
        now - consensus->answered_at < consensus->raft.election_timeout / ANSWERS_PER_ELECTION_TIMEOUT)
        return true;
    consensus->answer = *answer;
    consensus->answered_to = message->server_id;
    consensus->answered_at = now;
    return false;
}

void pace_init(struct consensus *consensus)
{
    (void)uv_timer_init(consensus->loop, &consensus->timer);
    consensus->timer.data = consensus;
}

void pace_io(struct consensus *consensus)
{
    consensus->io.start = start;
}
