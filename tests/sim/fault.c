/* fault.c - what goes wrong: classes of faults drawn by the seed, blows at interesting moments, and healing. */
#include "world.h"

enum fault {
    FAULT_ISOLATE,
    FAULT_SPLIT,
    FAULT_ONE_WAY,
    FAULT_CUT_WAL,
    FAULT_CUT_PEERS,
    FAULT_BAD_NET,
    FAULT_DAEMON_CRASH,
    FAULT_DAEMON_PAUSE,
    FAULT_FREEZE,
    FAULT_POWER,
    FAULT_ALL_POWER,
    FAULT_POSTGRES,
    FAULT_ORPHANS,
    FAULT_AUTOSTART,
    FAULT_GUARD,
    FAULT_REPLAY,
    FAULT_HUNG,
    FAULT_READ_ONLY,
    FAULT_SLOW_WAL,
    FAULT_SLOW_DISK,
    FAULT_ACTIONS,
    FAULT_WALL_CLOCK,
    FAULT_SWITCHOVER,
    FAULT_PAUSE,
    FAULT_POLICY,
    FAULT_LEADER,
    FAULT_BY_HAND,
    FAULT_WIPE,
    FAULT_OTHER_SYSTEM,
    FAULT_COUNT
};

static const char *const names[FAULT_COUNT] = {
    "isolate", "split",     "one-way",   "cut-wal",   "cut-peers",    "bad-net",    "daemon-crash", "daemon-pause",
    "freeze",  "power",     "all-power", "postgres",  "orphans",      "autostart",  "guard",        "replay",
    "hung",    "read-only", "slow-wal",  "slow-disk", "actions",      "wall-clock", "switchover",   "pause",
    "policy",  "leader",    "by-hand",   "wipe",      "other-system",
};

/* No fault outlives healing. */
static int64_t lasts(struct world *world, int64_t from_us, int64_t to_us)
{
    int64_t until_us = world->now_us + world_chance(world, from_us, to_us);

    return until_us < world->heal_us ? until_us : world->heal_us;
}

static void cut(struct world *world, uint32_t from, uint32_t to, uint32_t traffic, int64_t until_us)
{
    for (uint32_t i = 0; i < TRAFFIC_COUNT; i++)
        if ((traffic >> i & 1) && until_us > world->cut_until_us[from][to][i])
            world->cut_until_us[from][to][i] = until_us;
}

#define ALL_TRAFFIC 7u

static void split(struct world *world, uint32_t side, uint32_t traffic, bool both_ways, int64_t until_us)
{
    for (uint32_t i = 0; i < world->profile.hosts; i++)
        for (uint32_t j = 0; j < world->profile.hosts; j++)
            if ((side >> i & 1) != (side >> j & 1) && (both_ways || (side >> i & 1)))
                cut(world, i, j, traffic, until_us);
}

static struct host *someone(struct world *world)
{
    struct host *primary = world_host(world, world->check.reference.primary.node_id);
    uint64_t draw = rand_below(&world->rand, 10);

    if (draw < 5 && primary)
        return primary;
    for (uint32_t i = 0; draw < 7 && i < world->profile.hosts; i++)
        if (world->hosts[i].daemon_up && world->hosts[i].manager.lead.raft.leader)
            return &world->hosts[i];
    return &world->hosts[rand_below(&world->rand, world->profile.hosts)];
}

/* Guard and daemon do not fail at once (design 2). */
static bool daemon_may_fail(const struct host *host)
{
    return host->up && host->daemon_up && (host->guard.alive || !host->data) && !host_frozen(host) &&
           host->world->now_us >= host->paused_until_us;
}

static void crash_daemon(struct host *host)
{
    struct world *world = host->world;
    bool long_gone = world_permille(world, 250);

    if (!daemon_may_fail(host))
        return;
    host_daemon_crash(host);
    world_put(host, AT_DAEMON, lasts(world, 5 * MS, long_gone ? 10 * SEC : 800 * MS) - world->now_us, 0, 0);
}

static void power_off(struct host *host, int64_t longest_us)
{
    struct world *world = host->world;

    if (!host->up)
        return;
    host_power_off(host);
    world_put(host, AT_POWER, lasts(world, 300 * MS, longest_us) - world->now_us, 0, 0);
}

static void kill_guard(struct host *host)
{
    struct world *world = host->world;

    if (!host->data || !daemon_may_fail(host))
        return;
    world_trace(host, "guard is killed");
    guard_die(host);
    bool long_gone = world_permille(world, 250); /* the next one does not start at once */
    world_put(host, AT_GUARD_TOLD, world_chance(world, 100, 5 * MS), 0, 0);
    world_put(host, AT_GUARD_TOLD, world_chance(world, 6 * MS, long_gone ? 3 * SEC : 300 * MS), 1, 0);
}

