/* world.c - virtual time: takes the next moment, lets it happen unless its process is gone or stopped. See world.h. */
#include "world.h"

#include <stdarg.h>

#define SAME_TIME_MAX 200000 /* moments without time passing: somebody runs in circles */

enum scope { SCOPE_WORLD, SCOPE_DAEMON, SCOPE_HOST };

static void raft_moment(struct host *host, const struct moment *moment);

/* Whose processor a moment needs, and who makes it happen. */
static const struct {
    enum scope scope;
    void (*run)(struct host *host, const struct moment *moment);
} kinds[AT_KIND_COUNT] = {
    [AT_TIMER] = { SCOPE_DAEMON, host_moment },
    [AT_MESSAGE] = { SCOPE_DAEMON, net_arrived },
    [AT_PROPOSED] = { SCOPE_DAEMON, host_moment },
    [AT_LOOK] = { SCOPE_DAEMON, host_moment },
    [AT_LOOKED] = { SCOPE_DAEMON, host_moment },
    [AT_ACTED] = { SCOPE_DAEMON, host_moment },
    [AT_GUARD_TOLD] = { SCOPE_DAEMON, host_moment },
    [AT_RAFT] = { SCOPE_DAEMON, net_arrived },
    [AT_ELECTION] = { SCOPE_DAEMON, raft_moment },
    [AT_HEARTBEAT] = { SCOPE_DAEMON, raft_moment },
    [AT_DURABLE] = { SCOPE_DAEMON, raft_moment },
    [AT_ACT] = { SCOPE_HOST, act_step },
    [AT_STARTED] = { SCOPE_HOST, server_started },
    [AT_STOPPING] = { SCOPE_HOST, server_stopping },
    [AT_PROMOTED] = { SCOPE_HOST, server_promoted },
    [AT_ATTACH] = { SCOPE_HOST, stream_attach },
    [AT_REPLAYED] = { SCOPE_HOST, server_replayed },
    [AT_WAL] = { SCOPE_HOST, stream_wal },
    [AT_ACK] = { SCOPE_HOST, stream_ack },
    [AT_SENDERS] = { SCOPE_HOST, stream_senders },
    [AT_RECEIVER] = { SCOPE_HOST, stream_receiver },
    [AT_HANGUP] = { SCOPE_HOST, stream_hangup },
    [AT_RECONNECT] = { SCOPE_HOST, stream_reconnect },
    [AT_VIEW] = { SCOPE_HOST, stream_view },
    [AT_DEFINED] = { SCOPE_HOST, server_defined },
    [AT_CLIENT] = { SCOPE_HOST, server_client },
    [AT_GUARD] = { SCOPE_HOST, guard_moment },
    [AT_GUARD_KILL] = { SCOPE_HOST, guard_moment },
    [AT_DAEMON] = { SCOPE_HOST, host_moment },
    [AT_POWER] = { SCOPE_WORLD, host_moment },
    [AT_MOUNT] = { SCOPE_WORLD, host_moment },
    [AT_OPERATOR] = { SCOPE_WORLD, NULL },
    [AT_FAULT] = { SCOPE_WORLD, NULL },
    [AT_HEAL] = { SCOPE_WORLD, NULL },
};

int64_t world_chance(struct world *world, int64_t from, int64_t to)
{
    assert(from <= to);
    return from + (int64_t)rand_below(&world->rand, (uint64_t)(to - from) + 1);
}

bool world_permille(struct world *world, uint32_t permille)
{
    return permille > 0 && rand_below(&world->rand, 1000) < permille;
}

