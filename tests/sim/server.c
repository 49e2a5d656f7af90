/* server.c - the fake PostgreSQL's processes: start, stop, promotion, reload, clients and their commits. See server.h.
 */
#include "world.h"

#define CHECKPOINT_BYTES 114
#define CLIENT_PATIENCE_US (2 * SEC)

bool server_runs(const struct server *server)
{
    return server->state != SERVER_DOWN;
}

/* Host of a name such as "n2"; names compare without case. */
static uint32_t host_of_name(const struct world *world, const char *name)
{
    if ((name[0] == 'n' || name[0] == 'N') && name[1] >= '1' && name[1] <= '9' && name[2] == '\0')
        for (uint32_t i = 0; i < world->profile.hosts; i++)
            if (world->hosts[i].name[1] == name[1])
                return i;
    return HOSTS_MAX;
}

void server_write_conf(struct host *host, const struct pg_conf *conf)
{
    struct server *server = &host->server;

    server->conf = *conf;
    server->conf_present = true;
    server->conf_no++;
    host->latched_boot = host->boot;
}

void server_place_signal(struct host *host)
{
    host->server.signal = host->server.present && host->world->plant != PLANT_NO_SIGNAL;
}

static void take_settings(struct host *host)
{
    struct server *server = &host->server;

    server->loaded_no = server->conf_no;
    server->upstream = server->conf_present ? server->conf.upstream : 0;
    (void)text_copy(server->slot, sizeof server->slot, server->conf_present ? server->conf.slot : "");
    server->agent_only = server->conf_present && server->conf.agent_only;
    server->sync = (struct sync_set){ 0 };
    if (!server->conf_present)
        return;
    server->sync.k = server->conf.sync_count;
    for (uint32_t i = 0; i < server->conf.sync_name_count; i++) {
        uint32_t named = host_of_name(host->world, server->conf.sync_names[i]);
        if (named < HOSTS_MAX)
            server->sync.names |= 1u << named;
    }
    if (server->sync.k == 0)
        server->sync.names = 0;
}

void server_load(struct host *host)
{
    struct server *server = &host->server;
    struct world *world = host->world;
    int32_t upstream = server->upstream;
    char slot[NAME_SIZE];

    if (!server_runs(server))
        return;
    (void)text_copy(slot, sizeof slot, server->slot);
    take_settings(host);
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        if (!server->senders[i].used)
            continue;
        bool late = world_permille(world, 100);
        server->senders[i].reload_pending = true;
        server->senders[i].replies = 0;
        world_put(host, AT_VIEW, world_chance(world, 0, late ? SEC : 20 * MS), server->senders[i].connection, 0);
    }
    if (server->state == SERVER_PRIMARY) {
        bool late = world_permille(world, 80); /* in a checkpoint's fsync phase */
        world_put(host, AT_DEFINED, world_chance(world, 0, late ? 2 * SEC : 20 * MS), server->run, 0);
    } else {
        server->defined = server->sync.k > 0;
    }
    if (server->receiver.running && (server->upstream != upstream || strcmp(slot, server->slot) != 0))
        world_put(host, AT_RECONNECT, world_chance(world, MS, 20 * MS), server->receiver.connection, 0);
    stream_want(host);
}

void server_defined(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;

    if (moment->a != server->run || server->state != SERVER_PRIMARY)
        return;
    server->defined = server->sync.k > 0;
    if (!server->defined)
        stream_release(host, NULL);
}

/* A server becomes writable: from here on it writes a branch of its own. */
static void open_for_writing(struct host *host, uint32_t timeline)
{
    struct server *server = &host->server;

    /* A recovery in place ends with a checkpoint; one after a promotion takes its time. */
    server->control_timeline = server->starting_primary ? timeline : wal_timeline(host->world, server->wal);
    server->wal.branch = wal_branch(host->world, timeline, server->wal.branch, server->wal.end);
    host->world->branches[server->wal.branch].host = host->index;
    server->wal.end += CHECKPOINT_BYTES;
    server->replayed = server->checkpoint = server->wal.end;
    server->state = SERVER_PRIMARY;
    server->was_primary = true;
    server->clean = false;
    server->defined = server->sync.k > 0;
    histories_add(server, timeline);
    world_trace(host, "pg: writable on timeline %u from %" PRIu64 ", ANY %u of %x", timeline,
                host->world->branches[server->wal.branch].fork, server->sync.k, server->sync.names);
    if (server->by_hand)
        return; /* nobody writes there */
    check_writable(host);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        server->clients[i] = (struct client){ 0 };
        world_put(host, AT_CLIENT, world_chance(host->world, MS, 20 * MS), i, server->run);
    }
}