static void operate(struct host *host, struct command *command)
{
    struct err err = { 0 };

    if (!host->daemon_up || host_frozen(host) || host->world->now_us < host->paused_until_us)
        return;
    (void)manager_submit(&host->manager, command, clock_of(host), &err);
    host_crank(host);
}

static void ask_switchover(struct host *host)
{
    struct world *world = host->world;
    const struct cluster *cluster = &host->manager.cluster;
    struct host *target = &world->hosts[rand_below(&world->rand, world->profile.data)];
    struct command command = { .kind = COMMAND_SWITCHOVER,
                               .node_id = target->node_id,
                               .token = cluster->primary.token,
                               .number = (uint32_t)world_chance(world, 1000, 8000) };

    if (target->server.state == SERVER_STANDBY && target->server.receiver.running)
        operate(host, &command);
}

static void ask_pause(struct host *host)
{
    struct command command = { .kind = COMMAND_PAUSE, .expect = host->manager.cluster.pause_version };

    command.number = host->manager.cluster.pause == PAUSE_OFF ? PAUSE_ON : PAUSE_ENDING;
    operate(host, &command);
}

static void ask_policy(struct host *host)
{
    struct world *world = host->world;
    const struct cluster *cluster = &host->manager.cluster;
    struct command command = { .kind = COMMAND_POLICY, .expect = cluster->policy_version, .policy = cluster->policy };

    switch (rand_below(&world->rand, 3)) {
    case 0:
        command.policy.lease_ttl_ms = (uint32_t)world_chance(world, 1, 3) * 1000;
        break;
    case 1:
        command.policy.synchronous_count = world->profile.data > 2 ? (uint32_t)world_chance(world, 1, 2) : 1;
        break;
    default:
        if (command.policy.durability == DURABILITY_ASYNC)
            return;
        command.policy.durability =
            command.policy.durability == DURABILITY_QUORUM && world->profile.rejoin == REJOIN_CLONE ? DURABILITY_STRICT
                                                                                                    : DURABILITY_QUORUM;
        break;
    }
    operate(host, &command);
}

static void spoil_network(struct world *world)
{
    world->bad_net_until_us = lasts(world, 500 * MS, 6 * SEC);
    world->loss_permille = (uint32_t)world_chance(world, 0, 300);
    world->twice_permille = (uint32_t)world_chance(world, 0, 200);
    world->delay_us = world_chance(world, 2 * MS, 250 * MS);
}

static void disturb_network(struct host *host, enum fault fault)
{
    struct world *world = host->world;
    uint32_t one = 1u << host->index;
    uint32_t other = (uint32_t)rand_below(&world->rand, world->profile.hosts);
    int64_t until_us = lasts(world, 100 * MS, 9 * SEC);

    switch (fault) {
    case FAULT_ISOLATE:
        split(world, one, ALL_TRAFFIC, true, until_us);
        break;
    case FAULT_SPLIT:
        split(world, (uint32_t)rand_next(&world->rand), ALL_TRAFFIC, true, until_us);
        break;
    case FAULT_ONE_WAY:
        split(world, world_permille(world, 500) ? one : ~one, ALL_TRAFFIC, false, until_us);
        break;
    case FAULT_CUT_WAL:
        cut(world, host->index, other, 1u << TRAFFIC_WAL, until_us);
        if (world_permille(world, 700))
            cut(world, other, host->index, 1u << TRAFFIC_WAL, until_us);
        break;
    case FAULT_CUT_PEERS:
        cut(world, host->index, other, world_permille(world, 500) ? 3u : 1u, until_us);
        cut(world, other, host->index, world_permille(world, 500) ? 3u : 1u, until_us);
        break;
    default:
        spoil_network(world);
        break;
    }
}

/*
 * The distribution's unit, or a person, starts the server, as whatever lies there makes it; after a boot it cannot be
 * started before the daemon has begun to use it (the latch).
 */
static void autostart(struct host *host)
{
    struct server *server = &host->server;
    bool whole = server->present && !server->incomplete && server->wal.branch >= 0;
    bool open = server->system != SYSTEM_OWN || (server->conf_present && host->latched_boot == host->boot);

    if (host->up && !host_frozen(host) && whole && open && !server_runs(server) && !server->orphans)
        server_start(host, !server->signal);
}