void world_trace(const struct host *host, const char *format, ...)
{
    va_list args;

    if (!host->world->trace)
        return;
    printf("%3" PRId64 ".%06" PRId64 " %-3s ", host->world->now_us / SEC, host->world->now_us % SEC, host->name);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

int64_t clock_of(const struct host *host)
{
    int64_t now = host->world->now_us;

    return host->offset_us + now + now * host->rate_ppm / SEC;
}

int64_t clock_until(const struct host *host, int64_t local_us)
{
    int64_t left = local_us - clock_of(host);

    if (left <= 0)
        return 0;
    if (left > 3600 * SEC)
        return 3600 * SEC;
    return left * SEC / (SEC + host->rate_ppm) + 1;
}

void world_put(struct host *host, enum moment_kind kind, int64_t after_us, uint64_t a, uint64_t b)
{
    uint32_t life = kinds[kind].scope == SCOPE_DAEMON ? host->life : kinds[kind].scope == SCOPE_HOST ? host->boot : 0;

    /* What comes from others reaches whoever lives then. */
    if (kind == AT_MESSAGE || kind == AT_RAFT)
        life = 0;
    agenda_put(&host->world->agenda, (struct moment){
                                         .at_us = host->world->now_us + (after_us > 0 ? after_us : 0),
                                         .a = a,
                                         .b = b,
                                         .life = life,
                                         .kind = (uint16_t)kind,
                                         .host = (uint16_t)host->index,
                                     });
}

struct host *world_host(struct world *world, int32_t node_id)
{
    if (node_id < 1 || node_id > (int32_t)world->profile.hosts)
        return NULL;
    return &world->hosts[node_id - 1];
}

struct host *world_host_by_raft(struct world *world, uint64_t raft_id)
{
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        if (world->hosts[i].raft.exists && world->hosts[i].raft.raft_id == raft_id)
            return &world->hosts[i];
    return NULL;
}

bool host_frozen(const struct host *host)
{
    return host->world->now_us < host->frozen_until_us;
}

static void raft_moment(struct host *host, const struct moment *moment)
{
    if (moment->kind == AT_ELECTION)
        group_election(host);
    else if (moment->kind == AT_HEARTBEAT)
        group_heartbeat(host, moment->a);
    else
        group_durable(host, moment->a, (uint32_t)moment->b);
}

/* The slot of a message that nobody takes is free again. */
static void drop(struct host *host, const struct moment *moment)
{
    if (moment->kind == AT_MESSAGE || moment->kind == AT_RAFT)
        net_arrived(host, moment);
}

static void let_happen(struct world *world, const struct moment *moment)
{
    struct host *host = &world->hosts[moment->host];
    enum scope scope = kinds[moment->kind].scope;

    if (scope != SCOPE_WORLD && !host->up) {
        drop(host, moment);
        return;
    }
    if (scope == SCOPE_DAEMON && (!host->daemon_up || (moment->life != 0 && moment->life != host->life))) {
        drop(host, moment);
        return;
    }
    if (scope == SCOPE_HOST && moment->life != host->boot)
        return;
    int64_t stopped_us = scope == SCOPE_WORLD ? 0 : host->frozen_until_us;
    if (scope == SCOPE_DAEMON && host->paused_until_us > stopped_us)
        stopped_us = host->paused_until_us;
    if (stopped_us > world->now_us) {
        struct moment later = *moment;
        later.at_us = stopped_us;
        agenda_put(&world->agenda, later);
        return;
    }
    kinds[moment->kind].run(host, moment);
}

static void init(struct world *world, uint64_t seed, int64_t seconds)
{
    bool trace = world->trace;
    enum plant plant = world->plant;

    /* Large tables need no clearing: their counts say what is in use. */
    memset(world, 0, offsetof(struct world, hosts));
    world->trace = trace;
    world->plant = plant;
    world->seed = seed;
    rand_seed(&world->rand, seed * 0x9e3779b97f4a7c15u + 1);
    memset(world->cut_until_us, 0, sizeof world->cut_until_us);
    world->bad_net_until_us = world->failing_until_us = 0;
    world->connections = world->serials = 0;
    memset(&world->words, 0, sizeof world->words);
    world->former = NULL;
    world->branch_count = world->entry_count = world->servers_count = world->store_used = 0;
    world->end_us = seconds * SEC;
    world->heal_us = seconds * SEC * 6 / 10;
    profile_draw(world);
    check_begin(world);
    agenda_clear(&world->agenda);
    world->free_count = SLOTS_MAX;
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        world->free_slots[i] = (uint16_t)(SLOTS_MAX - 1 - i);
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        host_init(&world->hosts[i], world, i);
}

void world_run(struct world *world, uint64_t seed, int64_t seconds)
{
    uint32_t same_time = 0;
    struct moment moment;

    init(world, seed, seconds);
    agenda_put(&world->agenda, (struct moment){ .kind = AT_OPERATOR });
    agenda_put(&world->agenda, (struct moment){ .kind = AT_HEAL, .at_us = world->heal_us });
    while (!world->check.failed && agenda_take(&world->agenda, &moment) && moment.at_us <= world->end_us) {
        same_time = moment.at_us == world->now_us ? same_time + 1 : 0;
        if (same_time > SAME_TIME_MAX)
            check_fail(world, "CIRCLE", "moments of kind %u at n%u never end", moment.kind, moment.host + 1u);
        world->now_us = moment.at_us;
        world->check.moments++;
        if (moment.kind == AT_OPERATOR)
            operator_moment(world);
        else if (moment.kind == AT_FAULT)
            fault_moment(world, &moment);
        else if (moment.kind == AT_HEAL)
            fault_heal(world);
        else
            let_happen(world, &moment);
    }
    if (!world->check.failed)
        check_end(world);
}
