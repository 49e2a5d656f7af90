/*
 * act.c - what the adapter does to the fake PostgreSQL: one action at a time, in steps, each of which may be the last
 * one (deadline, cancel, crash). What was begun in the server goes on where it would with pg_ctl.
 */
#include "world.h"

#define POLL_US (8 * MS)
#define DONE (-1) /* results of a step besides "again after this time" */
#define FAILED (-2)

static int64_t fail(struct host *host, int code, const char *text)
{
    host->act.result.code = -code;
    (void)text_copy(host->act.result.text, sizeof host->act.result.text, text);
    return FAILED;
}

static int64_t work(struct host *host, int64_t from_us, int64_t to_us)
{
    bool slow = world_permille(host->world, 30);

    return world_chance(host->world, from_us, slow ? 8 * to_us : to_us);
}

static bool usable(const struct host *host)
{
    const struct server *server = &host->server;

    return host->world->plant == PLANT_START_UNFINISHED ||
           (server->present && !server->incomplete && server->wal.branch >= 0);
}

static int64_t step_start(struct host *host, bool as_primary)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;

    if (act->step == 0) {
        if (!usable(host))
            return fail(host, ERR_CORRUPT, "no usable data directory");
        if (server_runs(server) || server->orphans)
            return fail(host, ERR_REFUSED, "a server runs already");
        if (server->system != SYSTEM_OWN)
            check_fail(host->world, "G7", "n%u starts another system's server", host->index + 1);
        server_write_conf(host, &act->action.conf);
        server->signal = !as_primary;
        check_start(host, as_primary);
        server_start(host, as_primary);
        act->step = 1;
        return POLL_US;
    }
    if (server->state == (as_primary ? SERVER_PRIMARY : SERVER_STANDBY))
        return DONE;
    return server->state == SERVER_STARTING ? POLL_US : fail(host, ERR_COMMAND, "the server did not start");
}

static int64_t step_stop(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;
    bool kill = act->action.kind == ACT_KILL;

    if (act->step == 0) {
        act->from_known = server->state == SERVER_PRIMARY || server->state == SERVER_STANDBY;
        if (!kill && act->from_known)
            server_stop_fast(host);
        act->until_us = host->world->now_us + (kill || !act->from_known ? 0 : act->action.stop_fast_us);
        act->step = 1;
        return work(host, 2 * MS, 20 * MS);
    }
    if (server_runs(server) || server->orphans) {
        if (host->world->now_us < act->until_us && !server->orphans)
            return POLL_US;
        server_kill(host, false);
        return work(host, 2 * MS, 20 * MS);
    }
    act->result.clean = server->clean;
    act->result.end.at = server->clean ? server->wal.end : 0;
    return DONE;
}

/* Write, reload, see it over a new connection. */
static int64_t step_configure(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;

    if (!server->present)
        return fail(host, ERR_NOT_FOUND, "no data directory");
    if (act->step == 0) {
        act->step = 1;
        return work(host, MS, 6 * MS);
    }
    if (act->step == 1) {
        server_write_conf(host, &act->action.conf);
        if (act->action.kind == ACT_ADOPT)
            server_place_signal(host);
        act->step = 2;
        return server_runs(server) ? work(host, MS, 3 * MS) : DONE;
    }
    if (act->step == 2) {
        server_load(host);
        act->step = 3;
        return work(host, 5 * MS, 25 * MS);
    }
    if (host->world->now_us < server->hung_until_us || server->state == SERVER_STARTING)
        return 50 * MS;
    return DONE;
}

static int64_t step_detach(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;

    if (act->step < 3) {
        int64_t after_us = step_configure(host);
        if (after_us != DONE || !server_runs(server))
            return after_us;
    }
    if (act->step == 3) {
        if (host->world->plant == PLANT_NO_DETACH)
            return DONE;
        stream_end_receiver(host); /* SIGTERM to it */
        act->step = 4;
        return work(host, MS, 10 * MS);
    }
    if (server->receiver.running) {
        act->step = 3;
        return POLL_US;
    }
    return DONE;
}

static int64_t step_promote(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;
    struct world *world = host->world;

    if (act->step == 0) {
        if (server->state != SERVER_STANDBY)
            return fail(host, ERR_PROMOTE, "not a running standby");
        if (world->now_us < server->hung_until_us)
            return 50 * MS;
        check_promote(host, &act->action);
        for (uint32_t timeline = 2; timeline < act->action.timeline.no; timeline++)
            if (world->plant != PLANT_NO_PLACEHOLDERS)
                histories_add(server, timeline);
        server_load(host);
        act->step = 1;
        return work(host, MS, 5 * MS);
    }
    if (act->step == 1) {
        if (server->state != SERVER_STANDBY)
            return fail(host, ERR_PROMOTE, "the server is gone");
        server_promote(host, false);
        act->step = 2;
        return POLL_US;
    }
    if (server->state == SERVER_STANDBY)
        return POLL_US;
    if (server->state != SERVER_PRIMARY)
        return fail(host, ERR_PROMOTE, "the server ended in the middle");
    act->result.timeline.no = wal_timeline(world, server->wal);
    act->result.switched_at.at = world->branches[server->wal.branch].fork;
    if (world->plant == PLANT_NO_PLACEHOLDERS)
        act->result.timeline = act->action.timeline;
    if (act->result.timeline.no != act->action.timeline.no) {
        server_kill(host, false);
        return fail(host, ERR_PROMOTE, "another timeline than the reserved one");
    }
    return DONE;
}