static void disturb_processes(struct host *host, enum fault fault)
{
    struct world *world = host->world;

    switch (fault) {
    case FAULT_DAEMON_CRASH:
        crash_daemon(host);
        break;
    case FAULT_DAEMON_PAUSE:
        if (daemon_may_fail(host))
            host->paused_until_us = lasts(world, 50 * MS, 8 * SEC);
        break;
    case FAULT_FREEZE:
        if (daemon_may_fail(host))
            host->frozen_until_us = lasts(world, 50 * MS, 9 * SEC);
        break;
    case FAULT_POWER:
        power_off(host, 9 * SEC);
        break;
    case FAULT_ALL_POWER:
        for (uint32_t i = 0; i < world->profile.hosts; i++)
            power_off(&world->hosts[i], 4 * SEC);
        break;
    case FAULT_POSTGRES:
    case FAULT_ORPHANS:
        if (host->up && !host_frozen(host))
            server_kill(host, fault == FAULT_ORPHANS);
        break;
    case FAULT_AUTOSTART:
        autostart(host);
        break;
    case FAULT_GUARD:
        kill_guard(host);
        break;
    default:
        break;
    }
}

static void disturb_server(struct host *host, enum fault fault)
{
    struct world *world = host->world;
    struct server *server = &host->server;

    switch (fault) {
    case FAULT_REPLAY:
        server->replay_stuck_until_us = lasts(world, 200 * MS, 10 * SEC);
        break;
    case FAULT_HUNG:
        server->hung_until_us = lasts(world, 200 * MS, 8 * SEC);
        server->hung_wholly = world_permille(world, 500);
        break;
    case FAULT_READ_ONLY:
        server->read_only_until_us = lasts(world, 200 * MS, 6 * SEC);
        break;
    case FAULT_SLOW_WAL:
        server->slow_until_us = lasts(world, 500 * MS, 8 * SEC);
        break;
    case FAULT_SLOW_DISK:
        host->slow_disk_until_us = lasts(world, 200 * MS, 5 * SEC);
        break;
    case FAULT_ACTIONS:
        world->failing_until_us = lasts(world, 500 * MS, 5 * SEC);
        break;
    case FAULT_WALL_CLOCK:
        host->wall_offset_us += world_chance(world, -3600 * SEC, 3600 * SEC);
        break;
    default:
        break;
    }
}

bool fault_may_promote(const struct host *host)
{
    const struct cluster *reference = &host->world->check.reference;

    return reference->operation.kind == OPERATION_NONE && reference->primary.node_id != host->node_id;
}

/* Somebody runs pg_ctl promote on a standby. */
static void promote_by_hand(struct host *host)
{
    if (host->up && !host_frozen(host) && host->server.state == SERVER_STANDBY && !host->server.promoting &&
        host->act.action.kind != ACT_PROMOTE && fault_may_promote(host))
        server_promote(host, true);
}

/*
 * What G3 is promised against: a majority of the voters is left, and a holder of every acknowledged commit. With
 * durability=async a winner that is lost before it promotes is more than the lag rule can know: at rest only. So it is
 * with quorum where nobody else had answered, and nobody was asked for: who has reported under a fence is let be.
 */
static bool may_win(const struct host *host)
{
    const struct cluster *reference = &host->world->check.reference;

    return cluster_fenced(reference) && token_is(host->manager.node.fence.token, reference->token) &&
           host->manager.node.fence.data && reference->policy.durability != DURABILITY_STRICT;
}

static bool may_be_wiped(struct host *host)
{
    struct world *world = host->world;
    struct wal lost;
    char why[128];
    bool held = !host->data;

    for (uint32_t i = 0; i < world->profile.hosts; i++) {
        const struct host *other = &world->hosts[i];
        const struct member *member = cluster_member(&world->check.reference, other->node_id);
        if (!other->joined || !member || !member->registered || !member->voter)
            return false;
        held = held || (other != host && other->data && host_wal(other).branch >= 0 &&
                        wal_holds_all_acked(world, host_wal(other), &lost));
    }
    if ((world->check.async && !check_at_rest(world, why, sizeof why)) || may_win(host))
        return false;
    return held && world->profile.rejoin == REJOIN_CLONE && world->check.reference.primary.node_id != host->node_id;
}

/* Another machine took its place; on the old one the server runs again, and streams as it did. */
static void leave_behind(struct host *host)
{
    struct world *world = host->world;
    struct host *former = &world->hosts[world->profile.hosts];

    if (!host->data || world->former || host->server.incomplete || host->server.wal.branch < 0 ||
        !host->server.conf_present || !world_permille(world, 500))
        return;
    host_init(former, world, world->profile.hosts);
    former->node_id = host->node_id;
    former->member = host->index;
    former->data = true;
    (void)snprintf(former->name, sizeof former->name, "n%u'", host->index + 1);
    former->server = host->server;
    world->former = former;
    check_left_behind(host, former);
    world_trace(former, "goes on without a daemon");
    server_start(former, false);
}

