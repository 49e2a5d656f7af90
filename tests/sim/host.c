/* host.c - one host's daemon: the manager under test behind its ports, started, crashed and cranked; and host power. */
#include "world.h"

#define LOOK_PERIOD_US SEC

void host_init(struct host *host, struct world *world, uint32_t index)
{
    *host = (struct host){ .world = world, .index = index, .node_id = (int32_t)index + 1, .up = true, .boot = 1 };
    host->member = index;
    host->data = index < world->profile.data;
    (void)snprintf(host->name, sizeof host->name, "n%u", index + 1);
    if (host->data)
        (void)snprintf(host->conninfo, sizeof host->conninfo, "host=n%u", index + 1);
    host->offset_us = world_chance(world, 10 * SEC, 100000 * SEC);
    host->rate_ppm = world_chance(world, -4500, 4500); /* two hosts differ by less than 1 part in LEASE_DRIFT */
    host->wall_offset_us = world_chance(world, -SEC, SEC);
    host->guard.deadline_us = INT64_MAX;
    host->server.wal.branch = -1;
    host->server.system = SYSTEM_OWN;
}

/* -- the manager's ports ------------------------------------------------------------------------------------------ */

static void port_send(void *ctx, uint64_t raft_id, const struct message *message)
{
    net_send(ctx, raft_id, message);
}

static void port_propose(void *ctx, const uint8_t *bytes, size_t length, uint64_t ticket)
{
    if (!plant_drops(ctx, bytes, length))
        group_propose(ctx, ENTRY_COMMAND, bytes, length, ticket);
}

static void port_flush(void *ctx)
{
    group_propose(ctx, ENTRY_EMPTY, NULL, 0, 0);
}

static void port_transfer(void *ctx, uint64_t raft_id)
{
    group_transfer(ctx, raft_id);
}

static void port_raft_change(void *ctx, uint64_t raft_id, const char *address, enum raft_role role)
{
    (void)address;
    group_change(ctx, raft_id, role);
    /* What became of it is told soon, as by the library. */
    memset(&((struct host *)ctx)->raft.told, 0xff, sizeof((struct host *)ctx)->raft.told);
}

static void port_act(void *ctx, const struct pg_action *action)
{
    act_begin(ctx, action);
}

static void port_act_cancel(void *ctx)
{
    act_cancel(ctx);
}

static void port_look(void *ctx)
{
    host_look(ctx);
}

static void port_guard(void *ctx, enum guard_wish wish, int64_t kill_at_us, struct token token)
{
    (void)token;
    guard_order(ctx, wish, kill_at_us);
}

static int port_save_directory(void *ctx, struct directory_id directory)
{
    struct host *host = ctx;

    if (directory_spoiled(directory) && host->world->plant == PLANT_FOREIGN_PASSES)
        return 0;
    if (directory.no != 0 && host->server.system != SYSTEM_OWN)
        check_fail(host->world, "G7", "n%u gives an identity to another system's data", host->index + 1);
    host->directory = directory;
    check_directory(host, directory);
    return 0;
}

static uint64_t port_identity(void *ctx)
{
    struct host *host = ctx;
    uint64_t identity = rand_next(&host->world->rand);

    return identity ? identity : 1;
}

static int64_t port_wall_us(void *ctx)
{
    const struct host *host = ctx;

    return 1700000000 * SEC + host->world->now_us + host->wall_offset_us;
}

static void port_event(void *ctx, enum event event, const char *text)
{
    const struct host *host = ctx;

    if (host->world->trace)
        world_trace(host, "%s %s", event_name(event), text);
}

static struct ports ports_of(struct host *host)
{
    return (struct ports){
        .ctx = host,
        .send = port_send,
        .propose = port_propose,
        .flush = port_flush,
        .transfer = port_transfer,
        .raft_change = port_raft_change,
        .act = port_act,
        .act_cancel = port_act_cancel,
        .look = port_look,
        .guard = port_guard,
        .save_directory = port_save_directory,
        .identity = port_identity,
        .wall_us = port_wall_us,
        .event = port_event,
    };
}