static struct host *source_of(struct host *host)
{
    for (uint32_t i = 0; i < host->world->profile.data; i++)
        if (strcmp(host->world->hosts[i].conninfo, host->act.action.source_conninfo) == 0)
            return &host->world->hosts[i];
    return NULL;
}

static bool source_answers(struct host *host, const struct host *source)
{
    return source && source != host && source->up && !host_frozen(source) &&
           (source->server.state == SERVER_PRIMARY || source->server.state == SERVER_STANDBY) &&
           net_open(host->world, host->index, source->index, TRAFFIC_WAL) &&
           net_open(host->world, source->index, host->index, TRAFFIC_WAL) &&
           host->world->now_us >= source->server.hung_until_us && source->server.system == SYSTEM_OWN;
}

/* pg_rewind sees two servers of one timeline, as far as the control files say. */
static bool rewinds_in_vain(const struct host *host, const struct host *source)
{
    struct world *world = host->world;
    uint32_t own = wal_timeline(world, host->server.wal), other = wal_timeline(world, source->server.wal);

    if (own == other)
        return wal_visible_fork(world, host->server.wal, source->server.wal) == UINT64_MAX;
    return own == source->server.control_timeline && source->server.state == SERVER_PRIMARY;
}

/* Everything on disk is the source's as of now. */
static void take_source(struct host *host, const struct host *source)
{
    struct server *server = &host->server;

    server->present = true;
    server->system = source->server.system;
    server->incomplete = false;
    server->wal = source->server.wal;
    server->checkpoint = server->replayed = server->wal.end;
    server->clean = true;
    server->was_primary = false;
    server->signal = true;
    memcpy(server->histories, source->server.histories, sizeof server->histories);
    server->slot_count = 0;
}

static int64_t step_copy(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;
    struct host *source = source_of(host);
    bool rewind = act->action.kind == ACT_REWIND;

    if (server_runs(server) || server->orphans)
        return fail(host, ERR_REFUSED, "the server runs");
    if (!source_answers(host, source))
        return fail(host, ERR_DB_CONN, "the source cannot be reached");
    if (act->step == 0) {
        if (rewind && server->system != SYSTEM_OWN)
            return fail(host, ERR_REJOIN, "source and target are of different systems");
        if (rewind && !usable(host))
            return fail(host, ERR_CORRUPT, "nothing to rewind");
        if (rewind && world_permille(host->world, 80))
            return fail(host, ERR_REJOIN, "could not find previous WAL record");
        if (rewind && rewinds_in_vain(host, source)) {
            server->clean = true; /* shut down in recovery */
            server->was_primary = false;
            server_write_conf(host, &act->action.conf);
            return DONE; /* "no rewind required" */
        }
        act->step = 1;
        return work(host, 20 * MS, 100 * MS); /* the tail is saved */
    }
    if (act->step == 1) {
        server->incomplete = true;
        server->wal.branch = -1;
        server->present = true;
        check_data_lost(host);
        act->step = 2;
        return rewind ? work(host, 100 * MS, 700 * MS) : work(host, 300 * MS, 1500 * MS);
    }
    if (source->server.state != SERVER_PRIMARY && rewind)
        return fail(host, ERR_REJOIN, "the source is no primary any more");
    take_source(host, source);
    server_write_conf(host, &act->action.conf);
    return DONE;
}

/* A node that was admitted anew has a slot with a number of its own; those that it had before make room. */
static bool former_slot(const struct pg_action *action, const char *slot)
{
    int32_t node = 0, other;
    uint64_t no;

    (void)sscanf(slot, "repmgr_slot_%" SCNd32, &node);
    for (uint32_t i = 0; i < action->slot_count; i++)
        if (sscanf(action->slots[i], "repmgr_slot_%" SCNd32 "_%" SCNu64, &other, &no) == 2 && other == node &&
            strcmp(action->slots[i], slot) != 0)
            return true;
    return false;
}

static bool listed(const struct pg_action *action, const char *slot)
{
    for (uint32_t i = 0; i < action->slot_count; i++)
        if (strcmp(action->slots[i], slot) == 0)
            return true;
    return false;
}

/* Slots and connections of former servers end first, so that none streams once its successor can. */
static void end_former(struct host *host)
{
    const struct pg_action *action = &host->act.action;
    struct server *server = &host->server;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        struct sender *sender = &server->senders[i];
        if (former_slot(action, sender->slot) ||
            (sender->pid == action->stray.pid && sender->started_us == action->stray.started_us))
            stream_end_sender(host, sender);
    }
    for (uint32_t i = 0; i < server->slot_count; i++)
        if (!former_slot(action, server->slots[i]) && !listed(action, server->slots[i]) &&
            kept + action->slot_count < MEMBERS_MAX)
            memmove(server->slots[kept++], server->slots[i], NAME_SIZE);
    server->slot_count = kept;
}