void server_start(struct host *host, bool as_primary)
{
    struct server *server = &host->server;
    struct world *world = host->world;
    bool slow = world_permille(world, 50);

    assert(!server_runs(server));
    server->run++;
    server->state = SERVER_STARTING;
    server->starting_primary = as_primary;
    server->promoting = false;
    server->by_hand = server->system != SYSTEM_OWN; /* nobody of ours writes there */
    server->orphans = false;
    server->started_us = clock_of(host);
    server->received = false;
    server->receiver = (struct receiver){ 0 };
    server->attaching = false;
    take_settings(host);
    server->defined = server->sync.k > 0;
    /* Replay begins again at the last restartpoint. */
    if (server->checkpoint < server->replayed)
        server->replayed = server->checkpoint;
    world_put(host, AT_STARTED, world_chance(world, 30 * MS, slow ? 2 * SEC : 150 * MS), server->run, 0);
}

void server_started(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;
    struct world *world = host->world;

    if (moment->a != server->run || server->state != SERVER_STARTING)
        return;
    server->answered_us = clock_of(host);
    if (server->incomplete || server->wal.branch < 0) {
        check_fail(world, "G7", "n%u: PostgreSQL was started on an unfinished data directory", host->index + 1);
        return;
    }
    if (server->starting_primary) {
        server_place_signal(host); /* put back beside the running primary */
        open_for_writing(host, wal_timeline(world, server->wal));
    } else {
        server->state = SERVER_STANDBY;
        server->was_primary = false;
        server->clean = false;
        server->replaying = true;
        bool slow = world_permille(world, 100);
        world_put(host, AT_REPLAYED, world_chance(world, 0, slow ? 2 * SEC : 100 * MS), server->run, 0);
        world_put(host, AT_RECEIVER, 500 * MS, server->run, 0);
    }
    world_put(host, AT_SENDERS, 300 * MS, server->run, 0);
}

void server_replayed(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;

    if (moment->a != server->run || server->state != SERVER_STANDBY)
        return;
    if (host->world->now_us < server->replay_stuck_until_us) {
        world_put(host, AT_REPLAYED, 50 * MS, server->run, 0);
        return;
    }
    server->replayed = server->wal.end;
    server->replaying = false;
    stream_want(host);
}

/* The processes are gone. */
static void ended(struct host *host, bool orphans)
{
    struct server *server = &host->server;
    bool standby = server->state == SERVER_STANDBY || (server->state == SERVER_STARTING && !server->starting_primary) ||
                   (server->state == SERVER_STOPPING && server->stopping_from == SERVER_STANDBY);

    server->run++;
    server->state = SERVER_DOWN;
    server->orphans = orphans;
    server->promoting = false;
    stream_end_all(host);
    if (!orphans)
        for (uint32_t i = 0; i < CLIENTS; i++)
            server->clients[i].waits_for = 0;
    if (!standby) /* what somebody else started, and nobody saw, has written nothing */
        check_stopped(host);
    if (host->daemon_up)
        host_look(host); /* pidfd of the postmaster */
}

void server_kill(struct host *host, bool leave_orphans)
{
    struct server *server = &host->server;

    if (!server_runs(server) && !server->orphans)
        return;
    bool orphans = leave_orphans && server->state == SERVER_PRIMARY && !server->by_hand;
    world_trace(host, "pg: killed%s", orphans ? ", orphans go on" : "");
    if (server->state == SERVER_STANDBY && server->replayed > server->checkpoint + 4000)
        server->checkpoint = server->replayed - 4000;
    ended(host, orphans);
}

