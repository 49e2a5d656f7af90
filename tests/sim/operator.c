/* operator.c - what a seed decides about its cluster, and the operator who founds it, lets members join, registers. */
#include "core/settings.h"
#include "world.h"

#define AGAIN_US (400 * MS)
#define COMPLETE_BY_US (15 * SEC)

static uint32_t pick(struct world *world, const uint32_t *values, uint32_t count)
{
    return values[rand_below(&world->rand, count)];
}

static void draw_policy(struct world *world)
{
    static const uint32_t ttl[] = { 1000, 2000, 2000, 4000 };
    static const uint32_t failure[] = { 500, 1000, 2000 };
    static const uint32_t election[] = { 150, 250, 500 };
    static const uint32_t strictness[] = { DURABILITY_QUORUM, DURABILITY_QUORUM, DURABILITY_QUORUM, DURABILITY_QUORUM,
                                           DURABILITY_STRICT, DURABILITY_STRICT, DURABILITY_ASYNC };
    static const uint64_t lag[] = { 0, 2000, 20000, 1 << 20 };
    struct policy *policy = &world->profile.policy;
    struct err err = { 0 };

    settings_policy_init(policy);
    policy->lease_ttl_ms = pick(world, ttl, ARRAY_LEN(ttl));
    policy->failure_timeout_ms = pick(world, failure, ARRAY_LEN(failure));
    policy->raft_election_timeout_ms = pick(world, election, ARRAY_LEN(election));
    policy->raft_heartbeat_ms = policy->raft_election_timeout_ms / 6;
    policy->guard_kill_time_ms = (uint32_t)world_chance(world, 150, 250);
    policy->durability = pick(world, strictness, ARRAY_LEN(strictness));
    policy->synchronous_count = world->profile.data > 2 && world_permille(world, 300) ? 2 : 1;
    policy->primary_start_timeout_ms = world_permille(world, 250) ? 3000 : 0;
    policy->maximum_lag_on_failover_bytes = lag[rand_below(&world->rand, ARRAY_LEN(lag))];
    policy->fence_wait = world_permille(world, 50) ? FENCE_WAIT_NONE : FENCE_WAIT_LEASE;
    if (settings_policy_check(policy, &err) < 0) {
        printf("sim: these settings contradict one another: %s\n", err.text);
        assert(false);
    }
}

void profile_draw(struct world *world)
{
    static const uint32_t sizes[] = { 3, 3, 3, 4, 5, 5 };
    struct profile *profile = &world->profile;

    profile->hosts = pick(world, sizes, ARRAY_LEN(sizes));
    profile->data = (uint32_t)world_chance(world, 2, profile->hosts < 4 ? profile->hosts : 4);
    draw_policy(world);
    bool limited = profile->policy.durability != DURABILITY_STRICT && world_permille(world, 200);
    profile->rejoin = limited ? (world_permille(world, 300) ? REJOIN_FOLLOW : REJOIN_REWIND) : REJOIN_CLONE;
    profile->faults = (uint32_t)rand_next(&world->rand) | (uint32_t)rand_next(&world->rand);
    bool dense = world_permille(world, 200);
    profile->every_us =
        world_permille(world, 30) ? 0 : world_chance(world, dense ? 80 * MS : 400 * MS, dense ? 600 * MS : 5 * SEC);
    profile->strike_permille = world_permille(world, 500) ? (uint32_t)world_chance(world, 5, 200) : 0;
    profile->early_us =
        world_permille(world, 150) ? world_chance(world, MS, world_permille(world, 500) ? SEC : 4 * SEC) : 0;
    profile->snapshot_every = (uint64_t)world_chance(world, 12, 150);
    profile->fast_link_us = world_permille(world, 200) ? (uint32_t)world_chance(world, 1000, 15000) : 0;
    profile->speaks = world_permille(world, 300);
    profile->pauses = world_permille(world, 300);
}

/* Founder: a server that runs and nobody manages. The others: clones of it, made before their daemons. */
static void prepare_servers(struct world *world)
{
    struct host *founder = &world->hosts[0];
    int32_t trunk = wal_branch(world, 1, -1, 0);

    world->check.timeline_used[1] = true;
    for (uint32_t i = 0; i < world->profile.data; i++) {
        struct server *server = &world->hosts[i].server;
        server->present = true;
        server->wal = (struct wal){ trunk, 0x3000000 };
        server->checkpoint = server->replayed = server->wal.end;
        server->signal = i > 0;
        server->clean = i > 0;
        if (i > 0)
            (void)snprintf(founder->server.slots[founder->server.slot_count++], NAME_SIZE, "repmgr_slot_%u", i + 1);
    }
    world->check.lease_end_us[0] = UNMANAGED_US;
    server_start(founder, true);
}

/* `rmctl primary register` on a host whose server runs. */
static void begin(struct world *world)
{
    struct host *founder = &world->hosts[0];

    if (founder->server.state != SERVER_PRIMARY)
        return;
    founder->directory.no = rand_next(&world->rand) | 1;
    check_directory(founder, founder->directory);
    founder->joined = true;
    group_bootstrap(founder, 1);
    host_daemon_start(founder);
}

