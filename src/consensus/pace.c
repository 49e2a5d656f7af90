/*
 * pace.c - when libraft looks at the clock, and which heartbeats need not be sent: a member at rest sleeps.
 *
 * libraft's own timer ticks each heartbeat on every member. A follower has nothing to do then: the leader's heartbeats
 * put off its election. Here it is woken at the very moment at which its election timeout ends, which also spares it to
 * be late by up to a heartbeat, and to be late together with another.
 *
 * A heartbeat does two things: it carries the newest commit index, and it says that the leader lives. The former is
 * never held up. The latter need be said a few times in an election timeout only, however often libraft says it.
 */
#include "consensus/private.h"

#include <limits.h>

#define REPEATS_PER_ELECTION_TIMEOUT 5 /* of a heartbeat: a few may be lost */

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

/* What this member was sent last; for one that was sent nothing, the place of the one that waits longest. */
static struct appended *appended_to(struct consensus *consensus, raft_id id)
{
    struct appended *oldest = &consensus->appended[0];

    for (size_t i = 0; i < CONSENSUS_MEMBERS_MAX; i++) {
        struct appended *appended = &consensus->appended[i];
        if (appended->to == id)
            return appended;
        if (appended->at < oldest->at)
            oldest = appended;
    }
    return oldest;
}

/* libraft sends them at its ticks, about a heartbeat apart: each goes out at the tick that is nearest to its time. */
bool pace_says_nothing_new(struct consensus *consensus, const struct raft_message *message)
{
    const struct raft_append_entries *append = &message->append_entries;
    uint64_t now = uv_now(consensus->loop);
    uint64_t nearest_until = now + consensus->raft.heartbeat_timeout / 2;

    if (message->type != RAFT_APPEND_ENTRIES)
        return false;
    struct appended *appended = appended_to(consensus, message->server_id);
    if (append->n_entries == 0 && appended->to == message->server_id && append->term == appended->term &&
        append->prev_log_index == appended->prev_log_index && append->prev_log_term == appended->prev_log_term &&
        append->leader_commit == appended->leader_commit &&
        nearest_until - appended->at < consensus->raft.election_timeout / REPEATS_PER_ELECTION_TIMEOUT)
        return true;
    *appended = (struct appended){ .to = message->server_id,
                                   .term = append->term,
                                   .prev_log_index = append->prev_log_index,
                                   .prev_log_term = append->prev_log_term,
                                   .leader_commit = append->leader_commit,
                                   .at = now };
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
