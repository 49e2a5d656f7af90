/* group.c - a small Raft: terms, votes, elections, and what the manager is told. See group.h; the log is in log.c. */
#include "group.h"

#include "log.h"
#include "world.h"

static int64_t election_us(const struct host *host)
{
    return (int64_t)host->world->profile.policy.raft_election_timeout_ms * MS;
}

static int64_t heartbeat_us(const struct host *host)
{
    return (int64_t)host->world->profile.policy.raft_heartbeat_ms * MS;
}

static void deadline_draw(struct host *host)
{
    host->raft.heard_us = host->world->now_us;
    host->raft.deadline_us = host->world->now_us + world_chance(host->world, election_us(host), 2 * election_us(host));
}

static bool changed_seen(struct raft_node *raft, const struct raft_seen *seen)
{
    if (memcmp(&raft->told, seen, sizeof *seen) == 0)
        return false;
    raft->told = *seen;
    return true;
}

void group_tell(struct host *host)
{
    struct raft_node *raft = &host->raft;
    const struct servers *servers = &host->world->servers[raft->servers];
    struct raft_seen seen;

    memset(&seen, 0, sizeof seen);
    seen.leader = raft->state == RAFT_LEADER && raft->applied >= raft->barrier;
    seen.leader_id = raft->leader_id;
    seen.term = raft->term;
    seen.changing = raft->changing || raft->transfer_id != 0;
    seen.server_count = servers->count;
    for (uint32_t i = 0; i < servers->count; i++) {
        seen.servers[i].raft_id = servers->of[i].raft_id;
        seen.servers[i].role = servers->of[i].role;
    }
    if (!changed_seen(raft, &seen))
        return;
    manager_raft(&host->manager, &seen, clock_of(host));
    host_crank(host);
}

static void follow(struct host *host, uint64_t term, uint64_t leader_id)
{
    struct raft_node *raft = &host->raft;

    if (raft->state == RAFT_LEADER) {
        log_forget_pending(host);
        raft->changing = false;
        raft->transfer_id = 0;
        world_put(host, AT_ELECTION, election_us(host), 0, 0);
    }
    if (term > raft->term) {
        raft->term = term;
        raft->vote = 0;
    }
    raft->state = RAFT_FOLLOWER;
    raft->leader_id = leader_id;
}

static bool is_voter(const struct host *host, uint64_t raft_id)
{
    return log_role(host, raft_id) == RAFT_ROLE_VOTER;
}

static void ask_votes(struct host *host, bool pre, bool forced)
{
    struct raft_node *raft = &host->raft;
    const struct servers *servers = &host->world->servers[raft->servers];
    struct raft_message message = {
        .kind = RAFT_VOTE,
        .from = raft->raft_id,
        .term = raft->term + (pre ? 1 : 0),
        .index = raft->last,
        .index_term = log_term(host, raft->last),
        .pre = pre,
        .forced = forced,
    };

    for (uint32_t i = 0; i < servers->count; i++) {
        message.to = servers->of[i].raft_id;
        if (message.to != raft->raft_id && servers->of[i].role == RAFT_ROLE_VOTER)
            net_send_raft(host, &message);
    }
}

static uint32_t voters(const struct host *host, uint32_t among)
{
    const struct servers *servers = &host->world->servers[host->raft.servers];
    uint32_t count = 0;

    for (uint32_t i = 0; i < servers->count; i++) {
        struct host *one = world_host_by_raft(host->world, servers->of[i].raft_id);
        count += servers->of[i].role == RAFT_ROLE_VOTER && (among == UINT32_MAX || (one && among >> one->index & 1));
    }
    return count;
}

static void lead(struct host *host)
{
    struct raft_node *raft = &host->raft;

    check_leader(host);
    raft->state = RAFT_LEADER;
    raft->leader_id = raft->raft_id;
    raft->changing = false;
    raft->transfer_id = 0;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        raft->next[i] = raft->last + 1;
        raft->match[i] = 0;
        raft->active_us[i] = host->world->now_us;
    }
    raft->barrier = raft->last + 1;
    world_trace(host, "raft: leads term %" PRIu64, raft->term);
    group_propose(host, ENTRY_EMPTY, NULL, 0, 0);
    world_put(host, AT_HEARTBEAT, heartbeat_us(host), raft->term, 0);
    group_tell(host);
}

static void campaign(struct host *host, bool pre, bool forced)
{
    struct raft_node *raft = &host->raft;

    if (!pre) {
        raft->term++;
        raft->vote = raft->raft_id;
    }
    raft->state = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
    raft->leader_id = 0;
    raft->votes = 1u << host->index;
    deadline_draw(host);
    if (voters(host, UINT32_MAX) == 1) {
        if (pre)
            campaign(host, false, false); /* alone: once deeper, no more */
        else
            lead(host);
        return;
    }
    ask_votes(host, pre, forced);
    group_tell(host);
}

void group_election(struct host *host)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;

    if (raft->state == RAFT_LEADER)
        return;
    if (world->now_us < raft->deadline_us) {
        world_put(host, AT_ELECTION, raft->deadline_us - world->now_us, 0, 0);
        return;
    }
    deadline_draw(host);
    world_put(host, AT_ELECTION, raft->deadline_us - world->now_us, 0, 0);
    if (is_voter(host, raft->raft_id))
        campaign(host, true, false);
    else if (raft->leader_id != 0) {
        raft->leader_id = 0;
        group_tell(host);
    }
}