/* -- the daemon --------------------------------------------------------------------------------------------------- */

static void set_timer(struct host *host, int64_t wake_at_us)
{
    int64_t at_us = host->world->now_us + clock_until(host, wake_at_us);

    host->wake_at_us = wake_at_us;
    if (host->timer_at_us != 0 && host->timer_at_us <= at_us)
        return; /* that one fires earlier and looks again */
    host->timer_at_us = at_us;
    world_put(host, AT_TIMER, at_us - host->world->now_us, (uint64_t)at_us, 0);
}

void host_crank(struct host *host)
{
    if (!host->daemon_up || host->world->check.failed)
        return;
    plant_before_crank(host);
    int64_t wake_at_us = manager_crank(&host->manager, clock_of(host));
    host->world->check.cranks++;
    check_cranked(host);
    set_timer(host, wake_at_us);
}

static void on_timer(struct host *host, const struct moment *moment)
{
    if ((int64_t)moment->a != host->timer_at_us)
        return;
    host->timer_at_us = 0;
    if (clock_of(host) >= host->wake_at_us)
        host_crank(host);
    else
        set_timer(host, host->wake_at_us);
}

/* Looks are not made one on top of the other. */
void host_look(struct host *host)
{
    if (!host->data)
        return;
    if (host->looking) {
        host->look_again = true;
        return;
    }
    host->looking = true;
    world_put(host, AT_LOOK, world_chance(host->world, 100, 2 * MS), 0, 0);
}

static void on_look(struct host *host, const struct moment *moment)
{
    bool hung = host->world->now_us < host->server.hung_until_us && server_runs(&host->server);

    if (moment->a == 1) { /* the periodic one */
        world_put(host, AT_LOOK, LOOK_PERIOD_US, 1, 0);
        host_look(host);
        return;
    }
    server_look(host, &host->seen);
    plant_look(host, &host->seen);
    world_put(host, AT_LOOKED, hung ? 300 * MS : world_chance(host->world, 300, 4 * MS), 0, 0);
}

static void on_looked(struct host *host)
{
    host->looking = false;
    manager_seen(&host->manager, &host->seen, clock_of(host));
    if (host->look_again) {
        host->look_again = false;
        host_look(host);
    }
    host_crank(host);
}

static void describe(const struct host *host, struct member *ret_self)
{
    *ret_self = (struct member){
        .node_id = host->node_id,
        .raft_id = host->raft.raft_id,
        .kind = host->data ? NODE_DATA : NODE_WITNESS,
        .priority = host->data ? 100 : 0,
        .directory = host->directory,
        .start_no = host->start_no,
    };
    (void)text_copy(ret_self->name, sizeof ret_self->name, host->name);
    (void)text_copy(ret_self->conninfo, sizeof ret_self->conninfo, host->conninfo);
    (void)snprintf(ret_self->address, sizeof ret_self->address, "%s:7654", host->name);
    (void)text_copy(ret_self->location, sizeof ret_self->location, "default");
}

void host_daemon_start(struct host *host)
{
    struct manager_config config = { .rejoin = host->world->profile.rejoin, .directory = host->directory };
    struct ports ports = ports_of(host);

    assert(host->up && !host->daemon_up && host->raft.exists);
    host->life++;
    host->daemon_up = true;
    host->start_no++;
    host->looking = host->look_again = false;
    memset(&host->seen, 0, sizeof host->seen);
    host->timer_at_us = 0;
    if (!host->guard.alive && host->data) {
        guard_die(host);
        host->guard.alive = true;
    }
    /* What has to be there whatever happened while nobody watched. */
    if (server_runs(&host->server))
        host->latched_boot = host->boot;
    server_place_signal(host);
    describe(host, &config.self);
    config.now_us = clock_of(host);
    world_trace(host, "daemon starts, life %" PRIu64, host->start_no);
    manager_init(&host->manager, &config, &ports);
    if (host->data)
        manager_guard(&host->manager, true, host->guard.mode, host->guard.kill_at_us, clock_of(host));
    check_daemon_started(host);
    group_open(host);
    host_crank(host);
    if (host->data)
        world_put(host, AT_LOOK, world_chance(host->world, MS, 50 * MS), 1, 0);
}