void server_stop_fast(struct host *host)
{
    struct server *server = &host->server;

    if (server->state == SERVER_STARTING || server->state == SERVER_DOWN) {
        server_kill(host, false);
        return;
    }
    if (server->state == SERVER_STOPPING)
        return;
    server->stopping_from = server->state;
    server->state = SERVER_STOPPING;
    server->run++;
    for (uint32_t i = 0; i < CLIENTS; i++)
        server->clients[i].waits_for = 0;
    stream_end_receiver(host);
    if (server->stopping_from == SERVER_PRIMARY) {
        server->wal.end += CHECKPOINT_BYTES;
        stream_pump(host);
        world_put(host, AT_SENDERS, 100 * MS, server->run, 0);
    }
    server->shutdown_end = server->wal.end;
    world_put(host, AT_STOPPING, world_chance(host->world, 5 * MS, 60 * MS), server->run, 0);
}

void server_stopping(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;

    if (moment->a != server->run || server->state != SERVER_STOPPING)
        return;
    /* Walsenders hold a shutdown up until all is received. */
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        const struct sender *sender = &server->senders[i];
        if (sender->used && server->stopping_from == SERVER_PRIMARY && sender->flushed < server->shutdown_end) {
            world_put(host, AT_STOPPING, 10 * MS, server->run, 0);
            return;
        }
    }
    server->clean = true;
    server->was_primary = server->stopping_from == SERVER_PRIMARY;
    server->checkpoint = server->was_primary ? server->wal.end : server->replayed;
    server->control_timeline = wal_timeline(host->world, server->wal);
    world_trace(host, "pg: stopped cleanly at %" PRIu64, server->wal.end);
    ended(host, false);
}

void server_promote(struct host *host, bool by_hand)
{
    struct server *server = &host->server;
    bool slow = world_permille(host->world, 60);

    server->by_hand = by_hand;
    if (server->promoting)
        return;
    server->promoting = true;
    world_put(host, AT_PROMOTED, world_chance(host->world, 20 * MS, slow ? 3 * SEC : 120 * MS), server->run, 0);
}

/* PostgreSQL's choice: one above the newest history file that it finds in a row, whoever asks for the promotion. */
static uint32_t next_timeline(const struct server *server, uint32_t timeline)
{
    while (histories_has(server, timeline + 1))
        timeline++;
    return timeline + 1;
}

void server_promoted(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;
    uint32_t timeline = next_timeline(server, wal_timeline(host->world, server->wal));

    if (moment->a != server->run || server->state != SERVER_STANDBY)
        return;
    server->promoting = false;
    if (server->by_hand && !fault_may_promote(host))
        return; /* a failover has begun since */
    stream_end_all(host);
    server->replayed = server->wal.end;
    server->replaying = false;
    server_place_signal(host); /* removed by the promotion, put back by the adapter */
    if (!server->by_hand)
        check_promoted(host, timeline);
    open_for_writing(host, timeline);
}

bool server_writable(const struct host *host)
{
    const struct server *server = &host->server;

    return (server->state == SERVER_PRIMARY && !server->by_hand) || server->orphans;
}

static void begin_commit(struct host *host, struct client *client)
{
    struct server *server = &host->server;

    server->wal.end += (uint64_t)world_chance(host->world, 60, 400);
    server->replayed = server->wal.end;
    client->waits_for = server->wal.end;
    client->branch = server->wal.branch;
    client->since_us = host->world->now_us;
    check_wrote(host);
    if (!server->defined || host->world->plant == PLANT_EARLY_ACK)
        stream_release(host, NULL);
    stream_pump(host);
}

/* A local client: one session that writes again and again, wherever it is allowed to. */
void server_client(struct host *host, const struct moment *moment)
{
    struct server *server = &host->server;
    struct world *world = host->world;
    struct client *client = &server->clients[moment->a];

    /* Orphans keep their session; b is the run in which the session began. */
    if (!server_writable(host) || (moment->b != server->run && !server->orphans))
        return;
    bool refused =
        server->agent_only || world->now_us < server->hung_until_us || world->now_us < server->read_only_until_us;
    if (client->waits_for != 0 && world->now_us - client->since_us > CLIENT_PATIENCE_US)
        client->waits_for = 0;
    if (client->waits_for == 0 && !refused)
        begin_commit(host, client);
    world_put(host, AT_CLIENT, world_chance(world, 10 * MS, 40 * MS), moment->a, moment->b);
}