bool operator_submit(struct host *through, struct command *command)
{
    struct world *world = through->world;
    struct err err = { 0 };

    if (!through->daemon_up || host_frozen(through) || world->now_us < through->paused_until_us)
        return false;
    bool done = manager_submit(&through->manager, command, clock_of(through), &err) == 0;
    host_crank(through);
    return done;
}

static void found(struct host *founder)
{
    struct command command = { .kind = COMMAND_FOUND,
                               .cluster_id = founder->world->seed + 1,
                               .system_identifier = SYSTEM_OWN,
                               .policy = founder->world->profile.policy,
                               .timeline = { 1 } };

    if (!founder->manager.lead.raft.leader)
        return;
    command.member = founder->manager.config.self;
    (void)operator_submit(founder, &command);
}

/* A member whose daemon answers; requests for admission are the leader's. */
struct host *operator_through(struct world *world, bool leading)
{
    for (uint32_t i = 0; i < world->profile.hosts; i++) {
        struct host *host = &world->hosts[i];
        if (host->daemon_up && host->manager.cluster.cluster_id != 0 && host->manager.lead.raft.leader_id != 0 &&
            (!leading || host->manager.lead.raft.leader) && !host_frozen(host) &&
            world->now_us >= host->paused_until_us)
            return host;
    }
    return NULL;
}

static void join(struct world *world, struct host *host)
{
    struct command command = { .kind = COMMAND_JOIN, .system_identifier = SYSTEM_OWN };
    struct host *through = operator_through(world, true);

    if (!through || !host->up)
        return;
    const struct member *admitted = cluster_member(&through->manager.cluster, host->node_id);
    if (admitted && admitted->raft_id != host->wiped_raft_id) {
        group_join(host, admitted->raft_id);
        host->joined = true;
        host_daemon_start(host);
        return;
    }
    /* Asked again only when the last request has surely had its answer. */
    if (through == host || (host->asked_us != 0 && world->now_us - host->asked_us < 2 * SEC))
        return;
    host->asked_us = world->now_us;
    command.member = (struct member){ .node_id = host->node_id,
                                      .kind = host->data ? NODE_DATA : NODE_WITNESS,
                                      .priority = host->data ? 100 : 0 };
    command.flag = host->wiped_raft_id != 0;
    command.expect = through->manager.cluster.config_version;
    (void)text_copy(command.member.name, sizeof command.member.name, host->name);
    (void)text_copy(command.member.conninfo, sizeof command.member.conninfo, host->conninfo);
    (void)snprintf(command.member.address, sizeof command.member.address, "%s:7654", host->name);
    (void)operator_submit(through, &command);
}

static void enroll(struct world *world, struct host *host)
{
    const struct member *member = cluster_member(&world->check.reference, host->node_id);
    struct command command = { .kind = COMMAND_REGISTER, .node_id = host->node_id };

    if (member && !member->registered && host->daemon_up && host->manager.node.hello)
        (void)operator_submit(host, &command);
}

static void complete(struct world *world)
{
    char why[128];

    if (check_at_rest(world, why, sizeof why)) {
        world->complete = true;
        if (world->profile.every_us != 0 && world->faults_from_us == 0) {
            world->faults_from_us = world->now_us + world_chance(world, 0, 2 * SEC);
            agenda_put(&world->agenda, (struct moment){ .kind = AT_FAULT, .at_us = world->faults_from_us });
        }
    } else if (world->now_us > COMPLETE_BY_US && world->faults_from_us == 0) {
        check_fail(world, "LIVE", "the cluster is not complete after %" PRId64 " s: %s", COMPLETE_BY_US / SEC, why);
    }
}

static void end_pause(struct world *world)
{
    struct command command = { .kind = COMMAND_PAUSE,
                               .number = PAUSE_ENDING,
                               .expect = world->check.reference.pause_version };
    struct host *through = operator_through(world, false);

    if (world->healed && world->check.reference.pause == PAUSE_ON && through)
        (void)operator_submit(through, &command);
}

/* Until a daemon is there those start the server again to whom it belongs. */
static void mend_founder(struct host *founder)
{
    struct server *server = &founder->server;

    if (founder->up && !server_runs(server) && !server->conf_present) {
        server->orphans = false;
        server_start(founder, true);
    }
}

void operator_moment(struct world *world)
{
    if (world->now_us == 0) {
        prepare_servers(world);
        if (world->profile.early_us != 0 && world->profile.every_us != 0) {
            world->faults_from_us = world->profile.early_us;
            agenda_put(&world->agenda, (struct moment){ .kind = AT_FAULT, .at_us = world->faults_from_us });
        }
    } else if (world->check.reference.cluster_id == 0 && !world->hosts[0].joined) {
        mend_founder(&world->hosts[0]);
        begin(world);
    } else if (world->check.reference.cluster_id == 0) {
        found(&world->hosts[0]);
    } else {
        for (uint32_t i = 0; i < world->profile.hosts; i++) {
            if (!world->hosts[i].joined)
                join(world, &world->hosts[i]);
            else
                enroll(world, &world->hosts[i]);
        }
        end_pause(world);
        words_moment(world);
    }
    if (!world->complete)
        complete(world);
    int64_t next_us = world->complete && world->faults_from_us == 0 ? SEC : AGAIN_US;
    agenda_put(&world->agenda, (struct moment){ .kind = AT_OPERATOR, .at_us = world->now_us + next_us });
}