void group_heartbeat(struct host *host, uint64_t term)
{
    struct raft_node *raft = &host->raft;
    struct world *world = host->world;
    uint32_t active = 1u << host->index;

    if (raft->state != RAFT_LEADER || raft->term != term)
        return;
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        if (world->now_us - raft->active_us[i] < 2 * election_us(host))
            active |= 1u << i;
    if (voters(host, active) < voters(host, UINT32_MAX) / 2 + 1) {
        world_trace(host, "raft: steps down without a majority");
        follow(host, raft->term, 0);
        deadline_draw(host);
        group_tell(host);
        return;
    }
    log_watch_change(host);
    if (raft->transfer_id != 0 && world->now_us >= raft->transfer_until_us)
        raft->transfer_id = 0;
    log_send_all(host, true);
    group_tell(host);
    world_put(host, AT_HEARTBEAT, heartbeat_us(host), term, 0);
}

static bool up_to_date(const struct host *host, const struct raft_message *message)
{
    uint64_t own_term = log_term(host, host->raft.last);

    return message->index_term > own_term || (message->index_term == own_term && message->index >= host->raft.last);
}

static void on_vote(struct host *host, const struct raft_message *message)
{
    struct raft_node *raft = &host->raft;
    bool has_leader = raft->leader_id != 0 && raft->leader_id != message->from &&
                      host->world->now_us - raft->heard_us < election_us(host);
    struct raft_message reply = {
        .kind = RAFT_VOTE_REPLY, .from = raft->raft_id, .to = message->from, .pre = message->pre
    };

    if (raft->state == RAFT_LEADER)
        has_leader = true;
    if (has_leader && !message->forced) {
        reply.term = raft->term;
        net_send_raft(host, &reply);
        return;
    }
    if (!message->pre && message->term > raft->term) {
        follow(host, message->term, 0);
        group_tell(host);
    }
    reply.term = message->pre ? message->term : raft->term;
    bool free_vote = raft->vote == 0 || raft->vote == message->from || host->world->plant == PLANT_DOUBLE_VOTE;
    reply.ok = message->term >= raft->term && up_to_date(host, message) &&
               (message->pre ? message->term > raft->term : free_vote);
    if (reply.ok && !message->pre) {
        raft->vote = message->from;
        deadline_draw(host);
    }
    if (!reply.ok)
        reply.term = raft->term;
    net_send_raft(host, &reply);
}

static void on_vote_reply(struct host *host, const struct raft_message *message, const struct host *from)
{
    struct raft_node *raft = &host->raft;
    bool pre = raft->state == RAFT_PRE_CANDIDATE;

    if (!message->ok || message->pre != pre || (!pre && raft->state != RAFT_CANDIDATE) || !from ||
        message->term != raft->term + (pre ? 1 : 0))
        return;
    raft->votes |= 1u << from->index;
    if (voters(host, raft->votes) < voters(host, UINT32_MAX) / 2 + 1)
        return;
    if (pre)
        campaign(host, false, false);
    else
        lead(host);
}

void group_message(struct host *host, const struct raft_message *message)
{
    struct raft_node *raft = &host->raft;
    struct host *from = world_host_by_raft(host->world, message->from);

    if (message->to != raft->raft_id)
        return;
    if (message->kind == RAFT_VOTE) {
        on_vote(host, message);
        return;
    }
    if (message->term > raft->term && !(message->kind == RAFT_VOTE_REPLY && message->pre && message->ok)) {
        follow(host, message->term, 0);
        group_tell(host);
    }
    switch (message->kind) {
    case RAFT_APPEND:
    case RAFT_INSTALL:
        if (message->term >= raft->term) {
            assert(raft->state != RAFT_LEADER);
            follow(host, message->term, message->from);
            deadline_draw(host);
        }
        log_receive(host, message);
        group_tell(host);
        break;
    case RAFT_APPEND_REPLY:
        if (from && raft->state == RAFT_LEADER && message->term == raft->term) {
            raft->active_us[from->index] = host->world->now_us;
            log_reply(host, message, from->index);
            group_tell(host);
        }
        break;
    case RAFT_VOTE_REPLY:
        on_vote_reply(host, message, from);
        break;
    case RAFT_TIMEOUT_NOW:
        if (message->term == raft->term && raft->state == RAFT_FOLLOWER && is_voter(host, raft->raft_id))
            campaign(host, false, true);
        break;
    case RAFT_VOTE:
        break;
    }
}

void group_open(struct host *host)
{
    struct raft_node *raft = &host->raft;

    raft->state = RAFT_FOLLOWER;
    raft->leader_id = raft->barrier = 0;
    raft->commit = raft->applied = raft->snapshot.index;
    raft->changing = false;
    raft->transfer_id = 0;
    raft->pending_count = 0;
    memset(&raft->told, 0xff, sizeof raft->told);
    log_open(host);
    deadline_draw(host);
    /* A lone voter is elected at once. */
    if (is_voter(host, raft->raft_id) && voters(host, UINT32_MAX) == 1)
        raft->deadline_us = host->world->now_us + 5 * MS;
    world_put(host, AT_ELECTION, raft->deadline_us - host->world->now_us, 0, 0);
    group_tell(host);
}

void group_transfer(struct host *host, uint64_t raft_id)
{
    struct raft_node *raft = &host->raft;

    if (raft->state != RAFT_LEADER || raft->transfer_id != 0 || raft->changing || raft_id == raft->raft_id ||
        !is_voter(host, raft_id))
        return;
    raft->transfer_id = raft_id;
    raft->transfer_until_us = host->world->now_us + election_us(host);
    log_send_all(host, true);
}