static int64_t step_slots(struct host *host)
{
    struct act_fake *act = &host->act;
    struct server *server = &host->server;

    if (server->state != SERVER_PRIMARY && server->state != SERVER_STANDBY)
        return fail(host, ERR_DB_CONN, "the server does not run");
    if (host->world->plant == PLANT_FORMER_PASSES)
        server->slot_count = server->slot_count < 8 ? server->slot_count : 8;
    else
        end_former(host);
    for (uint32_t i = 0; i < act->action.slot_count && server->slot_count < MEMBERS_MAX; i++)
        (void)text_copy(server->slots[server->slot_count++], NAME_SIZE, act->action.slots[i]);
    return DONE;
}

static int64_t step_checkpoint(struct host *host)
{
    struct server *server = &host->server;

    if (host->act.step == 0) {
        host->act.step = 1;
        return work(host, 10 * MS, 200 * MS);
    }
    if (server->state != SERVER_PRIMARY && server->state != SERVER_STANDBY)
        return fail(host, ERR_DB_CONN, "the server does not run");
    server->checkpoint = server->replayed;
    if (host->world->plant != PLANT_NO_CHECKPOINT)
        server->control_timeline = wal_timeline(host->world, server->wal);
    if (server->state == SERVER_PRIMARY)
        world_put(host, AT_DEFINED, 0, server->run, 0);
    return DONE;
}

static int64_t step(struct host *host)
{
    switch (host->act.action.kind) {
    case ACT_START_STANDBY:
        return step_start(host, false);
    case ACT_START_PRIMARY:
        return step_start(host, true);
    case ACT_STOP:
    case ACT_KILL:
        return step_stop(host);
    case ACT_ADOPT:
    case ACT_CONFIGURE:
        return step_configure(host);
    case ACT_DETACH:
        return step_detach(host);
    case ACT_PROMOTE:
        return step_promote(host);
    case ACT_REWIND:
    case ACT_CLONE:
        return step_copy(host);
    case ACT_SLOTS:
        return step_slots(host);
    case ACT_CHECKPOINT:
        return step_checkpoint(host);
    case ACT_NONE:
        break;
    }
    return fail(host, ERR_INTERNAL, "no such action");
}

static void finish(struct host *host)
{
    world_trace(host, "act: %s ends with %d %s", act_name(host->act.action.kind), host->act.result.code,
                host->act.result.text);
    host->act.running = false;
    if (host->act.action.kind == ACT_START_PRIMARY)
        server_place_signal(host); /* put back, however it ended */
    if (host->daemon_up)
        world_put(host, AT_ACTED, world_chance(host->world, 100, 2 * MS), host->act.serial, 0);
}

void act_begin(struct host *host, const struct pg_action *action)
{
    struct act_fake *act = &host->act;
    uint32_t permille = host->world->now_us < host->world->failing_until_us ? 300 : 0;

    assert(!act->running && action->kind != ACT_NONE);
    act->running = true;
    act->cancelled = false;
    act->serial = ++host->world->serials;
    act->step = 0;
    act->action = *action;
    act->result = (struct pg_result){ .id = action->id, .kind = action->kind };
    act->deadline_us = host->world->now_us + action->timeout_us;
    world_trace(host, "act: %s begins (upstream %d, ANY %u, token %" PRIu64 ")", act_name(action->kind),
                action->conf.upstream, action->conf.sync_count, action->conf.token.no);
    plant_action(host, &act->action);
    if (action->kind != ACT_CONFIGURE && action->kind != ACT_SLOTS && action->kind != ACT_CHECKPOINT)
        fault_strike(host);
    if (world_permille(host->world, permille) && action->kind != ACT_KILL && action->kind != ACT_STOP) {
        (void)fail(host, ERR_COMMAND, "simulated failure");
        finish(host);
        return;
    }
    world_put(host, AT_ACT, world_chance(host->world, MS, 4 * MS), act->serial, 0);
}

void act_step(struct host *host, const struct moment *moment)
{
    struct act_fake *act = &host->act;

    if (!act->running || moment->a != act->serial)
        return;
    if (act->cancelled || host->world->now_us >= act->deadline_us) {
        (void)fail(host, act->cancelled ? ERR_CANCELED : ERR_TIMEOUT, act->cancelled ? "cancelled" : "took too long");
        finish(host);
        return;
    }
    int64_t after_us = step(host);
    if (after_us < 0) {
        finish(host);
        return;
    }
    world_put(host, AT_ACT, after_us, act->serial, 0);
}

void act_cancel(struct host *host)
{
    struct act_fake *act = &host->act;

    if (!act->running)
        return;
    act->cancelled = true;
    world_put(host, AT_ACT, world_chance(host->world, 500, 5 * MS), act->serial, 0);
}

/* The daemon is gone, and its children with it; what the server was told goes on. */
void act_abandon(struct host *host)
{
    host->act.running = false;
}