void host_daemon_crash(struct host *host)
{
    if (!host->daemon_up)
        return;
    world_trace(host, "daemon is gone");
    host->daemon_up = false;
    host->life++;
    host->paused_until_us = 0;
    group_close(host);
    act_abandon(host);
}

void host_power_off(struct host *host)
{
    struct server *server = &host->server;

    if (!host->up)
        return;
    world_trace(host, "power is lost");
    host_daemon_crash(host);
    server_kill(host, false);
    server->hung_until_us = server->read_only_until_us = server->replay_stuck_until_us = 0;
    guard_die(host);
    host->frozen_until_us = 0;
    host->up = false;
    host->boot++;
    /* The clock of a new boot begins anew. */
    host->offset_us = world_chance(host->world, 2 * SEC, 20 * SEC) - host->world->now_us;
}

struct wal host_wal(const struct host *host)
{
    return host->aside.present ? host->aside.wal : host->server.wal;
}

void host_other_system(struct host *host, bool comes_back)
{
    struct world *world = host->world;
    struct server *server = &host->server;
    uint32_t timeline = (uint32_t)world_chance(world, 1, 40);

    assert(!host->up);
    if (comes_back)
        host->aside = *server;
    world_trace(host, "another system's data is there");
    *server = (struct server){ .system = SYSTEM_OTHER, .present = true, .was_primary = true, .run = server->run };
    server->clean = world_permille(world, 500);
    server->wal = (struct wal){ wal_branch(world, timeline, -1, 0), (uint64_t)world_chance(world, 1, 0x4000000) };
    server->checkpoint = server->replayed = server->wal.end;
    histories_add(server, timeline);
}

static void on_mount(struct host *host)
{
    uint64_t run;

    host_power_off(host);
    run = host->server.run;
    host->server = host->aside;
    host->server.run = run + 1;
    host->aside.present = false;
    world_trace(host, "its own data is back");
    world_put(host, AT_POWER, world_chance(host->world, 5 * MS, 500 * MS), 0, 0);
}

static void on_power(struct host *host)
{
    if (host->up)
        return;
    world_trace(host, "power is back");
    host->up = true;
    if (host->joined)
        world_put(host, AT_DAEMON, world_chance(host->world, 5 * MS, 500 * MS), 0, 0);
}

/* The guard is dead, or replaced by a new one, which begins with the order that was in force. */
static void guard_told(struct host *host, bool replaced)
{
    const struct node_view *node = &host->manager.node;

    if (replaced && !host->guard.alive) {
        host->guard.alive = true;
        guard_order(host, node->guard_mode, node->guard_kill_at_us);
    }
    manager_guard(&host->manager, host->guard.alive, node->guard_mode, node->guard_kill_at_us, clock_of(host));
    host_crank(host);
}

void host_moment(struct host *host, const struct moment *moment)
{
    switch (moment->kind) {
    case AT_TIMER:
        on_timer(host, moment);
        break;
    case AT_PROPOSED:
        manager_proposed(&host->manager, moment->a, moment->b != 0, clock_of(host));
        host_crank(host);
        break;
    case AT_LOOK:
        on_look(host, moment);
        break;
    case AT_LOOKED:
        on_looked(host);
        break;
    case AT_ACTED:
        manager_acted(&host->manager, &host->act.result, clock_of(host));
        host_crank(host);
        break;
    case AT_GUARD_TOLD:
        guard_told(host, moment->a != 0);
        break;
    case AT_DAEMON:
        if (!host->daemon_up)
            host_daemon_start(host);
        break;
    case AT_POWER:
        on_power(host);
        break;
    case AT_MOUNT:
        on_mount(host);
        break;
    default:
        assert(false);
    }
}