/* A standby's or a witness's host is replaced: state directory and data are gone. */
static void wipe(struct host *host)
{
    if (!may_be_wiped(host))
        return;
    power_off(host, 3 * SEC);
    leave_behind(host);
    host->server.present = host->server.conf_present = false;
    host->server.wal.branch = -1;
    host->directory.no = 0;
    host->start_no = 0;
    host->wiped_raft_id = host->raft.raft_id;
    host->raft.exists = host->joined = false;
}

/* A file system is not mounted, or somebody has made a new one: a clone takes its place, or it is mounted again. */
static void put_other_system(struct host *host)
{
    struct world *world = host->world;
    bool comes_back = world->profile.rejoin != REJOIN_CLONE;

    if (!host->data || !host->up || !host->joined || host->aside.present || !host->server.conf_present ||
        (!comes_back && !may_be_wiped(host)))
        return;
    power_off(host, SEC);
    host_other_system(host, comes_back);
    if (comes_back)
        world_put(host, AT_MOUNT, lasts(world, 2 * SEC, 12 * SEC) - world->now_us, 0, 0);
}

static void operate_or_meddle(struct host *host, enum fault fault)
{
    struct world *world = host->world;

    if (fault == FAULT_SWITCHOVER)
        ask_switchover(host);
    else if (fault == FAULT_PAUSE)
        ask_pause(host);
    else if (fault == FAULT_POLICY)
        ask_policy(host);
    else if (fault == FAULT_BY_HAND)
        promote_by_hand(host);
    else if (fault == FAULT_WIPE)
        wipe(host);
    else if (fault == FAULT_OTHER_SYSTEM)
        put_other_system(host);
    else if (host->daemon_up)
        group_transfer(host, world->hosts[rand_below(&world->rand, world->profile.hosts)].raft.raft_id);
}

static void cause(struct host *host, enum fault fault)
{
    struct world *world = host->world;

    world_trace(host, "fault: %s", names[fault]);
    if (fault != FAULT_SWITCHOVER)
        check_disturbed(world);
    if (fault <= FAULT_BAD_NET)
        disturb_network(host, fault);
    else if (fault <= FAULT_GUARD)
        disturb_processes(host, fault);
    else if (fault <= FAULT_WALL_CLOCK)
        disturb_server(host, fault);
    else
        operate_or_meddle(host, fault);
}

/* Rare ones are drawn once more before they happen. */
static enum fault draw(struct world *world)
{
    for (uint32_t tries = 0; tries < 50; tries++) {
        enum fault fault = (enum fault)rand_below(&world->rand, FAULT_COUNT);
        bool rare = fault == FAULT_ALL_POWER || fault == FAULT_PAUSE || fault == FAULT_POLICY || fault == FAULT_HUNG ||
                    fault == FAULT_READ_ONLY || fault == FAULT_BY_HAND || fault == FAULT_WIPE ||
                    fault == FAULT_OTHER_SYSTEM;
        if (fault == FAULT_BY_HAND && world->plant == PLANT_FOREIGN_PASSES)
            return fault; /* what this one needs, often */
        if ((world->profile.faults >> fault & 1) && (!rare || world_permille(world, 350)))
            return fault;
    }
    return FAULT_LEADER;
}

/* a: 0 for the regular one, else 1 + the host that draws it upon itself. */
void fault_moment(struct world *world, const struct moment *moment)
{
    struct host *host = moment->a == 0 ? someone(world) : &world->hosts[moment->a - 1];

    if (world->healed)
        return;
    if (moment->a != 0 && world_permille(world, 400))
        host = someone(world);
    cause(host, draw(world));
    if (moment->a == 0)
        agenda_put(&world->agenda,
                   (struct moment){
                       .kind = AT_FAULT,
                       .at_us = world->now_us + world_chance(world, 20 * MS, 2 * world->profile.every_us),
                   });
}

void fault_strike(struct host *host)
{
    struct world *world = host->world;

    if (world->healed || world->faults_from_us == 0 || world->now_us < world->faults_from_us ||
        !world_permille(world, world->profile.strike_permille))
        return;
    agenda_put(&world->agenda, (struct moment){
                                   .kind = AT_FAULT,
                                   .at_us = world->now_us + world_chance(world, 0, 60 * MS),
                                   .a = 1 + host->index,
                               });
}

void fault_heal(struct world *world)
{
    world->healed = true;
    for (uint32_t i = 0; i < world->profile.hosts; i++) {
        struct host *host = &world->hosts[i];
        world_trace(host, "healed");
        if (!host->up)
            world_put(host, AT_POWER, 0, 0, 0);
        else if (!host->daemon_up && host->joined)
            world_put(host, AT_DAEMON, 0, 0, 0);
    }
}
