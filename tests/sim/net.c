/*
 * net.c - the network: three kinds of traffic between each two hosts, which can be cut one way or both, are slow, lose,
 * repeat and overtake.
 */
#include "world.h"

bool net_open(const struct world *world, uint32_t from, uint32_t to, enum traffic traffic)
{
    return world->now_us >= world->cut_until_us[from][to][traffic];
}

int64_t net_delay(struct world *world)
{
    int64_t delay_us = world_chance(world, 50, 400) + (int64_t)world->profile.fast_link_us;

    if (world->now_us < world->bad_net_until_us)
        delay_us += world_chance(world, 0, world->delay_us);
    return delay_us;
}

static struct slot *slot_take(struct world *world, uint16_t *ret_number)
{
    if (world->free_count == 0)
        return NULL;
    *ret_number = world->free_slots[--world->free_count];
    world->slots[*ret_number].refs = 1;
    return &world->slots[*ret_number];
}

static void slot_release(struct world *world, uint16_t number)
{
    assert(world->slots[number].refs > 0);
    if (--world->slots[number].refs == 0)
        world->free_slots[world->free_count++] = number;
}

static size_t message_size(const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_REPORT:
        return offsetof(struct message, report) + sizeof message->report;
    case MESSAGE_LEASE_ASK:
        return offsetof(struct message, ask) + sizeof message->ask;
    case MESSAGE_LEASE_REPLY:
        return offsetof(struct message, reply) + sizeof message->reply;
    case MESSAGE_FORWARD:
        return offsetof(struct message, forward) + offsetof(__typeof__(message->forward), bytes) +
               message->forward.length;
    }
    return sizeof *message;
}

/* Decides the fate of one message: lost, on its way, or on its way twice. extra_us: the receiver's disk. */
static void send_slot(struct host *from, struct host *to, uint16_t number, enum traffic traffic, int64_t extra_us)
{
    struct world *world = from->world;
    enum moment_kind kind = traffic == TRAFFIC_PEER ? AT_MESSAGE : AT_RAFT;
    bool bad = world->now_us < world->bad_net_until_us;

    if (!net_open(world, from->index, to->index, traffic) || (bad && world_permille(world, world->loss_permille))) {
        slot_release(world, number);
        return;
    }
    world_put(to, kind, net_delay(world) + extra_us, number, from->index);
    if (bad && world_permille(world, world->twice_permille)) {
        world->slots[number].refs++;
        world_put(to, kind, net_delay(world) + world_chance(world, 0, 2 * world->delay_us) + extra_us, number,
                  from->index);
    }
}

void net_send(struct host *host, uint64_t raft_id, const struct message *message)
{
    struct host *to = world_host_by_raft(host->world, raft_id);
    uint16_t number = 0;
    struct slot *slot;

    assert(raft_id != host->raft.raft_id);
    if (!to || !(slot = slot_take(host->world, &number)))
        return;
    slot->from = host->raft.raft_id;
    memcpy(&slot->message, message, message_size(message));
    if (message->kind == MESSAGE_LEASE_ASK)
        check_asked(host, &message->ask);
    send_slot(host, to, number, TRAFFIC_PEER, 0);
    host->world->check.messages++;
}

static int64_t disk_delay(struct host *host)
{
    struct world *world = host->world;
    bool slow = world->now_us < host->slow_disk_until_us;

    return slow ? world_chance(world, 20 * MS, 600 * MS) : world_chance(world, 200, 2500);
}

void net_send_raft(struct host *host, const struct raft_message *message)
{
    struct host *to = world_host_by_raft(host->world, message->to);
    bool writes = (message->kind == RAFT_APPEND && message->count > 0) || message->kind == RAFT_INSTALL ||
                  (message->kind == RAFT_VOTE && !message->pre);
    uint16_t number = 0;
    struct slot *slot;

    if (!to || !(slot = slot_take(host->world, &number)))
        return;
    slot->from = host->raft.raft_id;
    slot->raft = *message;
    send_slot(host, to, number, TRAFFIC_RAFT, writes ? disk_delay(to) : 0);
}

/* Also called for messages to a daemon that is gone: they only free their slot. */
void net_arrived(struct host *host, const struct moment *moment)
{
    struct world *world = host->world;
    uint16_t number = (uint16_t)moment->a;
    struct slot *slot = &world->slots[number];
    enum traffic traffic = moment->kind == AT_MESSAGE ? TRAFFIC_PEER : TRAFFIC_RAFT;

    if (host->up && host->daemon_up && net_open(world, (uint32_t)moment->b, host->index, traffic)) {
        if (moment->kind == AT_RAFT) {
            group_message(host, &slot->raft);
        } else {
            plant_message(host, slot->from, &slot->message);
            manager_message(&host->manager, slot->from, &slot->message, clock_of(host));
            host_crank(host);
        }
    }
    slot_release(world, number);
}
